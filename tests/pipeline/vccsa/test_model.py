"""`vccsa`: nothing outside a comment and its video changes its answer, and each switch does what it says."""

import dataclasses

import pytest
import torch

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.vccsa.attention import grounding_weights
from csmv.pipeline.vccsa.batch import Batch, Stream
from csmv.pipeline.vccsa.model import Heads, Vccsa
from csmv.pipeline.vccsa.networks import class_weights
from csmv.pipeline.vccsa.paper import PaperConfig, PaperVccsa
from csmv.pipeline.vccsa.text import TextTower, TinyEncoder
from csmv.pipeline.vccsa.train_config import Sizes, Switches

SIZES = Sizes(
    visual_dim=24, ground_dim=16, consensus_dim=16, consensus_heads=4, ground_heads=4, scales=3, visual_length=12
)
AS_RELEASED = Switches(
    standardised=False,
    masked_convolutions=False,
    masked_grounding=False,
    frame_weights="lstm",
    scaled_mixing=False,
    residual=False,
    pooling="max",
    variable_lengths=False,
    fused_attention=False,
    loss="focal",
)


@pytest.mark.parametrize("width", [16, 24])
def test_grounding_weights_are_torchs_own_at_any_width(width: int) -> None:
    """torch packs the projections into one tensor where frames are as wide as the consensus."""
    torch.manual_seed(0)
    holder = torch.nn.MultiheadAttention(16, 4, kdim=width, vdim=width, batch_first=True)
    tokens, frames = torch.randn(3, 2, 16), torch.randn(3, 7, width)

    _, expected = holder(tokens, frames, frames, average_attn_weights=False)

    torch.testing.assert_close(grounding_weights(holder, tokens, frames, None).transpose(1, 2), expected)


def test_one_width_for_frames_and_consensus_trains() -> None:
    model = network(Switches(), sizes=SIZES.model_copy(update={"visual_dim": 16})).train()
    model(batch([5, 3], [6, 4])).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def network(switches: Switches, dims: tuple[int, ...] = (10,), sizes: Sizes = SIZES) -> Vccsa:
    torch.manual_seed(0)
    return Vccsa(TextTower(TinyEncoder(64, 32)), dims, sizes, switches).eval()


def batch(texts: list[int], videos: list[int], dims: tuple[int, ...] = (10,), seed: int = 1) -> Batch:
    """Comments of these many tokens, each on a video of its own of these many frames; padding is filled with junk."""
    torch.manual_seed(seed)
    text_seen = torch.arange(max(texts)) < torch.tensor(texts)[:, None]
    streams = []
    for dim in dims:
        seen = torch.arange(max([*videos, 1])) < torch.tensor(videos)[:, None]
        streams.append(Stream(torch.randn(len(videos), seen.shape[1], dim) * seen.unsqueeze(-1), seen))
    return Batch(
        ids=torch.randint(2, 64, text_seen.shape),
        text_seen=text_seen,
        streams=tuple(streams),
        video_of=torch.arange(len(texts)),
        opinion=torch.zeros(len(texts), dtype=torch.long),
        emotion=torch.zeros(len(texts), dtype=torch.long),
        rows=torch.arange(len(texts)),
    )


def alone(whole: Batch, k: int, extra_tokens: int = 0, extra_frames: int = 0) -> Batch:
    """Comment k with its video only, cut to its own lengths and then padded with junk."""
    tokens = int(whole.text_seen[k].sum())
    streams = []
    for stream in whole.streams:
        frames = int(stream.seen[k].sum())
        real = stream.frames[k : k + 1, :frames]
        junk = 50 * torch.randn(1, extra_frames, real.shape[2])
        seen = torch.arange(frames + extra_frames) < frames
        streams.append(Stream(torch.cat([real, junk], 1), seen[None]))
    ids = torch.cat([whole.ids[k, :tokens], torch.randint(2, 64, (extra_tokens,))])[None]
    return dataclasses.replace(
        whole,
        ids=ids,
        text_seen=(torch.arange(tokens + extra_tokens) < tokens)[None],
        streams=tuple(streams),
        video_of=torch.zeros(1, dtype=torch.long),
        opinion=whole.opinion[k : k + 1],
        emotion=whole.emotion[k : k + 1],
    )


@pytest.mark.parametrize("frame_weights", ["mixture", "recurrent"])
@pytest.mark.parametrize("pooling", ["masked-max", "masked-mean"])
@pytest.mark.parametrize("dims", [(10,), (10, 6)])
@pytest.mark.parametrize("layers", [1, 2])
def test_padding_and_company_change_nothing(frame_weights, pooling, dims, layers) -> None:
    sizes = SIZES.model_copy(update={"consensus_layers": layers, "consensus_tokens": layers})
    model = network(Switches(frame_weights=frame_weights, pooling=pooling), dims, sizes)
    whole = batch([9, 4, 1, 6], [12, 5, 1, 8], dims)

    with torch.no_grad():
        together = model(whole)
        for k in range(4):
            single = model(alone(whole, k))
            padded = model(alone(whole, k, extra_tokens=7, extra_frames=20))
            for found in (single, padded):
                torch.testing.assert_close(found.opinion[0], together.opinion[k], atol=1e-5, rtol=0)
                torch.testing.assert_close(found.emotion[0], together.emotion[k], atol=1e-5, rtol=0)


