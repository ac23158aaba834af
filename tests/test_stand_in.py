"""The stand-ins keep the contract of systems: what other tests find with them, they find of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from stand_in import DOMAINS, Painter, Seasons, batch_for

from tfi2i.pictures.pixels import in_order, run_over
from tfi2i.runs.keras_files import load_translator, read_conditions, save_network


@pytest.fixture(scope="module", params=[Seasons, Painter])
def trained(request):
    keras.utils.set_random_seed(0)
    system = request.param(**request.param.smoke)
    system.compile(ema_decay=0.5, total_steps=4)
    step = tf.function(system.train_step, autograph=False)
    for seed in range(2):
        losses = step(batch_for(system, seed=seed))
    assert set(losses) == {"g_l1"}
    return system


def inputs_of(system, way, seed=0):
    pixels = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), np.uint8)
    values = system.values_of(way.name, 3, seed)
    return None if way.source is None else pixels, values


def test_every_input_of_every_direction_changes_the_output(trained):
    names = [way.name for way in trained.directions]
    assert names == [way.name for way in type(trained).directions_of({})]
    for way in trained.directions:
        pixels, values = inputs_of(trained, way)
        predict = trained.predictor(way.name)
        before = run_over(predict, pixels, values=values)
        for name, value in values.items():
            other = np.roll(value, 1, -1)
            assert (run_over(predict, pixels, values=values | {name: other}) != before).any()
        if pixels is not None:
            assert (run_over(predict, 255 - pixels, values=values) != before).any()


def test_a_pair_of_domains_is_the_open_direction_with_its_label():
    system = Seasons()
    assert [one.name for one in system.conditions_of("1920s2dusk2winter")] == ["style"]
    assert [one.name for one in system.conditions_of("any")] == ["style", "label"]
    way = system.direction("1920s2dusk2winter")
    assert (way.source, way.target) == ("1920s2dusk", "winter")
    pixels, values = inputs_of(system, way)
    baked = run_over(system.predictor(way.name), pixels, values=values)
    opened = system.values_of("any", 3, 0, given=values, labels="winter")
    np.testing.assert_array_equal(baked, run_over(system.predictor("any"), pixels, values=opened))


def test_a_saved_system_and_its_networks_are_the_same(trained, tmp_path):
    trained.save(tmp_path / "system.keras")
    again = keras.saving.load_model(tmp_path / "system.keras")
    assert again.step == trained.step == 2
    assert again.get_config() == trained.get_config()
    assert trained.domains == DOMAINS
    for way in trained.directions:
        path = tmp_path / "network.keras"
        conditions = trained.conditions_of(way.name)
        save_network(trained.network(way.name), path, conditions, way.target)
        assert [one.name for one in read_conditions(path)] == [one.name for one in conditions]
        pixels, values = inputs_of(trained, way)
        made = run_over(in_order(load_translator(path)), pixels, values=values)
        np.testing.assert_array_equal(
            made, run_over(again.predictor(way.name), pixels, values=values)
        )
