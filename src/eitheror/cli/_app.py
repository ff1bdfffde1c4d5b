"""The command's frame: dispatch, errors in one line, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

import eitheror
from eitheror.cli._options import STDIO

__all__ = ["app", "main"]

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


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    tokens : sequence of str, default the words of the command line

    Returns
    -------
    int
        0 well, 1 findings of severity error, 2 usage or bad data.

    Examples
    --------
    >>> main(["--version"])
    0.1.0
    0
    """
    words = sys.argv[1:] if tokens is None else tokens
    if not words or words[0] not in _COMMANDS:  # the list of all says what each one does
        for command in _COMMANDS:
            app[command]
    try:
        code = app([STDIO if word == "-" else word for word in words])
        sys.stdout.flush()
    except CycloptsError as error:
        command = f"{words[0]} " if words and words[0] in app else ""
        return _fail(f"{error} (see eitheror {command}--help)")
    except BrokenPipeError:
        # the reader has seen enough, as in `| head`; keep the interpreter from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", code=130)
    except (ValueError, OSError, ImportError) as error:
        return _fail(str(error))
    return code or 0


def _fail(message: str, code: int = 2) -> int:
    line = " ".join(message.replace(STDIO, "-").split("\n"))
    print(line, file=sys.stderr)
    return code
