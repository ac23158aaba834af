"""Every numeric argument has a range, and Python, YAML and --set refuse what lies outside."""

import inspect
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from tfi2i import limits
from tfi2i.config import config as configs
from tfi2i.config.signatures import settings
from tfi2i.data import SOURCES, batches
from tfi2i.data.dataset import Dataset
from tfi2i.errors import InputError
from tfi2i.limits import (
    Between,
    ImageSize,
    Rate,
    Seed,
    Steps,
    Unfit,
    Weight,
    checked,
    fitted,
    outside,
    wanted,
)
from tfi2i.models import ALL
from tfi2i.models.model import GenerativeModel, ImageTranslator
from tfi2i.samplers.sampler import Sampler
from tfi2i.training.fit import fit

SYSTEMS = (GenerativeModel, ImageTranslator, Sampler, *ALL.values())
WALKED = {
    **{
        f"{cls.__name__}.{name}": getattr(cls, name)
        for cls in SYSTEMS
        for name in ("__init__", "compile")
    },
    **{f"data.{name}": source for name, source in SOURCES.items()},
    "batches": Dataset.batches,
    "fit": fit,
}


def without_range(annotation: Any) -> bool:
    """Whether an annotation takes a number that has no range."""
    if typing.get_origin(annotation) is Annotated:
        return not any(isinstance(one, Between) for one in typing.get_args(annotation))
    if annotation in (int, float):
        return True
    return any(map(without_range, typing.get_args(annotation)))


def own_parameters(function: Any) -> list[inspect.Parameter]:
    """The parameters of ours: Keras' own `compile` of a contract is not."""
    home = inspect.unwrap(function).__module__
    return [*inspect.signature(function).parameters.values()] if home.startswith("tfi2i") else []


@pytest.mark.parametrize("function", WALKED.values(), ids=WALKED.keys())
def test_every_numeric_argument_has_a_range(function):
    """A new argument gets one of `tfi2i.limits`, or an `Annotated[int, Between(...)]`."""
    lacking = []
    for parameter in own_parameters(function):
        unknown = parameter.annotation is inspect.Parameter.empty
        number = isinstance(parameter.default, int | float) and not isinstance(
            parameter.default, bool
        )
        if without_range(parameter.annotation) or (unknown and number):
            lacking.append(parameter.name)
    assert lacking == []


def test_a_number_without_a_range_is_found_wherever_it_stands():
    for bare in (int, float | None, tuple[float, float], dict[str, int] | Steps, list[int]):
        assert without_range(bare)
    for ranged in (Steps | None, ImageSize, bool, str | Path | None, dict[str, Any]):
        assert not without_range(ranged)


@pytest.mark.parametrize("function", WALKED.values(), ids=WALKED.keys())
def test_every_default_lies_in_its_range(function):
    for parameter in own_parameters(function):
        if parameter.default is not inspect.Parameter.empty:
            assert not outside(parameter.annotation, parameter.default), parameter.name


def numeric(table: dict[str, Any]) -> list[str]:
    """The settings of a section that take one number."""
    plain = {int: "a whole number", float: "a number"}
    return [
        name
        for name, one in table.items()
        if wanted(one.annotation, ranges=False).removesuffix(" or null") in plain.values()
    ]


@pytest.mark.parametrize(
    ("system", "source"),
    [*((name, "scenes") for name in ALL), *(("CUT", name) for name in SOURCES)],
)
def test_a_number_that_makes_no_sense_is_refused_for_every_setting(system, source):
    needed = {"tfds": {"name": "x"}}.get(source, {})
    base = {"system": system, "data": {"source": source} | needed}
    tables = configs.schema(system, source)
    for section, table in tables.items():
        for name in numeric(table):
            for value in ("1e30", "-1e30", "9223372036854775807", "-1", str(2**70)):
                with pytest.raises(InputError) as caught:
                    configs.load(base, [f"{section}.{name}={value}"])
                sentence = str(caught.value)
                assert f"--set {section}.{name}={value}: `{section}.{name}` takes a" in sentence


@pytest.mark.parametrize("system", ALL)
def test_a_system_refuses_in_python_what_its_annotations_do_not_allow(system):
    cls = ALL[system]
    for name in numeric(table := settings(cls)):
        nothing = [] if " from 0 to " in wanted(table[name].annotation) else [0]
        for value in (-1, *nothing, 2**70, float("nan"), "big", True):
            with pytest.raises(ValueError, match=rf"^{name} must be .*received {name}="):
                cls(**{**cls.smoke, name: value})
    made = cls.__new__(cls)  # compile refuses before it looks at anything
    for name in numeric(settings(cls.compile)):
        for value in (-1, 1e30, float("nan"), float("inf"), "big"):
            with pytest.raises(ValueError, match=rf"^{name} must be a .*received {name}="):
                cls.compile(made, **{name: value})
    with pytest.raises(ValueError, match="^learning_rate must be a number above 0"):
        cls.compile(made, learning_rate=0)


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (SOURCES["scenes"], {"train_size": 10**12}, "train_size of scenes is 1000000000000; choose"
         " a whole number from 1 to 1,000,000."),
        (SOURCES["scenes"], {"seed": -1}, "seed of scenes is -1; choose a whole number from 0 to"
         " 4,294,967,295."),
        (SOURCES["single_image"], {"scale_max": float("inf")}, "scale_max of single_image is inf;"
         " choose a number from 1 to 1,000."),
        (SOURCES["folders"], {"root": "x", "value_range": (0, 1e30)}, "data.value_range is"
         " \\(0, 1e\\+30\\); give two rising numbers, auto, .*"),
    ],
)  # fmt: skip
def test_sources_refuse_in_python_too(function, arguments, expected):
    with pytest.raises(InputError, match=f"^{expected}$"):
        function(**arguments)


