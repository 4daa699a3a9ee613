"""Prefect flows, deployments and the `csmv` command line: they arrange what `pipeline/` and `extractors/` do."""
