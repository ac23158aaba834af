"""SECURITY.md gives the limits that the code has."""

import inspect
from pathlib import Path

import pytest
from tfi2i_export import inputs, sidecar
from tfi2i_export.saved_model import child, picture_files
from tfi2i_export.saved_model import files as saved_files
from tfi2i_export.serving import wire
from tfi2i_export.serving.client import ServerTranslator
from tfi2i_export.tflite import interpreter, trial

from tfi2i import files, limits, yaml_text
from tfi2i.evaluate import study
from tfi2i.official import torch_files
from tfi2i.pictures import formats
from tfi2i.runs import declared, keras_files

PAGE = Path(__file__).parents[2] / "SECURITY.md"
MIB = 2**20


def default(function, name):
    return inspect.signature(function).parameters[name].default


ROWS = {
    "picture": (
        f"{limits.MEGAPIXELS} million pixels; up to {limits.MOST_MEGAPIXELS} by",
        f"Above {formats.FREE_PIXELS // 10**6} million",
        f"JPEG of at most {formats.PIXELS_A_BYTE['JPEG']:,} pixels a byte",
        f"others of {formats.MOST_PIXELS_A_BYTE:,} ",
    ),
    "configuration": (f"{yaml_text.MAX_BYTES:,} bytes, {yaml_text.MAX_DEPTH} levels",),
    "texts of a run": (f"{default(files.read_object, 'most_bytes'):,} bytes",),
    "`.keras`": (
        f"{keras_files.MAX_CONFIG_BYTES:,} bytes",
        f"none of them above {declared.LARGEST:,}",
        f"and {declared.SPARE:,} more",
    ),
    "`.pth`, `.pt`": (
        f"{torch_files.MOST_OPERATIONS:,} operations and as many values",
        f"{torch_files.DEEPEST} levels",
        f"{torch_files.LARGEST_PICKLE // MIB} MiB of pickle",
        f"at most {torch_files.MOST_SHARED} times",
    ),
    "`.tflite`": (f"{interpreter.LARGEST // 2**30} GiB", f"{trial.SECONDS} seconds"),
    "SavedModel": (f"{saved_files.LARGEST // MIB} MiB", f"{child.SECONDS:.0f} seconds"),
    "sidecar": (f"{sidecar.LARGEST:,} bytes",),
    "`.npy`": (f"{inputs.LARGEST // MIB} MiB",),
    "votes of a study": (f"{study.MAX_BYTES // MIB} MiB",),
    "server": (
        f"{wire.LARGEST_MESSAGE // MIB} MiB a message",
        f"{wire.DESCRIPTION_LIMIT // MIB} MiB of description",
        f"{picture_files.LARGEST:,} pixels",
        f"{default(ServerTranslator, 'deadline_seconds'):.0f} seconds",
    ),
}


def lines():
    text = PAGE.read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {name: about for name, about in rows[1:] if name != "---"}


@pytest.mark.parametrize("name", ROWS)
def test_limits_are_those_of_the_code(name):
    assert torch_files.MOST_VALUES == torch_files.MOST_OPERATIONS
    missing = [one for one in ROWS[name] if one not in f"{lines()[name]} "]
    assert missing == []


def test_every_limit_of_the_page_is_compared():
    assert lines().keys() == ROWS.keys()
