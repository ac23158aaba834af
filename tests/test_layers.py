import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i.layers import LeakyReLU, PixelShuffle, ReflectionPad2D, SpectralConv2D, SpectralDense
from tfi2i.normalization import LIN, AdaLIN, PerImage, SharedStatistics, channel_moments

EVERY = {
    "PerImage": (PerImage, (3, 5)),
    "ReflectionPad2D": (lambda: ReflectionPad2D(2), (3, 6, 7, 4)),
    "LeakyReLU": (LeakyReLU, (3, 6, 7, 4)),
    "PixelShuffle": (PixelShuffle, (3, 6, 7, 8)),
    "LIN": (LIN, (3, 6, 7, 4)),
    "SpectralConv2D": (lambda: SpectralConv2D(5, 3, 2), (3, 7, 9, 4)),
    "SpectralDense": (lambda: SpectralDense(6), (3, 4)),
}
every_layer = pytest.mark.parametrize(("make", "shape"), EVERY.values(), ids=EVERY.keys())


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(0.5, 2, shape).astype("float32")


def reference_lin(x, rho, gamma, beta):
    """Written from the definition: unbiased variances, epsilon 1e-5, softmax over the two."""
    x = np.asarray(x, np.float64)
    instance = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(
        x.var((1, 2), keepdims=True, ddof=1) + 1e-5
    )
    layer = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(
        x.var((1, 2, 3), keepdims=True, ddof=1) + 1e-5
    )
    p, q = (np.exp(rho) / np.exp(rho).sum(-1, keepdims=True)).T
    return (p * instance + q * layer) * gamma + beta


def test_lin_equals_its_definition():
    layer, x = LIN(), noise((2, 5, 7, 3))
    layer.build(x.shape)
    rho, gamma, beta = noise((3, 2), 1), noise(3, 2), noise(3, 3)
    layer.set_weights([rho, gamma, beta])
    np.testing.assert_allclose(layer(x), reference_lin(x, rho, gamma, beta), rtol=2e-5, atol=2e-5)


def test_adalin_equals_its_definition():
    layer, x, gamma, beta = AdaLIN(), noise((2, 5, 7, 3)), noise((2, 3), 1), noise((2, 3), 2)
    output = layer(x, gamma, beta)
    rho = np.tile([3.2, 1.0], (3, 1))
    wanted = reference_lin(x, rho, gamma[:, None, None], beta[:, None, None])
    np.testing.assert_allclose(output, wanted, rtol=2e-5, atol=2e-5)


def test_rho_starts_near_layer_and_near_instance_normalisation():
    lin, adalin = LIN(), AdaLIN()
    lin.build((None, 4, 4, 2))
    adalin.build((None, 4, 4, 2), (None, 2), (None, 2))
    np.testing.assert_allclose(tf.nn.softmax(lin.rho.value)[0], [0.0998, 0.9002], atol=1e-4)
    np.testing.assert_allclose(tf.nn.softmax(adalin.rho.value)[0], [0.9002, 0.0998], atol=1e-4)


def test_reflection_does_not_repeat_the_edge():
    row = np.arange(1, 5, dtype="float32").reshape(1, 1, 4, 1).repeat(3, 1)
    assert ReflectionPad2D(2)(row)[0, 2, :, 0].numpy().tolist() == [3, 2, 1, 2, 3, 4, 3, 2]


def test_reflection_of_a_map_that_is_too_small_says_so():
    with pytest.raises(ValueError, match="at least 3 x 3, received 2 x 9"):
        ReflectionPad2D(2)(keras.Input((2, 9, 1)))


def test_pixel_shuffle_puts_four_channels_into_a_square():
    pixels = np.arange(4, dtype="float32").reshape(1, 1, 1, 4)
    assert PixelShuffle()(pixels)[0, :, :, 0].numpy().tolist() == [[0, 1], [2, 3]]


def spectral(layer, shape):
    layer.build(shape)
    return layer


def test_spectral_norm_converges_to_the_largest_singular_value():
    layer = spectral(SpectralConv2D(6, 3), (None, 8, 8, 4))
    matrix = layer.kernel.numpy().reshape(-1, 6)
    for _ in range(200):
        normalized = layer.normalized_kernel(training=True)
    sigma = np.linalg.svd(matrix, compute_uv=False)[0]
    np.testing.assert_allclose(normalized, layer.kernel.numpy() / sigma, rtol=1e-4)


