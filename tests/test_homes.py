"""A system has four homes, and the places that name it for people are held against `ALL`."""

import importlib.util
import re
from pathlib import Path

import pytest

import tfi2i
from tfi2i.models import ALL
from tfi2i.official.weights import official_code

CHECKOUT = Path(__file__).parent.parent
every_system = pytest.mark.parametrize("name", ALL)


def module_of(name):
    """The module of a system's paper file, without its package: `nice_gan`."""
    return ALL[name].__module__.rpartition(".")[2]


@every_system
def test_a_system_has_its_homes(name):
    module = module_of(name)
    assert (CHECKOUT / "tfi2i" / "models" / f"{module}.py").is_file()
    assert importlib.util.find_spec(f"tfi2i.official.{module}")
    assert {"NETWORKS", "TRANSLATORS", "tensors", "architecture"} <= set(
        vars(official_code(ALL[name]))
    )
    configurations = (CHECKOUT / "configs" / module).glob("*.yaml")
    systems = [re.search(r"^system: (\w+)$", one.read_text(), re.M)[1] for one in configurations]
    assert name in systems
    assert (CHECKOUT / "tests" / "models" / f"test_{module}.py").is_file()


def test_editors_and_star_imports_know_every_system():
    assert set(tfi2i.__all__) - set(tfi2i._PUBLIC) == set(ALL)
    text = (CHECKOUT / "tfi2i" / "__init__.py").read_text()
    assert set(re.findall(r"from tfi2i\.models import (\w+) as", text)) == set(ALL)


def test_the_readme_lists_every_system_and_no_other():
    readme = (CHECKOUT / "README.md").read_text()
    rows = re.findall(r"^\| \[([^\]]+)\]\(tfi2i/models/\w+\.py\)", readme, re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(ALL)


def test_the_table_of_configurations_lists_each_file_and_no_other():
    table = (CHECKOUT / "configs" / "README.md").read_text()
    listed = re.findall(r"\[`[\w/]+`\]\(([\w/]+\.yaml)\)", table)
    shipped = [
        one.relative_to(CHECKOUT / "configs").as_posix()
        for one in (CHECKOUT / "configs").glob("*/*.yaml")
    ]
    assert sorted(listed) == sorted(shipped)
