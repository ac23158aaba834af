"""The ruler that KID is read on: its marks, and words for what lies between and beyond them."""

import numpy as np
import pytest

from tfi2i.evaluate import ruler

RULER = {"blur": {"0.5": 0.008, "0.8": 0.05, "1.2": 0.095}, "noise": {"1": 0.01, "8": 0.08}}


def test_blur_takes_detail_and_keeps_flat_colours_and_other_channels():
    pixels = np.full((1, 32, 32, 3), 90, np.uint8)
    np.testing.assert_array_equal(ruler.blurred(pixels, 1.2), pixels)
    pixels[0, 16, 16, 1] = 250
    blurred = ruler.blurred(pixels, 1.2)
    np.testing.assert_array_equal(blurred[..., [0, 2]], pixels[..., [0, 2]])
    peak = 90 + 160 / (2 * np.pi * 1.2**2)
    assert blurred[0, 16, 16, 1] == pytest.approx(peak, abs=1)
    assert blurred[..., 1].sum() == pytest.approx(pixels[..., 1].sum(), rel=1e-3)
    stripes = np.tile(np.array([0, 255], np.uint8), 16)[None, None, :, None].repeat(32, 1)
    assert np.ptp(ruler.coarse(stripes)[..., 8:24, :]) <= 1


def test_noise_has_its_deviation_and_is_drawn_again_the_same():
    pixels = np.full((4, 32, 32, 3), 120, np.uint8)
    noise = ruler.noisy(pixels, 4, seed=1)
    assert noise.astype(float).std() == pytest.approx(4, rel=0.05)
    np.testing.assert_array_equal(noise, ruler.noisy(pixels, 4, seed=1))
    assert ruler.noisy(np.zeros_like(pixels), 8, 0).max() < 60  # no wrapping below 0


@pytest.mark.parametrize(
    ("kid", "words"),
    [
        (0.0005, "as near as real pictures"),
        (0.008, "as far as a blur of 0.5 pixels or noise of 0.8 levels"),
        (0.029, "as far as a blur of 0.7 pixels or noise of 2.9 levels"),
        (0.09, "as far as a blur of 1.2 pixels"),
        (0.5, "farther than a blur of 1.2 pixels and noise of 8 levels"),
    ],
)
def test_a_kid_is_read_off(kid, words):
    assert ruler.read_off(kid, 0.001, RULER) == words


def test_a_direction_has_its_ruler_and_its_checkpoints_on_it():
    result = {
        "floor": {"kid": 0.001},
        "ruler": RULER,
        "trivial": {},
        "checkpoints": {"last": {"step": 8, "kid": 0.3}, "best": {"step": 4, "kid": 0.05}},
    }
    assert list(ruler.words(result)) == [
        "KID x 1000 of real pictures after a blur of ... pixels: 0.5: 8, 0.8: 50, 1.2: 95",
        "KID x 1000 of real pictures after noise of ... levels: 1: 10, 8: 80",
        "last (step 8): by KID farther than a blur of 1.2 pixels and noise of 8 levels",
        "best (step 4): by KID as far as a blur of 0.8 pixels or noise of 5.0 levels",
    ]
    result["trivial"]["identity"] = {"kid_coarse": 0.2}
    result["checkpoints"] = {"last": {"step": 8, "kid": 0.05, "kid_coarse": 0.0123}}
    assert list(ruler.words(result))[-1].endswith(
        "5.0 levels; of coarse pictures KID x 1000 is 12.3 (of the inputs 200.0)"
    )
    assert list(ruler.words({"checkpoints": result["checkpoints"]})) == []
