"""S3 that refuses, that lacks things and that never answers: moto's server, and a socket that says nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.remote import storage_options

REPOSITORY = Path(__file__).resolve().parents[2]

# A process of its own: s3fs keeps its connection to the first endpoint that it met, and moto its policy.
REFUSALS = """
import os, urllib.request
import boto3
from fsspec.core import url_to_fs
from moto.server import ThreadedMotoServer
from csmv.pipeline.errors import sentence_for
from csmv.pipeline.remote import storage_options

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
url = "http://%s:%d" % server.get_host_and_port()
keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "geheim"}
os.environ.update(keys, AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL=url)
boto3.client("s3").create_bucket(Bucket="csmv")

def say(root, do):
    fs, path = url_to_fs(root, skip_instance_cache=True, **storage_options(root))
    try:
        do(fs, path + "/x")
        print("no error")
    except Exception as error:
        print(sentence_for(error, root))

def write(fs, path):
    fs.pipe_file(path, b"1")

say("s3://csmv/root", write)
say("s3://none/root", write)
say("s3://csmv/root", lambda fs, path: fs.cat_file(path + "y"))
say("s3://A_b$/root", write)
plain = {"Content-Type": "text/plain"}
urllib.request.urlopen(urllib.request.Request(url + "/moto-api/reset-auth", b"0", plain))
say("s3://csmv/root", write)
say("s3://csmv/root", lambda fs, path: fs.exists(path))
for name in keys:
    del os.environ[name]
say("s3://csmv/root", write)
os.environ["AWS_PROFILE"] = "none"
say("s3://csmv/root", write)
del os.environ["AWS_PROFILE"]
os.environ.update(keys, AWS_ENDPOINT_URL="http://127.0.0.1:9")
say("s3://csmv/root", write)
"""

SILENCE = """
import os, socket, time
from fsspec.core import url_to_fs
from csmv.pipeline.errors import sentence_for
from csmv.pipeline.remote import storage_options

silent = socket.create_server(("127.0.0.1", 0), backlog=50)
os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:%d" % silent.getsockname()[1]
fs, path = url_to_fs("s3://csmv/root", **storage_options("s3://csmv/root"))
began = time.monotonic()
try:
    fs.exists(path)
except Exception as error:
    print(sentence_for(error, "s3://csmv/root"))
    print(time.monotonic() - began)
"""


def lines(script: str, home: Path, **variables: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # Neither the person's own credentials nor a cloud machine's.
    alone = {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", script]
    return subprocess.check_output(command, env=kept | alone | variables, text=True).splitlines()


def test_each_refusal_is_a_sentence_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("boto3")
    said = [line for line in lines(REFUSALS, tmp_path) if not line.startswith("Starting a new Thread")]

    expected = [
        "no error",
        "S3 (s3://none/root) has no such bucket (NoSuchBucket, at PutObject): make the bucket",
        "'csmv/root/xy' was expected and is not there",
        "The address of the root (s3://A_b$/root) is none that S3 takes",
        "S3 (s3://csmv/root) does not know the access key (InvalidAccessKeyId, at PutObject): set AWS_ACCESS_KEY_ID",
        "S3 (s3://csmv/root) refused access (403, at HeadObject): check that the key is right, has not expired",
        "There are no usable S3 credentials (s3://csmv/root): set AWS_ACCESS_KEY_ID",
        "There are no usable S3 credentials (s3://csmv/root): set AWS_ACCESS_KEY_ID",
        "S3 (s3://csmv/root) does not answer at http://127.0.0.1:9/csmv/root/x: check the network",
    ]
    assert len(said) == len(expected), said
    for line, beginning in zip(said, expected, strict=True):
        assert line.startswith(beginning)
        assert "geheim" not in line


@pytest.mark.slow
def test_an_s3_that_never_answers_is_an_error_within_a_minute(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}

    sentence, seconds = lines(SILENCE, tmp_path, **keys)

    assert sentence.startswith("S3 (s3://csmv/root) does not answer at http://127.0.0.1:")
    assert float(seconds) < 65


def test_only_s3_gets_options() -> None:
    assert storage_options("/data/root") == storage_options("gs://bucket/root") == storage_options("memory://s3") == {}
    assert storage_options("s3://bucket/root")["config_kwargs"]["read_timeout"] < 15
    assert set(storage_options("simplecache::s3://bucket/root")) == {"s3"}


def test_an_address_with_a_key_in_it_is_refused() -> None:
    with pytest.raises(CsmvError, match="with a key in it") as raised:
        storage_options("s3://key:geheim@host/bucket")

    assert "geheim" not in str(raised.value)