def test_one_training_call_is_one_power_iteration_and_keeps_the_raw_kernel():
    layer = spectral(SpectralDense(5), (None, 7))
    kernel, u = layer.kernel.numpy(), layer.u.numpy()
    layer(noise((2, 7)), training=True)
    v = kernel @ u / np.linalg.norm(kernel @ u)
    np.testing.assert_allclose(layer.v.numpy(), v, rtol=1e-5)
    np.testing.assert_allclose(
        layer.u.numpy(), kernel.T @ v / np.linalg.norm(kernel.T @ v), rtol=1e-5
    )
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)


def test_an_inference_call_leaves_u_and_v_alone():
    layer = spectral(SpectralDense(5), (None, 7))
    before = [layer.u.numpy(), layer.v.numpy()]
    layer(noise((2, 7)))
    np.testing.assert_array_equal(before[0], layer.u.numpy())
    np.testing.assert_array_equal(before[1], layer.v.numpy())


def test_the_gradient_passes_through_sigma():
    layer = spectral(SpectralDense(3, use_bias=False), (None, 4))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer.normalized_kernel(False) * noise((4, 3)))
    gradient = tape.gradient(loss, layer.kernel.value).numpy()
    # W / sigma(W) does not change when W is scaled, so the gradient is orthogonal to W.
    assert abs(np.sum(gradient * layer.kernel.numpy())) < 1e-4 * np.abs(gradient).max()


def test_initial_weights_have_pytorchs_bounds():
    layer = spectral(SpectralConv2D(64, 4), (None, 8, 8, 16))
    bound = (4 * 4 * 16) ** -0.5
    for weights in (layer.kernel.numpy(), layer.bias.numpy()):
        assert np.abs(weights).max() <= bound
        assert np.abs(weights).max() > 0.9 * bound
    assert np.isclose(np.linalg.norm(layer.u.numpy()), 1)


@every_layer
def test_it_can_be_saved_within_a_functional_model(make, shape, tmp_path):
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, make()(inputs))
    x = noise(shape)
    assert model.output_shape[1:] == tuple(model(x).shape[1:])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))


@every_layer
def test_every_trained_variable_receives_a_gradient(make, shape):
    layer = make()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(noise(shape), training=True) ** 3)
    for gradient in tape.gradient(loss, [v.value for v in layer.trainable_variables]):
        assert np.abs(gradient).max() > 0


@every_layer
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_variables_full_and_results_close(make, shape, policy):
    keras.utils.set_random_seed(1)
    full = make()
    x = noise(shape)
    wanted = np.asarray(full(x))
    keras.config.set_dtype_policy(policy)
    try:
        layer = make()
    finally:
        keras.config.set_dtype_policy("float32")
    layer.build(shape)
    layer.set_weights(full.get_weights())
    output = layer(x)
    assert output.dtype == layer.compute_dtype
    assert all(variable.dtype == "float32" for variable in layer.variables)
    largest = np.abs(wanted).max()
    np.testing.assert_allclose(np.asarray(output, "float32"), wanted, atol=0.02 * largest)


def test_tiles_share_statistics_as_if_they_were_one_image():
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, LIN()(inputs))
    whole = noise((1, 8, 6, 4))
    tiles = np.concatenate([whole[:, :4], whole[:, 4:]])
    with SharedStatistics.record() as statistics:
        recorded = model(tiles)
    with SharedStatistics.replay(statistics.values):
        replayed = model(tiles[1:])
    together = np.concatenate(recorded, 0)[None]
    np.testing.assert_allclose(together, model(whole), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(replayed, recorded[1:], rtol=1e-6)
    assert np.abs(np.asarray(model(tiles)) - recorded).max() > 0.01
    assert SharedStatistics.current() is None


def test_replay_for_another_network_is_refused():
    with SharedStatistics.replay([]), pytest.raises(ValueError, match="0 recorded statistics"):
        channel_moments(tf.ones((1, 2, 2, 1)))


def test_per_image_vectors_are_averaged_over_tiles():
    vectors = noise((3, 2))
    with SharedStatistics.record():
        np.testing.assert_allclose(PerImage()(vectors), np.tile(vectors.mean(0), (3, 1)), rtol=1e-5)
    np.testing.assert_array_equal(PerImage()(vectors), vectors)
