"""Looking around in a root: a server on loopback for `csmv explore`, and a page that holds its own data for the report.

Both show the same page, made of the same scrubbed tables; nothing of `private/` is read.
"""
