"""The one exception that is meant for the person at the terminal, and the sentences for what libraries raise.

A full disk, a refused permission, an expired credential or a damaged file is foreseeable, wherever it strikes.
`sentence_for` turns the exception that a library or the operating system raises for it into one sentence: what, where,
what to do. Library exceptions are recognized by the name of their class, so that nothing is imported for it. A sentence
holds paths and codes, never an exception's own text, which may quote what was being read.
"""

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any


class CsmvError(Exception):
    """A sentence that says what was expected, what was found and what to do; shown without a traceback.

    Its text must never hold personal data: it reaches logs and Prefect's database.
    """


class UsageError(CsmvError):
    """What was asked for can't be: a choice that does not exist, or wishes that contradict each other."""


class UnfinishedError(CsmvError):
    """Nothing failed, and something is left that may succeed in a later run; the sentence says what."""


def sentence_for(error: BaseException, where: str = "") -> str | None:
    """One sentence about a foreseeable failure.

    Args:
        error: what a library or the operating system raised. What it was raised from is looked at as well.
        where: what was being worked on (a root, a file), for failures that don't name a place themselves.

    Returns:
        The sentence, without personal data or passwords; None if the failure is not a foreseeable one.
    """
    chain = _chain(error)
    where = next((place for one in chain if (place := getattr(one, _PLACE, ""))), where)
    # What these say comes before what it was made of, a refused connection or a time limit: they name the address.
    for one in sorted(chain, key=lambda one: _module(one) not in (*_S3_LIBRARIES, "httpx")):
        if isinstance(one, CsmvError):
            return shown(str(one))
        for explain in (_about_missing, _about_s3, _about_network, _about_os, _about_damage, _about_memory):
            sentence = explain(one, where)
            if sentence:
                return shown(sentence)
    return None


def shown(address: str) -> str:
    """An address as it may be shown: without the user name, password or key that may stand in it.

    Takes a root, a URL, or a text in which URLs stand.
    """
    return _ADDRESS.sub(lambda match: _without_secrets(match[0]), address)


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Note on an exception that leaves the block which file was being read, for `sentence_for` to name."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, _PLACE):
            setattr(error, _PLACE, place)
        raise


def parsed_json(data: bytes | str, where: str) -> Any:
    """The value that a JSON file holds. Raises CsmvError, naming the file `where`, if it is damaged."""
    try:
        return json.loads(data)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        sentence = _about_damage(error, where)
    raise CsmvError(shown(sentence or f"{where} is damaged."))


# ---------------------------------------------------------------------- addresses

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*")
_SECRET_PARAMETER = re.compile(r"(?i)([?&][\w.-]*(?:secret|passw|token|signature|sig|key|credential)[\w.-]*=)[^&#]*")


def how_to_install(module: str) -> str:
    """The command that brings a module of one of csmv's extras; empty if none of them has it.

    Args:
        module: its first name, such as `torch`; what pip calls it may differ.
    """
    wanted = _DISTRIBUTIONS.get(module, module).replace("_", "-").lower()
    extras = []
    for line in metadata.requires("csmv") or ():
        required = re.match(r"([\w.-]+).*; .*extra == ['\"]([\w-]+)['\"]", line)
        if required and required[1].replace("_", "-").lower() == wanted and required[2] != "dev":
            extras.append(required[2])
    return " or ".join(f"`pip install 'csmv[{extra}]'`" for extra in extras)


_DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}


def _about_missing(error: BaseException, where: str) -> str | None:
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    command = how_to_install(module) if module else ""
    return f"This needs '{module}', which is not installed here: {command} brings it." if command else None


def _without_secrets(address: str) -> str:
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        rest = authority.rpartition("@")[2] + slash + path
    elif "@" in path and ":" in authority and not re.fullmatch(r"[^:]+:\d+", authority):
        # A secret with a slash in it, as Amazon's have; a host and its port look different.
        rest = path.rpartition("@")[2]
    return _SECRET_PARAMETER.sub(r"\1...", f"{scheme}://{rest}")


# ---------------------------------------------------------------------- what was raised

_PLACE = "csmv_place"
_DEEPEST = 12


