"""`vccsa-paper` against the golden arrays of the authors' released code."""

import fnmatch
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.vccsa import build_paper
from csmv.pipeline.vccsa.paper import PaperVccsa, pad_length

INNER = [
    "visual_proj",
    "cnn_feature",
    "consensus_feature",
    "consensus_attn_row",
    "ground_head_attn",
    "lstm_cell_final",
    "cg_score",
    "scale_grounding",
    "multiview_attention",
    "mv_fused_unmasked",
    "fusion_pre_relu",
    "text_fused",
    "text_fused_attn",
    "final_feature",
    "opinion_prob",
    "emotion_prob",
    "opinion_loss",
    "emotion_loss",
    "loss",
]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden" / "vccsa"


@pytest.fixture(scope="module")
def tiny(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config_tiny.json").read_text())


@pytest.fixture(scope="module")
def golden(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "golden_tiny.npz") as file:
        return {name: file[name] for name in file.files}


def recipe(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    normal = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape, dtype=np.float32)
    if len(shape) >= 2:
        return torch.from_numpy(normal / np.float32(np.sqrt(np.prod(shape[1:]))))
    return torch.from_numpy(np.float32(key.endswith("weight")) + np.float32(0.1) * normal)


def fill(model: nn.Module, gains: dict[str, float] | None = None) -> None:
    state = model.state_dict()
    for key, tensor in state.items():
        if tensor.is_floating_point() and not key.endswith("_loss.weight"):
            state[key] = recipe(key, tuple(tensor.shape))
            for pattern, gain in (gains or {}).items():
                if fnmatch.fnmatchcase(key, pattern):
                    state[key] = state[key] * gain
    model.load_state_dict(state)


def roberta(tiny: dict[str, Any]) -> nn.Module:
    from transformers import RobertaConfig, RobertaModel

    sizes = {key: value for key, value in tiny["text_encoder"].items() if key != "kind"}
    return RobertaModel(RobertaConfig(**sizes))


def run(model: PaperVccsa, golden: dict[str, np.ndarray]) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    arrays = {name: torch.from_numpy(golden[name]) for name in golden if golden[name].dtype.kind in "fi"}
    video = arrays["video_feat"].clone().requires_grad_()
    text = arrays["text_feat"].clone().requires_grad_()
    labels = (arrays["opinion_label"], arrays["emotion_label"])
    model.train()
    got = model.from_features(video, arrays["video_mask"], text, arrays["text_mask"], *labels)
    got["loss"].backward()
    return got, video, text


def compare_gradients(model: nn.Module, golden: dict[str, np.ndarray], prefix: str = "") -> None:
    parameters = dict(model.named_parameters())
    names = [str(name) for name in golden[f"{prefix}grad_names" if prefix == "e2e_" else "grad_names"]]
    assert set(names) == set(parameters)
    for name, norm, projection in zip(names, golden[f"{prefix}grad_norm"], golden[f"{prefix}grad_proj"], strict=True):
        gradient = parameters[name].grad
        if np.isnan(norm):
            assert gradient is None or float(gradient.abs().max()) == 0, name
            continue
        assert gradient is not None, name
        if norm < 1e-7:
            assert float(gradient.norm()) < 1e-6, name
            continue
        assert float(gradient.double().norm()) == pytest.approx(float(norm), rel=1e-4), name
        direction = np.random.Generator(np.random.PCG64(zlib.crc32(f"{name}#grad".encode())))
        normal = direction.standard_normal(tuple(gradient.shape), dtype=np.float32)
        got = float((gradient.double() * torch.from_numpy(normal).double()).sum())
        assert got == pytest.approx(float(projection), rel=1e-4, abs=1e-4 * float(norm)), name


def test_every_inner_array_and_gradient_is_the_authors(tiny, golden) -> None:
    model = build_paper(tiny["config"])
    fill(model)

    got, video, text = run(model, golden)

    for name in INNER:
        np.testing.assert_allclose(got[name].detach().numpy(), golden[name], atol=1e-5, rtol=0, err_msg=name)
    np.testing.assert_allclose(text.grad.numpy(), golden["grad_text_feat"], atol=1e-7)
    np.testing.assert_allclose(video.grad.numpy(), golden["grad_video_feat"], atol=1e-7)
    compare_gradients(model, golden)
    parameters = dict(model.named_parameters())
    for name in (name.removeprefix("grad::") for name in golden if name.startswith("grad::")):
        expected = golden[f"grad::{name}"]
        np.testing.assert_allclose(
            parameters[name].grad.numpy(), expected, atol=1e-4 * np.abs(expected).max(), err_msg=name
        )


def test_hot_weights_put_the_consensus_path_into_the_results(tiny, golden) -> None:
    model = build_paper(tiny["config"])
    fill(model, tiny["weights"]["hot_gains"]["factors"])

    got, _, _ = run(model, golden)

    for name in (name.removeprefix("hot_") for name in golden if name.startswith("hot_") and "grad" not in name):
        atol = 1e-5 if name.endswith(("prob", "loss")) else 1e-4
        np.testing.assert_allclose(got[name].detach().numpy(), golden[f"hot_{name}"], atol=atol, rtol=0, err_msg=name)
    compare_gradients(model, golden, "hot_")


@pytest.mark.parametrize("length", [24, 40])
def test_end_to_end_with_a_roberta(tiny, golden, length: int) -> None:
    """A padded row more or less changes nothing while dropout is off, as long as every sample keeps one."""
    model = build_paper(tiny["config"], roberta(tiny))
    fill(model)
    model.train()
    pad = (0, length - 24)
    ids = nn.functional.pad(torch.from_numpy(golden["e2e_input_ids"]), pad, value=1)
    mask = nn.functional.pad(torch.from_numpy(golden["text_mask"]), pad)
    video, video_mask = torch.from_numpy(golden["video_feat"]), torch.from_numpy(golden["video_mask"])

    text = model.text_encoder(ids, mask)
    opinion, emotion, _ = model(video, video_mask, ids, mask)
    # The first sample fills all 24 rows, so it alone gains a padded row when there are more.
    rows = slice(None) if length == 24 else slice(1, None)

    np.testing.assert_allclose(text[rows, :24].detach().numpy(), golden["e2e_text_feat"][rows], atol=1e-5)
    np.testing.assert_allclose(opinion[rows].detach().numpy(), golden["e2e_opinion_prob"][rows], atol=1e-5)
    np.testing.assert_allclose(emotion[rows].detach().numpy(), golden["e2e_emotion_prob"][rows], atol=1e-5)
    if length == 24:
        losses = [
            model.opinion_loss(opinion, torch.from_numpy(golden["opinion_label"])),
            model.emotion_loss(emotion, torch.from_numpy(golden["emotion_label"])),
        ]
        assert [loss.item() for loss in losses] == pytest.approx(
            [float(golden["e2e_opinion_loss"]), float(golden["e2e_emotion_loss"])], abs=1e-5
        )
        sum(losses).backward()
        compare_gradients(model, golden, "e2e_")


def test_focal_loss_takes_probabilities(golden) -> None:
    model = build_paper({})
    for task in ("opinion", "emotion"):
        loss = getattr(model, f"{task}_loss")
        probability, label = (torch.from_numpy(golden[f"focal_{task}_{part}"]) for part in ("prob", "label"))
        each = torch.stack([loss(p[None], y[None]) for p, y in zip(probability, label, strict=True)])
        np.testing.assert_allclose(each.numpy(), golden[f"focal_{task}_each"], atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(float(loss(probability, label)), golden[f"focal_{task}_mean"], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("i3d", {}),
        ("r21d", {"visual_dim": 512}),
        ("videomaev2", {"visual_dim": 1408, "visual_length": 720}),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_authors_checkpoints_load(folder: Path, name: str, sizes: dict[str, int], prefix: str) -> None:
    from transformers import RobertaConfig, RobertaModel

    keys = json.loads((folder / "keys_paper.json").read_text())
    keys = keys[name] | (keys["_optional"] if prefix else {})
    with torch.device("meta"):
        encoder = RobertaModel(RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1))
        model = build_paper(sizes, encoder)
        checkpoint = {
            prefix + key: torch.empty(shape, dtype=getattr(torch, dtype)) for key, (shape, dtype) in keys.items()
        }
        without_encoder = build_paper(sizes)

    assert {key: list(tensor.shape) for key, tensor in model.state_dict().items()} == {
        key: shape for key, (shape, _) in keys.items() if not key.endswith("position_ids")
    }
    model.load_state_dict(checkpoint, strict=True, assign=True)
    without_encoder.load_state_dict(checkpoint, strict=True, assign=True)


def test_table_1_sizes_build_run_and_reach_every_weight(tiny, golden) -> None:
    for scales in (1, 6):
        for layers in (1, 2, 3):
            for tokens in (1, 3):
                sizes = tiny["config"] | {
                    "multiview_num": scales,
                    "consensus_layer_num": layers,
                    "consensus_token_num": tokens,
                }
                model = build_paper(sizes)
                got, _, _ = run(model, golden)
                assert got["cg_score"].shape == (scales, 4, 20)
                assert model.consensus_token.grad.shape == (tokens, 32)
                for name, parameter in model.named_parameters():
                    if "Consensus" in name:
                        assert parameter.grad is not None, name


def test_each_video_once_gives_what_each_comment_with_its_video_gives(tiny, golden) -> None:
    model = build_paper(tiny["config"], roberta(tiny)).eval()
    ids, mask = torch.from_numpy(golden["e2e_input_ids"]), torch.from_numpy(golden["text_mask"])
    video, seen = torch.from_numpy(golden["video_feat"]), torch.from_numpy(golden["video_mask"])
    of = torch.tensor([1, 0, 1, 1])

    with torch.no_grad():
        shared_video = model(video[:2], seen[:2], ids, mask, of)
        repeated = model(video[of], seen[of], ids, mask)

    for one, other in zip(shared_video, repeated, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_padding_rule() -> None:
    assert pad_length([5, 9], 512, rows_differ=True) == 512
    assert pad_length([5, 9], 512, rows_differ=False) == 10
    assert pad_length([5, 512], 512, rows_differ=False) == 512


def test_unknown_size_names_the_nearest() -> None:
    with pytest.raises(CsmvError, match="multiview_num"):
        build_paper({"multiview_nun": 3})
