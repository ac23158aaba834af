"""PatchNCE's pieces against the official code's numbers, and how positions are drawn."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i import losses
from tfi2i.networks import patch_features

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.mark.parametrize("shape", ["B1_P16", "B3_P10"])
@pytest.mark.parametrize("negatives", ["internal", "all"])
def test_patch_nce_and_its_gradient_equal_the_official_ones(shape, negatives):
    groups = int(shape[1]) if negatives == "internal" else 1
    with np.load(FIXTURES / "patchnce.npz") as file:
        query, key = (
            tf.constant(file[f"{shape}/{name}"].reshape(groups, -1, 8)) for name in ("q", "k")
        )
        theirs = file[f"{shape}/{negatives}/loss"]
        gradient = file[f"{shape}/{negatives}/grad_q"]
    with tf.GradientTape() as tape:
        tape.watch([query, key])
        loss = losses.patch_nce(query, key)
    by_query, by_key = tape.gradient(loss, [query, key])
    assert float(loss) == pytest.approx(theirs.mean(), rel=1e-5)
    np.testing.assert_allclose(np.reshape(by_query, gradient.shape), gradient, atol=1e-6)
    assert by_key is None


def test_the_features_of_half_precision_are_compared_in_float32():
    query = tf.random.stateless_normal((1, 4, 8), (0, 1))
    loss = losses.patch_nce(tf.cast(query, tf.bfloat16), tf.cast(query, tf.bfloat16))
    assert loss.dtype == tf.float32


def test_unit_vectors_equal_the_official_ones_also_of_tiny_vectors():
    with np.load(FIXTURES / "l2norm.npz") as file:
        vectors, theirs = file["x"], file["out"]
    np.testing.assert_allclose(patch_features.unit(tf.constant(vectors)), theirs, rtol=1e-5)
    assert not np.any(theirs[-1])


def test_the_gradient_of_a_zero_vector_is_finite():
    vectors = tf.zeros((2, 3))
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        total = tf.reduce_sum(patch_features.unit(vectors))
    assert np.all(np.isfinite(tape.gradient(total, vectors)))


def drawn(seed, count=50, sides=((9, 7), (9, 7), (3, 4))):
    maps = [tf.zeros((2, *side, 1)) for side in sides]
    return [
        np.asarray(one) for one in patch_features.draw_positions(maps, count, tf.constant(seed))
    ]


def test_positions_are_different_ones_within_the_map_and_all_of_a_small_map():
    for positions, size, count in zip(drawn((3, 4)), (63, 63, 12), (50, 50, 12), strict=True):
        assert len(set(positions)) == len(positions) == count
        assert positions.min() >= 0 and positions.max() < size


def test_every_map_and_every_seed_has_its_own_positions_and_a_seed_always_the_same():
    first, second, _ = drawn((3, 4))
    assert set(first) != set(second)
    assert set(first) != set(drawn((3, 5))[0])
    np.testing.assert_array_equal(first, drawn((3, 4))[0])


def test_every_position_is_as_likely():
    counts = np.zeros(12)
    for seed in range(600):
        counts[drawn((0, seed), 3, ((3, 4),))[0]] += 1
    assert np.abs(counts - 150).max() < 5 * np.sqrt(150 * 0.75)


def test_features_are_those_of_the_rows_at_the_positions():
    one = tf.random.stateless_normal((2, 3, 4, 5), (0, 0))
    head = patch_features.patch_head(5, 64, "head", keras.initializers.HeNormal)
    (features,) = patch_features.patch_features([one], [head], [tf.constant([0, 6, 11])])
    by_hand = patch_features.unit(head(tf.stack([one[:, 0, 0], one[:, 1, 2], one[:, 2, 3]], 1)))
    np.testing.assert_allclose(features, by_hand, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-3)


def test_a_head_computes_in_full_precision_under_half_precision_policies():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        head = patch_features.patch_head(3, 4, "head", keras.initializers.HeNormal)
    finally:
        keras.config.set_dtype_policy("float32")
    one = tf.cast(tf.random.stateless_normal((1, 2, 2, 3), (0, 0)), tf.float16)
    (features,) = patch_features.patch_features([one], [head], [tf.constant([1])])
    assert features.dtype == tf.float32
