"""Fixtures for the tests of the pipeline."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from counted_s3 import CountedS3


@pytest.fixture(scope="session")
def counted_s3() -> Iterator[CountedS3]:
    """moto's server on loopback, which answers as S3 does, behind a counter of requests; with the bucket `csmv`.

    One for all tests: s3fs keeps its connection to the first endpoint that it met.
    """
    boto3 = pytest.importorskip("boto3")
    server = CountedS3()
    patch = pytest.MonkeyPatch()
    for name, value in server.environment.items():
        patch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="csmv")
    yield server
    server.stop()
    patch.undo()


@pytest.fixture(scope="session")
def s3_bucket(counted_s3: CountedS3) -> str:
    """The address of the bucket of `counted_s3`."""
    return "s3://csmv"
