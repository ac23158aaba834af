"""Pictures of any size: seams, sizes, exactness, and how often the network is traced."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i.errors import InputError
from tfi2i.layers.convolution import PixelShuffle, ReflectionPad2D
from tfi2i.layers.normalization import LIN, AdaLIN, PerImage
from tfi2i.pictures import tiles
from tfi2i.pictures.pixels import to_image, to_pixels
from tfi2i.pictures.tiles import PictureTranslator, tile_starts, tile_weights


@keras.saving.register_keras_serializable("tests")
class CountedTraces(keras.layers.Layer):
    """The identity; notes the shape that each trace, or each eager call, sees."""

    def build(self, input_shape):
        self.seen = []

    def call(self, x):
        if not isinstance(x, keras.KerasTensor):
            self.seen.append(tuple(x.shape))
        return x


@functools.cache
def network(side: int | None = None, seed: int = 3, width: int = 8) -> keras.Model:
    """A small NICE-GAN-like network of stride 4: LIN, AdaLIN, a style from the pooled image."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((side, side, 3))
    x = CountedTraces(name="counted")(image)
    for i in range(2):
        x = ReflectionPad2D(1)(x)
        x = keras.layers.Conv2D(width, 4, 2, activation="leaky_relu", name=f"down{i}")(x)
    x = LIN()(keras.layers.Conv2D(width, 3)(ReflectionPad2D(1)(x)))
    style = PerImage()(keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x)))
    gamma, beta = keras.layers.Dense(width)(style), keras.layers.Dense(width)(style)
    y = AdaLIN()(keras.layers.Conv2D(width, 3)(ReflectionPad2D(1)(x)), gamma, beta)
    x = keras.layers.Add()([x, y])
    for _ in range(2):
        x = LIN()(PixelShuffle()(keras.layers.Conv2D(4 * width, 1)(x)))
        x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(3, 5, activation="tanh")(ReflectionPad2D(2)(x))
    return keras.Model(image, x, name="small")


@functools.cache
def point_network() -> keras.Model:
    """Nothing in it is local but 1 x 1 convolutions: only the statistics know other pixels."""
    keras.utils.set_random_seed(5)
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(6, 1, activation="tanh")(image)
    x = LIN()(x)
    return keras.Model(image, keras.layers.Conv2D(3, 1, activation="tanh")(x))


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture whose left is dark and whose right is bright and noisy: tiles differ a lot."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9.0 + y / (17.0 + c)) + np.cos(y / 11.0 - c) for c in range(3)], 2)
    base = 50 + 120 * (x[..., None] / width) ** 2 + 20 * waves
    noise = random.normal(0, 20, (height, width, 3)) * (x[..., None] > width / 2)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def translate_pixels(translator, pixels, progress=None, **options) -> np.ndarray:
    return PictureTranslator(translator, **options)(pixels, progress)


def own_statistics(translator: keras.Model, **options) -> PictureTranslator:
    """Tiles as they would be without shared statistics."""
    made = PictureTranslator(translator, **options)
    made._replay = lambda given, statistics: made._whole(*given)
    return made


def test_small_pictures_equal_the_network_exactly():
    translator = network()
    for size in ((32, 48), (64, 64), (40, 132)):
        pixels = scene(*size)
        expected = to_pixels(np.asarray(translator(to_image(pixels)[None], training=False)))[0]
        np.testing.assert_array_equal(translate_pixels(translator, pixels), expected)


def test_odd_sizes_equal_the_padded_picture_cropped():
    translator = network()
    pixels = scene(65, 127)
    padded = np.pad(pixels, [(0, 3), (0, 1), (0, 0)], mode="reflect")
    expected = translate_pixels(translator, padded)[:65, :127]
    np.testing.assert_array_equal(translate_pixels(translator, pixels), expected)


@functools.cache
def translator_of(kind: str) -> PictureTranslator:
    options = {"free, tiled": {"tile": 64}, "fixed, coarse": {"multiple": 64}}.get(kind, {})
    return PictureTranslator(network(64 if "fixed" in kind else None), **options)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 5), (65, 127), (300, 40), (129, 257)])
@pytest.mark.parametrize("kind", ["free", "free, tiled", "fixed", "fixed, coarse"])
def test_every_size_comes_back(size, kind):
    pixels = scene(*size)
    answer = translator_of(kind)(pixels)
    assert answer.shape == pixels.shape
    assert answer.dtype == np.uint8
    assert answer.flags.c_contiguous


