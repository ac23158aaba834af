"""A grid is found where there is one, whatever the picture; fresh translators draw none."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i.data.sources.scene_drawing import draw
from tfi2i.evaluate.grid import MOST, MOST_FRESH, SMALLEST, grid_note, powers, strengths
from tfi2i.models import ALL

SIDE = 64
DOWN, SIDEWAYS = np.mgrid[:SIDE, :SIDE]
GRIDS = {
    "rows": (2, DOWN % 2),
    "columns": (2, SIDEWAYS % 2),
    "checkerboard": (2, (DOWN + SIDEWAYS) % 2),
    "one of 2 x 2": (2, (DOWN % 2) * (SIDEWAYS % 2)),
    "bars of 2": (4, DOWN // 2 % 2),
    "blocks of 2": (4, (DOWN // 2 + SIDEWAYS // 2) % 2),
    "one of 4 x 4": (4, (DOWN % 4 == 0) * (SIDEWAYS % 4 == 0)),
}


@pytest.fixture(scope="module")
def scenes():
    return np.stack([draw(0, "test", index, SIDE)[0] for index in range(16)])


def blurred(pictures):
    """Pictures of means of 3 x 3 neighbours, as pixels."""
    means = tf.nn.avg_pool2d(tf.constant(pictures, tf.float32), 3, 1, "SAME")
    return np.rint(means).astype(np.uint8)


def strength(pictures):
    return strengths(powers(pictures))


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_is_found_at_its_period(scenes, name):
    period, grid = GRIDS[name]
    soft = blurred(scenes).astype(float)
    real, fake = strength(scenes), strength(soft + 6 * grid[..., None])
    assert fake[period] > MOST * max(real[period], strength(soft)[period], 1)
    assert f"a grid of period {period} (power" in grid_note(fake, real)
    assert f"period {6 - period}" not in grid_note({**fake, 6 - period: 1.0}, real)


def test_neither_pictures_nor_a_blur_nor_noise_are_a_grid(scenes):
    noisy = scenes + np.random.default_rng(0).normal(0, 8, scenes.shape)
    real = strength(scenes)
    for pictures in (scenes, blurred(scenes), noisy, scenes[:, :50, :37]):
        assert max(strength(pictures).values()) < MOST_FRESH
        assert grid_note(strength(pictures), real) is None


def test_what_real_pictures_have_is_no_fault_of_translations():
    assert grid_note({2: 5.0, 4: 1.2}, {2: 4.0, 4: 0.2}) is None
    note = grid_note({2: 5.4, 4: 2.0}, {2: 4.0, 4: 0.2})
    assert "a grid of period 2 (power 5.4 times" in note and "and a grid of period 4" in note


def test_flat_and_small_pictures_have_none():
    assert strength(np.full((2, SMALLEST, SMALLEST, 1), 7, np.uint8)) == {2: 1, 4: 1}


UNET = {"generator": "unet", "unet_levels": 4}
TRANSLATORS = [
    *(
        (name, {"upsampling": way})
        for name in ("NICEGAN", "UGATIT")
        for way in ("subpixel", "nearest")
    ),
    *(
        (name, {**settings, "upsampling": way})
        for name, settings in (("CycleGAN", {}), ("CycleGAN", UNET), ("CUT", {}))
        for way in ("transposed", "bilinear", "nearest")
    ),
    ("SinCUT", {}),
]


@pytest.mark.parametrize(("name", "settings"), TRANSLATORS, ids=str)
def test_a_fresh_translator_draws_no_grid(scenes, name, settings):
    keras.utils.set_random_seed(0)
    cls = ALL[name]
    network = cls(**{**cls.smoke, "image_size": SIDE, **settings}).network()
    made = np.asarray(network(scenes.astype("float32") / 127.5 - 1))
    assert made.std() > 1e-3
    assert max(strength(made).values()) <= MOST_FRESH, strength(made)
