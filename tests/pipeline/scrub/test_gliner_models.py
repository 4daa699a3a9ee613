"""GLiNER and GLiNER2 models as a second opinion: their own packages, with models of random weights made here."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub import EntityRule, Kind, NerModel, Scrubber, ScrubPolicy

ASKED = {"person": Kind.PERSON, "location": Kind.LOCATION}
TEXT = "we met Zorvina 😀 and Quillon in Larkmoor"


def policy_of(framework: str, folder: Path, **settings: Any) -> ScrubPolicy:
    rules = {kind.lower(): EntityRule(enabled=kind in ASKED.values()) for kind in Kind}
    model = NerModel(framework=framework, name=str(folder), labels=ASKED, **settings)  # type: ignore[arg-type]
    return ScrubPolicy(**rules, models=(model,))  # type: ignore[arg-type]


@pytest.mark.parametrize("framework", ["gliner", "gliner2"])
def test_without_its_package_a_model_says_what_to_install(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / ("gliner_config.json" if framework == "gliner" else "config.json")).write_text("{}")
    monkeypatch.setattr(
        "csmv.pipeline.scrub.model_readers.find_spec", lambda name: None if name == framework else find_spec(name)
    )
    with pytest.raises(
        CsmvError, match=rf"the package {framework} is not installed: `pip install '?(csmv\[)?{framework}"
    ):
        Scrubber(policy_of(framework, tmp_path))


@pytest.mark.parametrize("framework", ["gliner", "gliner2"])
def test_a_model_that_brings_code_is_refused_before_its_package_sees_it(framework: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / ("gliner_config.json" if framework == "gliner" else "config.json")).write_text("{}")
    (tmp_path / "encoder_config").mkdir()
    encoder = {"encoder": {"auto_map": {"AutoModel": "code.M"}}}
    (tmp_path / "encoder_config" / "config.json").write_text(json.dumps(encoder))
    with pytest.raises(CsmvError, match=r"auto_map in encoder_config.config\.json"):
        Scrubber(policy_of(framework, tmp_path))


def test_pickled_weights_beside_safetensors_of_another_name_are_refused(tmp_path: Path) -> None:
    for name in ("other.safetensors", "pytorch_model.bin", "gliner_config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(CsmvError, match=r"pytorch_model\.bin only"):
        Scrubber(policy_of("gliner", tmp_path))


def _of_gliner(folder: Path) -> Callable[[str], list[tuple[int, int, str]]]:
    from gliner import GLiNER

    model = GLiNER.from_pretrained(str(folder), local_files_only=True)

    def own(text: str) -> list[tuple[int, int, str]]:
        found = model.predict_entities(text, list(ASKED), threshold=0.5)
        return [(one["start"], one["end"], one["label"]) for one in found]

    return own


def _of_gliner2(folder: Path) -> Callable[[str], list[tuple[int, int, str]]]:
    from gliner2 import AutoExtractor

    model = AutoExtractor.from_pretrained(str(folder), local_files_only=True).eval()

    def own(text: str) -> list[tuple[int, int, str]]:
        found = model.extract_entities(text, list(ASKED), threshold=0.5, include_confidence=True, include_spans=True)
        several = found["entities"].items()
        return [(one["start"], one["end"], label) for label, ones in several for one in ones]

    return own


@pytest.mark.slow  # their packages take ten seconds to import
@pytest.mark.parametrize(("framework", "own_of"), [("gliner", _of_gliner), ("gliner2", _of_gliner2)])
def test_a_model_is_read_as_its_own_package_reads_it(
    framework: str, own_of: Callable[[Path], Callable[[str], list[tuple[int, int, str]]]], tmp_path: Path
) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"the package {framework} is not installed: `pip install 'csmv[{framework}]'`")
    folder = getattr(tiny_models, framework)(tmp_path / "tiny")
    scrubber = Scrubber(policy_of(framework, folder, threshold=0.5))
    reader = scrubber._recognizers[-1].reader  # type: ignore[attr-defined]
    expected = {(start, end, label) for start, end, label in own_of(folder)(TEXT) if start < len(TEXT)}
    assert {(start, end, label) for start, end, label, _ in reader.read(TEXT)} == expected != set()
    assert all(TEXT[start:end].strip() and end <= len(TEXT) for start, end, _ in expected)

    # Of a text several times as long as the model reads together, the end is read too.
    long = " ".join(["so good"] * 150)
    found = reader.read(long)
    assert max(end for _, end, _, _ in found) == len(long)
    assert len({start for start, _, _, _ in found}) > 60
    again = scrubber.scrub([scrubber.scrub([TEXT])[0].text])[0]
    assert not again.spans
