"""The plan of the house: imports point one way, in no circle, and stand inside a function only for what is heavy.

The graph is read from the source, so imports for type checking and imports inside functions count as imports.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FLOORS = ("extractors", "pipeline", "flows")
"""From the ground up: a module may import its own floor and those below."""

NOT_THERE = {"extractors": {"prefect", "presidio_analyzer"}, "pipeline": {"prefect"}}
"""What a floor never imports, from wherever it comes."""

HEAVY = {
    *("torch", "torchvision", "timm", "transformers", "accelerate", "peft", "sklearn", "scipy", "matplotlib"),
    *(
        "av",
        "decord",
        "torchcodec",
        "prefect",
        "presidio_analyzer",
        "playwright",
        "yt_dlp",
        "cryptography",
        "moto",
        "zstandard",
    ),
    *(
        "tensorboard",
        "wandb",
        "mlflow",
        "regex",
        "tldextract",
        "wordfreq",
        "phonenumbers",
        "s3fs",
        "uvicorn",
        "python_calamine",
        "librosa",
    ),
    *("safetensors", "PIL", "spacy", "gliner", "gliner2", "huggingface_hub", "httpx", "jinja2", "prometheus_client"),
    *("duckdb", "dask", "prefect_dask", "ray", "prefect_ray", "openai", "datasketch"),
}
HEAVY_FOR_COMMANDS = HEAVY | {"pyarrow", "fsspec", "numpy", "pydantic", "yaml", "rich", "httpx", "psutil"}
"""`csmv --help` answers at once, so the modules of the command line load nothing but typer before they are called."""
COMMANDS = ("csmv.flows.commands", "csmv.flows.cli", "csmv.flows.options", "csmv.flows.terminal")

ONE_A_FLOOR = {"__init__", "base", "registry"}
"""Module names that mean the same wherever they stand: what a source or an extractor is, and those there are."""

INSIDE_TO_MOVE: set[tuple[str, str]] = {
    ("csmv.flows.commands.demo", "csmv.flows.commands.collect"),
    ("csmv.flows.commands.ops", "csmv.flows.doctor"),
    ("csmv.flows.doctor", "csmv.flows.server"),
}
"""(importing, imported) inside a function, of a light module, today. The list only gets shorter."""


@dataclass(frozen=True)
class Import:
    """One imported module: by whom, whether inside a function, and whether for type checking only."""

    module: str
    target: str
    inside: bool
    typing: bool

    @property
    def edge(self) -> tuple[str, str]:
        return self.module, self.target


@cache
def modules() -> Mapping[str, Path]:
    found = {}
    for floor in FLOORS:
        for path in sorted((REPOSITORY / floor).rglob("*.py")):
            name = ".".join(("csmv", *path.relative_to(REPOSITORY).with_suffix("").parts)).removesuffix(".__init__")
            found[name] = path
    return found


def floor_of(module: str) -> str:
    return module.split(".")[1]


@cache
def lazy() -> set[str]:
    """The packages that load what is heavy with the first name that needs it."""
    return {name for name, path in modules().items() if "\ndef __getattr__(" in path.read_text(encoding="utf-8")}


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for name, path in modules().items() for found in _in_file(name, path))


def _in_file(module: str, path: Path) -> Iterator[Import]:
    def walk(node: ast.AST, inside: bool, typing: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in _targets(module, path, node):
                yield Import(module, target, inside, typing)
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside or inner, typing or guarded)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False, False)


def _targets(module: str, path: Path, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """What a statement imports: our modules by their full name, others by their first part."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        if node.level:
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            parts = package[: len(package) - node.level + 1]
            base = ".".join([*parts, base] if base else parts)
        # `from package import module` imports the module; any other name comes from the package itself.
        names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base for alias in node.names]
    for name in dict.fromkeys(names):
        yield name if name in modules() else name.split(".")[0]


def reached(edges: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Of each module, all that it comes to by following `edges`."""
    following: dict[str, set[str]] = {}
    for module, target in edges:
        following.setdefault(module, set()).add(target)
    found: dict[str, set[str]] = {}
    for module in following:
        seen: set[str] = set()
        waiting = list(following[module])
        while waiting:
            target = waiting.pop()
            if target not in seen:
                seen.add(target)
                waiting += following.get(target, ())
        found[module] = seen
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    edges = {found.edge for found in imports()}
    everything = reached(edges)
    circles = sorted((module, target) for module, target in edges if module in everything.get(target, {target}))
    assert not circles, "these imports are part of a circle"


def test_imports_point_down() -> None:
    upward = {
        found.edge
        for found in imports()
        if found.target in modules() and FLOORS.index(floor_of(found.target)) > FLOORS.index(floor_of(found.module))
    }
    assert not upward


def test_each_floor_does_without_what_belongs_above_it() -> None:
    strange = {found.edge for found in imports() if found.target in NOT_THERE.get(floor_of(found.module), set())}
    assert not strange


def test_an_import_inside_a_function_is_for_a_heavy_library() -> None:
    at_import = reached(found.edge for found in imports() if not found.inside and not found.typing)

    def is_heavy(target: str, heavy: set[str]) -> bool:
        return target in lazy() or bool(heavy & ({target} | at_import.get(target, set())))

    light = {
        found.edge
        for found in imports()
        if found.inside
        and not is_heavy(found.target, HEAVY_FOR_COMMANDS if found.module.startswith(COMMANDS) else HEAVY)
    }
    assert light == INSIDE_TO_MOVE


def test_a_module_name_stands_once() -> None:
    """A search for a name ends at one module. Groups of commands are left out: they have the names that people type."""
    paths = [path for name, path in modules().items() if not name.startswith("csmv.flows.commands.")]
    counts = Counter(path.stem for path in paths if path.stem not in ONE_A_FLOOR)
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_rules_would_notice() -> None:
    """The graph has what it is known to have, so that an empty one can't pass."""
    edges = {found.edge for found in imports()}
    assert ("csmv.pipeline.splits", "csmv.pipeline.store") in edges
    assert ("csmv.pipeline.scrub", "csmv.pipeline.scrub.scrubber") in edges, "an import for type checking"
    assert reached([("a", "b"), ("b", "c"), ("c", "a")])["a"] == {"a", "b", "c"}
