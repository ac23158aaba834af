import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i.layers.convolution import (
    BilinearUp,
    BlurDown,
    LeakyReLU,
    PixelShuffle,
    ReflectionPad2D,
    TransposedConv2D,
)
from tfi2i.layers.layer_normalization import LayerNormalization
from tfi2i.layers.normalization import (
    LIN,
    AdaLIN,
    InstanceNormalization,
    PerImage,
    SharedStatistics,
    channel_moments,
)
from tfi2i.layers.spectral import SpectralConv2D, SpectralDense

EVERY = {
    "PerImage": (PerImage, (3, 5)),
    "ReflectionPad2D": (lambda: ReflectionPad2D(2), (3, 6, 7, 4)),
    "LeakyReLU": (LeakyReLU, (3, 6, 7, 4)),
    "PixelShuffle": (PixelShuffle, (3, 6, 7, 8)),
    "BlurDown": (BlurDown, (3, 6, 7, 4)),
    "BilinearUp": (BilinearUp, (3, 6, 7, 4)),
    "TransposedConv2D k3": (lambda: TransposedConv2D(5, 3), (3, 6, 7, 4)),
    "TransposedConv2D k4": (lambda: TransposedConv2D(5, 4), (3, 6, 7, 4)),
    "InstanceNormalization": (InstanceNormalization, (3, 6, 7, 4)),
    "LayerNormalization": (LayerNormalization, (3, 6, 7, 4)),
    "LayerNormalization by the deviation": (
        lambda: LayerNormalization("deviation", keras.initializers.RandomUniform(0, 1)),
        (3, 6, 7, 4),
    ),
    "LIN": (LIN, (3, 6, 7, 4)),
    "LIN clip": (lambda: LIN("clip"), (3, 6, 7, 4)),
    "SpectralConv2D": (lambda: SpectralConv2D(5, 3, 2), (3, 7, 9, 4)),
    "SpectralDense": (lambda: SpectralDense(6), (3, 4)),
}
every_layer = pytest.mark.parametrize(("make", "shape"), EVERY.values(), ids=EVERY.keys())


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(0.5, 2, shape).astype("float32")


def softmax(rho):
    """What softmax mixing makes of rho (C, 2): the shares of instance and layer."""
    return (np.exp(rho) / np.exp(rho).sum(-1, keepdims=True)).T


def reference_lin(x, shares, gamma, beta):
    """Written from the definition: unbiased variances, epsilon 1e-5."""
    x = np.asarray(x, np.float64)
    instance = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(
        x.var((1, 2), keepdims=True, ddof=1) + 1e-5
    )
    layer = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(
        x.var((1, 2, 3), keepdims=True, ddof=1) + 1e-5
    )
    p, q = shares
    return (p * instance + q * layer) * gamma + beta


def test_lin_equals_its_definition():
    layer, x = LIN(), noise((2, 5, 7, 3))
    layer.build(x.shape)
    rho, gamma, beta = noise((3, 2), 1), noise(3, 2), noise(3, 3)
    layer.set_weights([rho, gamma, beta])
    wanted = reference_lin(x, softmax(rho), gamma, beta)
    np.testing.assert_allclose(layer(x), wanted, rtol=2e-5, atol=2e-5)


def test_lin_that_clips_mixes_rho_and_the_rest():
    layer, x = LIN(mixing="clip"), noise((2, 5, 7, 3))
    layer.build(x.shape)
    rho, gamma, beta = np.array([0, 0.25, 1], "float32"), noise(3, 2), noise(3, 3)
    layer.set_weights([rho, gamma, beta])
    wanted = reference_lin(x, (rho, 1 - rho), gamma, beta)
    np.testing.assert_allclose(layer(x), wanted, rtol=2e-5, atol=2e-5)


def test_adalin_equals_its_definition():
    layer, x, gamma, beta = AdaLIN(), noise((2, 5, 7, 3)), noise((2, 3), 1), noise((2, 3), 2)
    output = layer(x, gamma, beta)
    shares = softmax(np.tile([3.2, 1.0], (3, 1)))
    wanted = reference_lin(x, shares, gamma[:, None, None], beta[:, None, None])
    np.testing.assert_allclose(output, wanted, rtol=2e-5, atol=2e-5)


