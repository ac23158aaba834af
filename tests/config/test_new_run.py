"""Runs of systems that were made in Python."""

import keras
import numpy as np
import pytest

import tfi2i
from tfi2i.config import config as configs
from tfi2i.config.building import build_data, recompile
from tfi2i.errors import InputError
from tfi2i.models import ALL


@pytest.fixture(scope="module")
def system():
    system = tfi2i.CycleGAN(**tfi2i.CycleGAN.smoke, dtype="mixed_bfloat16")
    system.compile(total_steps=7, cycle_weight=3.0)
    return system


def trained(system, data):
    system.run_eagerly = True  # a graph takes longer than two steps
    system.fit(data.batches(system), steps_per_epoch=2, verbose=0)
    return system


def test_a_run_has_the_systems_numbers_and_its_datas_settings(system, tmp_path):
    data = tfi2i.data.scenes(train_size=5, test_size=3, seed=2).swapped()
    run = tfi2i.new_run(system, data, tmp_path)
    assert run.path == tmp_path / "00001-cyclegan-scenes-swapped"
    config = configs.load(run.config_path)
    assert config.system == "CycleGAN"
    assert {key: config.model[key] for key in system.smoke} == system.smoke
    assert config.model["dtype"] == "mixed_bfloat16"
    assert (config.compile["total_steps"], config.compile["cycle_weight"]) == (7, 3.0)
    again = build_data(config)
    assert again.description() == data.description() == run.environment["data"]
    assert not run.checkpoint_path().exists()  # it has not been trained


def test_a_trained_systems_run_is_resumed_and_translates(system, tmp_path):
    data = tfi2i.data.scenes(train_size=4, test_size=4)
    run = tfi2i.new_run(trained(system, data), data, tmp_path, folder="mine")
    assert run.path == tmp_path / "mine"
    assert run.load_system().step == system.step == 2
    image = np.zeros((1, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(run.network("a2b")(image), system.network("a2b")(image))
    with pytest.raises(InputError, match="exists already"):
        tfi2i.new_run(system, data, tmp_path, folder="mine")


def test_fit_goes_on_in_the_run(system, tmp_path):
    data = tfi2i.data.scenes(train_size=4, test_size=4)
    run = tfi2i.new_run(system, data, tmp_path)
    steps = {"report_steps": 1, "sample_steps": 1, "checkpoint_steps": 1, "evaluate_steps": 0}
    system.compile(total_steps=system.step + 1, run_eagerly=True)
    tfi2i.fit(system, data, run, **steps, tensorboard=False, show=False)
    assert run.sample_path(system.step).is_file() and run.load_system().step == system.step


def test_a_schedule_is_told_by_its_first_rate(tmp_path, caplog):
    system = tfi2i.CUT(**tfi2i.CUT.smoke)
    system.compile(learning_rate=keras.optimizers.schedules.CosineDecay(0.5, 9))
    run = tfi2i.new_run(system, None, tmp_path)
    assert configs.load(run.config_path).compile["learning_rate"] == 0.5
    assert "first rate of a schedule" in caplog.text
    assert "data" not in run.config and run.name == "00001-cut-data"


def test_of_a_schedule_that_warms_up_the_rate_after_0_is_told(tmp_path):
    system = tfi2i.CUT(**tfi2i.CUT.smoke)
    schedules = keras.optimizers.schedules
    system.compile(learning_rate=schedules.CosineDecay(0.0, 9, warmup_target=0.5, warmup_steps=2))
    run = tfi2i.new_run(system, None, tmp_path)
    assert configs.load(run.config_path).compile["learning_rate"] == 0.25
    system.compile(learning_rate=schedules.PiecewiseConstantDecay([5], [0.0, 0.5]))
    run = tfi2i.new_run(system, None, tmp_path)
    assert configs.load(run.config_path).compile["learning_rate"] == 2e-4  # the default


def test_a_system_that_cannot_have_a_run_is_named(tmp_path):
    with pytest.raises(InputError, match="not compiled"):
        tfi2i.new_run(tfi2i.CUT(**tfi2i.CUT.smoke), None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_chosen_domains_have_no_settings():
    data = tfi2i.data.scenes(train_size=2, test_size=2)
    assert data.settings == {"source": "scenes", "train_size": 2, "test_size": 2}
    assert data.swapped().swapped().settings["swap"] is False
    assert data.choose("b", "a").settings == {}


@pytest.mark.parametrize("name", ALL)
def test_other_numbers_leave_the_variables_of_every_system(name):
    system = ALL[name](**ALL[name].smoke)
    system.compile(ema_decay=0.9)
    config = configs.Config(name, compile={"ema_decay": 0.8, "learning_rate": 0.5})
    recompile(system, config, ["ema_decay", "learning_rate"])
    rates = system.optimizer.rates()
    if name == "DRIT":
        assert rates.pop("content") == pytest.approx(4e-5)  # its own
    if name == "StarGANv2":
        assert rates.pop("mapping") == pytest.approx(0.005)
    assert system.ema_decay == 0.8 and set(rates.values()) == {0.5}
    with pytest.raises(InputError, match=r"compile\.ema_decay would change .*averages\."):
        recompile(system, configs.Config(name, compile={"ema_decay": None}), ["ema_decay"])


def test_a_resumed_run_keeps_what_only_python_can_give(tmp_path):
    rate = keras.optimizers.schedules.CosineDecay(0.5, 100)
    system = tfi2i.CUT(**tfi2i.CUT.smoke)
    system.compile(total_steps=4, learning_rate=rate, steps_per_execution=2)
    system.optimizer.learning_rate = 0.25  # as a callback sets it
    run = tfi2i.new_run(system, None, tmp_path)
    recompile(system, configs.load(run.config_path, ["compile.total_steps=8"]))
    assert (system.total_steps, system.steps_per_execution) == (8, 2)
    rates = [float(one.learning_rate) for one in system.optimizers.values()]
    assert rates == pytest.approx([0.25] * len(rates))
    mine = keras.optimizers.SGD(0.125)
    system.compile(total_steps=4, optimizer=mine)
    recompile(system, configs.load(run.config_path, ["compile.total_steps=8"]))
    assert {type(one) for one in system.optimizers.values()} == {keras.optimizers.SGD}
    assert {float(one.learning_rate) for one in system.optimizers.values()} == {0.125}
    with pytest.raises(InputError, match="were given in Python"):
        recompile(system, configs.load(run.config_path), ["learning_rate"])
