"""How many small faults in a module its own tests notice: `make mutants`, or `python tests/mutants.py MODULE ...`.

For each module a seeded sample of mutmut's mutants is drawn; each is written into a copy of the tree, where the
module's own tests run until one fails. A mutant that no test fails on is printed as a diff. Exits with 1 if fewer than
`--at-least` per cent of a module's sample are killed. Takes a few minutes a module, so it is not part of `make test`.

Left out of the draw are mutants that say little about the tests: those mypy refuses anyway (a value or an argument
replaced by None), annotations, decorators, docstrings, the wording of errors and of descriptions; and those that
change nothing: a codec's name in capitals, and `zip` without the `strict` that guards what cannot happen.
"""

import argparse
import contextlib
import difflib
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

TREE = Path(__file__).resolve().parent.parent
OWN_TESTS = {
    "pipeline/splits.py": "tests/pipeline/test_splits.py",
    "extractors/sampling.py": "tests/extractors/test_clip_rule.py",
    "extractors/transforms.py": "tests/extractors/test_transform_answers.py",
    "pipeline/vccsa/metrics.py": "tests/pipeline/vccsa/test_metrics.py",
    "pipeline/vccsa/evaluation.py": "tests/pipeline/vccsa/test_known_answers.py",
    "pipeline/scrub/folding.py": "tests/pipeline/scrub/test_folding.py",
    "pipeline/scrub/gazetteer.py": "tests/pipeline/scrub/test_gazetteer.py",
    "pipeline/scrub/forms.py": "tests/pipeline/scrub/test_gazetteer.py",
    "pipeline/sources/video_links.py": "tests/pipeline/sources/test_video_links.py",
    "pipeline/sources/walls.py": "tests/pipeline/sources/test_walls.py",
    "pipeline/pseudonym.py": "tests/pipeline/test_pseudonym.py",
    "pipeline/root.py": "tests/pipeline/test_store_promises.py",
    "pipeline/table_reader.py": "tests/pipeline/test_store_promises.py",
    "pipeline/store.py": "tests/pipeline/test_store_promises.py",
    "pipeline/failures.py": "tests/pipeline/test_store_promises.py",
}
"""Each module and the file of tests that has to notice its mutants."""

_OURS = ("csmv", "tests")
_NOT_MUTATED = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom)
_NO_COUNT = ("len", "isinstance", "super", "cast")


@dataclass(frozen=True)
class Mutant:
    """A module's whole text with one small change, and where the change is."""

    line: int
    code: str


class _Collector(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[int, cst.CSTNode, cst.CSTNode]] = []
        self._raising = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, _NOT_MUTATED) or _is_docstring(node) or _is_wording(node) or _calls_one_of(node, _NO_COUNT):
            return False
        if isinstance(node, cst.If) and isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING":
            return False
        self._raising += isinstance(node, cst.Raise)
        wording = self._raising and isinstance(node, cst.BaseString)
        if not wording:
            line = self.get_metadata(PositionProvider, node, None)
            for changed in _mutations(node):
                self.changes.append((line.start.line if line else 0, node, changed))
        return not wording

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self._raising -= isinstance(original_node, cst.Raise)


def _is_docstring(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString)


def _calls_one_of(node: cst.CSTNode, names: tuple[str, ...]) -> bool:
    return isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value in names


