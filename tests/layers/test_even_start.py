"""Fresh layers that enlarge maps: what they make of a map has no grid, and is drawn as before."""

import keras
import numpy as np
import pytest

from tfi2i.layers.convolution import PixelShuffle, TransposedConv2D
from tfi2i.layers.even_start import EvenNearest, EvenSubpixels, EvenTransposed


def normal():
    return keras.initializers.RandomNormal(stddev=0.02, seed=3)


def test_all_pixels_of_a_sub_pixel_convolution_begin_alike():
    kernel = EvenSubpixels(normal())((3, 3, 4, 20))
    bias = EvenSubpixels(keras.initializers.RandomUniform(seed=1))((20,))
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 4)).astype("float32")
    conv = keras.layers.Conv2D(20, 3)
    conv.build(x.shape)
    conv.set_weights([kernel, bias])
    made = np.asarray(PixelShuffle()(conv(x)))
    assert made.shape == (1, 8, 8, 5)
    np.testing.assert_array_equal(made, made[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
    drawn = np.asarray(normal()((3, 3, 4, 20)))
    np.testing.assert_array_equal(np.asarray(kernel)[..., :5], drawn[..., :5])


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_a_transposed_convolution_begins_with_pixels_that_vary_alike(kernel_size):
    layer = TransposedConv2D(64, kernel_size, kernel_initializer=EvenTransposed(normal()))
    rng = np.random.default_rng(0)
    flat = np.ones((1, 5, 5, 1), "float32") * rng.normal(size=32).astype("float32")
    inside = np.asarray(layer(flat))[:, 2:-2, 2:-2]
    np.testing.assert_allclose(inside, inside[:, :1, :1] + 0 * inside, atol=1e-6)
    rough = rng.normal(size=(8, 16, 16, 32)).astype("float32")
    made = np.asarray(layer(rough))[:, 2:-2, 2:-2]
    spreads = [made[:, i::2, j::2].std() for i in range(2) for j in range(2)]
    np.testing.assert_allclose(spreads, spreads[0], rtol=0.05)
    kernel = np.asarray(layer.kernel)
    assert kernel[kernel != 0].std() == pytest.approx(0.02, rel=0.05)


def test_a_kernel_of_nearest_pixels_begins_mirrored_and_drawn_as_before():
    kernel = np.asarray(EvenNearest(normal())((3, 3, 32, 64)))
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    np.testing.assert_array_equal(kernel, kernel[::-1])
    assert kernel.std() == pytest.approx(0.02, rel=0.05)
    assert len(np.unique(kernel)) == 4 * 32 * 64


def test_an_even_start_is_saved_with_its_layer():
    layer = TransposedConv2D(4, 3, kernel_initializer=EvenTransposed(normal()))
    again = TransposedConv2D.from_config(layer.get_config())
    first, second = (one.kernel_initializer((3, 3, 4, 2)) for one in (layer, again))
    np.testing.assert_array_equal(first, second)