@pytest.mark.parametrize("make", [point_network, network])
def test_tiles_with_shared_statistics_are_nearly_the_whole_picture(make):
    translator = make()
    pixels = scene(200, 328)
    whole = translate_pixels(translator, pixels).astype(int)
    shared = np.abs(translate_pixels(translator, pixels, tile=64, overlap=16) - whole)
    own = np.abs(own_statistics(translator, tile=64, overlap=16)(pixels) - whole)
    # The first pass' tiles overlap a little, so some pixels count twice: hence not exactly 0.
    assert shared.mean() < 1.5
    assert np.percentile(shared, 99) <= 8
    assert np.percentile(own, 99) > 20
    assert own.mean() > 4 * shared.mean()
    assert own.mean() > 2


def test_statistics_over_tiles_that_cover_a_picture_once_are_the_pictures():
    translator = point_network()
    pixels = scene(128, 192)
    whole = translate_pixels(translator, pixels).astype(int)
    tiled = translate_pixels(translator, pixels, tile=64, overlap=8)
    assert np.abs(tiled - whole).max() <= 1


def test_fixed_size_networks_share_statistics_too():
    free, fixed = network(), network(64)
    fixed.set_weights(free.get_weights())
    pixels = scene(128, 256)
    whole = translate_pixels(free, pixels).astype(int)
    shared = np.abs(translate_pixels(fixed, pixels, overlap=16) - whole)
    own = np.abs(own_statistics(fixed, overlap=16)(pixels) - whole)
    assert shared.mean() < 1
    assert own.mean() > 4 * shared.mean()


def test_a_repeated_pattern_shows_no_seams():
    # Not one flat colour: a variance of 0 makes any instance normalisation amplify rounding noise,
    # whole or tiled.
    period, rim = 16, 32  # a multiple of the stride; what the picture's own edges can reach
    pixels = np.tile(scene(period, period), (14, 18, 1))
    answer = translate_pixels(network(), pixels, tile=96).astype(int)[rim:-rim, rim:-rim]
    assert np.ptp(answer[:period, :period]) > 50
    assert np.abs(answer[period:] - answer[:-period]).max() <= 1
    assert np.abs(answer[:, period:] - answer[:, :-period]).max() <= 1


def test_one_flat_colour_stays_flat_where_variances_do_not_vanish():
    pixels = np.full((150, 230, 3), (200, 90, 30), np.uint8)
    answer = translate_pixels(point_network(), pixels, tile=64)
    assert np.ptp(answer.astype(int), axis=(0, 1)).max() <= 1


def test_networks_without_statistics_need_no_first_pass():
    image = keras.Input((None, None, 3))
    counted = CountedTraces()
    translator = keras.Model(image, counted(image))
    pixels = scene(150, 90)
    steps = []
    answer = translate_pixels(
        translator, pixels, tile=32, progress=lambda *step: steps.append(step)
    )
    np.testing.assert_array_equal(answer, pixels)
    total = steps[-1][1]
    assert steps == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize("overlap", [0, 5, 8, 16, 32])
@pytest.mark.parametrize("length", [64, 68, 96, 100, 124, 128, 132, 300, 1000])
@pytest.mark.parametrize("grid", [1, 4])
def test_tiles_cover_an_axis_and_their_weights_sum_to_one(length, overlap, grid):
    starts = tile_starts(length, 64, overlap, grid)
    assert starts[0] == 0
    assert starts[-1] == length - 64
    assert all(start % grid == 0 for start in starts)
    assert all(0 < b - a <= 64 - overlap for a, b in zip(starts, starts[1:], strict=False))
    total = np.zeros(length)
    for start, weight in zip(starts, tile_weights(length, 64, starts, overlap), strict=True):
        assert weight.min() >= 0
        total[start : start + 64] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_tile_rims_do_not_count_where_a_neighbour_sees_more():
    starts = tile_starts(1000, 128, 32, 4)
    weights = tile_weights(1000, 128, starts, 32)
    for i, weight in enumerate(weights):
        assert i == 0 or (weight[:8] == 0).all()
        assert i == len(weights) - 1 or (weight[-8:] == 0).all()
    assert weights[0][0] == 1
    assert weights[-1][-1] == 1


@pytest.mark.parametrize("tile", [None, 32])
def test_pixels_of_sixteen_bits_give_what_those_of_eight_do(tile):
    translator = PictureTranslator(network(), tile=tile)
    pixels = scene(50, 60)
    wide = translator(pixels.astype(np.uint16) * 257)
    assert wide.dtype == np.uint8
    assert np.abs(wide.astype(int) - translator(pixels)).max() <= 1


