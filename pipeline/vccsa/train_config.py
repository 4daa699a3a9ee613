"""Everything that decides a training run, validated; equal configurations on equal data give equal weights.

Never touches data or torch, so that a dataset's configuration can hold it cheaply.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.validated import Validated, parse
from csmv.pipeline.vccsa.metrics import METRICS

ModelName = Literal["majority", "tfidf", "text", "video", "early-fusion", "vccsa", "vccsa-paper"]
"""What can be trained under the one command, from the floor to the two full models."""

MODELS: tuple[ModelName, ...] = get_args(ModelName)

PAPER_FEATURES: dict[str, tuple[str, int]] = {
    "i3d": ("i3d", 180),
    "r21d": ("r2plus1d_18", 180),
    "videomaev2": ("videomaev2_g", 720),
}
"""The paper's feature sets: the extractor that makes such here, and the number of frames its model was built for."""


class TextConfig(Validated):
    """The text encoder. `tiny` is built in, needs no download and is trained from scratch."""

    encoder: str = Field("tiny", description="`tiny`, a Hugging Face model directory, or a hub id")
    frozen: bool = Field(
        False,
        description="keep the encoder's weights as they are: it runs without dropout, once for each "
        "text (under `vccsa-paper` as the released code runs it)",
    )
    learning_rate: PositiveFloat | None = Field(
        None,
        description="the encoder's own rate; by default 3e-5 if it is pretrained, the common rate if `tiny`",
    )
    frozen_layers: int = Field(
        0, ge=0, description="the embeddings and so many of the lowest layers stay as they are, without dropout"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor by which the rate falls from a layer of the encoder to the one below it"
    )
    lora_rank: int = Field(
        0,
        ge=0,
        description="with 1 or more the encoder's own weights stay as they are, and low-rank additions of that rank to "
        "its attention's projections are trained (needs the extra `lora`)",
    )
    lora_alpha: PositiveInt = Field(16, description="the additions count lora_alpha / lora_rank times")
    max_tokens: int = Field(128, ge=4, description="longer comments are cut here")
    emoji: bool = Field(
        True,
        description="emoji that the encoder's vocabulary lacks become tokens, which start as the mean of the words of "
        "their Unicode names; otherwise they, and every word they touch, are one unknown token",
    )
    tiny_dim: PositiveInt = Field(64, multiple_of=4, description="width of `tiny`")
    tiny_vocabulary: int = Field(4096, ge=16, description="buckets that `tiny` hashes words into")


class Sizes(Validated):
    """Widths and depths of VC-CSA and of the baselines that share its parts (paper: Table 1, section 4)."""

    visual_dim: PositiveInt = Field(128, description="D, width of the visual scales (paper 768)")
    ground_dim: PositiveInt = Field(64, description="G, width in which tokens choose among scales (paper 768)")
    consensus_dim: PositiveInt = Field(64, description="C, width of the consensus attention (paper 512)")
    scales: int = Field(4, ge=1, le=6, description="S, temporal scales")
    consensus_layers: int = Field(1, ge=1, le=3)
    consensus_tokens: int = Field(1, ge=1, le=3)
    consensus_heads: PositiveInt = Field(4, description="paper 8")
    ground_heads: PositiveInt = Field(4, description="paper 16")
    text_heads: PositiveInt = 4
    dropout: float = Field(0.2, ge=0, lt=1)
    visual_length: PositiveInt = Field(
        180,
        description="V, most vectors of a video that are used; `vccsa-paper` is built for exactly this many",
    )
    paper_text_length: PositiveInt = Field(512, description="L, tokens `vccsa-paper` pads to while training")

    @model_validator(mode="after")
    def _heads_divide(self) -> "Sizes":
        for heads in (self.consensus_heads, self.ground_heads):
            if self.consensus_dim % heads:
                raise ValueError(f"consensus_dim {self.consensus_dim} is not a multiple of {heads} heads")
        return self


