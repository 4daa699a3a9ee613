"""What a text model of MiniLM's size costs with batches by length, a frozen encoder's stored vectors and kept tokens.

    python tests/benchmarks/bench_vccsa_text.py --annotations DIR --encoder DIR [--comments 2048] [--only scoring]

DIR are the folder of the published CSMV annotations, whose texts are read and never copied, and an encoder's. All
ratios are of CPU seconds of one run on one thread: before with the option off (or comments in the order of the file),
after with it on.
"""

import argparse
import json
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from csmv.pipeline.vccsa import loop
from csmv.pipeline.vccsa.batches import Batches, Rows
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.data import Corpus
from csmv.pipeline.vccsa.networks import assemble, frozen_tower, parameter_groups
from csmv.pipeline.vccsa.predict_table import BATCH_SIZE
from csmv.pipeline.vccsa.text_vectors import TextVectors
from csmv.pipeline.vccsa.token_cache import as_bytes, from_bytes, key_of
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.trained import corpus_of

CPU = torch.device("cpu")


def corpus_from(annotations: Path, count: int) -> Corpus:
    """Published comments drawn from all, seven eighths of them in train and the others in dev, with made-up labels."""
    with zipfile.ZipFile(annotations / "lable_data_dict.json.zip") as archive:
        entries = list(json.loads(archive.read(archive.namelist()[0])).values())
    random = np.random.default_rng(0)
    drawn = [entries[k] for k in np.sort(random.choice(len(entries), count, replace=False))]
    texts, videos = ([str(entry[key]) for entry in drawn] for key in ("comment", "video_file_id"))
    return replace(
        corpus_of(Strings.of(texts), Strings.of(videos), ()),
        opinion=random.integers(0, 3, count),
        emotion=random.integers(0, 8, count),
        part=(np.arange(count) % 8 == 7).astype(np.int8),
    )


def cpu_seconds(step: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    step()
    return time.process_time() - start


def padding(batches: Batches, groups: list[Rows]) -> float:
    """Share of the tokens of some batches that is padding."""
    padded = sum(len(rows) * int(batches.lengths[rows].max()) for rows in groups)
    return 1 - sum(int(batches.lengths[rows].sum()) for rows in groups) / padded


def scored(network: torch.nn.Module, batches: Batches, groups: list[Rows]) -> np.ndarray:
    """Probabilities of all emotions (N, 8)."""
    probabilities = np.zeros((len(batches.corpus.texts), 8))
    network.eval()
    with torch.inference_mode():
        for rows in groups:
            probabilities[rows] = network(batches.join(rows, training=False)).emotion.numpy()
    return probabilities


def timed_scores(network: torch.nn.Module, batches: Batches, groups: list[Rows]) -> tuple[np.ndarray, float]:
    """Probabilities of all emotions (N, 8), and the CPU seconds that they took."""
    start = time.process_time()
    probabilities = scored(network, batches, groups)
    return probabilities, time.process_time() - start


def epoch(network: torch.nn.Module, batches: Batches, number: int = 0) -> float:
    """CPU seconds of an epoch of training, optimizer steps and the scoring of dev."""
    config, accelerator = batches.config, Accelerator(cpu=True)
    optimizer = torch.optim.AdamW(parameter_groups(network, config), weight_decay=0.01, fused=True)
    groups = [[rows] for rows in batches.of_epoch(number)]

    def run() -> None:
        network.train()
        for step, group in enumerate(groups):
            loop._step(
                config, network, optimizer, accelerator, loop.joined(batches, group, accelerator), len(groups), step
            )
        loop.answer(network, batches, batches.corpus.rows("dev"), accelerator)

    return cpu_seconds(run)


def report(name: str, before: float, after: float, more: str = "") -> None:
    """One line."""
    print(f"{name:34s} {before:8.2f} s  {after:8.2f} s  {before / after:6.2f} times as fast  {more}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--annotations", type=Path, required=True, help="folder of the published CSMV annotations")
    parser.add_argument("--encoder", required=True, help="folder of a text encoder, such as all-MiniLM-L6-v2")
    parser.add_argument("--comments", type=int, default=2048)
    parser.add_argument("--only", choices=("scoring",), help="how evaluate and predict read comments, and no training")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = TrainConfig(model="text").replace({"text.encoder": asked.encoder})
    corpus = corpus_from(asked.annotations, asked.comments)
    network, batches, tokenizer = assemble(config, corpus)
    print(f"{date.today()}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, {asked.comments} comments")

    rows = np.arange(asked.comments)
    # Twice: in the sizes of batches that runs are scored in, and in those of `csmv predict`.
    for name, size in (("scoring, by length", 64), ("predict, by length", BATCH_SIZE)):
        plain = [rows[start : start + size] for start in range(0, len(rows), size)]
        ordered = batches.for_scoring(rows, size)
        scored(network, batches, plain[:1])
        (first, before), (second, after) = (timed_scores(network, batches, groups) for groups in (plain, ordered))
        apart = float(np.abs(first - second).max())
        shares = f"padding {padding(batches, plain):.0%} and {padding(batches, ordered):.0%}, scores within {apart:.1e}"
        report(name, before, after, shares)
    if asked.only:
        return

    shuffled = Batches(corpus, config.replace({"bucket_by_length": False}), batches.ids, batches.pad_id)
    shares = f"padding {padding(batches, shuffled.of_epoch(0)):.0%} and {padding(batches, batches.of_epoch(0)):.1%}"
    before, tuned = epoch(network, shuffled), epoch(network, batches)
    report("an epoch, bucket_by_length", before, tuned, shares)
    joining = cpu_seconds(lambda: [batches.join(some, True) for some in batches.of_epoch(0)])
    print(f"joining its batches, which `prefetch` does in a thread: {joining:.2f} s, {joining / tuned:.1%} of an epoch")

    frozen = config.replace({"text.frozen": True})
    network, batches, _ = assemble(frozen, corpus)
    tower = frozen_tower(network, frozen)
    assert tower is not None
    first = epoch(network, batches)
    encoding = cpu_seconds(lambda: setattr(batches, "text_vectors", TextVectors.of(tower, batches, CPU).padded))
    second = epoch(network, batches, 1)
    report("frozen, to an encoder that runs", first, second, f"once {encoding:.2f} s to make the vectors")
    report("frozen, to an encoder that learns", tuned, second)

    assert tokenizer is not None and tokenizer.identity is not None
    identity, kept = tokenizer.identity, as_bytes(batches.ids)
    before = cpu_seconds(lambda: [tokenizer.encode(piece, 128) for piece in corpus.texts.pieces()])
    after = cpu_seconds(lambda: (key_of(identity, corpus.texts, 128), from_bytes(kept, asked.comments)))
    report("tokens, kept", before, after)


if __name__ == "__main__":
    main()
