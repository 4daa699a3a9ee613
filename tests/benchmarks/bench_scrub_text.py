"""Measures the scrub's false alarms on text that nobody here wrote: any folder of text that you have.

    python tests/benchmarks/bench_scrub_text.py FOLDER ...

Reads each folder as `text_sets.py` says, scrubs every line by the default policy on all cores, and prints by set and
by rule how often something was found. Nothing is loaded from anywhere. A line that was there before, in any set, is
not counted again.

Whether a finding is right, a person says:

    --samples FILE     writes findings of each rule to FILE, outside the project, since it shows the texts: a table with
                       an empty column `verdict`, in which `right`, or `false` and what kind of mistake it is
                       (`false: a time of day`), is to be written
    --judged FILE      takes the verdicts out of such a file ...
    --verdicts FILE    ... into this one, which holds a verdict for each digest of a line, and no text
    --by WHO           who judged, as the page is to say it

With verdicts, each rule's false alarms are told: counted if all of its findings were judged, and else estimated from
the ones that were, which digests pick. A rule with more than 2 in 10,000 lines is marked.

    --gold FOLDER      also tells how much of what others marked in the tests and data of Presidio, presidio-research
                       and scrubadub is gone, by kind: FOLDER holds checkouts of them

    --write            writes scrub_text_results.json and scrub_text_results.md beside this file, and what the report
                       tells of it into pipeline/scrub/measured.json: figures, and no text
"""

import argparse
import csv
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
MEASURED = PROJECT / "pipeline" / "scrub" / "measured.json"
RESULTS = HERE / "scrub_text_results"
"""Without its endings, .json and .md."""
sys.path.insert(0, str(HERE))

from gold_suites import cases_in, recall  # noqa: E402
from text_sets import TextSet, text_sets  # noqa: E402

from csmv.pipeline.errors import CsmvError  # noqa: E402
from csmv.pipeline.scrub import Scrubber, ScrubPolicy  # noqa: E402
from csmv.pipeline.scrub_pool import ScrubPool  # noqa: E402

FALSE_ALARM_GOAL = 2.0
"""False alarms of each rule in 10,000 lines, at most."""
SAMPLE = 60
"""Findings of each rule that are given to be judged; of a rule with fewer, all."""
_AT_ONCE = 20_000
_AT_LEAST = 3
"""False alarms of a rule in one set from which on they are told: one or two would say little."""
_AROUND = 120
"""Characters of a text that are shown on each side of a finding."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One finding in a text of a set."""

    text_set: str
    text: str
    start: int
    end: int
    rule: str
    kind: str

    @property
    def key(self) -> str:
        """Stands for this finding in the file of verdicts: the line's digest, and where the finding is in it."""
        return f"{digest_of(self.text)}:{self.start}-{self.end}"

    def marked(self) -> str:
        """The text around the finding, on one line, with the finding in brackets."""
        before, inside = self.text[max(0, self.start - _AROUND) : self.start], self.text[self.start : self.end]
        return " ".join(f"{before}⟦{inside}⟧{self.text[self.end : self.end + _AROUND]}".split())


