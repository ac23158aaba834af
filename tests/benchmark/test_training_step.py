"""`tfi2i bench-train`: what a step is made of, its multiplications, and two checkouts in turn."""

import json
import re
import shutil
import statistics
from types import SimpleNamespace

import numpy as np
import pytest

from tfi2i.benchmark import measuring, training_step
from tfi2i.benchmark.macs import step_macs
from tfi2i.cli import main
from tfi2i.commands import bench_train
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.processes import Finished
from tfi2i.yaml_text import dump

pytestmark = pytest.mark.usefixtures("known")

SETTINGS = {
    "system": "Painter",
    "model": {"image_size": 32, "width": 4},
    "data": {"source": "seasons", "train_size": 5},
    "batches": {"batch_size": 2},
}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "painter.yaml").write_text(dump(SETTINGS))
    return tmp_path / "painter.yaml"


def test_a_step_is_timed_whole_and_without_each_part(path):
    found = training_step.measure(path, 4)
    assert len(found["seconds"]) == 4
    assert found["first"] > max(found["seconds"])  # it builds the graph
    assert found["without"].keys() == {"g", "optimizers"}
    assert all(0 < seconds < found["first"] for seconds in found["without"].values())
    assert 0 < found["data"] < statistics.median(found["seconds"])
    assert found["batch_size"] == 2
    assert found["memory_mb"] >= 0
    assert found["macs_per_second"] > 1e8


def test_a_part_that_is_left_out_is_not_done(path):
    system = building.build_system(configs.load(path))
    batch = next(training_step.prepare(configs.load(path)))
    system.compile(total_steps=5)
    before = [np.array(v) for v in system.trainable_variables]
    minimize = system.minimize
    sink = SimpleNamespace(assign_add=lambda value: noted.append(float(value)))
    noted = []
    for name in ("g", "optimizers"):
        system.minimize = training_step._leaving_out(name, system, minimize, sink)
        system.train_step(batch)
        for variable, old in zip(system.trainable_variables, before, strict=True):
            np.testing.assert_array_equal(np.array(variable), old)
    assert noted[0] != 0  # the gradients were there
    system.minimize = minimize
    system.train_step(batch)
    assert not np.array_equal(np.array(system.trainable_variables[0]), before[0])


def test_multiplications_of_a_step_are_those_of_all_three_passes(path):
    config = configs.load(path)
    system, batch = building.build_system(config), next(training_step.prepare(config))
    # Forward: a dense layer of 11 inputs (8 latent, 3 labels) on 4 x 4 x 4 maps, and a convolution.
    dense, conv = 2 * 11 * 16 * 4, 2 * 32 * 32 * 9 * 4 * 3
    assert step_macs(system, batch) == 2 * dense + 3 * conv  # no gradient of what comes in
    assert measuring.work(path) == {"macs": 2 * dense + 3 * conv}


def times(median):
    seconds = [0.9 * median, median, 1.1 * median]
    without = {"generator": 0.4 * median, "discriminator": 0.7 * median, "optimizers": 0.9 * median}
    more = {"first": 5.0, "data": 0.01 * median, "batch_size": 4, "macs_per_second": 4e10}
    more["memory_mb"] = 123.4
    return {"seconds": seconds, "without": without} | more


def test_the_table_says_what_a_step_is_made_of(path, monkeypatch, capsys):
    monkeypatch.setattr(measuring, "in_own_process", lambda name, path: {"macs": 2_000_000_000})
    monkeypatch.setattr(bench_train, "_timed", lambda checkout, path, steps: times(0.2))
    assert main(["bench-train", str(path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        *("0.2000 (quartiles 0.1800 to 0.2200)", "images a second │ 20.0", "5.0 s, with"),
        *("0.0020 s, 1.0 % of a step", "update of generator │ 60.0 %", "optimizers │ 10.0 %"),
        *("2.000 G a step, 10.0 G/s", "25.0 % of a large matrix product's 40 G/s", "123 MB"),
    ):
        assert words in printed, words


def test_two_checkouts_are_timed_in_turn(path, tmp_path, monkeypatch, capsys):
    turns = []

    def timed(checkout, path, steps):
        turns.append(checkout)
        mine = checkout == bench_train.CHECKOUT
        return times((0.2 if mine else 0.4) * (1 if len(turns) < 3 else 2))

    (tmp_path / "other" / "tfi2i").mkdir(parents=True)
    (tmp_path / "other" / "tfi2i" / "__init__.py").touch()
    monkeypatch.setattr(measuring, "in_own_process", lambda name, path: {"macs": 1})
    monkeypatch.setattr(bench_train, "_timed", timed)
    other = str(tmp_path / "other")
    assert main(["bench-train", str(path), "--against", other]) == 0
    assert turns == [bench_train.CHECKOUT, tmp_path / "other"] * 2
    assert f"A step takes 0.500 (0.500 to 0.500) of the time that it takes in {other}." in (
        capsys.readouterr().out
    )


def test_the_code_of_the_other_checkout_is_what_runs(path, tmp_path, monkeypatch):
    package = tmp_path / "other" / "tfi2i"
    shutil.copytree(bench_train.CHECKOUT / "tfi2i", package, ignore=shutil.ignore_patterns("*.pyc"))
    changed = "def load(path):\n    raise InputError('the other one')\n"
    with (package / "config" / "config.py").open("a") as file:
        file.write(changed)
    with pytest.raises(InputError, match=r"other: the process .* failed: .*the other one"):
        bench_train._timed(tmp_path / "other", path, 1)


def test_what_is_timed_is_read_from_the_process(path, monkeypatch):
    monkeypatch.setattr(
        "tfi2i.processes.run_module", lambda *words, **_: Finished(0, json.dumps({"a": 1}), [])
    )
    assert bench_train._timed(bench_train.CHECKOUT, path, 1) == {"a": 1}


@pytest.mark.skipif(not (bench_train.CHECKOUT / ".git").exists(), reason="not a checkout")
def test_a_revision_is_checked_out_and_removed():
    with bench_train._checkout("HEAD") as folder:
        assert (folder / "tfi2i" / "__init__.py").is_file()
        assert folder != bench_train.CHECKOUT
    assert not folder.exists()


def test_what_is_no_checkout_is_named(path, capsys):
    assert main(["bench-train", str(path), "--against", "no-such-revision"]) == 2
    assert re.search("--against no-such-revision: is no folder", capsys.readouterr().err)