@pytest.mark.parametrize("tile", [None, 32])
def test_results_of_sixteen_bits_keep_depth(tile):
    image = keras.Input((None, None, 3))
    translate = PictureTranslator(keras.Model(image, image * 0.5), deep=True, tile=tile)
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 33, 3), np.uint16)
    made = translate(pixels)
    assert made.dtype == np.uint16
    np.testing.assert_allclose(made, 16384 + pixels / 2, atol=1)
    extremes = PictureTranslator(keras.Model(image, image * 2), deep=True, tile=tile)(pixels)
    assert (extremes.min(), extremes.max()) == (0, 65535)


def test_many_sizes_are_traced_once():
    translator = network()
    made = PictureTranslator(translator, tile=64)
    counted = translator.get_layer("counted")
    counted.seen.clear()
    for size in ((33, 40), (64, 64), (50, 61), (70, 70), (200, 131), (65, 300)):
        made(scene(*size))
    assert len(counted.seen) == 3, counted.seen


def test_big_pictures_are_tiled_and_the_first_pass_stays_in_the_budget(monkeypatch):
    monkeypatch.setattr(tiles, "PIXEL_BUDGET", 128 * 128)
    monkeypatch.setattr(tiles, "TILE", 64)
    monkeypatch.setattr(tiles, "RECORDED_TILE", 32)
    made = PictureTranslator(network())
    batches = []
    record = made._record

    class Watched:
        get_concrete_function = record.get_concrete_function

        def __call__(self, images):
            batches.append(tuple(images.shape))
            return record(images)

    made._record = Watched()
    made(scene(128, 128))
    assert batches == []
    for size in ((132, 128), (400, 300), (33, 2000), (2000, 33)):
        assert made(scene(*size)).shape == (*size, 3)
    assert len(batches) == 4
    assert all(count * 32 * 32 <= 128 * 128 for count, *_ in batches)
    assert all(count >= 9 for count, *_ in batches)
    assert all(shape[1:] == (32, 32, 3) for shape in batches)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 30}, "tile must be a multiple of 4 from 32 on, received 30"),
        ({"tile": 66}, "received 66"),
        ({"tile": 64, "overlap": 33}, r"overlap must be from 0 to half a tile \(32\), received 33"),
        ({"overlap": -1}, "received -1"),
        ({"multiple": 0}, "multiple must be at least 1, received 0"),
    ],
)
def test_impossible_tilings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        PictureTranslator(network(), **options)


def test_a_fixed_size_network_refuses_other_tiles():
    with pytest.raises(InputError, match="only takes 64 x 64"):
        PictureTranslator(network(64), tile=128)


def test_what_is_no_translator_is_refused():
    image = keras.Input((None, None, 3))
    label = keras.Input((4,))
    for model, message in (
        (lambda x: x, "functional keras.Model"),
        (keras.Model([image, label], [image, keras.layers.Dense(1)(label)]), "maps one image"),
        (keras.Model(image, keras.layers.Conv2D(5, 1)(image)), "maps one image"),
        (keras.Model(half := keras.Input((None, 64, 3)), keras.layers.ReLU()(half)), "both free"),
        (
            keras.Model(one := keras.Input((8, 8, 3), batch_size=1), keras.layers.ReLU()(one)),
            "free",
        ),
    ):
        with pytest.raises(InputError, match=message):
            PictureTranslator(model)


def test_broken_answers_are_refused():
    image = keras.Input((None, None, 3))
    shrinking = keras.Model(image, keras.layers.AveragePooling2D(2)(image))
    with pytest.raises(InputError, match="must keep the size"):
        translate_pixels(shrinking, scene(40, 40))
    broken = keras.Model(image, keras.layers.Conv2D(3, 1, bias_initializer="zeros")(image))
    broken.layers[-1].kernel.assign(np.full((1, 1, 3, 3), np.nan, np.float32))
    with pytest.raises(InputError, match="NaN"):
        translate_pixels(broken, scene(40, 40))


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(InputError, match="Expected uint8 pixels"):
        translate_pixels(network(), pixels)


def test_a_picture_that_does_not_fit_into_memory_says_so():
    made = PictureTranslator(network())

    def full(image):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    made._whole = full
    with pytest.raises(
        InputError, match="40 x 60 does not fit into memory.*tiles smaller than 512"
    ):
        made(scene(40, 60))
