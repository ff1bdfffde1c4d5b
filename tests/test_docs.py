"""The documentation is true: its snippets run, its links lead somewhere, it names everything.

Python blocks of one page run in order in one namespace, in a folder that holds the JSONL files
of `eitheror demo`; `>>>` blocks are doctests. Lines that begin with `$ ` in
console blocks are run by bash in the same folder, and what the page shows below a line is compared
with what it printed (`...` stands for anything). A block under `<!-- not run: reason -->` is text.
"""

import ast
import doctest
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import eitheror as eo

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
DEMO = ROOT / "src" / "eitheror" / "_demo"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCK = re.compile(
    r"^(?P<skip><!-- not run: .+? -->\n+)?```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE_KEYS = (
    "label either not soft votes voters tags absent rest trust evidence text features "
    "weight id meta"
).split()


@dataclass(frozen=True)
class Block:
    """One fenced block of a page that is to be run."""

    where: str
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that run, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(f"{page.name}:{text[: match.start()].count(chr(10)) + 1}", *match.group(2, 3))
        for match in BLOCK.finditer(text)
        if match["language"] in ("python", "console") and not match["skip"]
    ]


def run_python(block: Block, names: dict[str, object]) -> None:
    """Run a Python block, as a doctest where it shows prompts."""
    if ">>>" not in block.code:
        exec(compile(block.code, block.where, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.code, {}, block.where, block.where, 0)
    test.globs = names  # shared with the blocks that follow
    out: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(
        test, out=out.append, clear_globs=False
    )
    assert 0 == failed, "".join(out)


def run_console(block: Block) -> None:
    """Run each `$ ` line of a console block and compare what it prints with what is shown."""
    for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        command = lines.pop(0)
        while command.endswith("\\\n"):
            command += lines.pop(0)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        expected_code = int((re.findall(r"# exit code (\d)", command) or ["0"])[0])
        assert expected_code == done.returncode, f"{block.where}: {command}{done.stdout}"
        shown = "".join(lines)
        same = doctest.OutputChecker().check_output(shown, done.stdout, FLAGS)
        assert not shown or same, f"{block.where}: {command}shows\n{shown}printed\n{done.stdout}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name
)
def test_snippets_run(page, tmp_path, monkeypatch):
    """Every Python and console block of the page runs, and shows what it prints."""
    for path in DEMO.glob("*.jsonl"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    names: dict[str, object] = {"__name__": "snippet"}
    for block in blocks(page):
        if block.language == "python":
            run_python(block, names)
        else:
            run_console(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    """Each relative link of a page names a file that exists."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [
        target.split("#")[0]
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if not re.match(r"https?:|mailto:|#", target)
    ]
    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_every_page_is_in_the_navigation():
    """The site's navigation lists exactly the pages of docs/."""
    listed = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(pages) == sorted(listed)


@pytest.mark.parametrize("name", eo.__all__)
def test_every_public_name_is_documented(name):
    """docs/api.md names everything that `eitheror` offers."""
    assert f"`{name}" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def names_of(module: str) -> list[str]:
    """Return the __all__ of a module from its source, so that no framework is needed."""
    package = ROOT / "src" / "eitheror"
    path = package / module / "__init__.py"
    path = path if path.exists() else package / f"{module}.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"{path} has no __all__")


@pytest.mark.parametrize("module", eo._MODULES)
def test_every_name_of_a_public_module_is_documented(module):
    """docs/api.md names everything in the module's __all__; derivatives go with their loss."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = {re.sub(r"_(gradient|hvp)$", "", name) for name in names_of(module)}
    assert [] == sorted(name for name in names if f"`{name}" not in page)


def commands() -> list[str]:
    """Return the names of the command's commands."""
    from eitheror.cli import app

    return [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_is_documented(command):
    """docs/cli.md has a section for each command, which names each of its options."""
    from eitheror.cli import app

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `?(\w+)`?.*?\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    options = {
        name
        for argument in app[command].assemble_argument_collection(parse_docstring=False)
        for name in argument.names
        if name.startswith("--") and not name.startswith("--no-")
    }
    shared = sections["Options"]
    missing = [name for name in options if f"`{name}" not in sections[command] + shared]
    assert [] == sorted(missing)


@pytest.mark.parametrize("key", FILE_KEYS)
def test_every_file_key_is_documented(key):
    """docs/files.md names every key that a JSONL row may hold."""
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    assert f"`{key}`" in page or f'"{key}"' in page
