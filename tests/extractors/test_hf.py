"""Models of transformers as `hf:ID` or `hf:FOLDER`, held to transformers' own forward pass and processors."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from films import make_film

from csmv.extractors import create
from csmv.extractors.base import Extractor
from csmv.extractors.engine import extract
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.hf import hf_extractor
from csmv.extractors.registry import card_of
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_footer import footer
from csmv.pipeline.features import load

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
SMALL = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def first(output: Any) -> torch.Tensor:
    return output.last_hidden_state[:, 0]


def mean(output: Any) -> torch.Tensor:
    return output.last_hidden_state.mean(1)


def videomae() -> tuple[Any, Any, Any]:
    config = transformers.VideoMAEConfig(image_size=32, num_frames=4, num_labels=5, **TINY)
    return transformers.VideoMAEForVideoClassification(config), transformers.VideoMAEImageProcessor(**SMALL), None


def videomae_base() -> tuple[Any, Any, Any]:
    config = transformers.VideoMAEConfig(image_size=32, num_frames=4, **TINY)
    return transformers.VideoMAEModel(config), transformers.VideoMAEVideoProcessor(**SMALL), mean


def timesformer() -> tuple[Any, Any, Any]:
    config = transformers.TimesformerConfig(image_size=32, num_frames=3, num_labels=6, **TINY)
    return transformers.TimesformerForVideoClassification(config), transformers.VideoMAEImageProcessor(**SMALL), None


def vivit() -> tuple[Any, Any, Any]:
    config = transformers.VivitConfig(image_size=32, num_frames=4, **TINY)
    return (
        transformers.VivitModel(config),
        transformers.VivitImageProcessor(**SMALL | {"size": {"shortest_edge": 40}}),
        first,
    )


def vjepa2() -> tuple[Any, Any, Any]:
    config = transformers.VJEPA2Config(
        crop_size=32,
        frames_per_clip=4,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        pred_hidden_size=24,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
    )
    return transformers.VJEPA2Model(config), transformers.VJEPA2VideoProcessor(crop_size=32), mean


def vit() -> tuple[Any, Any, Any]:
    config = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=7, **TINY)
    return (
        transformers.ViTForImageClassification(config),
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}),
        None,
    )


def vit_base() -> tuple[Any, Any, Any]:
    model = transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=8, **TINY), add_pooling_layer=False)
    return model, transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=3), first


def dinov2() -> tuple[Any, Any, Any]:
    config = transformers.Dinov2Config(
        image_size=42, patch_size=14, hidden_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    processor = transformers.BitImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 42, "width": 42})
    return transformers.Dinov2Model(config), processor, first


def dinov2_classifier() -> tuple[Any, Any, Any]:
    model, processor, _ = dinov2()
    return transformers.Dinov2ForImageClassification(model.config), processor, None


def clip() -> tuple[Any, Any, Any]:
    config = transformers.CLIPConfig(
        vision_config={"image_size": 32, "patch_size": 8, **TINY},
        text_config={"vocab_size": 40, **TINY},
        projection_dim=24,
    )
    config.vision_config.projection_dim = 24
    return transformers.CLIPModel(config), transformers.CLIPImageProcessor(**SMALL), "clip"


def siglip() -> tuple[Any, Any, Any]:
    config = transformers.SiglipConfig(
        vision_config={"image_size": 32, "patch_size": 8, **TINY}, text_config={"vocab_size": 40, **TINY}
    )
    return (
        transformers.SiglipModel(config),
        transformers.SiglipImageProcessor(size={"height": 32, "width": 32}),
        "siglip",
    )


VIDEO = (videomae, videomae_base, timesformer, vivit, vjepa2)
IMAGES = (vit, vit_base, dinov2, dinov2_classifier, clip, siglip)
Make = Callable[[], tuple[Any, Any, Any]]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Make], tuple[Path, Any, Any, Any]]:
    """Random weights of a tiny model, saved as a repository holds them: (folder, model, processor, its vector)."""

    def save(make: Make) -> tuple[Path, Any, Any, Any]:
        torch.manual_seed(0)
        model, processor, vector = make()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)  # as made, they hardly tell pictures apart
        folder = tmp_path / make.__name__
        model.eval().save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder, model, processor, vector

    return save


def frames_of(count: int, height: int = 90, width: int = 61) -> np.ndarray:
    """Smooth pictures with edges, of an odd size."""
    y, x = np.mgrid[:height, :width]
    base = np.stack([np.sin(x / 5) * np.cos(y / 9), np.cos(x / 11), (x > width // 2) * 1.0], -1)
    noise = np.random.default_rng(3).normal(0, 0.2, (count, height, width, 3))
    return ((base + noise + 1) * 90).clip(0, 255).astype(np.uint8)


def theirs(model: Any, vector: Any, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        if vector == "clip":
            return model.get_image_features(pixel_values=inputs).pooler_output
        if vector == "siglip":
            return model.get_image_features(pixel_values=inputs).pooler_output
        if vector is None:
            kept: list[torch.Tensor] = []
            hook = model.classifier.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
            model(inputs)
            hook.remove()
            return kept[0]
        if isinstance(model, transformers.VJEPA2Model):
            return vector(model(inputs, skip_predictor=True))
        return vector(model(inputs))


def values_of(processor: Any, frames: np.ndarray, *, of_images: bool) -> torch.Tensor:
    """What transformers' processor makes of frames."""
    given = list(frames) if of_images or not isinstance(processor, transformers.BaseVideoProcessor) else [frames]
    made = processor(given, return_tensors="pt", input_data_format="channels_last")
    return torch.as_tensor(next(iter(made.values())))


