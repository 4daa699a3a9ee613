"""Persons, places and second opinions by language models: spaCy pipelines and token classifiers, made here."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_models import NAMES, PLAIN, privacy_filter, spacy_folder, token_classifier

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub import EntityRule, Kind, NerModel, Scrubber, ScrubPolicy
from csmv.pipeline.scrub.label_kinds import PROMPTS, TagScheme, kinds_of
from csmv.pipeline.scrub.model_files import jobs_that_fit, sha256_of, state_of
from csmv.pipeline.validated import parse

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ON = EntityRule()
OFF = EntityRule(enabled=False)


def policy_of(**settings: Any) -> ScrubPolicy:
    """One that looks for persons and places by a model, and for nothing else by its rules."""
    rules = {kind.lower(): OFF for kind in Kind} | {"person": ON, "location": ON}
    return ScrubPolicy(**(rules | settings))


def scrubbed(policy: ScrubPolicy, text: str) -> str:
    return Scrubber(policy).scrub([text])[0].text


# ---------------------------------------------------------------------- what labels mean


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["O", "B-PER", "I-PER"], ("PER",)),
        (["O", "B-private_person", "I-private_person", "E-private_person", "S-private_person"], ("private_person",)),
        (["O", "PER-B", "PER-I", "LOC-B", "LOC-I"], ("PER", "LOC")),
        (["PER", "LOC", "O"], ("PER", "LOC")),
        (["O", "B-E-MAIL", "I-E-MAIL"], ("E-MAIL",)),
        (["O", "E-MAIL", "NAME"], ("E-MAIL", "NAME")),
        (["LABEL_0", "LABEL_1"], ("LABEL_0", "LABEL_1")),
    ],
)
def test_the_marks_of_labels_are_told_from_their_names(labels: list[str], names: tuple[str, ...]) -> None:
    assert TagScheme(labels).names == names


def test_usual_labels_are_known_whatever_joins_their_words() -> None:
    known = kinds_of(
        ["PER", "Person", "GPE", "private_phone", "PHONE-NUMBER", "street address", "MISC", "private_date"]
    )
    assert [kind.value for kind in known.values()] == [
        *("PERSON", "PERSON", "LOCATION", "PHONE", "PHONE", "STREET_ADDRESS")
    ]
    assert set(kinds_of(PROMPTS)) == set(PROMPTS)


def test_labels_survive_yaml_and_can_be_part_of_a_key() -> None:
    given = {"models": [{"framework": "transformers", "name": "a/b", "labels": {"GIVENNAME": "person"}}]}
    policy = parse(ScrubPolicy, given, "scrub")
    assert policy.models[0].labels == (("GIVENNAME", Kind.PERSON),)
    assert parse(ScrubPolicy, yaml.safe_load(yaml.safe_dump(policy.model_dump(mode="json"))), "scrub") == policy
    assert parse(ScrubPolicy, json.loads(policy.model_dump_json()), "scrub") == policy
    assert len({policy, policy.model_copy()}) == 1


@pytest.mark.parametrize("labels", [{"PER": "HUMAN"}, ["PER"], "PER"])
def test_labels_that_mean_no_kind_are_refused(labels: object) -> None:
    with pytest.raises(CsmvError, match="labels"):
        parse(ScrubPolicy, {"models": [{"name": "x", "labels": labels}]}, "scrub")


# ---------------------------------------------------------------------- spaCy


def test_a_spacy_pipeline_is_read_with_labels_of_ones_own(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "model", {"Zorvina Plenk": "HUMAN", "Bexhaven": "PLACE"})
    with pytest.raises(CsmvError, match="HUMAN, PLACE"):
        Scrubber(policy_of(ner=NerModel(name=str(folder))))
    ner = NerModel(name=str(folder), labels={"human": Kind.PERSON})  # type: ignore[arg-type]
    assert scrubbed(policy_of(ner=ner), "👋🏽 Zorvina Plenk of Bexhaven \ud83d") == "👋🏽 <PERSON> of Bexhaven \ud83d"
    with pytest.raises(CsmvError, match="no label 'ROBOT'; it has HUMAN, PLACE"):
        Scrubber(policy_of(ner=NerModel(name=str(folder), labels={"ROBOT": Kind.PERSON})))  # type: ignore[arg-type]


def test_a_second_opinion_removes_kinds_that_are_on_and_no_others(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "m", {"Zorvina Plenk": "PERSON", "the usual number": "PHONE", "Bexhaven": "GPE"})
    text = "Zorvina Plenk of Bexhaven: the usual number, or +44 7911 123456"
    model = NerModel(name=str(folder))
    assert scrubbed(ScrubPolicy(models=(model,)), text) == "Zorvina Plenk of Bexhaven: <PHONE>, or <PHONE>"
    assert scrubbed(ScrubPolicy(models=(model,), person=ON), text).startswith("<PERSON> of Bexhaven")
    # `ner` is asked for names and places alone.
    assert scrubbed(ScrubPolicy(ner=model, person=ON), text) == "<PERSON> of Bexhaven: the usual number, or <PHONE>"


def test_a_threshold_of_the_models_own_counts_in_place_of_the_policys(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "model", {"Zorvina": "PERSON"})  # spaCy's findings count as 0.85
    strict = NerModel(name=str(folder), threshold=0.9)
    assert scrubbed(policy_of(models=(strict,)), "Zorvina") == "Zorvina"
    lax = NerModel(name=str(folder), threshold=0.8)
    assert scrubbed(policy_of(models=(lax,), threshold=0.95), "Zorvina") == "<PERSON>"


def test_texts_longer_than_a_pipeline_takes_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scrubber = Scrubber(policy_of(ner=NerModel(name=str(spacy_folder(tmp_path / "model", {"Zorvina": "PERSON"})))))
    monkeypatch.setattr(scrubber._recognizers[-1].reader, "_longest", 20)  # instead of a million characters
    assert scrubber.scrub(["in " * 5 + "Zorvina" + " in" * 50 + " Zorvina"])[0].text == (
        "in " * 5 + "<PERSON>" + " in" * 50 + " <PERSON>"
    )
    assert scrubber.scrub(["x" * 55])[0].spans == ()


def test_findings_cover_no_placeholder_and_a_scrubbed_text_stays(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "model", {"Zorvina": "PERSON"})
    # A pipeline that takes what was cut out, and a word on both sides of it, for a name.
    around = [{"LOWER": "hello"}, {"TEXT": {"REGEX": "^\ue000+$"}}, {"LOWER": "again"}]
    rules = folder / "entity_ruler" / "patterns.jsonl"
    rules.write_text(json.dumps({"label": "PERSON", "pattern": around}) + "\n")
    scrubber = Scrubber(ScrubPolicy(person=ON, ner=NerModel(name=str(folder))))
    once = scrubber.scrub(["hello me@example.com again"])[0]
    assert once.text == "<PERSON> <EMAIL> <PERSON>"
    assert scrubber.scrub([once.text])[0].text == once.text


# ---------------------------------------------------------------------- which model it was


def test_a_pinned_model_is_refused_once_its_files_are_others(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "model", {"Zorvina": "PERSON"})
    pinned = NerModel(name=str(folder), sha256=sha256_of(folder))
    assert scrubbed(policy_of(ner=pinned), "Zorvina") == "<PERSON>"
    with pytest.raises(CsmvError, match=f"{sha256_of(folder)}.*{'0' * 64}"):
        Scrubber(policy_of(ner=NerModel(name=str(folder), sha256="0" * 64)))


def test_the_digest_of_a_policy_covers_the_files_of_its_models(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "model", {"Zorvina": "PERSON"})
    loose = policy_of(ner=NerModel(name=str(folder)))
    pinned = policy_of(ner=NerModel(name=str(folder), sha256=sha256_of(folder)))
    before = state_of(loose), state_of(pinned)
    (folder / "entity_ruler" / "patterns.jsonl").write_text('{"label": "PERSON", "pattern": "Quillon"}\n')
    assert state_of(loose) != before[0]
    assert state_of(pinned) == before[1] == pinned.model_dump_json()
    assert state_of(ScrubPolicy()) == ScrubPolicy().model_dump_json()


def test_tables_are_stale_once_a_models_files_are_others(tmp_path: Path) -> None:
    comments = tmp_path / "videos" / "comments.jsonl"
    comments.parent.mkdir()
    (comments.parent / "v1.mp4").write_bytes(b"never decoded here")
    comments.write_text('{"id": "7300000000000000001", "video": "v1", "text": "we met Zorvina"}\n')
    folder = spacy_folder(tmp_path / "model", {"Zorvina": "PERSON"})
    policy = ScrubPolicy(person=ON, ner=NerModel(name=str(folder)))
    source = FolderSource(path=str(comments.parent))
    dataset = Dataset.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=1, source=source, scrub=policy))
    dataset.run("tables")
    assert dataset.comments()["text"].to_pylist() == ["we met <PERSON>"]
    assert not [status for status in dataset.status() if status.name == "tables" and (status.stale or status.missing)]
    (folder / "entity_ruler" / "patterns.jsonl").write_text('{"label": "PERSON", "pattern": "Quillon"}\n')
    status = Dataset.open(str(tmp_path / "root")).status()
    assert [one for one in status if one.name == "tables" and one.stale]


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    folder = spacy_folder(tmp_path / "model", {"Zorvina": "PERSON"})
    with pytest.raises(CsmvError, match=f"sha256: {sha256_of(folder)}"):
        Scrubber(policy_of(ner=NerModel(name=str(folder), revision="main")))


def test_an_error_tells_no_more_of_a_path_than_its_end(tmp_path: Path) -> None:
    for framework in ("spacy", "transformers", "gliner"):
        with pytest.raises(CsmvError) as told:
            Scrubber(policy_of(ner=NerModel(framework=framework, name=str(tmp_path / "gone"))))  # type: ignore[arg-type]
        assert "'gone'" in str(told.value) and str(tmp_path) not in str(told.value)


# ---------------------------------------------------------------------- token classifiers


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tags = {name: f"B-{label}" for name, label in NAMES.items()} | {"##son": "I-PER", "##field": "O"}
    return token_classifier(tmp_path_factory.mktemp("models") / "tiny-ner", tags, BIO)


def by(folder: Path, **settings: Any) -> NerModel:
    return NerModel(framework="transformers", name=str(folder), **settings)


def test_a_token_classifier_finds_names_beside_emoji(classifier: Path) -> None:
    text = "👩‍👩‍👧 we met Zorvina 😀and Quillon in Larkmoor 🇩🇪 \ud83d &amp; Ｂexhaven"
    expected = "👩‍👩‍👧 we met <PERSON> 😀and <PERSON> in <LOCATION> 🇩🇪 \ud83d &amp; <LOCATION>"
    assert scrubbed(policy_of(ner=by(classifier)), text) == expected


def test_a_word_goes_whole_of_which_the_model_tags_a_piece(classifier: Path) -> None:
    text = "Quillonson met Zorvinafield."
    assert scrubbed(policy_of(ner=by(classifier)), text) == "<PERSON> met <PERSON>."


def test_long_texts_are_read_to_their_end(classifier: Path) -> None:
    filler = [PLAIN[number % len(PLAIN)] for number in range(900)]  # 15 times what the model reads together
    for at in range(0, 900, 111):
        filler[at] = "Zorvina"
    out = scrubbed(policy_of(ner=by(classifier)), " ".join(filler)).split(" ")
    assert [place for place, word in enumerate(out) if word == "<PERSON>"] == list(range(0, 900, 111))
    assert [word for word in out if word != "<PERSON>"] == [word for word in filler if word != "Zorvina"]


def test_a_batch_finds_what_one_text_at_a_time_does(classifier: Path) -> None:
    texts = ["", "   ", "we met Zorvina", "the film " * 60 + "Quillon", "😀 Larkmoor", "so good", "Zorvina", "Zorvina"]
    alone = Scrubber(policy_of(ner=by(classifier))).scrub(texts)
    together = Scrubber(policy_of(ner=by(classifier, batch=4))).scrub(texts)
    assert [one.text for one in together] == [one.text for one in alone]
    assert [len(one.spans) for one in together] == [0, 0, 1, 1, 1, 0, 1, 1]


def test_a_failure_of_the_model_is_no_clean_text(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scrubber = Scrubber(policy_of(ner=by(classifier)))

    def fails(text: str) -> None:
        raise RuntimeError(f"out of memory at {text}")

    monkeypatch.setattr(scrubber._recognizers[-1].reader._pipe, "_pipeline", fails)  # type: ignore[attr-defined]
    with pytest.raises(CsmvError, match="nothing says that the text is clean") as told:
        scrubber.scrub(["we met Zorvina"])
    assert "Zorvina" not in str(told.value)


def test_openais_privacy_filter_is_read_with_its_own_class_and_labels(tmp_path: Path) -> None:
    """Of the class that its authors' model has, with its marks (E ends a span, S is one); the weights are ours."""
    tags = {"Zorvina": "B-private_person", "Mardle": "I-private_person", "Plenk": "E-private_person"}
    tags |= {"Quillon": "S-private_person", "linkish": "S-private_url", "Friday": "S-private_date"}
    tags |= {"hunterish": "S-secret"}
    folder = privacy_filter(tmp_path / "privacy-filter", tags)
    policy = policy_of(models=(by(folder),), url=ON, identifier=ON)
    found = Scrubber(policy).scrub(["we met Zorvina Mardle Plenk and Quillon Quillon at linkish Friday hunterish"])[0]
    assert found.text == "we met <PERSON> and <PERSON> <PERSON> at <URL> Friday <IDENTIFIER>"
    assert found.spans[0].recognizer == "ModelRecognizer/privacy-filter:private_person"


