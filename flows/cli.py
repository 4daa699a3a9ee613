"""The console script `csmv`: gathers the commands of `flows/commands/` and says every error in one sentence.

Does no work itself, and imports nothing heavy, so that `csmv --help` answers at once.
"""

import atexit
import gc
import os
import sys
from importlib import import_module, metadata
from typing import Annotated

import typer

from csmv.extractors.extractor_errors import ExtractorError, UnknownChoiceError
from csmv.flows import server
from csmv.pipeline.errors import CsmvError, UnfinishedError, UsageError, sentence_for, shown

GROUPS = (
    "demo",
    "data",
    "collect",
    "scrub",
    "features",
    "training",
    "zeroshot",
    "experiments",
    "analysis",
    "annotate",
    "release",
    "roots",
    "ops",
)
"""The modules of `flows/commands/`, in the order of the help page.

Each has `commands`, a `typer.Typer` with one function a command; a new group is a module there and a name here. A
module imports what is heavy (torch, Prefect, Presidio, pyarrow) inside its functions.
"""

DEBUG = "CSMV_DEBUG"
WRONG_COMMAND = 2
"""The exit code of what typer refuses, too."""
UNFINISHED = 3
"""The exit code of a command that finished, and left what may succeed later."""


def build_app() -> typer.Typer:
    """The `csmv` application with the commands of every group."""
    app = typer.Typer(
        name="csmv",
        help="From micro videos and their comments to features, splits and a trained VC-CSA model.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for group in GROUPS:
        app.add_typer(import_module(f"csmv.flows.commands.{group}").commands)
    return app


def main() -> None:
    """Run the command line; a failure ends it with one sentence on standard error.

    Exit codes: 0, all that was asked is settled; 3, something may succeed later; 1, an error; 2, a wrong command.
    """
    server.end_when_it_dies = server.end_process
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # All memory goes with the process: to look through torch's objects for circles at its end takes half a second.
    atexit.register(gc.freeze)
    try:
        build_app()()
    except (UsageError, UnknownChoiceError) as error:
        _fail(error, shown(str(error)), WRONG_COMMAND)
    except UnfinishedError as error:
        _fail(error, shown(str(error)), UNFINISHED)
    except (CsmvError, ExtractorError) as error:
        _fail(error, shown(str(error)))
    except Exception as error:
        _fail(
            error,
            sentence_for(error)
            or f"csmv stopped on something it did not expect ({type(error).__name__}); "
            f"run it again as `csmv --debug ...`, or with {DEBUG}=1, to see where.",
        )


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"csmv {metadata.version('csmv')}")
        raise typer.Exit


def _common(
    debug: Annotated[bool, typer.Option("--debug", help=f"Show tracebacks; the same as {DEBUG}=1.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


def _fail(error: Exception, sentence: str, code: int = 1) -> None:
    # A traceback may quote what was being read, so it is shown only to someone who asks for it.
    if code == 1 and os.environ.get(DEBUG, "0") not in ("", "0"):
        raise error
    print(f"csmv: {sentence}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