class Switches(Validated):
    """Where `vccsa` departs from the released code; `csmv.pipeline.vccsa.model` gives the reason for each."""

    standardised: bool = True
    masked_convolutions: bool = True
    masked_grounding: bool = True
    frame_weights: Literal["mixture", "recurrent", "lstm"] = "mixture"
    scaled_mixing: bool = True
    residual: bool = True
    pooling: Literal["masked-max", "masked-mean", "max"] = "masked-max"
    variable_lengths: bool = True
    fused_attention: bool = True
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    class_balance: Literal["none", "fourth-root-inverse", "sqrt-inverse", "inverse", "effective"] = "none"


class OptimizerConfig(Validated):
    """AdamW with a linear warm-up and a way down."""

    learning_rate: PositiveFloat = 2e-3
    weight_decay: float = Field(0.01, ge=0)
    decay_biases_and_norms: bool = Field(True, description="weight decay on vectors too: biases, norms, single tokens")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="after the warm-up: a line or half a cosine down to zero, or the full rate to the end"
    )
    clip_norm: PositiveFloat | None = Field(1.0, description="largest gradient norm; null for no clipping")
    accumulate: PositiveInt = Field(1, description="batches a step")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"


_LATER_FIELDS = (
    "most_missing_scored",
    "train_fraction",
    "video",
    "text.frozen_layers",
    "text.layer_decay",
    "text.lora_rank",
    "text.lora_alpha",
    "optimizer.decay_biases_and_norms",
    "optimizer.schedule",
)
"""Fields of TrainConfig, dotted where they are within a section, that its first runs did not have."""

_SPEED_FIELDS = ("prefetch",)
"""Fields that decide nothing but how long a run takes."""


