"""The embedded scenes: the same bytes each time, aligned styles, and shortcuts that lose."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from recolouring import oracle_recolouring

from tfi2i.data import scenes
from tfi2i.data.sources.scene_drawing import HORIZON, SPLITS, compose, draw, paint
from tfi2i.data.sources.scene_paints import PALETTE, STYLES
from tfi2i.errors import InputError
from tfi2i.evaluate import paired

COUNT = 100


def draw_many(seed, split, count, image_size):
    drawn = zip(*(draw(seed, split, index, image_size) for index in range(count)), strict=True)
    return [np.stack(style) for style in drawn]


@pytest.fixture(scope="module")
def domains():
    """Pictures of 64 pixels: pairs (test a, test b), then unpaired (train a, train b)."""
    test_a, test_b = draw_many(0, "test", COUNT, 64)
    train_a, _ = draw_many(0, "train_a", COUNT, 64)
    _, train_b = draw_many(0, "train_b", COUNT, 64)
    return test_a, test_b, train_a, train_b


def directions(domains):
    a, b, train_a, train_b = domains
    return {"a2b": (a, b, train_a, train_b), "b2a": (b, a, train_b, train_a)}


def test_a_scene_is_the_same_bytes_each_time_and_two_uint8_pictures():
    first, again = (draw(7, "test", 3, 48) for _ in range(2))
    for pixels, twin in zip(first, again, strict=True):
        assert pixels.shape == (48, 48, 3) and pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, twin)


def test_a_scene_is_the_same_bytes_in_another_process():
    program = (
        "import hashlib; from tfi2i.data.sources.scene_drawing import draw\n"
        "a, b = draw(7, 'train_b', 5, 64);"
        "print(hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_scenes_does_not_import_tensorflow():
    program = "import sys, tfi2i.data.sources.scene_drawing; print('tensorflow' in sys.modules)"
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert answer.stdout.strip() == "False"


def test_no_scene_appears_twice_within_or_across_splits_or_seeds():
    scene_set = {
        compose(seed, split, index) for seed in (0, 1) for split in SPLITS for index in range(200)
    }
    assert len(scene_set) == 2 * len(SPLITS) * 200


def test_training_domains_come_from_one_distribution_of_scenes():
    horizons, sizes = (
        [
            np.array([measure(compose(0, split, index)) for index in range(400)])
            for split in ("train_a", "train_b")
        ]
        for measure in (lambda scene: scene.horizon, lambda scene: len(scene.shapes))
    )
    for first, second in (horizons, sizes):
        standard_error = np.hypot(first.std(), second.std()) / np.sqrt(400)
        assert abs(first.mean() - second.mean()) < 4 * standard_error


def test_the_horizon_is_spread_over_its_range():
    horizons = np.array([compose(0, "test", index).horizon for index in range(COUNT)])
    lowest, highest = HORIZON
    assert horizons.min() >= lowest and horizons.max() <= highest
    assert horizons.std() > 0.1
    assert horizons.min() < lowest + 0.05 and horizons.max() > highest - 0.05


@pytest.mark.parametrize("index", range(6))
def test_geometry_does_not_depend_on_the_size(index):
    for small, large in zip(draw(0, "test", index, 64), draw(0, "test", index, 256), strict=True):
        reduced = np.asarray(Image.fromarray(large).reduce(4))
        assert paired.l1(small, reduced) < 0.01
        # The measure sees a shift of one pixel.
        assert paired.l1(small[:, 1:], reduced[:, :-1]) > 0.02


@pytest.mark.parametrize("image_size", [32, 100, 512])
def test_every_size_in_the_range_is_drawn(image_size):
    a, b = draw(0, "train_a", 0, image_size)
    assert a.shape == b.shape == (image_size, image_size, 3)


def test_styles_are_aligned_to_the_pixel():
    """Where one style has a hard edge, the other has one, or the two sides share its colour."""
    a, b = (pixels.astype(int) for pixels in draw(0, "test", 0, 256))
    edges_a, edges_b = (np.abs(np.diff(x, axis=1)).sum(-1) > 60 for x in (a, b))
    assert (edges_a & edges_b).sum() > 0.6 * min(edges_a.sum(), edges_b.sum())
    shifted = np.roll(edges_b, 3, axis=1)
    assert (edges_a & shifted).sum() < 0.35 * min(edges_a.sum(), edges_b.sum())


@pytest.mark.parametrize("style", [0, 1])
def test_colours_of_either_style_stand_for_several_of_the_other(style):
    meanings: dict[tuple, set] = {}
    for colours in PALETTE.values():
        meanings.setdefault(colours[style], set()).add(colours[1 - style])
    assert sum(len(others) > 1 for others in meanings.values()) >= 4


def test_no_two_objects_share_their_colour_in_both_styles_except_like_things():
    """A paint is recognisable from the pair of colours: nothing is lost on the way."""
    names: dict[tuple, set] = {}
    for name, colours in PALETTE.items():
        names.setdefault(colours[:2], set()).add(name)
    shared = [paints for paints in names.values() if len(paints) > 1]
    assert shared == [{"shore", "path"}]


def test_the_sky_outshines_the_ground_in_a_and_not_in_b(domains):
    test_a, test_b, _, _ = domains
    assert test_a[:, :16].mean() > test_a[:, -16:].mean() + 15
    assert test_b[:, :16].mean() < test_b[:, -16:].mean() - 30


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_answers_that_learn_nothing_are_bad(domains, direction):
    answers = paired.trivial_answers(*directions(domains)[direction])
    assert answers["identity"] >= 0.3
    assert min(answers.values()) >= 0.17


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_even_the_best_recolouring_is_wrong(domains, direction):
    inputs, targets, _, _ = directions(domains)[direction]
    assert oracle_recolouring(inputs, targets, levels=16) >= 0.06
    assert oracle_recolouring(inputs, targets, levels=32) >= 0.05


def test_the_styles_a_and_b_stay_bit_for_bit():
    """The digest was taken before there were more styles."""
    total = hashlib.sha256()
    for split in ("train_a", "train_b", "test"):
        for index in range(20):
            for pixels in draw(3, split, index, 64):
                total.update(pixels.tobytes())
    expected = "7bd764efdcfe3a16f677d9b5239e90cf7aff182278aff9ff6c830d540f67f768"
    assert total.hexdigest() == expected
    data = scenes(train_size=1, test_size=1, seed=3)
    for domains in (data.train, data.test, data.validation):
        assert [*domains] == ["a", "b"]
    for style, key in (("day", "a"), ("dusk", "b")):
        data_in_styles = scenes(train_size=1, test_size=1, seed=3, styles=("dusk", "day", "neon"))
        np.testing.assert_array_equal(
            data.train[key].read(0, 32), data_in_styles.train[style].read(0, 32)
        )


@pytest.fixture(scope="module")
def styled():
    """Test and training pictures of 32 pixels in every style."""
    data = scenes(train_size=40, test_size=40, styles=tuple(STYLES))
    test = {style: data.pixels("test", style, 32)[0] for style in STYLES}
    return test, {style: data.pixels("train", style, 32)[0] for style in STYLES}


@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(STYLES, 2)])
def test_between_any_two_styles_shortcuts_lose(styled, source, target):
    test, train = styled
    answers = paired.trivial_answers(test[source], test[target], train[source], train[target])
    assert min(answers.values()) >= 0.16
    assert oracle_recolouring(test[source], test[target], levels=16) >= 0.05
    meanings: dict[tuple, set] = {}
    for name, colour in STYLES[source].items():
        meanings.setdefault(colour, set()).add(STYLES[target][name])
    assert sum(len(others) > 1 for others in meanings.values()) >= 4


def test_styles_show_the_same_scenes_in_the_test_and_others_in_training():
    data = scenes(train_size=3, test_size=2, styles=("winter", "day", "neon"))
    assert [*data.train] == ["winter", "day", "neon"] and data.label_names == (*data.train,)
    assert data.paired == {"test", "validation"}
    for style, domain in data.test.items():
        expected = paint(compose(0, "test", 1), STYLES[style], 40)
        np.testing.assert_array_equal(domain.read(1, 40), expected)
    assert len({one.digest() for one in data.train.values()}) == 3
    pairs = scenes(train_size=3, test_size=2, styles=("winter", "neon"), paired=True)
    first = compose(0, "train_a", 0)
    for style, domain in pairs.train.items():
        np.testing.assert_array_equal(domain.read(0, 40), paint(first, STYLES[style], 40))
    assert "train" in pairs.paired


@pytest.mark.parametrize(
    ("styles", "message"),
    [
        (("day",), "data.styles: domains must be two or more different names, received"),
        (("day", "day"), "two or more different names"),
        (("day", "autumn"), "styles holds 'autumn'; choose from day, dusk, winter, neon"),
    ],
)
def test_styles_that_are_not_there_are_refused(styles, message):
    with pytest.raises(InputError, match=message):
        scenes(styles=styles)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((0, "train", 0, 64), ["split", "'train'", "train_a"]),
        ((-1, "test", 0, 64), ["seed", "-1"]),
        ((0, "test", -2, 64), ["index", "-2"]),
        ((0, "test", 0, 31), ["image_size", "31", "32"]),
        ((0, "test", 0, 4096), ["image_size", "4096", "1024"]),
    ],
)
def test_bad_arguments_are_named_with_a_way_out(arguments, names):
    with pytest.raises(InputError) as caught:
        draw(*arguments)
    for name in names:
        assert name in str(caught.value)
