"""Paired errors on pictures small enough to work out by hand."""

import math

import numpy as np
import pytest

from tfi2i.errors import InputError
from tfi2i.evaluate.paired import l1, oracle_recolouring, psnr, trivial_answers


def flat(*values, size=4):
    """Pictures (N, size, size, 3), each of one grey."""
    pixels = np.empty((len(values), size, size, 3), np.uint8)
    pixels[:] = np.array(values, np.uint8)[:, None, None, None]
    return pixels


def noise(seed, count=3, size=8):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def test_l1_is_a_share_of_the_range_and_does_not_wrap_around():
    assert l1(flat(0), flat(255)) == l1(flat(255), flat(0)) == 1
    assert l1(flat(10), flat(61)) == pytest.approx(0.2)
    assert l1(noise(0), noise(0)) == 0


def test_psnr_by_hand():
    assert psnr(flat(0)[0], flat(255)[0]) == pytest.approx(0)
    assert psnr(flat(100)[0], flat(110)[0]) == pytest.approx(20 * math.log10(25.5))
    assert psnr(flat(9)[0], flat(9)[0]) == math.inf


@pytest.mark.parametrize("measure", [l1, psnr])
def test_different_shapes_are_refused_not_broadcast(measure):
    with pytest.raises(InputError, match=r"\(1, 4, 4, 3\) and \(2, 4, 4, 3\)"):
        measure(flat(1), flat(1, 2))
    with pytest.raises(InputError, match="one shape"):
        measure(flat(), flat())


def test_identity_and_mean_image_by_hand():
    answers = trivial_answers(flat(0, 51), flat(51, 51), flat(0, 0), flat(0, 204))
    assert answers["identity"] == pytest.approx(0.1)
    assert answers["mean_image"] == pytest.approx(0.2)  # 102 against 51


def test_global_statistics_undo_an_affine_change_of_colour():
    inputs = np.clip(noise(1), 60, 180)
    targets = (inputs // 2 + 40).astype(np.uint8)
    answers = trivial_answers(inputs, targets, inputs, targets)
    assert answers["colour_statistics_global"] < 0.005
    assert answers["identity"] > 0.05


def test_per_image_statistics_undo_each_pictures_own_exposure():
    one = np.clip(noise(2, count=1), 60, 120)
    inputs = np.concatenate([one, one + 30, one + 60]).astype(np.uint8)
    targets = np.concatenate([one] * 3)
    answers = trivial_answers(inputs, targets, inputs, targets)
    assert answers["colour_statistics"] < 0.001
    assert answers["colour_statistics_global"] > 0.05


def test_pictures_without_contrast_get_the_target_mean():
    answers = trivial_answers(flat(7, 7), flat(90, 90), flat(7, 7), flat(80, 100))
    assert answers["colour_statistics"] == answers["colour_statistics_global"] == 0


def test_oracle_solves_a_recolouring_and_nothing_else():
    inputs = noise(3)
    assert oracle_recolouring(inputs, 255 - inputs, levels=256) == 0
    ambiguous = oracle_recolouring(flat(10, 10, 10), flat(0, 0, 255))
    assert ambiguous == pytest.approx(1 / 3)  # the median keeps the majority


def test_oracle_with_one_level_answers_the_median_of_each_channel():
    targets = noise(4)
    median = np.median(targets.reshape(-1, 3), axis=0)
    expected = l1(np.broadcast_to(median, targets.shape), targets)
    assert oracle_recolouring(noise(5), targets, levels=1) == pytest.approx(expected, abs=1e-3)


def test_oracle_is_no_worse_than_any_recolouring():
    inputs, targets = noise(6), noise(7)
    assert oracle_recolouring(inputs, targets) <= l1(inputs // 16 * 16, targets)


def test_wrong_arrays_are_named():
    good = flat(1, 2)
    with pytest.raises(InputError, match="train_inputs is float32"):
        trivial_answers(good, good, good.astype(np.float32), good)
    with pytest.raises(InputError, match=r"targets is uint8 \(4, 4, 3\)"):
        trivial_answers(good, good[0], good, good)
    with pytest.raises(InputError, match="train_targets are"):
        trivial_answers(good, good, good, flat(1, size=8))
    with pytest.raises(InputError, match="one shape"):
        oracle_recolouring(good, flat(1))
    with pytest.raises(InputError, match="levels is 0"):
        oracle_recolouring(good, good, levels=0)
