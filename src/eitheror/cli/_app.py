"""The command's frame: its commands, and what is said about a line that none understands."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

import eitheror
from eitheror.cli._main import STDIO, fail

__all__ = ["app", "run"]

app = App(
    name="eitheror",
    help="""Train classifiers when a label is a statement: not this, one of these, probably.

    `eitheror COMMAND --help` explains a command. A file named - is standard input.
    """,
    help_format="plaintext",
    version=eitheror.__version__,
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    group_parameters=Group("Options", sort_key=3),
    end_of_options_delimiter="",
)
# By name: a command's file is imported when the command or its help is asked for.
_COMMANDS = (
    *("train", "predict", "evaluate", "tune", "compare", "audit", "convert", "import", "info"),
    *("shrink", "export", "demo", "warmup"),
)
for _place, _command in enumerate(_COMMANDS):
    _function = "import_" if _command == "import" else _command
    app.command(f"eitheror.cli._{_command}:{_function}", name=_command, sort_key=_place)


def run(words: Sequence[str]) -> int:
    """Read a command line, run the command, and return its exit code."""
    if not words or words[0] not in _COMMANDS:  # the list of all says what each one does
        for command in _COMMANDS:
            app[command]
    try:
        return app([STDIO if word == "-" else word for word in words]) or 0
    except CycloptsError as error:
        command = f"{words[0]} " if words and words[0] in app else ""
        return fail(f"{error} (see eitheror {command}--help)")
