"""Writes what is made from the lists of stages and extractors, or with `--check` says what is not as it should be.

python -m csmv.flows.generated [--check]
"""

import sys
from pathlib import Path

from csmv.extractors.registry import cards_text
from csmv.flows.deploy import prefect_yaml, with_stages_table

REPOSITORY = Path(__file__).resolve().parent.parent


def generated(folder: Path) -> dict[Path, str]:
    """File -> what it should say."""
    readme = folder / "README.md"
    return {
        folder / "prefect.yaml": prefect_yaml(),
        folder / "extractors" / "cards.json": cards_text(),
        readme: with_stages_table(readme.read_text(encoding="utf-8")),
    }


def main(arguments: list[str]) -> int:
    """Write or compare; gives the exit code."""
    wanted = generated(REPOSITORY)
    if "--check" not in arguments:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        return 0
    differing = [path.name for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    for name in differing:
        print(
            f"{name} is not as the lists of stages and extractors have it: run `python -m csmv.flows.generated`.",
            file=sys.stderr,
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
