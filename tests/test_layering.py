"""What the design promises about the code itself: the import direction, sizes and names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PACKAGE = CHECKOUT / "tfi2i"
FILES = sorted(
    path for folder in ("tfi2i", "export", "tests") for path in (CHECKOUT / folder).rglob("*.py")
)

# A module imports only what stands before it. A folder is one entry: its files may import one
# another.
ORDER = [
    *("errors", "pixels", "files", "yaml_text", "settings", "pictures"),
    *("losses", "normalization", "layers", "equalized", "optimizers", "tiles"),
    *("networks", "patches", "model", "official", "models"),
    *("data", "environment", "keras_files", "run_dir", "torch_files"),
    *("weights", "translate", "sheets", "evaluate", "callbacks", "train"),
    *("config", "demo", "compare", "verbs", "arguments", "cli"),
]

VAGUE = {"base", "common", "core", "helpers", "misc", "options", "registry", "tools", "trainer"}
VAGUE |= {"util", "utils"}


def name(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import of a file, inside functions too.

    Imports for type checkers alone are left out: they cannot tie modules together at run time.
    """
    tree = parsed(path)
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}:{node.lineno} imports relatively"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def entry(dotted: str) -> str:
    """`tfi2i.data.pipeline.UnpairedData` -> `data`."""
    return dotted.split(".")[1]


def test_every_module_has_its_place_in_the_order():
    entries = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir()}
    entries -= {"__init__", "__pycache__", "py"}
    assert entries <= set(ORDER), "give the new module a place in ORDER"


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(PACKAGE)], ids=name)
def test_imports_go_in_one_direction(path):
    relative = path.relative_to(PACKAGE)
    own = relative.parts[0].removesuffix(".py")
    if own == "__init__":
        return  # the public names, loaded on first use: test_cli.py holds that
    for line, dotted in imported(path):
        where = f"{name(path)}:{line} imports {dotted}"
        if dotted.split(".")[0] == "tfi2i_export":
            assert own in ("verbs", "cli"), f"{where}; only the command line may"
        if not dotted.startswith("tfi2i.") or entry(dotted) not in ORDER:
            continue
        assert own in ORDER, f"give {own} a place in ORDER"
        other = entry(dotted)
        if own == "models" and relative.name != "__init__.py":
            assert other != "models", f"{where}; a system imports no other system"
        assert ORDER.index(other) <= ORDER.index(own), f"{where}, which stands after it"


def test_nothing_imports_the_command_line():
    found = [
        f"{name(path)}:{line}"
        for path in FILES
        if not path.is_relative_to(CHECKOUT / "tests")
        for line, dotted in imported(path)
        if dotted.startswith("tfi2i.cli")
    ]
    assert found == []


def test_yaml_is_read_in_one_place():
    readers = {
        name(path)
        for path in FILES
        if path.is_relative_to(PACKAGE)
        for _, dotted in imported(path)
        if dotted.split(".")[0] == "yaml"
    }
    assert readers == {"tfi2i/yaml_text.py"}


def test_the_scale_of_pixels_is_known_in_one_place():
    knowing = {
        name(path)
        for path in FILES
        if path.is_relative_to(PACKAGE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and node.value == 127.5
    }
    assert knowing == {"tfi2i/pixels.py"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_short_and_has_a_telling_name(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < 450 or path.is_relative_to(CHECKOUT / "tests"), f"{name(path)}: {lines} lines"
    assert path.stem not in VAGUE


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The length without the docstring, which is as long as there are arguments to explain."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_are_short(path):
    too_long = [
        f"{name(path)}:{node.lineno} {node.name} has {code_lines(node)} lines"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) >= 60
    ]
    assert too_long == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_error_is_swallowed(path):
    silent = [
        f"{name(path)}:{node.lineno}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or all(isinstance(inner, ast.Pass) for inner in node.body))
    ]
    assert silent == []
