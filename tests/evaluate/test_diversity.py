"""Neighbours and spreads against the whole table of distances, and the words about them."""

import numpy as np
import pytest
import scipy.spatial.distance

from tfi2i.errors import InputError
from tfi2i.evaluate import diversity
from tfi2i.evaluate.diversity import copying_note, diversity_note, memorising_note, nearest, spread


def features(seed, count, dimensions=6):
    return np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)


def table(x, y):
    return scipy.spatial.distance.cdist(np.float64(x), np.float64(y), "cosine")


@pytest.mark.parametrize("block", [3, 1000])
def test_nearest_equals_the_table_of_all_distances(monkeypatch, block):
    monkeypatch.setattr(diversity, "BLOCK", block)
    x, y = features(0, 10), features(1, 7)
    np.testing.assert_allclose(nearest(x, y), table(x, y).min(1), atol=1e-12)
    others = table(x, x) + np.diag(np.full(10, np.inf))
    np.testing.assert_allclose(nearest(x, x, exclude_self=True), others.min(1), atol=1e-12)


def test_nearest_finds_copies_whatever_their_length():
    x = features(2, 5)
    np.testing.assert_allclose(nearest(3 * x, x[::-1]), 0, atol=1e-6)
    assert nearest([[1, 0]], [[-2, 0]]) == [2]


def test_spread_is_the_mean_over_pairs():
    x = features(3, 40)
    assert spread(x) == pytest.approx(table(x, x)[np.triu_indices(40, 1)].mean())


def test_spread_of_equal_pictures_is_zero_and_of_right_angles_one():
    assert spread(np.repeat(features(4, 1), 9, axis=0)) == pytest.approx(0, abs=1e-12)
    assert spread(np.eye(5)) == pytest.approx(1)


def test_a_picture_without_a_direction_is_refused():
    broken = features(5, 4)
    broken[2] = 0
    with pytest.raises(InputError, match="row 2 are all 0"):
        spread(broken)
    with pytest.raises(InputError, match="row 2 are all 0"):
        nearest(features(5, 4), broken)


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="6 features a picture, the other 5"):
        nearest(features(6, 4), features(6, 4, 5))
    with pytest.raises(InputError, match="4 and 3"):
        nearest(features(6, 4), features(6, 3), exclude_self=True)
    with pytest.raises(InputError, match="at least 2 rows"):
        nearest(features(6, 1), features(6, 1), exclude_self=True)
    with pytest.raises(InputError, match="at least 2 rows"):
        spread(features(6, 1))


def test_copies_of_the_inputs_are_called_so():
    note = copying_note(0.004)
    assert note is not None
    assert "copies of their inputs (distance 0.004" in note
    assert copying_note(0.02) is None


def test_translations_near_to_training_pictures_are_called_memorised():
    train, test = features(7, 300), features(8, 100)
    learned_by_heart = train[:100] + 0.01 * test
    real = float(np.median(nearest(test, train)))
    note = memorising_note(float(np.median(nearest(learned_by_heart, train))), real)
    assert note is not None
    assert "repeats what it was trained on" in note
    assert memorising_note(float(np.median(nearest(features(9, 100), train))), real) is None


def test_a_collapsed_generator_is_called_so():
    real = features(10, 100)
    note = diversity_note(spread(real[0] + 0.1 * real), spread(real))
    assert note is not None
    assert "collapsed" in note
    assert diversity_note(spread(features(11, 100)), spread(real)) is None