def digest_of(text: str) -> str:
    """A digest of a line, 16 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass
class Found:
    """What the scrub found in some sets of text."""

    lines: Counter[str] = field(default_factory=Counter)
    """By set; each line once."""
    touched: Counter[str] = field(default_factory=Counter)
    """Lines with a finding, by set."""
    hits: list[Hit] = field(default_factory=list)
    masks: Counter[str] = field(default_factory=Counter)
    """Findings, by set, that are nothing but a mask that its makers put in place of something: they tell nothing."""
    seconds: float = 0.0


def find(
    sets: Sequence[TextSet], column: str | None = None, encoding: str | None = None, jobs: int | None = None
) -> Found:
    """Scrub every line of the sets by the default policy; the same whatever `jobs` is."""
    found, seen = Found(), set[str]()
    started = time.monotonic()
    with ScrubPool(ScrubPolicy(), jobs=jobs) as pool:
        for text_set in sets:
            masks = text_set.about.get("mask", "").casefold().split()
            for texts in _batches(_new(text_set.texts(column, encoding), seen)):
                found.lines[text_set.name] += len(texts)
                for text, scrubbed in zip(texts, pool.scrub(texts), strict=True):
                    places = [(span, text[span.start : span.end].casefold() in masks) for span in scrubbed.spans]
                    found.masks[text_set.name] += sum(masked for _, masked in places)
                    hits = [
                        Hit(text_set.name, text, span.start, span.end, span.recognizer, span.kind)
                        for span, masked in places
                        if not masked
                    ]
                    found.touched[text_set.name] += bool(hits)
                    found.hits += hits
    found.seconds = time.monotonic() - started
    return found


def _new(texts: Iterable[str], seen: set[str]) -> Iterator[str]:
    for text in texts:
        digest = digest_of(text.strip())
        if digest not in seen:
            seen.add(digest)
            yield text


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(texts, _AT_ONCE)):
        yield batch


# ---------------------------------------------------------------------- verdicts


def samples(hits: Iterable[Hit], size: int = SAMPLE) -> list[Hit]:
    """Of each rule `size` findings, or all if there are fewer; which ones, digests of them say."""
    by_rule: dict[str, list[Hit]] = {}
    for hit in hits:
        by_rule.setdefault(hit.rule, []).append(hit)
    # By a digest of its own: findings of one line are much alike, and should not come all together.
    drawn = {rule: sorted(found, key=lambda hit: digest_of(hit.key))[:size] for rule, found in by_rule.items()}
    return [hit for rule in sorted(drawn) for hit in drawn[rule]]


_COLUMNS = ("verdict", "key", "rule", "kind", "set", "text")


def write_samples(file: Path, hits: Iterable[Hit], verdicts: dict[str, str]) -> None:
    """Write findings for a person to judge; readable by the owner alone.

    Raises:
        CsmvError: the file would lie in the project, where texts of other people have no place.
    """
    if PROJECT in file.resolve().parents:
        raise CsmvError(f"'{file}' lies in the project. It would show texts of other people: name a file outside it.")
    with os.fdopen(
        os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline=""
    ) as out:
        rows = csv.writer(out, delimiter="\t")
        rows.writerow(_COLUMNS)
        for hit in hits:
            text = hit.marked().encode("utf-8", "replace").decode()
            rows.writerow((verdicts.get(hit.key, ""), hit.key, hit.rule, hit.kind, hit.text_set, text))


def judged_in(file: Path) -> dict[str, str]:
    """The verdicts that a person wrote into a file of samples.

    Raises:
        CsmvError: the file is not one, or a verdict is neither right nor false.
    """
    try:
        with file.open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source, delimiter="\t"))
    except (OSError, UnicodeError):
        raise CsmvError(f"The file '{file}' can't be read: expected one that --samples wrote.") from None
    verdicts = {row["key"]: row["verdict"].strip() for row in rows if row.get("key") and (row["verdict"] or "").strip()}
    return _checked(verdicts, file)


def read_verdicts(file: Path) -> dict[str, str]:
    """A file of verdicts, or none if it is not there yet.

    Raises:
        CsmvError: it is no JSON object of verdicts.
    """
    if not file.is_file():
        return {}
    try:
        verdicts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        verdicts = None
    if not isinstance(verdicts, dict):
        raise CsmvError(f"'{file}' should be a JSON object of verdicts by finding.")
    return _checked(verdicts, file)


def _checked(verdicts: dict[str, str], file: Path) -> dict[str, str]:
    wrong = sum(
        not isinstance(said, str) or said.partition(":")[0] not in ("right", "false") for said in verdicts.values()
    )
    if wrong:
        raise CsmvError(f"{wrong} verdicts in '{file}' are neither 'right' nor 'false', with or without ': why'.")
    return verdicts


# ---------------------------------------------------------------------- figures


def figures(sets: Sequence[TextSet], found: Found, verdicts: dict[str, str]) -> dict[str, Any]:
    """What was found, by set and by rule, in numbers alone."""
    lines = sum(found.lines.values())
    return {
        "lines": lines,
        "lines_with_a_finding": sum(found.touched.values()),
        "hits": len(found.hits),
        "masks": sum(found.masks.values()),
        "sets": [_of_set(one, found, verdicts) for one in sets],
        "rules": {rule: _of_rule(hits, lines, verdicts) for rule, hits in _by_rule(found.hits).items()},
    }


def _by_rule(hits: Iterable[Hit]) -> dict[str, list[Hit]]:
    rules: dict[str, list[Hit]] = {}
    for hit in hits:
        rules.setdefault(hit.rule, []).append(hit)
    return {rule: rules[rule] for rule in sorted(rules, key=lambda rule: (-len(rules[rule]), rule))}


def _of_set(text_set: TextSet, found: Found, verdicts: dict[str, str]) -> dict[str, Any]:
    hits = [hit for hit in found.hits if hit.text_set == text_set.name]
    false = [hit for hit in hits if verdicts.get(hit.key, "").startswith("false")]
    about = {name: text_set.about[name] for name in ("language", "source", "licence") if name in text_set.about}
    return {
        "name": text_set.name,
        **about,
        "lines": found.lines[text_set.name],
        "lines_with_a_finding": found.touched[text_set.name],
        "hits": len(hits),
        "masks": found.masks[text_set.name],
        "judged": sum(hit.key in verdicts for hit in hits),
        "false": len(false),
        "rules": dict(sorted(Counter(hit.rule for hit in hits).items())),
        "false_by_rule": dict(Counter(hit.rule for hit in false).most_common()),
    }


def _of_rule(hits: list[Hit], lines: int, verdicts: dict[str, str]) -> dict[str, Any]:
    said = [verdicts[hit.key] for hit in hits if hit.key in verdicts]
    false = [one for one in said if one.startswith("false")]
    share = len(false) / len(said) if said else math.nan
    per = 10_000 / max(1, lines)
    return {
        "hits": len(hits),
        "per_10000": round(len(hits) * per, 2),
        "judged": len(said),
        "false": len(false),
        "counted": len(said) == len(hits),
        "false_per_10000": round(share * len(hits) * per, 2) if said else None,
        "at_most_per_10000": round(_at_most(len(false), len(said), len(hits)) * per, 2) if said else None,
        "over": bool(said) and share * len(hits) * per > FALSE_ALARM_GOAL,
        "mistakes": dict(Counter(one.partition(":")[2].strip() or "not said" for one in false).most_common()),
    }


def _at_most(false: int, judged: int, hits: int) -> float:
    """How many of a rule's findings are false at most, with 95 % confidence: Wilson's upper limit for the rest."""
    if judged == hits:
        return false
    z, share = 1.645, false / judged
    middle = share + z * z / (2 * judged)
    spread = z * math.sqrt(share * (1 - share) / judged + z * z / (4 * judged * judged))
    return false + (hits - judged) * (middle + spread) / (1 + z * z / judged)


def page(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    judged = sum(rule["judged"] for rule in results["rules"].values())
    lines = [
        "# The scrub on text that nobody here wrote",
        "",
        f"Measured on {results['date']} with `{results['command']}`,",
        f"{results['hardware']}. {results['lines']:,} different lines in {len(results['sets'])} sets, the default",
        f"policy; {results['lines_with_a_finding']:,} lines with a finding, {results['hits']:,} findings, {judged:,}",
        f"of them read and judged by {results['judged_by']}.",
        f"Left out are {results['masks']:,} masks such as @user, which the makers of some sets put in place of names.",
        "Of a rule with more findings than were judged, false ones are estimated from those that were, which digests",
        "picked; `at most` is the upper limit of that with 95 % confidence.",
        f"The goal is at most {FALSE_ALARM_GOAL:g} false in 10,000 lines for each rule.",
        "",
        "| rule | found | in 10,000 lines | judged | false | false in 10,000 lines | at most | over the goal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, rule in results["rules"].items():
        told = [_or(rule[key]) for key in ("false_per_10000", "at_most_per_10000")]
        lines.append(
            f"| {name} | {rule['hits']:,} | {rule['per_10000']} | {rule['judged']} | {rule['false']} | {told[0]} "
            f"| {told[1]} | {'**yes**' if rule['over'] else 'no' if rule['judged'] else 'not judged'} |"
        )
    lines += ["", "What was taken for something else:", ""]
    for name, rule in results["rules"].items():
        if rule["mistakes"]:
            lines.append(f"- {name}: " + ", ".join(f"{why} {count}" for why, count in rule["mistakes"].items()))
    lines += [
        "",
        f"In one set alone over the goal, by the findings that were judged, where there were at least {_AT_LEAST}:",
        "",
    ]
    for one in results["sets"]:
        rates = {
            rule: 10_000 * count / one["lines"] for rule, count in one["false_by_rule"].items() if count >= _AT_LEAST
        }
        told = [f"{rule} {rate:.1f}" for rule, rate in rates.items() if rate > FALSE_ALARM_GOAL]
        lines += [f"- {one['name']}: {', '.join(told)}"] if told else []
    lines += [
        "",
        "| set | language | licence as stated | lines | with a finding | found | judged | false | source |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {one['name']} | {one.get('language', '')} | {one.get('licence', '')} | {one['lines']:,} "
            f"| {one['lines_with_a_finding']:,} | {one['hits']:,} | {one['judged']:,} | {one['false']} "
            f"| {one.get('source', '')} |"
            for one in results["sets"]
        ),
        "",
    ]
    return "\n".join([*lines, *_gold(results.get("gold", {}))])


def _gold(gold: dict[str, dict[str, dict[str, int]]]) -> list[str]:
    if not gold:
        return []
    return [
        "## What others marked in suites of their own",
        "",
        "A place counts as gone if every character of it is, but blanks. Names of persons and places, dates and",
        "postcodes, which the default policy leaves, are left out. What mostly stays: documents that stand alone,",
        "without a word that says what they are, and the addresses of presidio-research, which are put together of",
        "streets, flats, towns and states of different countries, and marked in pieces.",
        "",
        "| suite | marked as | places | gone | share |",
        "|---|---|---|---|---|",
        *(
            f"| {suite} | {label} | {row['places']} | {row['gone']} | {row['gone'] / row['places']:.1%} |"
            for suite, labels in gold.items()
            for label, row in labels.items()
        ),
        "",
    ]


def _or(number: float | None) -> str:
    return "" if number is None else str(number)


def for_the_report(results: dict[str, Any]) -> dict[str, Any]:
    """What the HTML report of any root tells of these results."""
    rules = results["rules"].values()
    languages = {name.strip() for one in results["sets"] for name in one.get("language", "").split(",") if name.strip()}
    return {
        "date": results["date"],
        "command": results["command"],
        "lines": results["lines"],
        "goal_per_10000": FALSE_ALARM_GOAL,
        "sets": len(results["sets"]),
        "languages": len(languages),
        "hits": results["hits"],
        "judged_by": results["judged_by"],
        "judged": sum(rule["judged"] for rule in rules),
        "false": sum(rule["false"] for rule in rules),
        "rules": len(results["rules"]),
        "rules_over": sum(rule["over"] for rule in rules),
        "not_judged": sum(not rule["judged"] for rule in rules),
        "suites": {
            suite: {key: sum(row[key] for row in labels.values()) for key in ("places", "gone")}
            for suite, labels in results["gold"].items()
        },
    }


def hardware() -> str:
    """The processor and its cores, as this system tells them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{cores} cores of {model}"


