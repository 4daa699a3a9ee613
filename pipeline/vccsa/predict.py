"""Asking a trained run about a video and comments on it: probabilities, and which seconds of the video weighed most.

The video's features are made exactly as the root's configuration, or else the feature shards, say the run's were.
Keeps nothing of what it is asked, but for the page it is told to write.
"""

import base64
import html
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from csmv.extractors.base import Extractor
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.sampling import vector_spans
from csmv.pipeline.config import read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_sets import made_with, refuse_moved, set_footer
from csmv.pipeline.features import load
from csmv.pipeline.own_weights import located
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.metrics import TASKS
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.trained import TrainedRun, read_run_of_network
from csmv.pipeline.vccsa.video_features import FeatureSet
from csmv.pipeline.vccsa.windows import Span, window_shares

VIDEO = "asked"
THUMBNAIL_WIDTH = 200


@dataclass(frozen=True)
class Window:
    """A stretch of the video in seconds, and its share of the weight that the model gave to all of it."""

    start_s: float
    end_s: float
    weight: float


@dataclass(frozen=True)
class Answer:
    """What a run says of one comment: probabilities by class name, windows from the heaviest (none without video)."""

    comment: str
    opinion: dict[str, float]
    emotion: dict[str, float]
    windows: list[Window]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """One line for a terminal."""
        opinion, emotion = (max(shares, key=lambda name: shares[name]) for shares in (self.opinion, self.emotion))
        said = f"{self.comment!r}: {opinion} ({self.opinion[opinion]:.0%}), {emotion} ({self.emotion[emotion]:.0%})"
        if not self.windows:
            return said
        heavy = ", ".join(f"{w.start_s:.1f}-{w.end_s:.1f} s ({w.weight:.0%})" for w in self.windows[:3])
        return f"{said}; looked most at {heavy}"


def predict(store: Store, run: str, video: Path, comments: list[str]) -> list[Answer]:
    """What `run` says of `comments` on the file `video`, in order.

    Raises CsmvError if the run has no network or its features can't be made again, or the file is not there or can't be
    read; a run of text alone asks for the file's being there, and does not read it.
    """
    config, _ = read_run_of_network(store, run)
    if not comments:
        raise CsmvError("There is no comment to ask about; give at least one with --comment.")
    if not video.is_file():
        raise CsmvError(f"There is no video file '{video}': check its path.")
    features, spans = _features(store, config, video)
    trained = TrainedRun(store, run, features)
    batches = trained.batches(Strings.of(comments), Strings.of([VIDEO] * len(comments)))
    with torch.inference_mode():
        predicted = trained.network(batches.join(np.arange(len(comments)), training=False).to(trained.device))
    return [
        Answer(
            comment,
            opinion=dict(zip(TASKS["opinion"], predicted.opinion[k].tolist(), strict=True)),
            emotion=dict(zip(TASKS["emotion"], predicted.emotion[k].tolist(), strict=True)),
            windows=_windows(predicted.frame_weights, k, spans),
        )
        for k, comment in enumerate(comments)
    ]


def _features(store: Store, config: TrainConfig, video: Path) -> tuple[tuple[FeatureSet, ...], list[list[Span]]]:
    """The file's vectors of each of the run's feature sets, and when each vector of each visual stream is."""
    if not config.needs_features:
        return (), []
    from csmv.extractors import extract
    from csmv.extractors.engine import Settings

    made_by = _made_by(store, config)
    networks = {name: _loaded(name, one) for name, one in made_by.items()}
    _refuse_other_weights(store, networks)
    results = {}
    for decoder in dict.fromkeys(one.decoder for one in made_by.values()):
        together = {name: networks[name] for name, one in made_by.items() if one.decoder == decoder}
        [results[decoder]] = extract([video], together, settings=Settings(decoder=decoder))
    sets, spans = [], []
    for name, one in made_by.items():
        result = results[one.decoder]
        if name in result.failures:
            reason, detail = result.failures[name]
            raise CsmvError(f"'{video.name}' gives no {name} features: {reason}, {detail}.")
        vectors = result.features[name]
        sets.append(FeatureSet(name, vectors.shape[1], {VIDEO: vectors.astype(one.storage)}, ""))
        network = networks[name]
        count = min(len(vectors), config.sizes.visual_length)
        spans.append(vector_spans(network.rule, network.vectors_per_window, count))
    return tuple(sets), spans if config.combine == "streams" else spans[:1]


def _made_by(store: Store, config: TrainConfig) -> dict[str, FeatureConfig]:
    """How each of the run's feature sets was made: as dataset.yaml says, or else the footers of its shards."""
    recorded = {one.name: one for one in read_config(store).features}
    configs = {}
    for name in config.features:
        refuse_moved(store, f"features/{name}", set_footer(store, name))
        one = recorded.get(name) or made_with(store, name)
        if one is None:
            raise CsmvError(
                f"Neither dataset.yaml nor the shards of features/{name} say how that feature set was made, so a new "
                "video can't be given the same features."
            )
        # Vectors of one network differ by rounding from device to device, so a machine without a GPU can answer too.
        has_device = not one.device.startswith("cuda") or torch.cuda.is_available()
        one = located(store, one)
        configs[name] = one if has_device else one.model_copy(update={"device": "cpu"})
    return configs