def _chain(error: BaseException) -> list[BaseException]:
    """`error` and what it was raised from, the cause first: s3fs and others wrap what says more than they do.

    What an exception was merely raised beside (its context) counts only for wrappers, for whom it is the cause.
    """
    chain: list[BaseException] = []
    waiting = [error]
    while waiting and len(chain) < _DEEPEST:
        one = waiting.pop(0)
        if one in chain:
            continue
        chain.append(one)
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        if one.__cause__ is not None:
            waiting.append(one.__cause__)
        elif one.__context__ is not None and not one.__suppress_context__ and _is_wrapper(one):
            waiting.append(one.__context__)
    return chain[::-1]


def _is_wrapper(error: BaseException) -> bool:
    return isinstance(error, OSError) or _module(error) in _LIBRARIES


_LIBRARIES = {"botocore", "aiobotocore", "s3fs", "fsspec", "httpx", "httpcore", "requests", "urllib3", "aiohttp"} | {
    "huggingface_hub",
    "safetensors",
    "torch",
    "pyarrow",
    "yaml",
}


def _module(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _kinds(error: BaseException) -> set[str]:
    """The names of an exception's class and of those above it, each with its top package: `botocore.ClientError`."""
    return {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}


def _place(where: str) -> str:
    return f" ({shown(where)})" if where else ""


# ---------------------------------------------------------------------- S3

_S3_LIBRARIES = ("botocore", "aiobotocore")
_S3_CODES = {
    "AccessDenied": "refused permission",
    "403": "refused access",
    "400": "refused access",
    "AllAccessDisabled": "refused permission",
    "AccountProblem": "refused permission",
    "InvalidAccessKeyId": "does not know the access key",
    "SignatureDoesNotMatch": "says that the secret key is wrong",
    "ExpiredToken": "says that the credentials have expired",
    "ExpiredTokenException": "says that the credentials have expired",
    "TokenRefreshRequired": "says that the credentials have expired",
    "InvalidToken": "says that the session token is wrong",
    "InvalidClientTokenId": "does not know the access key",
    "RequestTimeTooSkewed": "says that this machine's clock is wrong",
    "NoSuchBucket": "has no such bucket",
    "InvalidBucketName": "says that this can't be a bucket's name",
    "NoSuchKey": "has no such file",
    "404": "has no such file or bucket",
    "PermanentRedirect": "keeps the bucket in another region",
    "AuthorizationHeaderMalformed": "keeps the bucket in another region",
    "IllegalLocationConstraintException": "keeps the bucket in another region",
    "301": "keeps the bucket in another region",
    "SlowDown": "is too busy",
    "ServiceUnavailable": "is too busy",
    "503": "is too busy",
    "InternalError": "had an error of its own",
    "500": "had an error of its own",
    "QuotaExceeded": "has no space left",
    "XMinioStorageFull": "has no space left",
    "EntityTooLarge": "does not take a file that large",
}
_S3_ADVICE = {
    # What S3 says to a HEAD request: it has no body to give the reason in.
    "refused access": "check that the key is right, has not expired, and may list, read, write and delete there",
    "refused permission": "give the key the right to list, read, write and delete there",
    "does not know the access key": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to a valid key",
    "says that the secret key is wrong": "set AWS_SECRET_ACCESS_KEY to the secret of AWS_ACCESS_KEY_ID",
    "says that the credentials have expired": "get new ones, then run it again; what was done stays done",
    "says that the session token is wrong": "set AWS_SESSION_TOKEN to the one that came with the key, or unset it",
    "says that this machine's clock is wrong": "set the clock",
    "has no such bucket": "make the bucket, or correct the root's address",
    "says that this can't be a bucket's name": "correct the root's address: s3://BUCKET/FOLDER",
    "has no such file": "correct the address, or make the file again",
    "has no such file or bucket": "correct the root's address",
    "keeps the bucket in another region": "set AWS_DEFAULT_REGION to the bucket's",
    "has no space left": "free some, or choose another root; what was done stays done",
}
_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
    "NoAuthTokenError",
}
_UNREACHABLE = {
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "ConnectionError",
    "HTTPClientError",
    "ProxyConnectionError",
    "SSLError",
}


