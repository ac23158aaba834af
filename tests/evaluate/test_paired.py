"""Paired errors on pictures small enough to work out by hand."""

import math

import numpy as np
import pytest
from recolouring import oracle_recolouring
from skimage.metrics import structural_similarity

from tfi2i.errors import InputError
from tfi2i.evaluate import diversity
from tfi2i.evaluate.paired import (
    l1,
    psnr,
    recoloured,
    retrieval_top1,
    ssim,
    trivial_answers,
)


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
    found = psnr(flat(0, 100, 9), flat(255, 110, 9))
    assert found == pytest.approx([0, 20 * math.log10(25.5), math.inf])


def waves(seed, count=3, size=24):
    """Smooth pictures, as photographs are."""
    random = np.random.default_rng(seed)
    steps = random.uniform(-0.4, 0.4, (2, count, 1, 1, 3))
    rows, columns, _ = np.mgrid[:size, :size, :1]
    return np.rint(127 + 120 * np.sin(steps[0] * rows + steps[1] * columns)).astype(np.uint8)


@pytest.mark.parametrize("noise_share", [0.02, 0.5])
def test_ssim_agrees_with_another_implementation(noise_share):
    first = waves(8, count=18)  # more than are taken at a time
    second = np.rint((1 - noise_share) * first + noise_share * noise(9, 18, 24)).astype(np.uint8)
    expected = [
        structural_similarity(
            *pair,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1,
            data_range=255,
        )
        for pair in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(ssim(first, second), expected, atol=1e-3)


def test_ssim_of_equal_and_of_opposite_pictures():
    assert ssim(waves(10), waves(10)) == pytest.approx([1, 1, 1])
    assert ssim(flat(0, size=11), flat(255, size=11))[0] < 0.001
    assert (ssim(waves(10), 255 - waves(10)) < 0).all()


def test_ssim_refuses_what_its_window_does_not_fit():
    with pytest.raises(InputError, match="10 x 10 pixels; SSIM takes 11 x 11 or more"):
        ssim(flat(1, size=10), flat(2, size=10))
    with pytest.raises(InputError, match=r"\(16, 16, 3\); give two \(N, H, W, 3\)"):
        ssim(flat(1, size=16)[0], flat(1, size=16)[0])


@pytest.mark.parametrize("block", [2, 1000])
def test_retrieval_counts_translations_that_find_their_own_truth(monkeypatch, block):
    monkeypatch.setattr(diversity, "BLOCK", block)
    truths = np.random.default_rng(11).standard_normal((5, 16))
    assert retrieval_top1(2 * truths, truths) == 1
    assert retrieval_top1(truths[[0, 1, 2, 4, 3]], truths) == pytest.approx(0.6)
    assert retrieval_top1(-truths, truths) == 0


def test_ties_of_retrieval_count_against():
    truths = np.random.default_rng(12).standard_normal((6, 16))
    truths[3] = truths[1]
    assert retrieval_top1(truths, truths) == pytest.approx(4 / 6)
    assert retrieval_top1(np.ones((6, 16)), np.ones((6, 16))) == 0


def test_retrieval_needs_pairs():
    rows = np.ones((4, 3))
    with pytest.raises(InputError, match="4 translations and 3 truths"):
        retrieval_top1(rows, rows[:3])
    with pytest.raises(InputError, match="at least 2 rows"):
        retrieval_top1(rows[:1], rows[:1])


@pytest.mark.parametrize("measure", [l1, psnr, ssim])
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


def test_recoloured_pictures_score_as_the_answer_does():
    inputs, targets = waves(13), noise(14, size=24)
    made = recoloured(inputs, targets.mean((0, 1, 2)), targets.std((0, 1, 2)))
    answer = trivial_answers(inputs, targets, inputs, targets)["colour_statistics"]
    assert made.dtype == np.uint8
    assert l1(made, targets) == pytest.approx(answer, abs=1e-3)
    np.testing.assert_allclose(made.mean((1, 2)), np.tile(targets.mean((0, 1, 2)), (3, 1)), atol=8)


@pytest.mark.parametrize("mean", [[10, 20], [1, 2, math.nan], [-1, 0, 0], [[1, 2, 3]]])
def test_statistics_that_are_not_three_of_the_range_are_refused(mean):
    with pytest.raises(InputError, match="mean is"):
        recoloured(flat(1), mean, [1, 1, 1])
    with pytest.raises(InputError, match="deviation is"):
        recoloured(flat(1), [1, 1, 1], mean)


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
