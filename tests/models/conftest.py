"""`pytest tests/models --official-numbers FOLDER`: parity with further files of numbers."""

from pathlib import Path

from official_numbers import FIXTURES


def pytest_addoption(parser):
    parser.addoption(
        "--official-numbers",
        metavar="FOLDER",
        type=Path,
        help="a folder of further .npz files of official numbers, of any sizes",
    )


def pytest_generate_tests(metafunc):
    """Repeats the tests of `official_file` for each file that their module calls its own."""
    if "official_file" in metafunc.fixturenames:
        more = metafunc.config.getoption("--official-numbers", None)
        files = [file for folder in (FIXTURES, more) if folder for file in folder.glob("*.npz")]
        own = [file for file in sorted(files) if metafunc.module.is_official(file)]
        metafunc.parametrize("official_file", own, ids=lambda file: file.stem, scope="module")
