"""The command from its words to its exit code; errors in one line.

A plain line of `predict` is read here: what reads every other command line (`_app`) takes longer to
start than the answer for a line of text takes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["STDIO", "fail", "main", "plain_predict"]

STDIO = "\0-"
"""Stands for a lone `-` while `_app` reads the words, where `-` would begin an option."""

_OPTIONS = {"--format": str, "--thread": int}


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
    words = list(sys.argv[1:] if tokens is None else tokens)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has seen enough, as in `| head`; keep the interpreter from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return fail("interrupted", code=130)
    except (ValueError, OSError, ImportError) as error:
        return fail(str(error))
    return code or 0


def _run(words: list[str]) -> int:
    said = plain_predict(words)
    if said is None:
        from eitheror.cli._app import run

        return run(words)
    if "numpy" not in sys.modules:  # its threads look for work for long, in the way of ours
        os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    from eitheror.cli._answer import answer

    return answer(**said)


def plain_predict(words: list[str]) -> dict[str, Any] | None:
    """Return what `predict MODEL FILE [--json] [--format FORMAT] [--thread N]` says.

    None for every other line, among them those with a mistake.

    Examples
    --------
    >>> plain_predict(["predict", "model", "-", "--thread", "2"])
    {'model': 'model', 'file': '-', 'keywords': {}, 'thread': 2}
    >>> plain_predict(["predict", "model"]), plain_predict(["predict", "--help"])
    (None, None)
    """
    if words[:1] != ["predict"]:
        return None
    files: list[str] = []
    said: dict[str, Any] = {}
    left = iter(words[1:])
    for word in left:
        if word == "--json" and "as_json" not in said:
            said["as_json"] = True
        elif word in _OPTIONS and word[2:] not in said:
            value = next(left, "")
            number = value.isascii() and value.isdigit() and value[0] != "0" and len(value) < 10
            if not value or value.startswith("-") or (_OPTIONS[word] is int and not number):
                return None
            said[word[2:]] = _OPTIONS[word](value)
        elif word and (word == "-" or not word.startswith("-")):
            files.append(word)
        else:
            return None
    if len(files) != 2:
        return None
    layout = {"format": said.pop("format")} if "format" in said else {}
    return {"model": files[0], "file": files[1], "keywords": layout, **said}


def fail(message: str, code: int = 2) -> int:
    """Print a message in one line on standard error and return the exit code."""
    line = " ".join(message.replace(STDIO, "-").split("\n"))
    print(line, file=sys.stderr)
    return code
