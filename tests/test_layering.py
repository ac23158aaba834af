"""What the design promises about the code itself: the import direction, sizes and names."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PACKAGE = CHECKOUT / "tfi2i"
EXPORT = CHECKOUT / "export" / "tfi2i_export"
FILES = sorted(
    path for folder in ("tfi2i", "export", "tests") for path in (CHECKOUT / folder).rglob("*.py")
)

# The floors, the lowest first: a module imports only what stands before it. A folder is one entry;
# inside it no two files import each other, by whatever way round.
ORDER = [
    *("errors", "terminal", "limits", "processes", "files", "yaml_text", "conditions"),
    *("optimizers", "losses", "layers", "networks", "pictures", "data", "models", "samplers"),
    "official",
    *("runs", "evaluate", "training", "config", "benchmark", "commands", "cli"),
]
# Files of `models` that are no system.
CONTRACT = ("model.py", "arguments.py", "keras_methods.py", "reconstruction.py", "users_data.py")
EXPORT_ORDER = [
    *(
        "inputs",
        "sidecar",
        "agreement",
        "graph",
        "tflite",
        "onnx_files",
        "encoders",
        "choice",
        "calibration",
    ),
    *("saved_model", "artefacts", "signatures", "scoring", "exporting", "serving"),
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


def entry(path: Path) -> str:
    """`tfi2i/data/batches.py` -> `data`; of the package's own `__init__.py`, that name."""
    return path.relative_to(home(path)).parts[0].removesuffix(".py")


def home(path: Path) -> Path:
    return PACKAGE if path.is_relative_to(PACKAGE) else EXPORT


def file_of(dotted: str) -> Path | None:
    """The file of ours that an import loads: that of a module, or of the module with a name."""
    top, *rest = dotted.split(".")
    folder = {"tfi2i": PACKAGE, "tfi2i_export": EXPORT}.get(top)
    if folder is None:
        return None
    for end in (len(rest), len(rest) - 1):
        place = folder.joinpath(*rest[:end])
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if end >= 0 and file.is_file():
                return file
    return None


@pytest.mark.parametrize(("package", "order"), [(PACKAGE, ORDER), (EXPORT, EXPORT_ORDER)])
def test_every_module_has_its_place_in_the_order(package, order):
    entries = {entry(file) for file in package.rglob("*.py")}
    assert entries - {"__init__"} == set(order), "give each module and folder a place in ORDER"


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(PACKAGE)], ids=name)
def test_imports_go_in_one_direction(path):
    own = entry(path)
    if own == "__init__":
        return  # the public names, loaded on first use: test_cli.py holds that
    for line, dotted in imported(path):
        where = f"{name(path)}:{line} imports {dotted}"
        file = file_of(dotted)
        if file is None or file == PACKAGE / "__init__.py":
            continue
        if file.is_relative_to(EXPORT):
            assert own in ("commands", "cli"), f"{where}; only the command line may"
            continue
        other = entry(file)
        if own == "models" and path.name != "__init__.py":
            assert file.name in CONTRACT or other != "models", (
                f"{where}; a system imports no other system"
            )
        assert ORDER.index(other) <= ORDER.index(own), f"{where}, which stands after it"


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(EXPORT)], ids=name)
def test_imports_of_the_export_go_in_one_direction(path):
    own = entry(path)
    if own == "__init__":
        return
    for line, dotted in imported(path):
        file = file_of(dotted)
        if file is None or not file.is_relative_to(EXPORT) or file == EXPORT / "__init__.py":
            continue
        where = f"{name(path)}:{line} imports {dotted}"
        assert EXPORT_ORDER.index(entry(file)) <= EXPORT_ORDER.index(own), f"{where}, after it"


@pytest.mark.parametrize("package", [PACKAGE, EXPORT], ids=name)
def test_no_two_files_import_each_other(package):
    """Also not in a circle of several; a package's `__init__.py` may gather what is in it."""
    files = [file for file in package.rglob("*.py") if file.name != "__init__.py"]
    needs = {
        file: {other for _, dotted in imported(file) if (other := file_of(dotted)) in files}
        for file in files
    }
    while free := [file for file, others in needs.items() if not others & set(needs)]:
        for file in free:
            del needs[file]
    assert sorted(map(name, needs)) == []


def test_nothing_imports_the_command_line():
    found = [
        f"{name(path)}:{line}"
        for path in FILES
        if not path.is_relative_to(CHECKOUT / "tests")
        and path != PACKAGE / "cli.py"
        and not path.is_relative_to(PACKAGE / "commands")
        for line, dotted in imported(path)
        if dotted.startswith(("tfi2i.cli", "tfi2i.commands"))
    ]
    assert found == []


def test_consoles_are_made_in_one_place():
    makers = {
        name(path)
        for path in FILES
        if not path.is_relative_to(CHECKOUT / "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Console")
    }
    assert makers == {"tfi2i/terminal.py"}


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
    assert knowing == {"tfi2i/pictures/pixels.py"}


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


VAGUE_STARTS = ("What", "How", "Of", "That which", "The same")
"""A docstring begins with a verb, or with a noun phrase that has its head: with none of these."""
NO_NOUN = (
    *VAGUE_STARTS,
    *("Whether", "Those", "Which", "Whose", "As", "Is", "By", "From", "For", "In", "With", "At"),
    *("All", "Any", "Each", "Every", "Its", "Only", "Same", "Made", "Asked", "Replace"),
)
"""An entry of Args or Attributes begins with a noun: with none of these either."""


def begins(text: str, words: tuple[str, ...]) -> bool:
    return re.match(rf"({'|'.join(words)})\b", text) is not None


@pytest.mark.parametrize(
    "path", [p for p in FILES if not p.is_relative_to(CHECKOUT / "tests")], ids=name
)
def test_docstrings_begin_with_what_they_are_about(path):
    vague = []
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        first, *lines = (ast.get_docstring(node) or "-").splitlines()
        if begins(first, VAGUE_STARTS):
            vague.append(first)
        listing = False
        for line in lines:
            if re.match(r"\S", line):
                listing = line in ("Args:", "Attributes:")
            entry = re.match(r"    (\w+): (.+)", line)
            if listing and entry and (entry[2][:1].islower() or begins(entry[2], NO_NOUN)):
                vague.append(line.strip())
    assert vague == []


@pytest.mark.parametrize("package", ["tfi2i", "tfi2i_export"])
def test_every_public_name_is_there(package):
    module = importlib.import_module(package)
    assert {*module.__all__} <= {*dir(module)}
    for public in module.__all__:
        assert getattr(module, public) is not None
