"""FID and KID against other computations, and what resampling and streaming promise."""

import math
import tracemalloc

import numpy as np
import pytest
import scipy.linalg

from tfi2i.errors import InputError
from tfi2i.evaluate.distances import Moments, Sample, fid, kid, kid_interval, kid_subsets


def features(seed, count, dimensions=8, shift=0.0, scale=1.0):
    """Like those of a network: correlated and not negative."""
    mixing = np.random.default_rng(99).standard_normal((dimensions, dimensions))
    mixed = np.random.default_rng(seed).standard_normal((count, dimensions)) @ mixing
    return np.maximum(scale * mixed + shift, 0).astype(np.float32)


def moments(rows):
    summed = Moments(rows.shape[1])
    summed.add(rows)
    return summed


def fid_by_sqrtm(x, y):
    x, y = np.float64(x), np.float64(y)
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    return np.square(x.mean(0) - y.mean(0)).sum() + np.trace(first + second - 2 * root)


def fid_by_nuclear_norm(x, y):
    """Never forms a covariance, so it holds where the root of the product does not."""
    means = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
    x, y = ((rows - m) / math.sqrt(len(rows) - 1) for rows, m in zip((x, y), means, strict=True))
    root = np.linalg.norm(x @ y.T, "nuc")
    return np.square(means[0] - means[1]).sum() + (x**2).sum() + (y**2).sum() - 2 * root


def kid_by_loops(x, y, biased=False):
    def kernel(a, b):
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def within(rows):
        indices = range(len(rows))
        found = [kernel(rows[i], rows[j]) for i in indices for j in indices if biased or i != j]
        return sum(found) / len(found)

    between = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(between) / len(between)


@pytest.mark.parametrize("sizes", [[300], [100, 200], [1] * 300, [7, 290, 3]])
def test_moments_do_not_depend_on_the_batches(sizes):
    rows = features(0, 300) + 1000.0  # far from 0, where sums of squares lose digits
    summed = Moments(8)
    for batch in np.split(rows, np.cumsum(sizes)[:-1]):
        summed.add(batch)
    assert summed.count == 300
    np.testing.assert_allclose(summed.mean, rows.mean(0, dtype=np.float64), rtol=1e-10)
    np.testing.assert_allclose(
        summed.covariance, np.cov(np.float64(rows), rowvar=False), rtol=1e-10, atol=1e-10
    )


def test_fid_equals_the_root_of_the_product():
    x, y = features(1, 500, 32), features(2, 400, 32, shift=0.2, scale=1.1)
    assert fid(moments(x), moments(y)) == pytest.approx(fid_by_sqrtm(x, y), rel=1e-5)
    assert fid(moments(x), moments(y)) == pytest.approx(fid(moments(y), moments(x)), rel=1e-12)


@pytest.mark.parametrize("counts", [(40, 60), (40, 2000), (2, 2)])
def test_fid_of_fewer_pictures_than_features(counts):
    x, y = features(3, counts[0], 200), features(4, counts[1], 200, shift=0.3)
    x[:, :20] = y[:, :20] = 0  # features that never answer
    assert fid(moments(x), moments(y)) == pytest.approx(fid_by_nuclear_norm(x, y), rel=1e-10)


@pytest.mark.parametrize("count", [300, 60])
def test_fid_of_uneven_features_keeps_its_digits(count):
    scales = np.logspace(0, -6, 100)
    x, y = (features(i, count, 100) @ np.diag(scales) for i in (22, 23))
    assert fid(moments(x), moments(y)) == pytest.approx(fid_by_nuclear_norm(x, y), rel=1e-5)


def test_fid_of_equal_sets_is_zero_and_of_shifted_ones_the_square_of_the_shift():
    x = np.float64(features(5, 100, 16))
    assert fid(moments(x), moments(x[::-1])) == pytest.approx(0, abs=1e-10)
    assert fid(moments(x), moments(x + 0.5)) == pytest.approx(16 * 0.25)


def test_fid_of_constant_features_is_the_distance_of_the_means():
    assert fid(moments(np.zeros((5, 4))), moments(np.ones((5, 4)))) == pytest.approx(4)


def test_kid_equals_the_loop_over_pairs():
    x, y = features(6, 14), features(7, 11, shift=0.5)
    assert kid(x, y) == pytest.approx(kid_by_loops(x, y), rel=1e-5)
    assert kid(x, y) == pytest.approx(kid(y, x), rel=1e-12)


def test_kid_in_several_blocks_equals_kid_in_one(monkeypatch):
    x, y = features(8, 70), features(9, 45, shift=0.5)
    whole = kid_interval(x, y)
    monkeypatch.setattr("tfi2i.evaluate.distances.BLOCK", 16)
    assert kid(x, y) == pytest.approx(whole.value, rel=1e-10)
    assert kid_interval(x, y) == pytest.approx(whole, rel=1e-10)


def test_kid_of_many_pictures_stays_small_in_memory():
    x = features(10, 4000, 64)
    tracemalloc.start()
    kid(x, x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6  # one kernel matrix alone is 128 MB


def test_kid_is_unbiased_where_its_biased_form_and_fid_are_not():
    pairs = [(features(2 * i, 20), features(2 * i + 1, 20)) for i in range(400)]
    values = np.array([kid(x, y) for x, y in pairs])
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean()) < 3 * error
    biased = np.mean([kid_by_loops(x, y, biased=True) for x, y in pairs[:8]])
    assert biased > 10 * error
    more = [fid(moments(features(i, 200)), moments(features(1000 + i, 200))) for i in range(10)]
    assert np.mean([fid(moments(x), moments(y)) for x, y in pairs]) > 5 * np.mean(more)


