"""Preprocessing is the originals': their own code beside ours on frames of many sizes."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from torchvision.models import ResNet50_Weights
from torchvision.models.video import (
    MC3_18_Weights,
    MViT_V2_S_Weights,
    R2Plus1D_18_Weights,
    R3D_18_Weights,
    S3D_Weights,
    Swin3D_B_Weights,
    Swin3D_T_Weights,
)
from torchvision.transforms import functional as functional_of_pictures

from csmv.extractors.i3d import I3D, I3DFullFrame
from csmv.extractors.registry import extractor_class, own_names
from csmv.extractors.resnet50 import ResNet50
from csmv.extractors.transforms import (
    EnlargeThenCrop,
    FrameTransform,
    PillowShortSide,
    ResizeThenCrop,
    Stretch,
    bilinear,
    centre_offset,
)
from csmv.extractors.videomaev2 import VideoMAEv2S

PRESETS: dict[str, Any] = {
    "r2plus1d_18": R2Plus1D_18_Weights.KINETICS400_V1,
    "r3d_18": R3D_18_Weights.KINETICS400_V1,
    "mc3_18": MC3_18_Weights.KINETICS400_V1,
    "s3d": S3D_Weights.KINETICS400_V1,
    "mvit_v2_s": MViT_V2_S_Weights.KINETICS400_V1,
    "swin3d_t": Swin3D_T_Weights.KINETICS400_V1,
    "swin3d_b": Swin3D_B_Weights.KINETICS400_V1,
}
SIZES = [(1024, 576), (576, 1024), (1080, 1920), (240, 320), (97, 131), (128, 171), (225, 400), (113, 600)]


def noise(height: int, width: int, frames: int = 2) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def normalised(extractor: type, frames: np.ndarray) -> np.ndarray:
    """(3, T, H, W) as the network sees it."""
    clips = torch.from_numpy(np.ascontiguousarray(frames))[None].permute(0, 4, 1, 2, 3).float()
    return extractor.normalise(extractor, clips)[0].numpy()  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PRESETS)
def test_video_networks_have_torchvisions_preset(name: str, size: tuple[int, int]) -> None:
    frames = noise(*size)
    preset = PRESETS[name].transforms()
    wanted = preset(torch.from_numpy(frames).permute(0, 3, 1, 2)).numpy()
    extractor = extractor_class(name)
    found = normalised(extractor, extractor.transform(frames))
    # One grey level is 1/255/0.217; torch's own vector units break a few exact ties the other way.
    level = np.abs(found - wanted) * 255 * 0.22
    assert (level > 0.5).mean() < 2e-5
    assert level.max() < 1.1


@pytest.mark.parametrize("name", PRESETS)
def test_weights_are_the_files_that_torchvision_names(name: str) -> None:
    published = extractor_class(name).default_weights()
    assert published is not None
    assert published.url == PRESETS[name].url
    assert published.filename.endswith(f"-{published.sha256}.pth")


def test_the_crop_lands_where_torchvisions_does() -> None:
    assert (centre_offset(128, 112), centre_offset(171, 112)) == (8, 30)
    marked = np.zeros((1, 128, 171, 3), np.uint8)
    marked[0, 8, 30] = 255
    assert ResizeThenCrop((128, 171), (112, 112))(marked)[0, 0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_videomaev2_is_stretched_without_rounding_or_mean(size: tuple[int, int]) -> None:
    frames = noise(*size)
    whole = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    wanted = functional.interpolate(whole, (224, 224), mode="bilinear", align_corners=False).permute(1, 0, 2, 3)
    np.testing.assert_allclose(normalised(VideoMAEv2S, Stretch((224, 224))(frames)), wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [(1024, 576), (226, 226), (480, 227), (251, 301)], ids=str)
def test_i3d_of_full_frames_never_shrinks(size: tuple[int, int]) -> None:
    frames = noise(*size)
    top, left = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    crop = frames[:, top : top + 224, left : left + 224]
    np.testing.assert_array_equal(I3DFullFrame.transform(frames), crop)
    wanted = (crop / 255.0) * 2 - 1
    np.testing.assert_allclose(normalised(I3D, crop), wanted.transpose(3, 0, 1, 2), atol=2e-7)


@pytest.mark.parametrize("size", [(100, 178), (225, 400), (1, 1), (64, 48)], ids=str)
def test_i3d_enlarges_until_the_shorter_side_is_226(size: tuple[int, int]) -> None:
    frames = noise(*size)
    factor = 226 / min(size)
    height, width = round(size[0] * factor), round(size[1] * factor)
    assert min(height, width) == 226
    whole = np.rint(bilinear(frames, height, width, scale=1 / factor))
    top, left = round((height - 224) / 2), round((width - 224) / 2)
    found = EnlargeThenCrop(226, (224, 224))(frames)
    np.testing.assert_array_equal(found, whole[:, top : top + 224, left : left + 224].astype(np.uint8))


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 112], ids=str)
def test_i3d_shrinks_the_shorter_side_to_256_and_takes_the_centre(size: tuple[int, int]) -> None:
    frames = noise(*size, frames=1)
    scaled = functional_of_pictures.resize(Image.fromarray(frames[0]), 256)
    wanted = functional_of_pictures.center_crop(scaled, [224, 224])
    np.testing.assert_array_equal(I3D.transform(frames)[0], np.asarray(wanted))


def seen(transform: FrameTransform, height: int, width: int) -> tuple[int, float]:
    """How much of a picture is left, in percent of its area, and how much wider it looks than it was."""
    across = np.broadcast_to((np.arange(width) + 0.5) / width * 255, (height, width))
    down = np.broadcast_to(((np.arange(height) + 0.5) / height * 255)[:, None], (height, width))
    ramp = np.stack([across, down, 0 * down], -1).round().astype(np.uint8)
    left = np.asarray(transform(ramp[None])[0], float)
    # From the first pixel's centre to the last one's is a pixel less than what is seen.
    share_x, share_y = (
        float(np.ptp(left[..., at])) / 255 * left.shape[1 - at] / (left.shape[1 - at] - 1) for at in (0, 1)
    )
    wider = (share_y * height / left.shape[0]) / (share_x * width / left.shape[1])
    return round(share_x * share_y * 100), wider


@pytest.mark.parametrize("size", [(1024, 576), (1920, 1080), (1080, 1920)], ids=str)
def test_the_guide_says_what_part_of_a_picture_is_seen(size: tuple[int, int]) -> None:
    guide = (Path(__file__).parents[2] / "extractors" / "README.md").read_text(encoding="utf-8")
    column = f"{size[1]}x{size[0]}"
    lines = [line.strip("| ").split(" | ") for line in guide.splitlines() if line.startswith("| ")]
    header = next(cells for cells in lines if column in cells)
    rows = {
        pattern: cells[header.index(column)]
        for cells in lines
        if "`" in cells[0] and len(cells) == len(header)
        for pattern in cells[0].split("`")[1::2]
    }
    pictured = {name: one for name in own_names() if (one := extractor_class(name)).kind != "audio"}
    for name, extractor in pictured.items():
        said = next((text for pattern, text in rows.items() if fnmatch(name, pattern)), "")
        assert said, f"the guide has no row for {name}"
        area, wider = seen(extractor.transform, *size)
        share = 100 if said.startswith("all") else int(said.split(" %")[0])
        assert abs(share - area) <= 1.5, (name, area)
        stated = float(said.split(", ")[1].split(" ")[0]) if ", " in said else 1.0
        assert abs(wider / stated - 1) < 0.03, (name, wider)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resnet50_is_torchvisions_preset(size: tuple[int, int]) -> None:
    frames = noise(*size, frames=1)
    wanted = ResNet50_Weights.IMAGENET1K_V2.transforms()(Image.fromarray(frames[0])).numpy()
    found = normalised(ResNet50, ResNet50.transform(frames))[:, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("model", ["resnet18.a1_in1k", "convnext_tiny.fb_in1k"])
def test_timm_models_are_preprocessed_as_timm_does(model: str) -> None:
    import timm

    frames = noise(300, 500, frames=1)
    with torch.device("meta"):
        config = timm.data.resolve_model_data_config(timm.create_model(model))
    wanted = timm.data.create_transform(**config, is_training=False)(Image.fromarray(frames[0]))
    ours = extractor_class(f"timm:{model}")
    found = normalised(ours, ours.transform(frames))[:, 0]
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_only_the_needed_pixels_are_computed_and_they_are_the_same() -> None:
    frames = noise(333, 257)
    whole = bilinear(frames, 128, 171)
    np.testing.assert_array_equal(bilinear(frames, 128, 171, box=(8, 30, 112, 112)), whole[:, 8:120, 30:142])


def test_any_leading_shape_is_taken() -> None:
    frames = noise(60, 80, frames=4)
    for transform in (ResizeThenCrop((16, 20), (12, 12)), Stretch((8, 8)), PillowShortSide(16, (12, 12))):
        one_by_one = np.stack([transform(frame) for frame in frames])
        np.testing.assert_array_equal(transform(frames), one_by_one)
        assert transform(frames).dtype == transform.dtype
