"""Where a network's weights come from: a published file (URL, sha256, licence), a path, or random ones by name.

Files are only ever read with `weights_only=True` or as safetensors, so no code in them can run. Nothing is ever
replaced by random weights silently.
"""

import hashlib
import http.client
import math
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from csmv.extractors.extractor_errors import ExtractorError

State = dict[str, Tensor]

WRAPPERS = ("model", "module", "state_dict", "model_state_dict")
PREFIXES = ("_orig_mod.", "module.", "backbone.", "encoder.", "model.")


@dataclass(frozen=True)
class Weights:
    """A published weights file; `sha256` may be the leading digits where no more is published, or empty."""

    url: str
    licence: str
    source: str
    sha256: str = ""
    git_blob: str = ""
    """Of a file in a git repository that publishes no SHA-256: its object id there."""
    prefix: str = ""
    """What comes before the file's keys in the network, where several files make one network."""
    beside: "tuple[Weights, ...]" = ()
    """The other files of such a network."""
    anybodys: bool = False
    """Whether a person gave the address, so that the file's name may be another file's too."""

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1].split("?", 1)[0]

    @property
    def place(self) -> str:
        """Where it lies in the folder of downloaded weights; in a folder of its own where its name says too little."""
        if self.anybodys:
            return f"{hashlib.sha256(self.url.encode()).hexdigest()[:16]}/{self.filename}"
        if hub := re.match(r"https://huggingface\.co/([^/]+)/([^/]+)/resolve/", self.url):
            return f"{hub[1]}--{hub[2]}/{self.filename}"
        return self.filename

    @property
    def revision(self) -> str:
        """The commit that the address names; empty where it names none."""
        commit = re.search(r"/(?:resolve|raw)/([0-9a-f]{40})/", self.url)
        return commit[1] if commit else ""

    @property
    def checked(self) -> str:
        """What a file that was fetched is compared with, in words."""
        if len(self.sha256) == 64:
            return "its SHA-256"
        if self.sha256:
            return f"the first {len(self.sha256)} digits of its SHA-256, all that is published"
        if self.git_blob:
            return f"its git blob id {self.git_blob}, by SHA-1 from its size and bytes; no SHA-256 is published"
        if self.url.startswith("https://huggingface.co/"):
            return "its size and the SHA-256 that Hugging Face gives as it is fetched; none is published elsewhere"
        return "its size as it is fetched; no digest is published"


@dataclass(frozen=True)
class Loaded:
    """A state dict and what a shard records of it: `origin` (default, random, a file name) and the sha256.

    Of several files that make one network the sha256 are joined by `+`.
    """

    state: State
    origin: str
    sha256: str


@dataclass(frozen=True)
class RandomRule:
    """How random weights of a network family are scaled: see `random_state`."""

    gain: float = 1.6
    centre: float = 0.7


