"""Texts a second of the audit's search beside the scrub's, on the same texts, with the same names, in one process.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_audit.py [--comments 100000] [--rounds 3] [--real]

Comments are made as those of bench_scale.py are; with --real they are the published ones of CSMV, and the names are
those of the videos' creators. They are scrubbed before either is measured: what the audit reads is scrubbed, and both
then search every text in vain. The audit also opens the table, looks for ids, and takes texts that stand there twice
together. Seconds are CPU seconds; each round measures both, and the best of each counts. Exit code 1 if the audit takes
over a fifth more than the scrub.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from bench_scale import COMMENTS_A_VIDEO, make_folder  # noqa: E402
from bench_scrub import SHARED, real_comments  # noqa: E402

from csmv.pipeline.known_names import KnownNames  # noqa: E402
from csmv.pipeline.privacy.audit import _Search  # noqa: E402
from csmv.pipeline.privacy.forgotten import Forgotten  # noqa: E402
from csmv.pipeline.scrub import Scrubber, ScrubPolicy  # noqa: E402
from csmv.pipeline.scrub.word_lists import WordLists  # noqa: E402
from csmv.pipeline.sources.link_files import creators_in  # noqa: E402


def made(comments: int) -> tuple[list[str], KnownNames]:
    """Texts of made comments, and the names and ids of those who wrote them."""
    known = KnownNames()
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder) / "source", comments, max(1, round(comments / COMMENTS_A_VIDEO)))
        with (Path(folder) / "source" / "comments.jsonl").open() as lines:
            rows = [json.loads(line) for line in lines]
    known.handles.update(row["author"] for row in rows)
    known.ids.update(row["id"] for row in rows)
    return [row["text"] for row in rows], known


def real(comments: int) -> tuple[list[str], KnownNames]:
    """So many of the published comments, and the handles in the links to their videos."""
    known = KnownNames()
    known.handles.update(creators_in(SHARED / "csmv" / "CSMV_rawLinks.xlsx").values())
    return real_comments()[1][:comments], known


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comments", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    texts, known = real(options.comments) if options.real else made(options.comments)
    scrubber = Scrubber(ScrubPolicy(), names=known.names)
    texts = [scrubbed.text for scrubbed in scrubber.scrub(texts)]
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), sink)
    search = _Search(known, ScrubPolicy(), Forgotten(), WordLists())
    seconds: dict[str, list[float]] = {"scrub": [], "audit": []}
    for _ in range(options.rounds):
        begun = time.process_time()
        scrubber.scrub(texts)
        seconds["scrub"].append(time.process_time() - begun)
        begun = time.process_time()
        search.file("comments/0000.parquet", "comments/0000.parquet", sink.getvalue())
        seconds["audit"].append(time.process_time() - begun)
    hits = search.results().places.total() // options.rounds
    print(f"{len(texts):,} texts, {len(set(texts)):,} of them different, {len(known.names):,} names, {hits} hits")
    for name, taken in seconds.items():
        print(f"{name:>6}  {len(texts) / min(taken):>9,.0f} texts/s  {min(taken):.2f} CPU s")
    ratio = min(seconds["scrub"]) / min(seconds["audit"])
    print(f"audit / scrub: {ratio:.2f}")
    return int(ratio < 1 / 1.2)


if __name__ == "__main__":
    sys.exit(main())
