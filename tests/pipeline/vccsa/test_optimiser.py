"""What is trained and how fast: schedules, decay, layers of the text encoder, low-rank additions."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from killed_runs import assert_killed_run_is_whole
from safetensors.torch import load

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.loop import learning_rate_factor
from csmv.pipeline.vccsa.networks import build_network, parameter_groups
from csmv.pipeline.vccsa.predict import predict
from csmv.pipeline.vccsa.text import load_encoder
from csmv.pipeline.vccsa.train_config import OptimizerConfig, TrainConfig

PREFIX = "text_encoder.text_encoder."


def text_config(encoder: Path, **changes: object) -> TrainConfig:
    """A text model that is trained in a second or two."""
    base = TrainConfig(model="text", epochs=1, batch_size=32, seed=1)
    return base.replace({"text.encoder": str(encoder), "text.max_tokens": 20, "sizes.text_heads": 2} | changes)


def rates_by_name(config: TrainConfig) -> tuple[dict[str, float], dict[str, float]]:
    """Of every trainable parameter, by its name: its rate, and its decay where it has one of its own."""
    encoder, _ = load_encoder(config.text)
    network = build_network(config, encoder, ())
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, config)
    rates = {names[id(one)]: group["base_lr"] for group in groups for one in group["params"]}
    decays = {
        names[id(one)]: group["weight_decay"] for group in groups if "weight_decay" in group for one in group["params"]
    }
    assert len(rates) == sum(len(group["params"]) for group in groups)
    assert rates.keys() == {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return rates, decays


@pytest.mark.parametrize(
    ("schedule", "halfway", "last"),
    [("linear", 0.5, 1 / 90), ("cosine", 0.5, math.sin(math.radians(1)) ** 2), ("constant", 1, 1)],
)
def test_a_rate_rises_then_goes_as_its_schedule_says(schedule: str, halfway: float, last: float) -> None:
    optimizer = OptimizerConfig.model_validate({"schedule": schedule, "warmup": 0.1})
    factors = [learning_rate_factor(step, 100, optimizer) for step in range(100)]
    assert factors[:11] == pytest.approx([step / 10 for step in range(11)])
    assert max(factors) == 1
    assert factors[55] == pytest.approx(halfway)
    assert factors[99] == pytest.approx(last, rel=1e-4)


def test_biases_and_norms_are_left_out_of_weight_decay_where_asked(encoder_folder: Path) -> None:
    _, none = rates_by_name(text_config(encoder_folder))
    rates, decays = rates_by_name(text_config(encoder_folder, **{"optimizer.decay_biases_and_norms": False}))
    assert none == {}
    assert set(decays.values()) == {0.0}
    norms = {name for name in rates if name.endswith("bias") or "LayerNorm" in name}
    assert norms and norms <= decays.keys()
    assert PREFIX + "encoder.layer.0.attention.self.query.weight" not in decays


def test_layers_have_falling_rates(encoder_folder: Path) -> None:
    changes = {"text.layer_decay": 0.5, "text.learning_rate": 1e-3, "optimizer.learning_rate": 2e-3}
    rates, _ = rates_by_name(text_config(encoder_folder, **changes))
    assert rates[PREFIX + "encoder.layer.1.output.dense.weight"] == 1e-3
    assert rates[PREFIX + "encoder.layer.0.output.dense.weight"] == 5e-4
    assert rates[PREFIX + "embeddings.word_embeddings.weight"] == 2.5e-4
    assert {rate for name, rate in rates.items() if not name.startswith(PREFIX)} == {2e-3}


def test_the_lowest_layers_stay_as_they_are_and_drop_nothing(root: Store, encoder_folder: Path) -> None:
    config = text_config(encoder_folder, **{"text.frozen_layers": 1, "text.learning_rate": 1e-2, "text.emoji": False})
    train(root, config, "lower-frozen")
    before = load((encoder_folder / "model.safetensors").read_bytes())
    after = load(root.read_file("models/lower-frozen/best-1.safetensors"))
    moved = {name for name in before if "pooler" not in name and not torch.equal(before[name], after[PREFIX + name])}
    # Keys' biases cancel out in a softmax.
    assert {name.split(".")[2] for name in moved} == {"1"}
    encoder, _ = load_encoder(config.text)
    network = build_network(config, encoder, ()).train()
    modes = {name: module.training for name, module in network.text_encoder.named_modules() if "dropout" in name}
    assert modes["text_encoder.encoder.layer.1.output.dropout"]
    assert not modes["text_encoder.encoder.layer.0.output.dropout"] and not modes["text_encoder.embeddings.dropout"]


def test_low_rank_additions_learn_and_the_encoder_stays(root: Store, encoder_folder: Path) -> None:
    pytest.importorskip("peft")
    config = text_config(encoder_folder, **{"text.lora_rank": 2, "text.learning_rate": 1e-2, "text.emoji": False})
    train(root, config, "low-rank")
    before = load((encoder_folder / "model.safetensors").read_bytes())
    after = {
        name.replace(".base_layer", ""): value
        for name, value in load(root.read_file("models/low-rank/best-1.safetensors")).items()
    }
    assert all(torch.equal(value, after[PREFIX + name]) for name, value in before.items())
    added = [value for name, value in after.items() if "lora_B" in name]
    assert len(added) == 4 and all(value.abs().max() > 0 for value in added)
    first, second = predict(root, "low-rank", encoder_folder / "config.json", ["love this", "bad"])
    assert first.opinion != second.opinion


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text.encoder": "tiny", "text.layer_decay": 0.5}, "layers of their own"),
        ({"text.frozen_layers": 3}, "has 2 layers"),
        ({"text.encoder": "tiny", "text.lora_rank": 2}, "peft does not know where a 'tiny' encoder"),
    ],
)
def test_what_an_encoder_does_not_have_is_refused(
    root: Store, encoder_folder: Path, changes: dict[str, object], says: str
) -> None:
    pytest.importorskip("peft")
    with pytest.raises(CsmvError, match=says):
        train(root, text_config(encoder_folder, **changes), "refused")


def test_one_way_of_training_less_is_chosen(encoder_folder: Path) -> None:
    with pytest.raises(CsmvError, match="choose one"):
        text_config(encoder_folder, **{"text.frozen": True, "text.frozen_layers": 1})


def test_options_at_their_defaults_leave_a_run_its_name() -> None:
    assert "schedule" not in TrainConfig().identity and "lora_rank" not in TrainConfig().identity
    changed = TrainConfig().replace({"optimizer.schedule": "cosine", "text.lora_rank": 4}).identity
    assert '"schedule":"cosine"' in changed and '"lora_rank":4' in changed and "lora_alpha" not in changed


@pytest.mark.slow
@pytest.mark.parametrize("one", [{"text.frozen_layers": 1, "text.layer_decay": 0.7}, {"text.lora_rank": 2}])
def test_killed_at_any_step_it_ends_in_the_same_weights(
    new_root: Callable[..., Store], encoder_folder: Path, one: dict[str, object]
) -> None:
    others = {"optimizer.schedule": "cosine", "optimizer.decay_biases_and_norms": False, "text.learning_rate": 1e-3}
    settings = {"epochs": 3, "batch_size": 16, "checkpoint_every": 2, "keep_best": 3, "select_by": "last"}
    config = text_config(encoder_folder, **(settings | others | one))
    store = new_root(videos=9, comments=14)
    assert_killed_run_is_whole(store, config, kills=(0, 1, 5, 4, 3), checkpoints=3)