# ---------------------------------------------------------------------- what is never done


def test_pickled_weights_are_refused_by_name(classifier: Path, tmp_path: Path) -> None:
    pickled = copy_of(classifier, tmp_path / "pickled", {"model.safetensors": "pytorch_model.bin"})
    with pytest.raises(CsmvError, match=r"pytorch_model\.bin only, which can run code"):
        Scrubber(policy_of(ner=by(pickled)))
    bare = copy_of(classifier, tmp_path / "bare", {"model.safetensors": ".kept-away"})
    with pytest.raises(CsmvError, match=r"no \*\.safetensors"):
        Scrubber(policy_of(ner=by(bare)))


def test_a_models_own_code_is_not_run(classifier: Path, tmp_path: Path) -> None:
    folder = copy_of(classifier, tmp_path / "coded", {})
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "nobody_knows_it",
        "auto_map": {"AutoConfig": "code.C", "AutoModelForTokenClassification": "code.M"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(CsmvError, match="code of their own, which csmv never runs"):
        Scrubber(policy_of(ner=by(folder)))
    assert not (tmp_path / "ran").exists()


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting that keeps the hub's library offline, which the tests run with elsewhere."""
    import huggingface_hub.constants

    asked: list[object] = []
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: asked.append(args[0]) or [])
    model = NerModel(framework="transformers", name="openai/privacy-filter", revision="main")
    with pytest.raises(CsmvError, match="hf download openai/privacy-filter --revision main"):
        Scrubber(policy_of(ner=model))
    with pytest.raises(CsmvError, match="python -m spacy download en_core_web_sm"):
        Scrubber(policy_of(ner=NerModel()))
    assert asked == []


def test_a_model_of_the_hubs_cache_is_known_by_its_commit(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    repository = tmp_path / "models--nobody--tiny-ner"
    copy_of(classifier, repository / "snapshots" / ("c" * 40), {})
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    loose = policy_of(ner=NerModel(framework="transformers", name="nobody/tiny-ner"))
    assert scrubbed(loose, "we met Zorvina") == "we met <PERSON>"
    assert "c" * 40 in state_of(loose)
    with pytest.raises(CsmvError, match=f"--revision {'d' * 40}"):
        Scrubber(policy_of(ner=NerModel(framework="transformers", name="nobody/tiny-ner", revision="d" * 40)))


def test_processes_are_as_many_as_memory_holds_models(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 3_500_000_000}))
    assert jobs_that_fit(policy_of(ner=by(classifier))) == 3
    assert jobs_that_fit(policy_of(ner=by(classifier, device="cuda"))) == 1
    assert jobs_that_fit(ScrubPolicy()) > 1000


def copy_of(folder: Path, new: Path, renamed: Mapping[str, str]) -> Path:
    new.mkdir(parents=True)
    for file in folder.iterdir():
        (new / renamed.get(file.name, file.name)).write_bytes(file.read_bytes())
    return new
