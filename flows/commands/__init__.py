"""The commands of `csmv`, one module a group; each imports what is heavy only when it runs."""