def test_kid_of_different_sets_does_not_depend_on_their_number():
    def simulated(count, repetitions):
        values = [
            kid(features(i, count), features(5000 + i, count, shift=1.0))
            for i in range(repetitions)
        ]
        return np.mean(values), np.std(values) / math.sqrt(repetitions)

    (few, few_error), (many, many_error) = simulated(20, 1000), simulated(200, 100)
    assert abs(few - many) < 3 * math.hypot(few_error, many_error)
    assert many > 10 * many_error


def test_intervals_hold_the_truth_as_often_as_they_say():
    def drawn(seed, count, shift):
        return np.random.default_rng(seed).standard_normal((count, 8)) + shift

    # The truth in closed form is long; the mean of large unbiased samples is as good.
    truth = np.mean([kid(drawn(i, 2000, 0), drawn(50 + i, 2000, 0.6)) for i in range(10)])
    intervals = [
        kid_interval(drawn(2 * i, 40, 0), drawn(2 * i + 1, 40, 0.6), resamples=300)
        for i in range(1000, 1300)
    ]
    assert 0.90 <= np.mean([low <= truth <= high for _, low, high in intervals]) <= 0.98
    assert all(low < value < high for value, low, high in intervals)


def test_intervals_narrow_with_pictures_and_widen_with_the_level():
    few = kid_interval(features(11, 30), features(12, 30, shift=1))
    many = kid_interval(features(11, 500), features(12, 500, shift=1))
    sure = kid_interval(features(11, 30), features(12, 30, shift=1), level=0.99)
    assert many.high - many.low < few.high - few.low < sure.high - sure.low
    assert kid_interval(features(11, 30), features(12, 30, shift=1)) == few
    assert kid_interval(features(11, 30), features(12, 30, shift=1), seed=1) != few


def test_an_interval_of_few_pictures_is_not_known():
    x, y = features(13, 9), features(14, 30)
    value, low, high = kid_interval(x, y)
    assert value == kid(x, y)
    assert math.isnan(low)
    assert math.isnan(high)


def test_subsets_lie_around_the_distance_of_all():
    x, y = features(15, 300), features(16, 300, shift=1)
    mean, deviation = kid_subsets(x, y, size=100)
    assert mean == pytest.approx(kid(x, y), abs=3 * deviation)
    assert deviation > 0.01 * mean
    whole, none = kid_subsets(x, y, subsets=5)
    assert whole == pytest.approx(kid(x, y))
    assert none == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_a_sample_does_not_depend_on_the_batches(batch):
    rows = features(17, 50)
    sample = Sample(8, limit=20)
    for start in range(0, 50, batch):
        sample.add(rows[start : start + batch])
    whole = Sample(8, limit=20)
    whole.add(rows)
    np.testing.assert_array_equal(sample.indices, whole.indices)
    np.testing.assert_array_equal(sample.rows, rows[sample.indices])
    assert len(sample.rows) == len(set(sample.indices)) == 20
    assert (np.diff(sample.indices) > 0).all()


def test_a_sample_below_its_limit_holds_all():
    sample = Sample(8, limit=20)
    assert sample.rows.shape == (0, 8)
    sample.add(features(18, 13))
    np.testing.assert_array_equal(sample.rows, features(18, 13))


def test_every_row_is_as_likely_to_be_kept():
    kept = np.zeros(30)
    for seed in range(2000):
        sample = Sample(1, limit=10, seed=seed)
        sample.add(np.zeros((30, 1)))
        kept[sample.indices] += 1
    deviation = math.sqrt(2000 * 1 / 3 * 2 / 3)
    assert np.abs(kept - 2000 / 3).max() < 4 * deviation


def test_bad_features_are_refused():
    good, broken = features(19, 12), features(20, 12)
    broken[5, 2] = np.nan
    with pytest.raises(InputError, match="1 of 12 pictures are not finite, the first in row 5"):
        kid(good, broken)
    with pytest.raises(InputError, match=r"\(8,\); give at least 2 rows \(N, D\)"):
        kid(good, good[0])
    with pytest.raises(InputError, match=r"\(1, 8\); give at least 2 rows"):
        kid_interval(good, good[:1])
    with pytest.raises(InputError, match=r"\(12, 0\)"):
        kid(good[:, :0], good[:, :0])
    with pytest.raises(InputError, match="8 features a picture, the other 7"):
        kid_subsets(good, good[:, :7])
    for streaming in (Moments(7), Sample(7)):
        with pytest.raises(InputError, match=r"\(12, 8\); give at least 1 row \(N, 7\)"):
            streaming.add(good)


def test_bad_settings_and_empty_moments_are_refused():
    good = features(21, 12)
    with pytest.raises(InputError, match="level is 95"):
        kid_interval(good, good, level=95)
    with pytest.raises(InputError, match="resamples is 10; give 100 or more"):
        kid_interval(good, good, resamples=10)
    with pytest.raises(InputError, match="subsets is 0"):
        kid_subsets(good, good, subsets=0)
    with pytest.raises(InputError, match="size is 1"):
        kid_subsets(good, good, size=1)
    with pytest.raises(InputError, match="limit is 0"):
        Sample(8, limit=0)
    with pytest.raises(InputError, match="the number of pictures is 1; give 2 or more"):
        fid(moments(good[:1]), moments(good))
    with pytest.raises(InputError, match="8 features a picture, the other 7"):
        fid(moments(good), moments(good[:, :7]))
    with pytest.raises(InputError, match="the number of pictures is 0"):
        Moments(8).mean  # noqa: B018
