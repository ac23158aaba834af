"""`pytest tests/models --official-numbers FOLDER`: parity with further files of numbers."""

from pathlib import Path

import pytest
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
        slow = getattr(metafunc.module, "SLOW_FILES", ())
        marked = [
            pytest.param(file, marks=[pytest.mark.slow] * (file.stem in slow), id=file.stem)
            for file in own
        ]
        metafunc.parametrize("official_file", marked, scope="module")
