"""The command `eitheror`: one file a command, imports inside each.

In: the words of the command line. Out: text or JSON on standard output, progress and errors on
standard error, an exit code (0 well, 1 findings of severity error, 2 usage or bad data).

`eitheror --help` is printed by the same `App` that runs the commands, so it cannot say anything
else than what they do; it is quick because a command's file imports what it needs when it runs.
"""

from typing import TYPE_CHECKING

from eitheror.cli._main import main

if TYPE_CHECKING:
    from eitheror.cli._app import app

__all__ = ["app", "main"]


def __getattr__(name: str) -> object:
    """Fetch the `App` on first touch: not every command line needs it."""
    if name != "app":
        raise AttributeError(f"module 'eitheror.cli' has no attribute {name!r}")
    from eitheror.cli._app import app

    return app