def revision() -> str:
    """The commit that was measured, if this is a checkout."""
    run = subprocess.run(["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return run.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write what is asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of text, or files")
    asked.add_argument("--column", help="of tables and records, by name or number from 1; guessed if left out")
    asked.add_argument("--encoding", help="of the files; found out if left out")
    asked.add_argument("--samples", type=Path, metavar="FILE", help="write findings to judge, outside the project")
    asked.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help=f"of each rule, {SAMPLE} if left out")
    asked.add_argument("--judged", type=Path, metavar="FILE", help="a file of samples with verdicts; needs --verdicts")
    asked.add_argument("--verdicts", type=Path, metavar="FILE", help="verdicts by digest, read and added to")
    asked.add_argument("--by", default="a person", metavar="WHO", help="who judged; 'a person' if left out")
    asked.add_argument("--gold", type=Path, metavar="FOLDER", help="checkouts of suites that others marked")
    asked.add_argument("--jobs", type=int, help="processes; as many as there are cores if left out")
    asked.add_argument("--write", action="store_true", help="write the figures into the project")
    given = asked.parse_args(arguments)
    if given.judged and not given.verdicts:
        asked.error("--judged puts its verdicts into the file that --verdicts names: name one.")
    try:
        print(run(given))
    except CsmvError as error:
        sys.exit(str(error))


