"""Lists of experiments: the paper's Table 1, our switches one by one, feature sets, controls, and a learning curve."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.sweep import TABLE_1
from csmv.pipeline.vccsa.train_config import Switches, TrainConfig

Preset = Literal["paper", "switches", "features", "controls", "curve"]
"""paper: Table 1; switches: each switch of `vccsa` as it is not by default; features: each set alone and all together;
controls: no video, another video, only the words; curve: shares of the train videos."""

CURVE = (0.1, 0.25, 0.5, 1.0)

Points = dict[str, dict[str, Any]]
"""What each point is called, and the fields in which it differs from the base. Others are compared with the first."""

_SPEED_ALONE = ("variable_lengths", "fused_attention")
"""Switches that change no result but by rounding."""


def points(preset: Preset, base: TrainConfig, store: Store, fractions: Sequence[float] = ()) -> Points:
    """The points of a preset, at each of `fractions` of the train videos if there are any.

    Raises:
        CsmvError: the base has nothing that the preset could change, or the root too few feature sets.
    """
    if preset == "curve":
        return {f"{fraction:g}": {"train_fraction": fraction} for fraction in (fractions or CURVE)[::-1]}
    several = {"paper": _paper, "switches": _switches, "features": _features, "controls": _controls}[preset](
        base, store
    )
    if not fractions:
        return several
    return {
        f"{label}@{fraction:g}": {**changes, "train_fraction": fraction}
        for fraction in fractions
        for label, changes in several.items()
    }


def _paper(base: TrainConfig, _store: Store) -> Points:
    """Table 1, around the setting that the paper chose."""
    _require(base, "paper", ("vccsa", "vccsa-paper"))
    labels = ("scales", "tokens", "layers")
    named = {",".join(f"{k}{v}" for k, v in zip(labels, one.values(), strict=True)): dict(one) for one in TABLE_1}
    chosen = "scales4,tokens1,layers1"
    return {chosen: named[chosen]} | named


def _switches(base: TrainConfig, _store: Store) -> Points:
    _require(base, "switches", ("vccsa",))
    changed: Points = {"base": {}}
    for name, field in Switches.model_fields.items():
        own = getattr(base.switches, name)
        values = (True, False) if field.annotation is bool else get_args(field.annotation)
        for value in values if name not in _SPEED_ALONE else ():
            if value != own:
                label = f"{'with' if value else 'without'}-{name}" if isinstance(value, bool) else f"{name}={value}"
                changed[label] = {f"switches.{name}": value}
    return changed


def _features(base: TrainConfig, store: Store) -> Points:
    if not base.needs_features:
        raise CsmvError(f"The preset 'features' needs a model of the video; '{base.model}' reads none.")
    sets = sorted({path.split("/")[1] for path in store.files("features") if path.endswith(".parquet")})
    if len(sets) < 2:
        raise CsmvError(
            f"The preset 'features' compares feature sets, and the root '{store.root}' has "
            f"{', '.join(sets) or 'none'}: make more with `csmv extract --extractor NAME`."
        )
    alone: Points = {name: {"features": [name]} for name in sets}
    alone["all"] = {"features": sets, "combine": "concatenate"}
    if base.model != "vccsa-paper":
        alone["all-streams"] = {"features": sets, "combine": "streams"}
    return alone


def _controls(base: TrainConfig, _store: Store) -> Points:
    if not base.needs_features:
        raise CsmvError(f"The preset 'controls' takes the video away from a model, and '{base.model}' reads none.")
    return {
        "own-video": {},
        "no-video": {"video": "none"},
        "shuffled-video": {"video": "shuffled"},
        "text-only": {"model": "text"},
    }


def _require(base: TrainConfig, preset: str, models: Sequence[str]) -> None:
    if base.model not in models:
        raise CsmvError(f"The preset '{preset}' changes {' or '.join(models)}, and the base is '{base.model}'.")


def changed_fields(named: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The fields in which the points differ, in their order."""
    return list(dict.fromkeys(field for changes in named.values() for field in changes))