def _about_s3(error: BaseException, where: str) -> str | None:
    if _module(error) not in _S3_LIBRARIES:
        return None
    names = {kind.__name__ for kind in type(error).__mro__}
    response = getattr(error, "response", None)
    if "ClientError" in names and isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        code = code if re.fullmatch(r"\w{1,60}", code) else "unknown"
        says = _S3_CODES.get(code, "refused the request")
        operation = re.sub(r"\W", "", str(getattr(error, "operation_name", "")))[:40]
        return f"S3{_place(where)} {says} ({code}, at {operation}): {_S3_ADVICE.get(says, 'try again later')}."
    if names & _NO_CREDENTIALS:
        return (
            f"There are no usable S3 credentials{_place(where)}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE, or run `aws configure`."
        )
    if names & _UNREACHABLE:
        details = getattr(error, "kwargs", None) or {}
        endpoint = str(details.get("endpoint_url") or "")
        at = f" at {shown(endpoint).partition('?')[0]}" if endpoint else ""
        return (
            f"S3{_place(where)} does not answer{at}: check the network and AWS_ENDPOINT_URL, then run it again; "
            "what was done stays done."
        )
    if "ParamValidationError" in names or "InvalidEndpointConfigurationError" in names:
        return f"The address of the root{_place(where)} is none that S3 takes: it should be s3://BUCKET/FOLDER."
    if "NoRegionError" in names:
        return "S3 needs a region: set AWS_DEFAULT_REGION."
    if "BotoCoreError" in names:
        return f"S3{_place(where)} can't be used ({type(error).__name__}): check its address, region and credentials."
    return None


# ---------------------------------------------------------------------- the network

_NETWORK_KINDS = {
    "httpx.TransportError",
    "httpcore.NetworkError",
    "httpcore.TimeoutException",
    "requests.ConnectionError",
    "requests.Timeout",
    "urllib3.HTTPError",
    "aiohttp.ClientConnectionError",
    "aiohttp.ClientPayloadError",
    "fsspec.FSTimeoutError",
    "huggingface_hub.LocalEntryNotFoundError",
    "huggingface_hub.OfflineModeIsEnabled",
}
_NETWORK_ERRNOS = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
}


def _about_network(error: BaseException, where: str) -> str | None:
    kinds = _kinds(error)
    plain = isinstance(error, OSError) and (
        error.errno in _NETWORK_ERRNOS or bool({"socket.gaierror", "urllib.URLError", "ssl.SSLError"} & kinds)
    )
    timeout = isinstance(error, TimeoutError) and getattr(error, "filename", None) is None
    if not plain and not timeout and not kinds & _NETWORK_KINDS:
        return None
    server = os.environ.get("PREFECT_API_URL", "")
    asked = _asked(error)
    if server and asked and asked.startswith(server.rstrip("/")):
        return f"The Prefect server at {shown(server)} does not answer any more: start it, then run this again."
    host = f" {shown(asked).partition('?')[0]}" if asked else ""
    return (
        f"A server{host}{_place(where)} could not be reached ({type(error).__name__}): check the network, then run it "
        "again; what was done stays done."
    )


def _asked(error: BaseException) -> str:
    """The URL that was asked for, where an HTTP library says it."""
    try:
        return str(getattr(getattr(error, "request", None), "url", "") or "")
    except RuntimeError:  # httpx, of a request that was never made
        return ""


# ---------------------------------------------------------------------- files and disks

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OS_SENTENCES = {
    errno.EROFS: "{path} can't be written: its file system is read-only; mount it for writing, or choose another root.",
    errno.EISDIR: "{path} is a folder where a file should be: move it away, then run it again.",
    errno.ENOTDIR: "{path} should lie in a folder, and a file stands where the folder should be: move it away, "
    "or choose another root.",
    errno.EEXIST: "{path} is there already, as something else than what should be made there: move it away, "
    "or choose another root.",
    errno.ENOTEMPTY: "{path} is a folder with files in it where none should be: move it away, then run it again.",
    errno.ENOENT: "{path} was expected and is not there: check the path, or make the file again.",
    errno.ENAMETOOLONG: "{path} has a name that is too long for its file system: choose a shorter path.",
    errno.ELOOP: "{path} is a link that leads back to itself: remove it.",
    errno.EMFILE: "This process has as many files open as it may: raise the limit with `ulimit -n 4096`.",
    errno.ENFILE: "This machine has as many files open as it can: close other programs, then run it again.",
    errno.EIO: "{path} could not be read or written: the disk or its connection has a fault.",
    errno.ESTALE: "{path} has gone from the shared file system: mount it again, then run it again.",
    errno.ETXTBSY: "{path} is in use by another program: wait for it, then run it again.",
    errno.EBUSY: "{path} is in use by another program: wait for it, then run it again.",
    errno.ENOLCK: "{path} can't be locked on its file system: choose a root on another one.",
}
_PATH_ALONE = re.compile(r"[^\s:]+/[^\s:]+")
_REFUSED = {errno.EACCES, errno.EPERM}
_ERRNO_IN_TEXT = re.compile(r"\[errno (\d+)\]", re.IGNORECASE)


