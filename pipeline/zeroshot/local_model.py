"""Asking a Hugging Face image-text-to-text model on this machine: safetensors and JSON alone, none of its code."""

import hashlib
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.zeroshot.endpoint import Reply
from csmv.pipeline.zeroshot.spending import Usage
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig

_TAKEN = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")


class LocalModel:
    """A model of transformers with its processor, on one device; questions are answered one at a time.

    Args:
        config: which model, where it runs, and how answers are drawn.

    Raises:
        CsmvError: there is no such model, or transformers can't load it from safetensors.
    """

    is_ready = True

    def __init__(self, config: ZeroShotConfig) -> None:
        assert config.local is not None
        self._config = config
        self._folder, self._revision = _folder_of(config.local, config.revision)
        if not list(self._folder.glob("*.safetensors")):
            raise CsmvError(
                f"'{config.local}' has no *.safetensors: weights of other kinds may hold code and are not read. Choose "
                "a revision that has them (--revision)."
            )
        self.files = self._revision or _digest_of(self._folder)
        self._lock = threading.Lock()
        self._network: Any = None
        self._processor: Any = None

    def described(self) -> dict[str, str]:
        """What of it was read: the revision on the hub, or the SHA-256 of a folder's files."""
        return {"revision": self._revision} if self._revision else {"files_sha256": self.files}

    def close(self) -> None:
        """Let go of the network."""
        self._network = self._processor = None

    def ask(self, text: str, pictures: Sequence[bytes], count: int) -> Reply:
        """The model's answer to a question about `count` comments; see `Asker`."""
        import torch
        from PIL import Image

        with self._lock:
            if self._network is None:
                self._load()
            shown = [Image.open(io.BytesIO(one)).convert("RGB") for one in pictures]
            inputs = self._processor(text=[self._prompt(text, len(shown))], images=shown, return_tensors="pt")
            inputs = inputs.to(self._config.device, getattr(torch, self._config.dtype))
            drawn = bool(self._config.temperature)
            sampling = {"do_sample": True, "temperature": self._config.temperature} if drawn else {"do_sample": False}
            if drawn:  # by the question, so that the order of questions decides nothing
                digest = hashlib.sha256(f"{self._config.seed} {text}".encode()).digest()
                torch.manual_seed(int.from_bytes(digest[:7], "big"))
            length = inputs["input_ids"].shape[1]
            with torch.inference_mode():
                tokens = self._network.generate(
                    **inputs, max_new_tokens=self._config.answer_tokens * count, **sampling
                )[:, length:]
            [said] = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return Reply(said, is_refusal=False, usage=Usage(1, length, tokens.shape[1]), structured=False)

    def _prompt(self, text: str, pictures: int) -> str:
        """The question as the model's chat template writes it; without a template, its signs for pictures before it."""
        if getattr(self._processor, "chat_template", None):
            content = [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": text}]
            messages = [{"role": "user", "content": content}]
            written: str = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            return written
        return f"{getattr(self._processor, 'image_token', '<image>') * pictures}\n{text}"

    def _load(self) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        name = self._config.local
        if self._config.device.startswith("cuda") and not torch.cuda.is_available():
            raise CsmvError("device cuda needs a GPU that torch can use, and this machine has none: take cpu.")
        only: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            of_processors: Any = AutoProcessor
            self._processor = of_processors.from_pretrained(self._folder, **only)
            network: Any = AutoModelForImageTextToText.from_pretrained(
                self._folder, use_safetensors=True, dtype=getattr(torch, self._config.dtype), **only
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise CsmvError(
                f"transformers can't load '{name}' as an image-text-to-text model ({type(error).__name__}): it needs "
                "config.json, safetensors and a processor of a kind that transformers has without code of the "
                "repository. Others may be served by vLLM and asked with --base-url."
            ) from None
        self._network = network.to(self._config.device).eval()


def _folder_of(asked: str, revision: str | None) -> tuple[Path, str]:
    """The model's folder, and its revision if it comes from the hub: fetched if it is not in the hub's cache."""
    folder = Path(asked).expanduser()
    if folder.is_dir():
        return folder, ""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        fetched = Path(snapshot_download(asked, revision=revision, allow_patterns=list(_TAKEN)))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CsmvError(
            f"'{asked}' is neither a folder nor a model that the hub gives ({type(error).__name__}): check the name, "
            "the network, HF_TOKEN for models behind a licence, and HF_HUB_OFFLINE."
        ) from None
    return fetched, fetched.name


def _digest_of(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files that are read."""
    whole = hashlib.sha256()
    for path in sorted({path for pattern in _TAKEN for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
