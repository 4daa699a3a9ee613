"""Writes what is made from the lists of stages, extractors, commands and tables.

With `--check` it writes nothing and says what is not as it should be.

python -m csmv.flows.generated [--check]
"""

import sys
from pathlib import Path

from csmv.extractors.registry import cards_text
from csmv.flows.deploy import prefect_yaml
from csmv.flows.reference import command_reference, stages_table, tables_reference, with_part

REPOSITORY = Path(__file__).resolve().parent.parent


def generated(folder: Path) -> dict[Path, str]:
    """File -> what it should say."""
    readme, tables = folder / "README.md", folder / "pipeline" / "README.md"
    return {
        folder / "prefect.yaml": prefect_yaml(),
        folder / "extractors" / "cards.json": cards_text(),
        folder / "flows" / "COMMANDS.md": command_reference(),
        readme: with_part(readme.read_text(encoding="utf-8"), "stages", stages_table()),
        tables: with_part(tables.read_text(encoding="utf-8"), "tables", tables_reference()),
    }


def main(arguments: list[str]) -> int:
    """Write or compare; gives the exit code."""
    wanted = generated(REPOSITORY)
    if "--check" not in arguments:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        return 0
    differing = [
        path.name for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for name in differing:
        print(
            f"{name} is not as the lists it is made from have it: run `python -m csmv.flows.generated`.",
            file=sys.stderr,
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
