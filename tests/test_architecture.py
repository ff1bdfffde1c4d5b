"""The shape of the code base, read from the syntax trees: layers, file length, names."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "eitheror"
FILES = sorted(PACKAGE.rglob("*.py"))

# Imports point down only. A new module gets its line here first.
LAYERS = {
    "labels": 0,
    "_kernels": 1,
    "decide": 1,
    "files": 1,
    "losses": 1,
    "noise": 1,
    "text": 1,
    "annotators": 2,
    "audit": 2,
    "metrics": 2,
    "model": 2,
    "training": 2,
    "comparison": 3,
    "distributed": 3,
    "hf": 3,
    "jax": 3,
    "keras": 3,
    "onnx": 3,
    "report": 3,
    "small": 3,
    "sklearn": 3,
    "torch": 3,
    "review": 4,
    "search": 4,
    "cli": 5,
}
# Within one layer these imports are wanted; nothing goes the other way.
SAME_LAYER = {
    ("decide", "_kernels"),
    ("decide", "text"),  # threads
    ("files", "text"),  # texts as they are read
    ("text", "_kernels"),
    ("losses", "_kernels"),
    ("training", "model"),
    ("annotators", "training"),
    ("audit", "metrics"),
    ("audit", "model"),
    ("comparison", "sklearn"),
    ("hf", "torch"),  # Trainer is PyTorch
    ("sklearn", "torch"),  # inside functions only, and only where torch is installed
}
ADAPTERS = {"torch", "keras", "jax", "hf", "sklearn"}
# Third-party packages that only the named modules may import when they themselves are imported.
# Anywhere else the import stands inside the function that needs it.
HEAVY = {
    "numba": {"_kernels"},
    "sklearn": {"sklearn"},
    "scipy": {"sklearn"},
    "torch": {"torch", "hf"},
    "jax": {"jax"},
    "keras": {"keras"},
    "transformers": {"hf"},
    "onnx": set(),
    "onnxruntime": set(),
    "optuna": set(),
    "tensorflow": set(),
    "pandas": set(),
    "pyarrow": set(),
}


def module_of(path: Path) -> str:
    """The first part of a file's place in the package: src/eitheror/files/csv.py -> files."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def own_imports(path: Path) -> list[tuple[str, int]]:
    """Return every eitheror module that the file imports, at any depth, with its line."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import in full"
            names = [node.module or ""]
            if node.module == "eitheror":
                names = [f"eitheror.{alias.name}" for alias in node.names]
        else:
            continue
        found += [
            (name.split(".")[1], node.lineno) for name in names if name.startswith("eitheror.")
        ]
    return found


def top_level_imports(path: Path) -> list[tuple[str, int]]:
    """Return the packages imported when the module is: not in functions, not for type checkers."""
    found: list[tuple[str, int]] = []

    def visit(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.Import):
                found.extend((alias.name.split(".")[0], node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.append(((node.module or "").split(".")[0], node.lineno))
            elif isinstance(node, ast.If):
                if "TYPE_CHECKING" not in ast.unparse(node.test):
                    visit(node.body)
                visit(node.orelse)
            elif isinstance(node, ast.Try | ast.With):
                visit(node.body)

    visit(tree(path).body)
    return found


def test_every_module_has_a_layer():
    """A module that is not in the layer table does not enter the package."""
    modules = {module_of(path) for path in FILES} - {"__init__", "__main__", "_demo"}
    assert set() == modules - set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    """A module imports only modules of lower layers, or one of the few named neighbours."""
    here = module_of(path)
    if here in ("__init__", "__main__"):
        return
    wrong = [
        f"{path.name}:{line}: {here} imports {there}"
        for there, line in own_imports(path)
        if there in LAYERS
        and there != here
        and LAYERS[there] >= LAYERS[here]
        and (here, there) not in SAME_LAYER
    ]
    assert [] == wrong


def test_adapters_never_import_each_other():
    """Each framework's adapter stands alone, but for the neighbours named above."""
    wrong = [
        (module_of(path), there)
        for path in FILES
        if module_of(path) in ADAPTERS
        for there, _ in own_imports(path)
        if there in ADAPTERS - {module_of(path)} and (module_of(path), there) not in SAME_LAYER
    ]
    assert [] == wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_used(path):
    """Importing a module loads no heavy package, but for the module that is about it."""
    wrong = [
        f"{path.name}:{line}: imports {package} when it is imported itself"
        for package, line in top_level_imports(path)
        if package in HEAVY and module_of(path) not in HEAVY[package]
    ]
    assert [] == wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_readable_in_a_sitting(path):
    """No file has more than 600 lines; one that outgrows them becomes a folder of its name."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_say_what_they_are_and_offer(path):
    """Every file opens with its purpose; a public one lists its names in __all__."""
    body = tree(path)
    assert ast.get_docstring(body)
    if any(part.startswith("_") for part in path.relative_to(PACKAGE).with_suffix("").parts):
        return
    assigned = {
        target.id
        for node in body.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert "__all__" in assigned


def test_there_is_no_drawer_for_odds_and_ends():
    """No utils, helpers or misc module: every idea has a file with its own name."""
    names = {path.stem for path in FILES} | {path.parent.name for path in FILES}
    assert set() == names & {"utils", "_utils", "helpers", "misc", "experimental"}


def test_no_unfinished_marks():
    """The package holds no TODO, FIXME or XXX."""
    wrong = [
        f"{path.name}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if any(mark in line for mark in ("TODO", "FIXME", "XXX"))
    ]
    assert [] == wrong