def _loaded(name: str, made_by: FeatureConfig) -> Extractor:
    try:
        return load(made_by)
    except CsmvError as error:
        raise CsmvError(
            f"The features '{name}' can't be made of a new video: {error} Their extractor and weights can be named "
            "under features in dataset.yaml."
        ) from None


def _refuse_other_weights(store: Store, networks: Mapping[str, Extractor]) -> None:
    for name, network in networks.items():
        then = set_footer(store, name).get("weights_sha256", network.weights_sha256)
        if then != network.weights_sha256:
            raise CsmvError(
                f"The weights of '{name}' that are loaded now (sha256 {network.weights_sha256[:12]}...) are not those "
                f"that features/{name} was made with ({then[:12]}...): name the same weights in dataset.yaml, or "
                "extract and train again."
            )


def _windows(weights: torch.Tensor | None, k: int, spans: list[list[Span]]) -> list[Window]:
    """Frame weights (views, B, V) of comment k to windows, heaviest first; spans: of each visual stream."""
    if weights is None:
        return []
    share = window_shares(weights[:, k].double().cpu().numpy(), spans)
    windows = [Window(start, end, float(weight)) for (start, end), weight in zip(spans[0], share, strict=True)]
    return sorted(windows, key=lambda window: (-window.weight, window.start_s))


# ---------------------------------------------------------------- the page


def write_page(page: Path, video: Path, answers: list[Answer], most: int = 5) -> None:
    """A self-contained HTML page: each comment, its probabilities, and thumbnails of the heaviest windows."""
    wanted = sorted({(w.start_s + w.end_s) / 2 for answer in answers for w in answer.windows[:most]})
    pictures = dict(zip(wanted, thumbnails(video, wanted), strict=True))
    body = "\n".join(_section(answer, pictures, most) for answer in answers)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_PAGE.format(title=html.escape(video.name), body=body), encoding="utf-8")


def thumbnails(video: Path, seconds: list[float]) -> list[bytes]:
    """JPEG pictures of the frames shown at these times (ascending), upright, 200 pixels wide."""
    from PIL import Image

    from csmv.extractors.decode import PyAvDecoder, opened

    pictures: list[bytes] = []
    last: NDArray[np.uint8] | None = None
    try:
        with opened(video) as container:
            decoder = PyAvDecoder(container)
            for frame in decoder.frames():
                while len(pictures) < len(seconds) and frame.time + frame.duration > Fraction(seconds[len(pictures)]):
                    pictures.append(_jpeg(Image.fromarray(np.ascontiguousarray(decoder.pixels(frame)))))
                if len(pictures) == len(seconds):
                    return pictures
                last = decoder.pixels(frame)
    except MediaError as error:
        raise CsmvError(f"'{video.name}' can't be shown: {error}.") from None
    if last is None:
        raise CsmvError(f"'{video.name}' has no frame to show.")
    return pictures + [_jpeg(Image.fromarray(np.ascontiguousarray(last)))] * (len(seconds) - len(pictures))


def _jpeg(picture: Any) -> bytes:
    height = max(1, round(picture.height * THUMBNAIL_WIDTH / picture.width))
    buffer = io.BytesIO()
    picture.resize((THUMBNAIL_WIDTH, height)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _section(answer: Answer, pictures: dict[float, bytes], most: int) -> str:
    bars = "".join(
        f"<h3>{task}</h3>" + "".join(_bar(name, value) for name, value in getattr(answer, task).items())
        for task in TASKS
    )
    shown = "".join(_figure(window, pictures[(window.start_s + window.end_s) / 2]) for window in answer.windows[:most])
    heading = f"<h2>{html.escape(answer.comment)}</h2>"
    return f"<section>{heading}<div class=bars>{bars}</div><div class=windows>{shown}</div></section>"


def _bar(name: str, value: float) -> str:
    return f"<p><span>{name}</span><meter value={value:.4f}></meter> {value:.1%}</p>"


def _figure(window: Window, jpeg: bytes) -> str:
    source = base64.b64encode(jpeg).decode()
    caption = f"{window.start_s:.1f}-{window.end_s:.1f} s, {window.weight:.0%}"
    image = f'<img src="data:image/jpeg;base64,{source}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
section {{ border-top: 1px solid #bbb; padding: 1rem 0; }}
.bars p {{ margin: 0; }} .bars span {{ display: inline-block; width: 8rem; }}
.windows {{ display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 1rem; }}
figure {{ margin: 0; }} figcaption {{ font-size: .85rem; }}
</style></head><body><h1>{title}</h1>
<p>The windows of the video that weighed most in each answer, heaviest first.</p>
{body}
</body></html>
"""
