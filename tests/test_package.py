"""Installed, everything is below one name, `csmv`; the folders at the top are only where it is kept."""

import re
import subprocess
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("pipeline", "extractors", "flows")


def test_the_list_of_packages_is_the_tree() -> None:
    described = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    there = {
        ".".join(("csmv", *path.parent.relative_to(REPOSITORY).parts))
        for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob("*.py")
    }
    assert sorted(there) == described["packages"]
    assert described["package-dir"] == {f"csmv.{folder}": folder for folder in FOLDERS}


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_no_module_is_called_by_its_folder_alone() -> None:
    """In imports, `-m`, paths for mocks, entry points and commands, of code, documentation and set-up."""
    modules = {
        path.relative_to(REPOSITORY / folder).parts[0].removesuffix(".py")
        for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob("*.py")
    } - {"__init__"}
    word = "|".join(FOLDERS)
    bare = re.compile(
        rf"^\s*(?:from|import) (?:{word})\b"  # an import statement
        rf"|(?<![\w./-])(?:{word})\.(?:{'|'.join(sorted(modules))})\b(?!\.(?:py|md|html))"  # a dotted name
        rf"|-m[ \",']+(?:{word})\b",
        re.MULTILINE,
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    names = [name for name in listed.split("\0") if name.endswith((".py", ".md", ".toml", ".yaml", "Makefile", "run"))]
    assert len(names) > 200
    found = {
        f"{name}: {match[0].strip()}"
        for name in names
        if (REPOSITORY / name).is_file()
        for match in bare.finditer((REPOSITORY / name).read_text(encoding="utf-8"))
    }
    assert not found
