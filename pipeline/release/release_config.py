"""The section of dataset.yaml that says how a root is released: apart, so that a command line has read it at once."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from csmv.pipeline.validated import Validated


class ReleaseFormat(StrEnum):
    """What a release may have beside its Parquet files."""

    CSMV = "csmv"
    CSV = "csv"
    JSONL = "jsonl"
    WEBDATASET = "webdataset"


class ReleaseConfig(Validated):
    """What a release holds, under which licence, and what its papers say that tables can't."""

    license: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="licence of the released data, an SPDX identifier such as CC-BY-NC-SA-4.0; without one, no release",
    )
    title: str | None = Field(default=None, max_length=200, description="the dataset's title; left out, its name")
    version: str | None = Field(
        default=None,
        pattern=r"^\d+\.\d+\.\d+$",
        description="version number such as 1.2.0; left out, 1.0.0 and one more in the middle with every change",
    )
    day: date | None = Field(default=None, description="day of publication; left out, the release states none")
    features: tuple[str, ...] | None = Field(
        default=None, description="feature sets that are released; left out, all that the root has"
    )
    splits: tuple[str, ...] | None = Field(
        default=None, description="splits that are released; left out, all that the root has"
    )
    main_split: str | None = Field(
        default=None,
        description="the split that `load_dataset` gives where none is named; left out, video or the first",
    )
    formats: tuple[ReleaseFormat, ...] = Field(
        default=(),
        description="what stands beside the Parquet files: csmv (as published), csv, jsonl, webdataset",
    )
    authors: tuple[str, ...] = Field(default=(), description="who made the dataset, as they are to be cited")
    citation: str | None = Field(default=None, description="how the dataset is to be cited, in BibTeX or in words")
    homepage: str | None = Field(
        default=None, pattern=r"^https://[^\s@]+$", description="an https address of the dataset, if there is one"
    )
    doi: str | None = Field(
        default=None,
        pattern=r"^10\.\d{4,9}/[^\s@]+$",
        description="the DOI of the release, such as 10.5281/zenodo.1234567",
    )
    check_media: bool = Field(default=True, description="compare every media file with its SHA-256 before a release")