def run(given: argparse.Namespace) -> str:
    """What `main` does, for the arguments given."""
    verdicts = read_verdicts(given.verdicts) if given.verdicts else {}
    if given.judged:
        verdicts |= judged_in(given.judged)
        given.verdicts.write_text(json.dumps(dict(sorted(verdicts.items())), indent=0) + "\n", encoding="utf-8")
    sets = text_sets(given.folders)
    found = find(sets, given.column, given.encoding, given.jobs)
    if given.samples:
        write_samples(given.samples, samples(found.hits, given.sample), verdicts)
    # Where the texts lie on this machine is nobody's business.
    command = "python tests/benchmarks/bench_scrub_text.py FOLDER --verdicts FILE"
    command += " --gold FOLDER" * bool(given.gold) + " --write" * given.write
    cases = cases_in(given.gold) if given.gold else []
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "hardware": hardware(),
        "judged_by": given.by,
        "revision": revision(),
        "seconds": round(found.seconds, 1),
        **figures(sets, found, verdicts),
        "gold": recall(cases, Scrubber(ScrubPolicy()).scrub([case.text for case in cases])),
    }
    if given.write:
        _put(RESULTS.with_suffix(".json"), results)
        RESULTS.with_suffix(".md").write_text(page(results), encoding="utf-8")
        told = json.loads(MEASURED.read_text(encoding="utf-8"))
        _put(MEASURED, told | {"public_text": for_the_report(results)})
    skipped = sum(len(one.skipped) for one in sets)
    rest = f"\n{skipped} files were of no kind that is read.\n" if skipped else ""
    return page(results) + rest


def _put(file: Path, data: dict[str, Any]) -> None:
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