def _mutations(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    from mutmut.mutation.mutators import mutation_operators

    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            yield from (changed for changed in operator(node) if not _says_little(node, changed))


def _says_little(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    return _puts_none(node, changed) or _drops_strict(node, changed)


def _drops_strict(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    return _calls_one_of(node, ("zip",)) and isinstance(changed, cst.Call) and _keywords(node) > _keywords(changed)


def _keywords(node: cst.CSTNode) -> int:
    return sum(arg.keyword is not None for arg in node.args) if isinstance(node, cst.Call) else 0


def _is_wording(node: cst.CSTNode) -> bool:
    """Whether a node is what a setting is described as, or `strict=True`, or the name of a codec."""
    if isinstance(node, cst.Arg):
        return node.keyword is not None and node.keyword.value in ("description", "strict")
    return isinstance(node, cst.SimpleString) and node.raw_value in ("utf-8", "ascii", "utf-16", "utf-8-sig")


def _puts_none(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Whether a value or an argument became None, which mypy refuses."""
    if isinstance(changed, cst.Assign | cst.AnnAssign):
        return isinstance(changed.value, cst.Name) and changed.value.value == "None"
    if isinstance(node, cst.Call) and isinstance(changed, cst.Call) and len(node.args) == len(changed.args):
        pairs = zip(node.args, changed.args, strict=True)
        return any(a is not b and isinstance(b.value, cst.Name) and b.value.value == "None" for a, b in pairs)
    return False


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a module that still compiles, in order of place."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    collector = _Collector()
    wrapper.visit(collector)
    codes: dict[str, int] = {}
    for line, node, changed in collector.changes:
        code = wrapper.module.deep_replace(node, changed).code  # type: ignore[attr-defined]
        with contextlib.suppress(SyntaxError):
            compile(code, "mutant", "exec")
            if code != source:
                codes.setdefault(code, line)
    return [Mutant(line, code) for code, line in codes.items()]


def copy_tree(folder: Path) -> Path:
    """A copy of what git knows of the tree, the shared data beside it as it is beside ours."""
    tree = folder / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TREE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (TREE / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TREE / name, tree / name)
    package = tree / ".venv" / "links" / "csmv"
    package.mkdir(parents=True)
    for floor in ("pipeline", "extractors", "flows"):
        (package / floor).symlink_to(tree / floor)
    if (TREE.parent / "shared").exists():
        (folder / "shared").symlink_to(TREE.parent / "shared")
    return tree


def _pytest(tree: Path, tests: str) -> int:
    """Run the tests in this process, in the copy; only for a process that ends with it."""
    import pytest

    os.chdir(tree)
    sys.path.insert(0, str(tree / ".venv" / "links"))
    sys.argv = ["pytest"]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0", "-m", "not slow"]
    return int(pytest.main([*options, tests]))


def run_tests(tree: Path, tests: str, limit_s: float, log: Path) -> int | None:
    """The exit code of the tests in a forked child, which has our third-party modules loaded; None if it hung."""
    shutil.rmtree(tree / ".hypothesis", ignore_errors=True)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            code = _pytest(tree, tests)
        except BaseException:
            code = 3
        os._exit(code)
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def preload(tree: Path, tests: str) -> None:
    """Import the third-party modules that the tests import, so that each fork starts with them."""
    program = (
        "import sys, pytest; code = pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', sys.argv[1]]); "
        "print('\\n'.join(['MODULES', *sys.modules])); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, tests], cwd=tree, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{tests} cannot be collected:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    for name in done.stdout.partition("\nMODULES\n")[2].split():
        if name.partition(".")[0] not in (*_OURS, "__main__", "conftest"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def judge(module: str, sample: int, seed: int, folder: Path) -> float:
    """Print the survivors of a sample of a module's mutants; the share that was killed."""
    tests = OWN_TESTS[module]
    tree = copy_tree(folder)
    preload(tree, tests)
    source = (TREE / module).read_text()
    log = folder / "log"
    started = time.monotonic()
    if run_tests(tree, tests, 600, log) != 0:
        raise SystemExit(f"{tests} fails without any mutant:\n{log.read_text()[-3000:]}")
    limit_s = 20 + 5 * (time.monotonic() - started)
    every = mutants_of(source)
    drawn = random.Random(seed).sample(every, min(sample, len(every)))
    print(f"{module}: {len(drawn)} of {len(every)} mutants, each against {tests}", flush=True)
    killed = 0
    for mutant in sorted(drawn, key=lambda mutant: mutant.line):
        (tree / module).write_text(mutant.code)
        if run_tests(tree, tests, limit_s, log) == 0:
            changed = difflib.unified_diff(source.splitlines(), mutant.code.splitlines(), n=0, lineterm="")
            print(f"  survives, line {mutant.line}:", *list(changed)[3:], sep="\n    ", flush=True)
        else:
            killed += 1
    seconds = time.monotonic() - started
    print(f"{module}: {killed} of {len(drawn)} killed ({killed / len(drawn):.0%}), {seconds:.0f} s", flush=True)
    return killed / len(drawn)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as pipeline/splits.py (default: all)")
    parser.add_argument("--sample", type=int, default=40, help="mutants a module (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")
    parser.add_argument("--at-least", type=float, default=85, help="per cent to be killed (default: 85)")
    chosen = parser.parse_args()
    sys.dont_write_bytecode = True  # two mutants of one size and one second would share their bytecode
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "CSMV_PROGRESS": "0"}
    shares = []
    for module in chosen.modules or OWN_TESTS:
        if module not in OWN_TESTS:
            parser.error(f"no tests are named for {module!r}; known: {', '.join(OWN_TESTS)}")
        with tempfile.TemporaryDirectory() as folder:
            shares.append(judge(module, chosen.sample, chosen.seed, Path(folder)))
    return int(100 * min(shares) < chosen.at_least)


if __name__ == "__main__":
    sys.exit(main())
