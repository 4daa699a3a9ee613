"""The stages of the pipeline, one a module: import, scrub, media, features, splits, training, report.

Plain Python: nothing in here knows of Prefect, which only arranges these stages in `flows/`.
"""