class TrainConfig(Validated):
    """One training run: what is trained, on what, and how."""

    model: ModelName = Field("vccsa", description="what is trained, from the floor to the two full models")
    split: str = Field("comment", description="name of the split")
    features: tuple[str, ...] = Field(("r2plus1d_18",), description="feature sets, as named under features/")
    combine: Literal["concatenate", "streams"] = Field(
        "concatenate",
        description="several feature sets: side by side in one vector, or each its own visual stream",
    )
    text: TextConfig = TextConfig()
    sizes: Sizes = Sizes()
    switches: Switches = Switches()
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: PositiveInt = 15
    batch_size: PositiveInt = 32
    seed: int = Field(3407, ge=0, lt=1 << 31, description="decides all that is drawn from chance")
    bucket_by_length: bool = Field(True, description="comments of like length share a batch")
    comments_per_video: PositiveInt = Field(
        1,
        description="comments of one video that stand together in train batches: with more, a video is read and its "
        "side computed once for several comments, and a batch mixes fewer videos",
    )
    early_stopping: PositiveInt | None = Field(None, description="epochs without a better dev score before stopping")
    select_by: str = Field(
        "micro",
        description="best epoch: largest sum of both tasks' dev F1, micro (as the paper) or macro; or simply the last",
    )
    keep_best: PositiveInt = Field(1, description="how many best checkpoints stay")
    checkpoint_every: PositiveInt | None = Field(None, description="steps; by default at the end of each epoch")
    most_missing_features: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of train comments without video features above which training is refused",
    )
    most_missing_scored: float = Field(
        0.1,
        ge=0,
        le=1,
        description="the same of dev and of test comments, whose scores would say little of the video",
    )

    prefetch: int | None = Field(
        None,
        ge=0,
        description="batches that a thread makes ready while the network computes, which changes no result; by default "
        "2 for a GPU and none for a CPU",
    )
    train_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the train videos that are learnt from, drawn by the seed; a larger one holds a smaller",
    )
    video: Literal["own", "none", "shuffled"] = Field(
        "own",
        description="the vectors a comment is read with: its video's; zeros; or another video's of the same part, "
        "drawn by the seed",
    )

    @field_validator("select_by")
    @classmethod
    def _is_a_metric(cls, value: str) -> str:
        if value not in (choices := [*(metric.short for metric in METRICS), "last"]):
            raise ValueError(f"expected one of {', '.join(choices)}, found '{value[:40]}'")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "TrainConfig":
        if self.needs_features and not self.features:
            raise ValueError(f"model '{self.model}' needs at least one feature set")
        if self.video != "own" and not self.needs_features:
            raise ValueError(f"model '{self.model}' looks at no video; leave video at 'own'")
        if self.model == "vccsa-paper" and self.combine == "streams":
            raise ValueError("'vccsa-paper' has one visual stream; use combine 'concatenate'")
        text = self.text
        if sum((text.frozen, text.frozen_layers > 0, text.lora_rank > 0)) > 1:
            raise ValueError("text.frozen, text.frozen_layers and text.lora_rank each say what is trained; choose one")
        if len(set(self.features)) != len(self.features):
            raise ValueError("a feature set is named twice")
        return self

    @property
    def short_name(self) -> str:
        """The model, in names of experiments."""
        return self.model

    @property
    def needs_features(self) -> bool:
        """Whether the model looks at the video at all."""
        return self.model not in ("majority", "tfidf", "text")

    @property
    def is_network(self) -> bool:
        """Whether it is trained step by step."""
        return self.model not in ("majority", "tfidf")

    @property
    def identity(self) -> str:
        """The configuration as JSON, of which names and fingerprints are digests.

        Fields that came later are left out while they have their default, so that older runs keep both; those that
        change no result are left out always.
        """
        later: dict[str, Any] = dict.fromkeys(_SPEED_FIELDS, True)
        for path in _LATER_FIELDS:
            section, _, name = path.rpartition(".")
            settings: Validated = getattr(self, section) if section else self
            if getattr(settings, name) == type(settings).model_fields[name].default:
                (later.setdefault(section, {}) if section else later)[name] = True
        return self.model_dump_json(exclude=later)

    @classmethod
    def paper(cls, features: str = "i3d", **changes: Any) -> "TrainConfig":
        """The paper's recipe for one of its feature sets, with `changes` on top."""
        if features not in PAPER_FEATURES:
            raise CsmvError(f"The paper's feature sets are {', '.join(PAPER_FEATURES)}; '{features}' is none of them.")
        recipe: dict[str, Any] = {
            "model": "vccsa-paper",
            "split": "published",
            "features": (PAPER_FEATURES[features][0],),
            "text": TextConfig(encoder="roberta-base", learning_rate=5e-5, max_tokens=512, emoji=False),
            "sizes": Sizes(
                visual_dim=768,
                ground_dim=768,
                consensus_dim=512,
                consensus_heads=8,
                ground_heads=16,
                visual_length=PAPER_FEATURES[features][1],
            ),
            "optimizer": OptimizerConfig(learning_rate=5e-5, weight_decay=0, clip_norm=None),
            "epochs": 120,
            "batch_size": 16,
            "bucket_by_length": False,
        }
        return cls(**{**recipe, **changes})

    def replace(self, changes: Mapping[str, Any]) -> "TrainConfig":
        """A copy with dotted fields changed, such as {"sizes.scales": 2}, validated again.

        Raises CsmvError for a field that does not exist or a value that does not fit.
        """
        data = self.model_dump()
        for path, value in changes.items():
            section = data
            *outer, last = path.split(".")
            for name in outer:
                section = section.setdefault(name, {})
                if not isinstance(section, dict):
                    raise CsmvError(f"train: '{path}' names a field inside '{name}', which has none.")
            section[last] = value
        return parse(TrainConfig, data, "train")


def default_run_name(config: TrainConfig) -> str:
    """The model, the split, and eight digits that stand for all the rest of the configuration."""
    digits = hashlib.sha256(config.identity.encode()).hexdigest()[:8]
    return f"{config.model}-{config.split}"[:55] + f"-{digits}"


def as_flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float]:
    """Nested settings under dotted names; what is neither a number nor a text as text."""
    flattened: dict[str, str | int | float] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flattened |= as_flat(value, f"{prefix}{name}.")
        else:
            flattened[prefix + name] = value if isinstance(value, str | int | float) else str(value)
    return flattened