def _about_os(error: BaseException, where: str) -> str | None:
    if not isinstance(error, OSError):
        return None
    number = error.errno
    if number is None and _module(error) in ("pyarrow", "builtins"):
        # Arrow says the number in its text and nowhere else.
        said = _ERRNO_IN_TEXT.search(str(error))
        number = int(said[1]) if said else _errno_of_kind(error)
    path = _path_of(error) or where
    named = f"'{shown(path)}'" if path else "A file"
    if number in _FULL:
        at = f" at '{shown(path)}'" if path else ""
        limit = "; or the file outgrew the limit for one file (`ulimit -f`)" if number == errno.EFBIG else ""
        return (
            f"The disk is full{at} ({os.strerror(number)}{limit}): free some space, then run it again; "
            "what was done stays done."
        )
    if number in _REFUSED:
        return (
            f"Permission was refused for {named if path else 'a file'}: give the user who runs "
            "this the right to read and write there, or choose another root."
        )
    template = _OS_SENTENCES.get(number) if number is not None else None
    return template.format(path=named) if template else None


def _errno_of_kind(error: OSError) -> int | None:
    kinds = {
        PermissionError: errno.EACCES,
        FileNotFoundError: errno.ENOENT,
        IsADirectoryError: errno.EISDIR,
        NotADirectoryError: errno.ENOTDIR,
        FileExistsError: errno.EEXIST,
    }
    return kinds.get(type(error))


def _path_of(error: OSError) -> str:
    # The second name is where something was moved to, which is the one that a person knows.
    for name in (error.filename2, error.filename):
        if isinstance(name, str | bytes | os.PathLike):
            return os.fsdecode(name)
    # s3fs gives the path as all that it says.
    said = error.args[0] if len(error.args) == 1 else ""
    return said if isinstance(said, str) and _PATH_ALONE.fullmatch(said) else ""


# ---------------------------------------------------------------------- damaged files

_DAMAGE = {
    "safetensors.SafetensorError": "is no whole safetensors file",
    "zipfile.BadZipFile": "is no whole zip file",
    "gzip.BadGzipFile": "is no whole gzip file",
    "tarfile.ReadError": "is no whole tar file",
    "zlib.error": "is damaged inside its compression",
    "lzma.LZMAError": "is damaged inside its compression",
    "zstandard.ZstdError": "is damaged inside its compression",
    "_pickle.UnpicklingError": "is no file of weights that can be read safely",
    "pickle.UnpicklingError": "is no file of weights that can be read safely",
    "python_calamine.CalamineError": "is no workbook that can be read",
    "python_calamine.ZipError": "is no workbook that can be read",
    "python_calamine.XmlError": "is no workbook that can be read",
    "pyarrow.ArrowInvalid": "is no whole Parquet file, or has values that don't fit their columns",
    "pyarrow.ArrowTypeError": "has a column of another type than expected",
    "pyarrow.ArrowNotImplementedError": "has a column of another type than expected",
    "pyarrow.ArrowKeyError": "lacks a column that was expected",
}


def _about_damage(error: BaseException, where: str) -> str | None:
    file = f"'{shown(where)}'" if where else "A file"
    if isinstance(error, json.JSONDecodeError):
        return f"{file} is damaged or no JSON (line {error.lineno}, column {error.colno}): restore it or make it again."
    if isinstance(error, UnicodeDecodeError):
        return f"{file} is no UTF-8 text (at byte {error.start}): save it as UTF-8, or restore it."
    kinds = _kinds(error)
    if "yaml.YAMLError" in kinds:
        mark = getattr(error, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark is not None else ""
        return f"{file} is damaged or no YAML{at}: correct it."
    if "builtins.RuntimeError" in kinds and "PytorchStreamReader failed" in str(error):
        return f"{file} is no whole file of weights: restore it, or delete it to have it downloaded again."
    for kind, damage in _DAMAGE.items():
        if kind in kinds:
            return f"{file} {damage}: restore it from a copy, or make it again."
    return None


def _about_memory(error: BaseException, where: str) -> str | None:
    kinds = _kinds(error)
    if "torch.OutOfMemoryError" in kinds:
        return f"The GPU's memory is full{_place(where)}: choose a smaller batch, or stop what else runs on the GPU."
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return f"This machine's memory is full{_place(where)}: run fewer things at once, or use a machine with more."
    return None
