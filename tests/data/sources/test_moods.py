"""Scenes in moods: a hidden style with known truth, by which translations can be judged exactly."""

import numpy as np
import pytest

from tfi2i.data import Batch, moods
from tfi2i.data.sources.scene_drawing import draw
from tfi2i.errors import InputError
from tfi2i.evaluate.paired import l1


def test_b_is_the_scene_in_a_mood_of_its_own_and_a_is_the_day():
    data = moods(train_size=3, test_size=200)
    assert data.paired == {"test", "validation"}
    np.testing.assert_array_equal(data.test["a"].read(2, 32), draw(0, "test", 2, 32)[0])
    b = data.test["b"]
    assert b.moods.shape == (200, 2) and b.moods.dtype == np.float32
    np.testing.assert_array_equal(b.read(2, 32), b.read_as(2, b.moods[2], 32))
    # The moods are spread evenly, and the two numbers do not tell of each other.
    assert np.abs(b.moods.mean(0) - 0.5).max() < 0.06 and np.abs(b.moods.std(0) - 0.29).max() < 0.03
    assert abs(np.corrcoef(b.moods.T)[0, 1]) < 0.2
    again = moods(train_size=3, test_size=200)
    np.testing.assert_array_equal(again.test["b"].moods, b.moods)
    assert again.description() == data.description() != moods(seed=1).description()
    assert not np.array_equal(data.validation["b"].moods[:128], b.moods[:128])


def test_pairs_show_one_scene_and_spread_bounds_the_moods():
    data = moods(train_size=50, test_size=1, paired=True, spread=0.2)
    assert data.paired == {"train", "test", "validation"}
    b = data.train["b"]
    assert b.moods.min() >= 0.4 and b.moods.max() <= 0.6 and b.moods.std() > 0.03
    assert b.mood_of(7, b.read(7, 64))[1] < 0.02  # the scene of the row
    batch = next(data.batches(Batch("paired"), image_size=32, batch_size=2).as_numpy_iterator())
    assert batch["b"].shape == (2, 32, 32, 3)


def test_the_mood_of_a_picture_is_found_and_another_scene_has_none():
    b = moods(test_size=4).test["b"]
    for index in range(4):
        mood, left = b.mood_of(index, b.read(index, 96))
        np.testing.assert_allclose(mood, b.moods[index], atol=0.01)
        assert left < 0.01
    assert b.mood_of(0, b.read(1, 96))[1] > 0.1


def test_moods_differ_as_far_as_they_are_apart():
    b = moods(test_size=2).test["b"]
    middle = b.read_as(0, (0.5, 0.5), 48)
    for axis in (0, 1):
        step = np.eye(2)[axis]
        errors = [l1(middle, b.read_as(0, 0.5 + far * step, 48)) for far in (0.1, 0.25, 0.5)]
        assert errors == sorted(errors) and errors[0] > 0.02 and errors[2] > 0.1


@pytest.mark.parametrize("mood", [(0.5,), (0.5, 1.1), (np.nan, 0)])
def test_a_mood_out_of_its_range_is_refused(mood):
    b = moods(test_size=1).test["b"]
    with pytest.raises(InputError, match="hour and a palette, each from 0 to 1"):
        b.read_as(0, mood, 32)