@pytest.mark.parametrize("make", [*VIDEO, *IMAGES], ids=lambda make: make.__name__)
def test_the_vector_is_transformers_own(saved: Any, make: Make) -> None:
    folder, model, processor, vector = saved(make)
    ours = create(f"hf:{folder}")
    of_images = make in IMAGES
    frames = frames_of(ours.rule.frames)
    small = ours.preprocess(frames)
    values = values_of(processor, frames, of_images=of_images)
    assert ours.rule.frames == (16 if of_images else model.config.num_frames if make is not vjepa2 else 4)
    found = ours.embed(small[None]).numpy()[0]
    inputs = ours.prepared(torch.from_numpy(small[None]))
    inputs = inputs[0].transpose(0, 1) if of_images else inputs.transpose(1, 2)
    wanted = theirs(model, vector, inputs).numpy()
    if of_images:
        wanted = wanted.mean(0, keepdims=True)
    assert found.shape == wanted.shape == (1, ours.dim)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found).max() > 0.05
    # The processor that this version of transformers takes by default resizes with other arithmetic than Pillow: by
    # one grey level at the most.
    step = float(np.max(ours.scaling.factor / np.array(ours.scaling.std)))
    assert inputs.shape == values.reshape(inputs.shape).shape
    assert (inputs - values.reshape(inputs.shape)).abs().max() <= step + 1e-5
    assert (inputs - values.reshape(inputs.shape)).abs().mean() <= 0.03 * step


PIL = {"videomae": "VideoMAEImageProcessorPil", "vit": "ViTImageProcessorPil", "vit_base": "ViTImageProcessorPil"}
PIL |= {"dinov2": "BitImageProcessorPil", "clip": "CLIPImageProcessorPil", "siglip": "SiglipImageProcessorPil"}


@pytest.mark.parametrize("make", [videomae, vivit, vit, vit_base, dinov2, clip, siglip], ids=lambda make: make.__name__)
@pytest.mark.parametrize("size", [(90, 61), (33, 200), (20, 24)])
def test_frames_are_prepared_as_the_release_does_it(saved: Any, make: Make, size: tuple[int, int]) -> None:
    """Against the processors that resize with Pillow, which is what the models were released with: to the last bit."""
    folder, _, processor, _ = saved(make)
    if make is not vivit:
        processor = getattr(transformers, PIL[make.__name__]).from_pretrained(folder)
    ours = create(f"hf:{folder}", "random")
    frames = frames_of(ours.rule.frames, *size)
    values = values_of(processor, frames, of_images=make in IMAGES)
    inputs = ours.prepared(torch.from_numpy(ours.preprocess(frames)[None]))[0].transpose(0, 1)
    torch.testing.assert_close(inputs, values.reshape(inputs.shape).float(), atol=2e-6, rtol=1e-6)


def test_scores_are_those_of_the_classifier(saved: Any) -> None:
    for make in (videomae, timesformer, vit):
        folder, model, _, _ = saved(make)
        ours: Any = create(f"hf:{folder}")
        clips = torch.from_numpy(ours.preprocess(frames_of(ours.rule.frames))[None])
        inputs = ours.prepared(clips)
        inputs = inputs[0].transpose(0, 1) if make is vit else inputs.transpose(1, 2)
        with torch.no_grad():
            wanted = model(inputs).logits.mean(0, keepdim=True)
        torch.testing.assert_close(ours.logits(clips), wanted, atol=1e-5, rtol=1e-5)
        assert len(ours.class_names) == wanted.shape[1]


def test_films_are_cut_into_windows_of_as_many_frames_as_the_model_takes(saved: Any, tmp_path: Path) -> None:
    folder, *_ = saved(timesformer)
    film = make_film(tmp_path / "f.mp4", frames=13, rate=24)
    (result,) = extract([film], [f"hf:{folder}"])
    assert [vectors.shape for vectors in result.features.values()] == [(4, 32)]


def test_card_and_names_hold_no_path(saved: Any, tmp_path: Path) -> None:
    folder, *_ = saved(vit)
    card = card_of(f"hf:{folder}")
    assert (card["name"], card["dim"], card["kind"]) == ("hf:vit", 32, "frame")
    assert card["vector"] == "what the model's classifier takes"
    assert str(tmp_path) not in json.dumps(card)


