"""VC-CSA where the video is known to matter: models side by side, and every switch of `vccsa` alone.

    python tests/benchmarks/bench_vccsa_moods.py --folder DIR [--videos 800] [--comments 10] [--seeds 5] [--epochs 6]
        [--only models|switches] [--workers 1]

The data are made by made_moods.py; the split keeps videos apart. Runs are named by setting and seed, and a finished one
is not trained again, so the script may be stopped and started. Prints, for the test part, the mean and the sample
standard deviation over seeds, and for each setting how it differs from `vccsa` with the same seed: mean of the
differences, with the half width of Student's 95 % interval over seeds.
"""

import argparse
import json
import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).parent))
from made_moods import FEATURES, Size, make_root

from csmv.pipeline.root import is_safe_id
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.train_config import MODELS, TrainConfig

SWITCHES = (
    "switches.standardised=false",
    "switches.masked_convolutions=false",
    "switches.masked_grounding=false",
    "switches.frame_weights=recurrent",
    "switches.frame_weights=lstm",
    "switches.scaled_mixing=false",
    "switches.residual=false",
    "switches.pooling=masked-mean",
    "switches.pooling=max",
    "switches.variable_lengths=false",
    "switches.loss=focal",
    "switches.class_balance=fourth-root-inverse",
    "optimizer.decay_biases_and_norms=false",
    "optimizer.schedule=cosine",
    "optimizer.schedule=constant",
    "comments_per_video=4",
)
"""Each alone, beside the defaults of `vccsa`. `fused_attention` changes speed and no result."""
SCORES = ("opinion micro_f1", "opinion macro_f1", "emotion micro_f1", "emotion macro_f1")


def prepared(folder: Path, size: Size, seed: int) -> Store:
    """The root, made if it is not there, and its split."""
    root = folder / f"moods-{size.videos}x{size.comments}-{seed}"
    if not (root / "splits" / "video.parquet").exists():
        store = make_root(root, size, seed)
        build_split(store, SplitConfig(kind="video"))
    return Store.open(str(root))


def run_name(setting: str, seed: int) -> str:
    name = f"{setting}-s{seed}".translate(str.maketrans("=_.", "---"))
    assert is_safe_id(name)
    return name


def train_one(root: str, setting: str, seed: int, epochs: int, visual_length: int) -> None:
    """One run of a model, or of `vccsa` with one field changed."""
    base = TrainConfig(split="video", features=(FEATURES,), seed=seed, epochs=epochs)
    field, _, value = setting.partition("=")
    changes = {field: value} if value else {"model": setting}
    lengths = {"sizes.visual_length": visual_length, "sizes.paper_text_length": 40}
    train(Store.open(root), base.replace(lengths | changes), run_name(setting, seed))


def scores(store: Store, setting: str, seed: int) -> list[float]:
    """Test F1 in percent of one run, in the order of SCORES."""
    test = json.loads(store.read_file(f"models/{run_name(setting, seed)}/metrics.json"))["metrics"]["test"]
    return [100 * test[task][metric] for task, metric in (score.split() for score in SCORES)]


def table(store: Store, settings: tuple[str, ...], seeds: range) -> str:
    """A Markdown table of test scores and of differences from `vccsa`."""
    base = np.array([scores(store, "vccsa", seed) for seed in seeds])
    lines = ["| setting | " + " | ".join(SCORES) + " |", "| --- |" + " ---: |" * len(SCORES)]
    for setting in settings:
        here = np.array([scores(store, setting, seed) for seed in seeds])
        spread = here.std(axis=0, ddof=1) if len(seeds) > 1 else np.zeros(len(SCORES))
        cells = [f"{mean:.1f} ± {sd:.1f}" for mean, sd in zip(here.mean(axis=0), spread, strict=True)]
        if setting != "vccsa" and len(seeds) > 1:
            gaps = here - base
            half = student.ppf(0.975, len(seeds) - 1) * gaps.std(axis=0, ddof=1) / np.sqrt(len(seeds))
            cells = [
                f"{cell} ({gap:+.1f} ± {h:.1f})" for cell, gap, h in zip(cells, gaps.mean(axis=0), half, strict=True)
            ]
        lines.append(f"| {setting} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=800)
    parser.add_argument("--comments", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--only", choices=("models", "switches"))
    parser.add_argument("--workers", type=int, default=1, help="runs at the same time, each a process")
    parser.add_argument("--data-seed", type=int, default=0)
    arguments = parser.parse_args()
    size = Size(videos=arguments.videos, comments=arguments.comments)
    store = prepared(arguments.folder, size, arguments.data_seed)
    seeds = range(1, arguments.seeds + 1)
    groups = {"models": MODELS, "switches": ("vccsa", *SWITCHES)}
    for name, settings in groups.items():
        if arguments.only not in (None, name):
            continue
        with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
            jobs = [
                pool.submit(train_one, store.root, setting, seed, arguments.epochs, size.windows[1])
                for seed in seeds
                for setting in settings
            ]
            for job in jobs:
                job.result()
        print(
            f"\n{name}, {size.videos} videos, {size.videos * size.comments} comments, {len(seeds)} seeds\n", flush=True
        )
        print(table(store, settings, seeds), flush=True)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\n{spent.ru_utime + spent.ru_stime:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
