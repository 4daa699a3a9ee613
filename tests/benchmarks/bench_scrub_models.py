"""How long a language model takes as a scrub's second opinion: beside the rules alone, and by the size of its batches.

    python tests/benchmarks/bench_scrub_models.py [TEXTS]

The model is a token classifier of BERT-base's size with random weights: it takes as long as a trained one, and finds
nothing worth finding. Ratios are to the rules of the same run.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from tiny_models import PLAIN, wordpiece

from csmv.pipeline.scrub import NerModel, Scrubber, ScrubPolicy

BATCHES = (1, 8, 32)


def model_of_usual_size(folder: Path) -> Path:
    """110 million parameters; one label, on which no threshold is met."""
    from transformers import BertConfig, BertForTokenClassification

    tokenizer = wordpiece(PLAIN)
    labels = {0: "O", 1: "PHONE"}
    config = BertConfig(id2label=labels, label2id={label: number for number, label in labels.items()})
    BertForTokenClassification(config).save_pretrained(folder)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return folder


def seconds(policy: ScrubPolicy, texts: list[str]) -> float:
    """That a loaded scrubber takes, on one thread."""
    scrubber = Scrubber(policy)
    scrubber.scrub(texts[:2])
    begin = time.perf_counter()
    for at in range(0, len(texts), 250):
        scrubber.scrub(texts[at : at + 250])
    return time.perf_counter() - begin


def main() -> None:
    """Print a line for the rules, and one for each size of batch."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    draw = random.Random(7)
    texts = [" ".join(draw.choices(PLAIN, k=draw.randint(3, 25))) for _ in range(count)]
    rules = seconds(ScrubPolicy(), texts)
    print(f"rules alone: {count / rules:,.0f} texts a second")
    with tempfile.TemporaryDirectory() as folder:
        name = str(model_of_usual_size(Path(folder)))
        for batch in BATCHES:
            model = NerModel(framework="transformers", name=name, batch=batch, threshold=1.0)
            took = seconds(ScrubPolicy(models=(model,)), texts)
            print(f"with a model, batch {batch}: {count / took:,.1f} texts a second, {took / rules:,.0f} times as long")


if __name__ == "__main__":
    main()