def test_a_folder_in_the_cache_is_called_by_its_name(
    saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, *_ = saved(vit)
    monkeypatch.setenv("CSMV_CACHE", str(tmp_path / "cache"))
    shutil.copytree(folder, tmp_path / "cache" / "weights" / "hf" / "mine")
    made = create("hf:mine")
    assert made.name == "hf:mine"
    assert made.weights_sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert made.weights_origin == "default"


def test_a_set_of_a_root_never_names_a_folder(saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, *_ = saved(vit)
    monkeypatch.setenv("CSMV_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CsmvError, match=r"put the folder at .*weights/hf/vit and ask for 'hf:vit'"):
        load(FeatureConfig(extractor=f"hf:{folder}"))
    shutil.copytree(folder, tmp_path / "cache" / "weights" / "hf" / "vit")
    network = load(FeatureConfig(extractor="hf:vit"))
    network.revision = "0123abc"
    said = footer(FeatureConfig(extractor="hf:vit"), network)
    assert said["weights_revision"] == "0123abc"
    assert str(tmp_path) not in json.dumps(said)


def test_random_weights_are_seeded_and_recorded(saved: Any) -> None:
    folder, *_ = saved(videomae)
    one, again = create(f"hf:{folder}", "random"), create(f"hf:{folder}", "random")
    assert one.weights_origin == "random"
    assert one.weights_sha256 == again.weights_sha256 != create(f"hf:{folder}", "random", seed=1).weights_sha256


def test_several_files_are_one(saved: Any, tmp_path: Path) -> None:
    folder, model, *_ = saved(vit)
    shutil.copytree(folder, tmp_path / "parts")
    (tmp_path / "parts" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "parts", max_shard_size="10KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    whole, parts = create(f"hf:{folder}"), create(f"hf:{tmp_path / 'parts'}")
    clip = frames_of(16, 32, 32)[None]
    assert torch.equal(whole.embed(clip), parts.embed(clip))
    assert len(parts.weights_sha256) == 64 != whole.weights_sha256


def rewritten(folder: Path, name: str, **settings: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    hf_extractor.cache_clear()


def refused(folder: Path | str) -> str:
    with pytest.raises(ExtractorError) as caught:
        create(f"hf:{folder}")
    return str(caught.value)


def test_pickled_weights_are_refused(saved: Any) -> None:
    folder, model, *_ = saved(vit)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    said = refused(folder)
    assert "no model.safetensors" in said
    assert "pytorch_model.bin" in said


def test_code_of_a_repository_is_never_run(saved: Any, tmp_path: Path) -> None:
    folder, *_ = saved(vit)
    (folder / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    rewritten(folder, "config.json", model_type="own_net", auto_map={"AutoModel": "modeling_own.Own"})
    assert "needs code of its repository (trust_remote_code)" in refused(folder)
    rewritten(folder, "config.json", model_type="vit")
    rewritten(
        folder,
        "preprocessor_config.json",
        image_processor_type="Own",
        auto_map={"AutoImageProcessor": "modeling_own.Own"},
    )
    refused(folder)
    assert not (tmp_path / "ran").exists()


def test_videomaev2_is_sent_to_our_own() -> None:
    said = refused("OpenGVLab/VideoMAEv2-Base")
    assert "videomaev2_b" in said
    assert "never run" in said


def test_what_cannot_be_is_told_in_a_sentence(saved: Any, tmp_path: Path) -> None:
    folder, *_ = saved(vit)
    rewritten(folder, "config.json", image_size=64)
    assert "can't take pictures of 32x32" in refused(folder)
    rewritten(folder, "config.json", image_size=32, hidden_size=48)
    assert "do not fit its config.json" in refused(folder)
    rewritten(folder, "config.json", hidden_size=32, model_type="bert", architectures=["BertModel"])
    assert "is a 'bert' (BertModel)" in refused(folder)
    rewritten(folder, "config.json", model_type="vit", architectures=["ViTForImageClassification"])
    rewritten(folder, "preprocessor_config.json", do_resize=False)
    assert "should resize pictures to one size" in refused(folder)
    (folder / "preprocessor_config.json").unlink()
    hf_extractor.cache_clear()
    assert "no preprocessor_config.json" in refused(folder)
    (folder / "config.json").write_text("{")
    hf_extractor.cache_clear()
    assert "could not be read as JSON" in refused(folder)
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refused(tmp_path / "empty")
    assert "neither a folder nor the id" in refused("no such/thing/here")


def test_a_classifier_that_is_not_in_the_file_is_not_made_up(saved: Any) -> None:
    folder, *_ = saved(vit_base)
    rewritten(folder, "config.json", architectures=["ViTForImageClassification"])
    assert "2 keys missing" in refused(folder)


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = refused("nobody/nothing-of-that-name")
    assert "config.json of https://huggingface.co/nobody/nothing-of-that-name could not be fetched" in said
    assert "hf download nobody/nothing-of-that-name" in said


def test_other_numbers_of_frames_are_refused(saved: Any) -> None:
    folder, *_ = saved(videomae)
    ours: Extractor = create(f"hf:{folder}")
    with pytest.raises(ExtractorError, match="takes 4 frames a clip, not 6"):
        ours.embed(frames_of(6, 32, 32)[None])
    with pytest.raises(ExtractorError, match="its own repository"):
        create(f"hf:{folder}", folder / "model.safetensors")