def test_adalin_that_clips_starts_at_nine_tenths_of_instance_normalisation():
    layer, x = AdaLIN(mixing="clip"), noise((2, 5, 7, 3))
    gamma, beta = noise((2, 3), 1), noise((2, 3), 2)
    output = layer(x, gamma, beta)
    wanted = reference_lin(x, (0.9, 0.1), gamma[:, None, None], beta[:, None, None])
    np.testing.assert_allclose(output, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("layer", [LIN, AdaLIN])
def test_an_unknown_mixing_is_named(layer):
    with pytest.raises(ValueError, match="mixing must be .softmax. or .clip., .*mixing='linear'"):
        layer(mixing="linear")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_instance_normalisation_equals_its_definition(dtype, tolerance):
    layer, x = InstanceNormalization(dtype=dtype), noise((2, 5, 7, 3)).astype(dtype)
    wide = x.astype("float64")
    deviation = np.sqrt(wide.var((1, 2), keepdims=True) + 1e-5)  # the divisor is H W
    wanted = (wide - wide.mean((1, 2), keepdims=True)) / deviation
    output = layer(x)
    assert output.dtype == dtype
    np.testing.assert_allclose(output, wanted, rtol=tolerance, atol=tolerance)
    assert layer.variables == []


def test_instance_normalisation_of_a_flat_map_is_zero():
    flat = 3 * np.ones((1, 4, 4, 2), "float32")
    np.testing.assert_array_equal(InstanceNormalization()(flat), 0 * flat)


def test_instance_normalisation_of_a_bright_map_in_half_precision_keeps_its_contrast():
    bright = tf.constant(100 + noise((1, 8, 8, 2)), tf.bfloat16)
    output = InstanceNormalization(dtype="bfloat16")(bright)
    assert output.dtype == tf.bfloat16
    wanted = InstanceNormalization()(tf.cast(bright, tf.float32))
    np.testing.assert_allclose(tf.cast(output, tf.float32), wanted, atol=0.02)


def transposed_convolution(x, kernel, bias, output_padding):
    """PyTorch's, by its definition: stride 2, padding 1; kernel (k, k, out, in)."""
    images, height, width, _ = x.shape
    k = kernel.shape[0]
    grown = np.zeros((images, 2 * height + k, 2 * width + k, kernel.shape[2]))
    for row in range(height):
        for column in range(width):
            block = np.einsum("nc,ijoc->nijo", x[:, row, column], kernel)
            grown[:, 2 * row : 2 * row + k, 2 * column : 2 * column + k] += block
    sides = [2 * (side - 1) - 2 + k + output_padding for side in (height, width)]
    return grown[:, 1 : 1 + sides[0], 1 : 1 + sides[1]] + bias


@pytest.mark.parametrize(("kernel_size", "output_padding"), [(3, 1), (4, 0)])
@pytest.mark.parametrize("sides", [(4, 5), (1, 3), (1, 1)])
def test_a_transposed_convolution_is_pytorchs(kernel_size, output_padding, sides):
    layer, x = TransposedConv2D(4, kernel_size, dtype="float64"), noise((2, *sides, 3))
    layer.build(x.shape)
    kernel, bias = noise((kernel_size, kernel_size, 4, 3), 1), noise(4, 2)
    layer.set_weights([kernel, bias])
    output = layer(x.astype("float64"))
    assert output.shape == (2, 2 * sides[0], 2 * sides[1], 4)
    wanted = transposed_convolution(x.astype("float64"), kernel, bias, output_padding)
    np.testing.assert_allclose(output, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_a_transposed_convolution_takes_any_size(kernel_size, tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, TransposedConv2D(4, kernel_size, use_bias=False)(inputs))
    assert model.output_shape == (None, None, None, 4)
    assert len(model.weights) == 1
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for shape in ((1, 3, 8, 3), (2, 6, 1, 3)):
        output = tf.function(again)(noise(shape))
        assert output.shape == (shape[0], 2 * shape[1], 2 * shape[2], 4)
        np.testing.assert_array_equal(output, model(noise(shape)))


def test_a_transposed_convolution_of_another_size_is_refused():
    with pytest.raises(ValueError, match="kernel_size must be 3 or 4, received kernel_size=5"):
        TransposedConv2D(4, 5)


@pytest.mark.parametrize("sides", [(6, 8), (5, 7), (2, 9)])
def test_blurring_halves_by_the_filter_1_2_1(sides):
    x = noise((2, *sides, 3))
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    filtered = np.zeros(x.shape)
    for i, vertical in enumerate((1, 2, 1)):
        for j, horizontal in enumerate((1, 2, 1)):
            shifted = padded[:, i : i + sides[0], j : j + sides[1]]
            filtered += vertical * horizontal / 16 * shifted
    output = BlurDown()(x)
    assert output.shape == (2, -(-sides[0] // 2), -(-sides[1] // 2), 3)
    np.testing.assert_allclose(output, filtered[:, ::2, ::2], rtol=1e-5, atol=1e-5)


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
    u = kernel.T @ v / np.linalg.norm(kernel.T @ v)
    np.testing.assert_allclose(layer.v.numpy(), v, atol=1e-6)
    np.testing.assert_allclose(layer.u.numpy(), u, atol=1e-6)
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


def gradients(function, *inputs):
    """The gradients by `inputs` of a weighted sum of what `function` makes of them."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = function(*inputs)
        weighted = tf.reduce_sum(result * tf.cast(noise(result.shape, seed=9), result.dtype))
    return tape.gradient(weighted, inputs)


WRITTEN = {
    "InstanceNormalization": (InstanceNormalization, []),
    "LIN": (LIN, []),
    "LIN clip": (lambda **kwargs: LIN("clip", **kwargs), []),
    "AdaLIN": (AdaLIN, [(3, 4), (3, 4)]),
    "AdaLIN clip": (lambda **kwargs: AdaLIN("clip", **kwargs), [(3, 4), (3, 4)]),
}


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("make", "styles"), WRITTEN.values(), ids=WRITTEN.keys())
def test_the_written_out_gradient_of_a_normalisation_is_that_of_its_operations(
    make, styles, traced
):
    layer = make(dtype="float64")
    inputs = [tf.constant(noise(shape), tf.float64) for shape in [(3, 6, 7, 4), *styles]]
    layer(*inputs)
    for weight in layer.weights:  # "clip" starts at 0, which hides the instance's share
        weight.assign(tf.random.stateless_uniform(weight.shape, (0, 1), 0.2, 0.8, weight.dtype))

    def run(training, *values):
        kept = [variable.value for variable in layer.trainable_variables]
        with tf.GradientTape() as tape:
            by_input = gradients(lambda *x: layer(*x, training=training), *values)
            loss = tf.reduce_sum(tf.sin(layer(*values, training=training)))
        return [*by_input, *tape.gradient(loss, kept)]

    derived = run(False, *inputs)
    written = (tf.function(run) if traced else run)(True, *inputs)
    assert len(written) == len(derived) > 0
    for ours, theirs in zip(written, derived, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_written_out_gradient_of_a_spectral_kernel_is_that_of_its_operations():
    layer = SpectralConv2D(5, 3, use_bias=False, dtype="float64")
    x = tf.constant(noise((2, 6, 7, 4)), tf.float64)
    layer(x)

    def run(training):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(x, training=training)))
        return tape.gradient(loss, layer.kernel.value)

    written = run(True)  # a power iteration, whose u and v the second run takes as they are
    np.testing.assert_allclose(written, run(False), rtol=1e-9, atol=1e-12)


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


@pytest.mark.parametrize("sides", [(4, 5), (1, 3)])
def test_bilinear_doubling_is_three_quarters_and_one(sides):
    x = noise((2, *sides, 3))
    wanted = x
    for axis in (1, 2):
        first, last = np.take(wanted, [0], axis), np.take(wanted, [-1], axis)
        side = wanted.shape[axis]
        before = np.concatenate([first, wanted], axis).take(range(side), axis)
        after = np.concatenate([wanted, last], axis).take(range(1, side + 1), axis)
        doubled = np.stack([(3 * wanted + before) / 4, (3 * wanted + after) / 4], axis + 1)
        shape = list(wanted.shape)
        shape[axis] *= 2
        wanted = doubled.reshape(shape)
    np.testing.assert_allclose(BilinearUp()(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [LIN, InstanceNormalization])
def test_tiles_share_statistics_as_if_they_were_one_image(layer):
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, layer()(inputs))
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