def test_the_test_above_can_fail() -> None:
    whole = batch([9, 4, 1, 6], [12, 5, 1, 8])
    for switch in ({"masked_grounding": False}, {"masked_convolutions": False}, {"pooling": "max"}):
        model = network(Switches(**switch))
        with torch.no_grad():
            difference = model(alone(whole, 1)).emotion - model(alone(whole, 1, 7, 20)).emotion
        assert difference.abs().max() > 1e-5, switch


@pytest.mark.parametrize("frame_weights", ["mixture", "recurrent"])
def test_frame_weights_sum_to_one_over_the_frames_of_a_video_of_any_length(frame_weights: str) -> None:
    model = network(Switches(frame_weights=frame_weights))
    with torch.no_grad():
        weights = model(batch([3, 3, 3], [40, 7, 1])).frame_weights

    assert weights.shape == (3, 3, 40)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 3))
    assert weights[:, 1, 7:].abs().max() == 0


def test_a_video_without_frames_gives_a_finite_answer_and_gradient() -> None:
    model = network(Switches()).train()

    found = model(batch([3, 5], [0, 4]))
    found.loss.backward()

    assert torch.isfinite(found.opinion).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_with_every_switch_as_released_it_is_the_paper_model() -> None:
    ours = network(AS_RELEASED)
    config = PaperConfig(
        visual_length=12,
        visual_dim=10,
        visual_out_dim=24,
        visualcnn_dim=24,
        vtalign_ground_dim=16,
        text_dim=32,
        multiview_num=3,
        consensus_Transformer_head=4,
        consensus_Transformer_fdim=16,
        groundAttention_head=4,
    )
    paper = PaperVccsa(config, None).eval()
    renamed = {
        "streams.0.projection.": "visual_encoder.linear.conv1d.",
        "streams.0.convolutions.": "stack_cnn.",
        "streams.0.consensus.": "stack_Consensus_Transformer_inview.",
        "streams.0.grounding.": "grounding_Attention.",
        "streams.0.frame_weights.lstm.": "ground_lstm.",
        "mixing.": "multiview_attention_fusion.",
        "fusion.": "fusion_linear.",
        "reader.attention.": "text_transformer.",
        "heads.opinion.": "opinion_classifier_head.classLinear.",
        "heads.emotion.": "emotion_classifier_head.classLinear.",
        "consensus_token": "consensus_token",
    }
    state = {}
    for key, value in ours.state_dict().items():
        for mine, theirs in renamed.items():
            if key.startswith(mine):
                name = theirs + key.removeprefix(mine)
                if theirs == "stack_cnn.":
                    number, part = name.removeprefix(theirs).split(".")
                    name = f"stack_cnn.{number}.conv.{part}"
                state[name] = value.unsqueeze(-1) if name.endswith("conv1d.weight") else value
    assert set(state) | {"opinion_loss.weight", "emotion_loss.weight"} == set(paper.state_dict())
    paper.load_state_dict(state, strict=False)
    whole = batch([9, 4, 1, 6], [12, 5, 1, 8])

    with torch.no_grad():
        found = ours(whole)
        text = ours.text_encoder(whole.ids, whole.text_seen)
        stream = whole.streams[0]
        expected = paper.from_features(stream.frames, stream.seen.long(), text, whole.text_seen.long())

    torch.testing.assert_close(found.opinion, expected["opinion_prob"], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.emotion, expected["emotion_prob"], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.frame_weights, expected["cg_score"], atol=1e-6, rtol=0)


def test_fused_and_written_attention_agree() -> None:
    fused, written = network(Switches()), network(Switches(fused_attention=False))
    whole = batch([9, 4, 1, 6], [12, 5, 1, 8])
    with torch.no_grad():
        torch.testing.assert_close(fused(whole).emotion, written(whole).emotion, atol=1e-6, rtol=0)


def test_loss_leaves_missing_labels_out() -> None:
    heads = Heads(4, 0.0, "cross-entropy")
    whole = batch([2, 2, 2], [1, 1, 1])
    feature = torch.randn(3, 4)
    missing = dataclasses.replace(whole, opinion=torch.tensor([0, NO_LABEL, 0]))
    without = dataclasses.replace(whole, opinion=whole.opinion[[0, 2]], emotion=whole.emotion[[0, 2]])

    emotion = torch.nn.functional.cross_entropy(heads.emotion(feature), whole.emotion)
    emotion_two = torch.nn.functional.cross_entropy(heads.emotion(feature[[0, 2]]), without.emotion)

    assert (heads(feature, missing).loss - emotion).item() == pytest.approx(
        (heads(feature[[0, 2]], without).loss - emotion_two).item(), abs=1e-6
    )


@pytest.mark.parametrize("balance", ["none", "fourth-root-inverse", "sqrt-inverse", "inverse", "effective"])
def test_class_weights_average_one_and_favour_the_rare(balance: str) -> None:
    label = torch.tensor([0] * 90 + [1] * 10 + [NO_LABEL]).numpy()
    weights = class_weights(label, 3, balance)
    assert float((weights[0] * 90 + weights[1] * 10) / 100) == pytest.approx(1)
    assert weights[2] == 1
    assert (weights[1] > weights[0]) == (balance != "none")