@pytest.mark.parametrize("name", ["batch_size", "cache_mb", "load_size", "image_size"])
def test_batches_of_a_thousand_million_are_refused(name):
    data = SOURCES["scenes"](train_size=2, test_size=1)
    with pytest.raises(InputError, match=rf"^{name} of the batches is 1000000000; choose a whole"):
        data.batches(**{"image_size": 32, name: 10**9})


def test_batches_and_caches_are_bounded_by_the_memory_of_the_machine(monkeypatch, caplog):
    data = SOURCES["scenes"](train_size=2, test_size=1)
    for module in (limits, batches):
        monkeypatch.setattr(module, "memory_bytes", lambda: 2**30)
    with pytest.raises(InputError, match=r"batch_size of .* is 4096; .* 64 they take 2 GiB, and"):
        data.batches(image_size=64, batch_size=4096)
    data.batches(image_size=32, batch_size=2, cache_mb=512)
    assert caplog.text == ""
    data.batches(image_size=32, batch_size=2, cache_mb=513)
    assert "cache_mb of the batches is 513; at most half" in caplog.text


def test_a_pool_is_bounded_by_the_memory_of_the_machine(monkeypatch):
    system = ALL["CycleGAN"](**ALL["CycleGAN"].smoke)
    monkeypatch.setattr(limits, "memory_bytes", lambda: 2**20)
    with pytest.raises(ValueError, match="^pool_size=1000 with image_size=32 takes .* choose less"):
        system.compile(pool_size=1000)


# values and annotations


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Rate, "a number above 0 and up to 1"),
        (Steps | None, "a whole number from 1 to 1,000,000,000 or null"),
        (Annotated[float, Between(0, 1, ends=False)], "a number above 0 and below 1"),
        (Annotated[float, Between(0.001, 2)], "a number from 0.001 to 2"),
        (Annotated[int, Between(2, 9, why="pairs")], "a whole number from 2 to 9 (pairs)"),
        (ImageSize | None, "a whole number or a list of 2 values (a whole number, a whole number),"
         " each from 1 to 8,192, or null"),
    ],
)  # fmt: skip
def test_a_range_is_said_in_words(annotation, words):
    assert wanted(annotation) == words
    assert wanted(annotation, ranges=False) == wanted(
        typing.get_type_hints(type("_", (), {"__annotations__": {"x": annotation}}))["x"]
    )


@pytest.mark.parametrize(
    ("annotation", "value", "made"),
    [(Rate, 1, 1.0), (Rate | None, None, None), (ImageSize, [96, 320], (96, 320)), (Seed, 0, 0)],
)
def test_what_lies_in_range_is_taken(annotation, value, made):
    assert fitted(annotation, value) == made and type(fitted(annotation, value)) is type(made)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (Rate, 1.5, "takes a number above 0 and up to 1"),
        (Rate, 0, "takes a number above 0 and up to 1"),
        (Rate | None, -1, "takes a number above 0 and up to 1 or null"),
        (Rate, "fast", "takes a number"),
        (Rate, 10**400, "takes a number"),
        (ImageSize, [96, 0], "takes a whole number or a list .*, each from 1 to 8,192"),
        (ImageSize, [96], r"takes a whole number or a list .*\)"),
        (Seed, True, "takes a whole number"),
    ],
)
def test_what_does_not_fit_is_refused_by_type_or_by_range(annotation, value, words):
    with pytest.raises(Unfit, match=f"^{words}$"):
        fitted(annotation, value)


@pytest.mark.parametrize(
    ("annotation", "value", "out"),
    [
        (Rate, np.float32(1e-4), False),
        (Rate, 0.0, True),
        (Weight, 0, False),
        (Rate, np.float64(2), True),
        (Rate, float("nan"), True),
        (Steps, 10**400, True),
        (Rate, None, True),
        (Rate | None, None, False),
        (Rate, object(), False),  # a schedule: the optimizer's business
        (Steps, 1e5, False),
        (Steps, 1.5, True),
        (Steps, float("inf"), True),
        (Steps, np.int64(0), True),
        (Steps, "3", True),
        (Steps, True, True),
        (ImageSize, (96, np.int32(320)), False),
        (ImageSize, (96, 10**9), True),
        (Literal["auto"] | Annotated[int, Between(0, 1)], "auto", False),
        (str | None, 5, False),
    ],
)
def test_numbers_of_python_and_numpy_are_compared_with_a_range(annotation, value, out):
    assert outside(annotation, value) is out


def test_a_checked_function_keeps_its_name_and_its_arguments():
    @checked("the test")
    def made(path: Path, *, count: Steps = 1) -> int:
        """Makes."""
        return count

    assert made(Path(), count=3) == 3 and made.__doc__ == "Makes."
    assert settings(made)["count"].annotation is Steps
    with pytest.raises(InputError, match=r"^count of the test is 0; choose a whole number from 1"):
        made(Path(), count=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'counts'"):
        made(Path(), counts=3)
