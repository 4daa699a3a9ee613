"""Which windows of a video a trained run looked at for each of its comments: the grounding weights of its network.

The network is asked anew: a run keeps its weights and its answers, and no attention.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.registry import extractor_class
from csmv.extractors.sampling import ClipRule, vector_spans
from csmv.pipeline.errors import CsmvError, sentence_for
from csmv.pipeline.feature_sets import set_footer
from csmv.pipeline.parts import read_with_parts
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.video_features import FeatureSet
from csmv.pipeline.vccsa.windows import window_shares

_RULE = re.compile(r"(\d+) fps, (\d+) frames, step (\d+)")


@dataclass(frozen=True)
class VideoWindows:
    """A video's windows and their weights.

    Attributes:
        spans: start and end of each of T windows, in seconds; shares of the video where the root does not tell.
        in_seconds: whether it does.
        weights: (comments, T), each row sums to 1, or is zeros where the network looked at nothing.
    """

    spans: list[tuple[float, float]]
    in_seconds: bool
    weights: NDArray[np.float64]

    def as_dict(self) -> dict[str, Any]:
        """Plain data: times to a hundredth of a second, weights in units of a ten-thousandth."""
        return {
            "spans": [[round(start, 2), round(end, 2)] for start, end in self.spans],
            "in_seconds": self.in_seconds,
            "weights": np.rint(10_000 * self.weights).astype(int).tolist(),
        }


def video_windows(store: Store, run: str, texts: Mapping[str, Sequence[str]]) -> dict[str, VideoWindows]:
    """The windows of some videos, with the weights that a run gives them for some comments.

    Args:
        store: the root.
        run: a finished run of a network that looks at videos.
        texts: video id -> its comments, as the tables have them.

    Returns:
        Video id -> its windows; without videos that have no vectors.

    Raises:
        CsmvError: the run keeps no network, has no grounding, or its features or libraries are gone.
    """
    try:
        return _video_windows(store, run, texts)
    except ImportError as error:
        raise CsmvError(sentence_for(error) or f"A library is missing to ask run '{run}'.") from None


def _video_windows(store: Store, run: str, texts: Mapping[str, Sequence[str]]) -> dict[str, VideoWindows]:
    import torch

    from csmv.pipeline.vccsa.trained import TrainedRun, read_run_of_network

    config, _ = read_run_of_network(store, run)
    if not config.needs_features:
        raise CsmvError(f"Run '{run}' ('{config.model}') does not look at videos.")
    vectors = {name: _vectors(store, name, texts) for name in config.features}
    features = tuple(
        FeatureSet(name, next(iter(videos.values())).shape[1], videos, "") for name, videos in vectors.items() if videos
    )
    if len(features) < len(config.features):
        raise CsmvError(f"The root has no vectors of these videos that run '{run}' looks at.")
    videos = [video for video in texts if all(one.of(video) is not None for one in features) and texts[video]]
    trained = TrainedRun(store, run, features)
    windows = {}
    for video in videos:
        count = len(texts[video])
        batches = trained.batches(Strings.of(texts[video]), Strings.of([video] * count))
        with torch.inference_mode():
            batch = batches.join(np.arange(count), training=False).to(trained.device)
            weights = trained.network(batch).frame_weights
        if weights is None:
            raise CsmvError(f"Run '{run}' ('{config.model}') gives windows no weights.")
        spans, in_seconds = _spans(store, features, video, config.sizes.visual_length)
        streams = spans if config.combine == "streams" else spans[:1]
        shares = [window_shares(weights[:, k].double().cpu().numpy(), streams) for k in range(count)]
        windows[video] = VideoWindows(list(streams[0]), in_seconds, np.array(shares))
    return windows


def _vectors(store: Store, name: str, videos: Mapping[str, object]) -> dict[str, NDArray[Any]]:
    """The vectors (T, D) of some videos of a feature set, from their shards alone."""
    chosen = {}
    for shard in sorted({store.shard_of(video) for video in videos}):
        rows = read_with_parts(store, f"features/{name}", shard)
        if rows is None:
            continue
        for row in range(rows.num_rows):
            video = rows["video_id"][row].as_py()
            if video in videos and len(lists := rows["features"][row].values):
                width = lists.type.list_size
                chosen[video] = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return chosen


def _spans(
    store: Store, features: Sequence[Any], video: str, most: int
) -> tuple[list[list[tuple[float, float]]], bool]:
    """When each vector of each set is, in seconds; as shares of the video where a footer does not tell for all sets."""
    counts = [min(len(one.of(video)), most) for one in features]
    spans = []
    for one, count in zip(features, counts, strict=True):
        footer = set_footer(store, one.name)
        rule = _RULE.match(footer.get("clip_rule", ""))
        try:
            network = extractor_class(footer.get("extractor", ""))
        except ExtractorError:
            rule = None
        if rule is None:
            shares = [[(k / number, (k + 1) / number) for k in range(number)] for number in counts]
            return shares, False
        fps, frames, step = (int(number) for number in rule.groups())
        granularity = footer.get("granularity", "clip")
        per_window = network.granularities.get(granularity, 1)
        if granularity == "temporal" and network.frames_a_vector:
            per_window = -(-frames // network.frames_a_vector)
        spans.append(vector_spans(ClipRule(fps, frames, step), per_window, count))
    return spans, True
