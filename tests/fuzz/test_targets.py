"""Some seeds of each target, the same ones every time; `make fuzz` tries others."""

import random

import pytest

from fuzz import properties
from fuzz.outcomes import FAULT, REFUSED, RIGHT, tried
from fuzz.targets import ALL

ONE_END = ("disk", "settings", ".keras: of a run", ".tflite: a", "curves of metrics")
"""Those of whose few cases none may be right, or none refused."""


@pytest.mark.parametrize("name", [name for name, one in ALL.items() if one.quick])
def test_what_is_changed_is_read_or_refused_and_nothing_else(name, tmp_path):
    target, ends = ALL[name], set()
    for seed in range(target.quick):
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcome = tried(target, seed, folder)
        again = f"seed {seed} of {name!r}: {outcome.words}\n{outcome.trace}"
        assert outcome.kind != FAULT, again
        ends.add(outcome.kind)
    assert ends == {RIGHT, REFUSED} or name.startswith(ONE_END)


@pytest.mark.parametrize("name", properties.PROPERTIES)
def test_a_property_holds_for_all_values(name):
    properties.run(name, None, properties.PROPERTIES[name].quick)


def test_a_seed_makes_the_same_artefact(tmp_path):
    target = ALL["sidecars"]
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(target.make(random.Random("3"), tmp_path / name).read_bytes())
    assert made[0] == made[1]