def cache_dir() -> Path:
    """Where downloaded weights are kept: CSMV_CACHE, else ~/.cache/csmv."""
    return Path(os.environ.get("CSMV_CACHE") or Path.home() / ".cache" / "csmv") / "weights"


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob_id(path: Path) -> str:
    """The id that git gives a file: SHA-1 over `blob`, its size and its bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over each key in sorted order: its UTF-8 bytes, then its tensor's bytes (C order, little-endian)."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fetch(weights: Weights) -> Path:
    """The local copy of a published file, downloaded once and checked. ExtractorError where it cannot be had."""
    return fetched(weights)[0]


def fetched(weights: Weights) -> tuple[Path, str]:
    """The local copy of a published file and its SHA-256, which takes as long as reading it: taken once.

    Raises:
        ExtractorError: the file can't be had, or is not the one that was published.
    """
    target = cache_dir() / weights.place
    if not target.exists():
        _download(weights, target)
    digest = file_sha256(target)
    if wrong := _difference(weights, target, digest):
        raise ExtractorError(f"{target}, from {weights.url}, {wrong}: delete that file and fetch it again.")
    return target, digest


def _difference(weights: Weights, file: Path, digest: str) -> str:
    """What a file has and should have, if it is not the published one; empty if it is."""
    if not digest.startswith(weights.sha256):
        return f"has sha256 {digest} and should have {weights.sha256}"
    if weights.git_blob and (blob := git_blob_id(file)) != weights.git_blob:
        return f"has the git blob id {blob} and should have {weights.git_blob}"
    return ""


def _download(weights: Weights, target: Path) -> None:
    """Fetch a file; it gets its name only once its size and digests are as published."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            published = _transfer(weights.url, file)
        digest = file_sha256(part)
        for wanted in (weights, replace(weights, sha256=published)):
            if wrong := _difference(wanted, part, digest):
                raise ExtractorError(
                    f"What came from {weights.url} {wrong}: it was not kept. Try again, or give the path of a right "
                    "copy with --weights."
                )
        part.replace(target)
    except (OSError, ValueError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ExtractorError(
            f"The weights at {weights.url} could not be fetched ({cause}): download that file on a machine with "
            f"access and put it at {target}, or give its path with --weights."
        ) from None
    finally:
        part.unlink(missing_ok=True)


TRIES = 4
"""How often a transfer that broke off is taken up where it was."""


def _transfer(url: str, file: BinaryIO) -> str:
    """Write what is at an address, taken up again where it breaks off; gives the SHA-256 that its host says, if any.

    Raises:
        OSError: it can't be had, or not to its end.
    """
    said = _Redirects()
    opener = urllib.request.build_opener(said)
    left, wanted, mark = TRIES, -1, ""
    while True:
        done = file.tell()
        asked = urllib.request.Request(url)
        if done:
            asked.add_header("Range", f"bytes={done}-")
            if mark:
                asked.add_header("If-Range", mark)
        try:
            with opener.open(asked, timeout=60) as reply:
                if done and reply.status != 206:  # from the beginning: it can't, or the file is another by now
                    file.seek(0)
                    file.truncate()
                length = reply.headers.get("Content-Length")
                wanted = file.tell() + int(length) if length is not None else -1
                mark = reply.headers.get("ETag") or mark
                shutil.copyfileobj(reply, file, 1 << 20)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            if not file.tell() or not left:
                raise
        if wanted in (-1, file.tell()):
            return said.sha256
        if not left:
            raise OSError(f"{file.tell():,} of {wanted:,} bytes came, and then no more")
        left -= 1


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects and keeps the SHA-256 that Hugging Face gives with the first of them."""

    sha256 = ""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        etag = (headers.get("X-Linked-Etag") or "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", etag):
            self.sha256 = etag
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def card_of_weights(weights: Weights) -> dict[str, str]:
    """What there is to know of published weights; the other files of one network as sentences by their prefix."""
    own = {key: getattr(weights, key) for key in ("url", "licence", "source", "sha256", "checked")}
    return own | {one.prefix.rstrip("."): _in_a_line(one) for one in weights.beside}


def _in_a_line(weights: Weights) -> str:
    digest = f"; sha256 {weights.sha256}" if weights.sha256 else ""
    return f"{weights.url} ({weights.source}; {weights.licence}{digest}; checked: {weights.checked})"


def read_checkpoint(path: Path) -> State:
    """The tensors of a .pt/.pth/.bin or .safetensors file, unwrapped as far as published files are wrapped."""
    if not path.is_file():
        raise ExtractorError(f"There is no weights file at {path}.")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ExtractorError(
            f"{path} could not be read as a PyTorch checkpoint of plain tensors: {type(error).__name__}."
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
            break
    if not isinstance(loaded, Mapping):
        raise ExtractorError(f"{path} holds a {type(loaded).__name__}, not a dictionary of tensors.")
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def without_prefix(state: Mapping[str, Tensor], wanted: Iterable[str]) -> State:
    """`state` with the wrapper prefixes stripped that keep its keys from being among `wanted`."""
    wanted_keys, result = set(wanted), dict(state)
    for _ in range(3):
        if any(key in wanted_keys for key in result):
            return result
        for prefix in PREFIXES:
            if result and all(key.startswith(prefix) for key in result):
                result = {key.removeprefix(prefix): value for key, value in result.items()}
                break
        else:
            return result
    return result


def load_strictly(module: torch.nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy `state` into `module`; any missing or unexpected key or other shape is an ExtractorError.

    Only the batch norms' `num_batches_tracked` may be missing: files older than PyTorch 0.4.1 have none.
    """
    own = module.state_dict()
    missing = [k for k in own if k not in state and not is_counter(k)]
    unexpected = [k for k in state if k not in own]
    wrong = [k for k in own if k in state and own[k].shape != state[k].shape]
    if missing or unexpected or wrong:
        example = (missing or unexpected or wrong)[0]
        raise ExtractorError(
            f"The weights in {origin} do not fit this network: {len(missing)} keys missing, {len(unexpected)} "
            f"unexpected, {len(wrong)} of another shape, the first being '{example}'."
        )
    full = {key: state.get(key, value) for key, value in own.items()}
    # Assigned, not copied: a billion parameters need not be in memory twice.
    module.load_state_dict({k: v.to(own[k].dtype) for k, v in full.items()}, strict=True, assign=True)


class without_initialisation(TorchFunctionMode):
    """Inside, the random filling of new parameters is skipped: they are about to be loaded."""

    SKIPPED = frozenset({Tensor.uniform_, Tensor.normal_, Tensor.erfinv_})
    # These hand themselves to the mode as a whole, so that it does not see what they call.
    SKIPPED_INITS = frozenset({init.uniform_, init.normal_, init.kaiming_uniform_})

    def __enter__(self) -> Any:
        # It draws again what lies outside its bounds, for ever if nothing is drawn.
        self._truncated = torch.nn.init._no_grad_trunc_normal_
        torch.nn.init._no_grad_trunc_normal_ = lambda tensor, *_, **__: tensor
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *raised: Any) -> None:
        torch.nn.init._no_grad_trunc_normal_ = self._truncated
        super().__exit__(*raised)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in self.SKIPPED:
            return args[0]
        if func in self.SKIPPED_INITS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def random_tensor(key: str, shape: tuple[int, ...], rule: RandomRule, seed: int) -> NDArray[np.float32]:
    """One tensor of random weights, from its own key alone, so that it never depends on the others or on order."""
    salt = "" if seed == 0 else f"#{seed}"
    bits = np.random.PCG64(zlib.crc32(f"{key}{salt}".encode()))
    noise = np.random.Generator(bits).standard_normal(shape, dtype=np.float32)
    if key.endswith("running_var"):
        return np.float32(1) + np.float32(0.1) * np.abs(noise)
    if noise.ndim >= 2:  # in place: fresh memory costs more than the arithmetic
        noise *= np.float32(rule.gain / math.sqrt(math.prod(shape[1:])))
        if rule.centre:
            mean = noise.mean(axis=tuple(range(1, noise.ndim)), keepdims=True, dtype=np.float64)
            noise -= np.float32(rule.centre) * mean.astype(np.float32)
        return noise
    if key.endswith("weight"):
        return np.float32(1) + np.float32(0.1) * noise
    return np.float32(0.1) * noise


def random_state(module: torch.nn.Module, rule: RandomRule, seed: int = 0) -> State:
    """Seeded random weights that keep different clips apart.

    Each filter loses `centre` of its mean: with plain initialisation a ReLU network gives nearly the same features
    for any clip. Counters become 0; other integers say how the network is wired, and stay (0 on the meta device).
    """
    state: State = {}
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            state[key] = torch.from_numpy(random_tensor(key, tuple(value.shape), rule, seed))
        elif is_counter(key) or value.is_meta:
            state[key] = torch.zeros(value.shape, dtype=value.dtype)
        else:
            state[key] = value.clone()
    return state


def is_counter(key: str) -> bool:
    """Whether a tensor only counts the batches that a norm has seen in training."""
    return key.endswith("num_batches_tracked")
