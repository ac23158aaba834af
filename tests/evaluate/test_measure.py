"""What an evaluation measures, on answers whose figures are known beforehand."""

import tracemalloc

import numpy as np
import pytest
from squares import Squares

from tfi2i.conditions import BOTH_WAYS
from tfi2i.data import Dataset, scenes
from tfi2i.data.domains import Domain
from tfi2i.errors import InputError
from tfi2i.evaluate import ruler as ruler_of
from tfi2i.evaluate.distances import kid
from tfi2i.evaluate.gallery import Gallery
from tfi2i.evaluate.measure import Measure, warnings
from tfi2i.evaluate.report import Row

SIDE = 32
AB, BA = BOTH_WAYS


class Noise(Domain):
    """Many small pictures that cost nothing to make."""

    def __init__(self, count, seed):
        super().__init__([f"{i}.png" for i in range(count)], "noise")
        self.seed = seed

    def read(self, index, side=None):
        value = (index * 7 + self.seed) % 251
        pixels = np.full((8, 8, 3), value, np.uint8)
        pixels[: index % 8, :, index % 3] = index % 256
        return pixels

    def digest(self):
        return str(len(self))


@pytest.fixture(scope="module")
def data():
    return scenes(train_size=12, test_size=10)


def measure_of(data, **settings):
    return Measure(data, Squares(), image_size=SIDE, **settings)


def truth_of(data, way):
    """An answer that knows the truth."""
    source = data.pixels("test", way.source, SIDE)[0]
    truth = data.pixels("test", way.target, SIDE)[0]
    by_input = {pixels.tobytes(): answer for pixels, answer in zip(source, truth, strict=True)}
    return lambda pixels, rows: np.stack([by_input[one.tobytes()] for one in pixels])


def test_the_truth_is_found_to_be_the_truth(data):
    measure, gallery = measure_of(data), Gallery()
    found = measure.translation(AB, truth_of(data, AB), truth_of(data, BA), gallery, "last")
    assert found["paired"]["l1"] == 0
    assert found["paired"]["ssim"] == pytest.approx(1)
    assert found["paired"]["retrieval_top1"] == 1
    assert found["paired"]["retrieval_chance"] == 0.1
    assert found["cycle_l1"] == 0
    assert found["fid"] == pytest.approx(0, abs=1e-9)
    assert found["diversity"]["fake"] == found["diversity"]["real"]
    assert found["memorising"]["fake"] == found["memorising"]["real"]
    for period in "24":
        assert found["grid"][period]["fake"] == found["grid"][period]["real"]
    assert found["notes"] == []


def test_a_copy_of_the_input_scores_as_the_input_and_is_called_a_copy(data):
    measure = measure_of(data)
    found = measure.translation(AB, lambda pixels, rows: pixels, None, Gallery(), "last")
    identity = measure.trivial(AB)["identity"]
    for name in ("kid", "kid_low", "kid_high", "fid", "paired"):
        assert found[name] == identity[name]
    assert found["cycle_l1"] is None
    assert found["copying"]["l1"] == 0
    assert len(found["notes"]) == 1


def test_a_grid_over_the_truth_is_named_with_its_period(data):
    truth = truth_of(data, AB)
    lines = np.arange(SIDE)[:, None, None] % 2 * 40

    def answer(pixels, rows):
        return np.clip(truth(pixels, rows).astype(int) // 2 + lines, 0, 255).astype(np.uint8)

    found = measure_of(data).translation(AB, answer, None, Gallery(), "last")
    assert found["grid"]["2"]["fake"] > 1.3 * found["grid"]["2"]["real"]
    assert found["grid"]["4"]["fake"] == pytest.approx(found["grid"]["4"]["real"], rel=0.1)
    assert ["a grid of period 2 (" in note for note in found["notes"]] == [True]


def test_one_answer_for_everything_is_called_alike(data):
    constant = data.pixels("test", "b", SIDE, limit=1, seed=None)[0]
    found = measure_of(data).translation(
        AB, lambda pixels, rows: np.repeat(constant, len(pixels), 0), None, Gallery(), "last"
    )
    assert found["diversity"]["fake"] == pytest.approx(0, abs=1e-6)
    assert any("alike" in note for note in found["notes"])


def test_training_pictures_as_answers_are_called_memorised():
    data = scenes(train_size=10, test_size=10)
    train = np.concatenate([rows for rows, _ in data.pictures("train", "b", SIDE)])
    found = measure_of(data).translation(
        AB, lambda pixels, rows: train[: len(pixels)], None, Gallery(), "last"
    )
    assert found["memorising"]["fake"] < 1e-6 < found["memorising"]["real"]
    assert any("training" in note for note in found["notes"])


def test_the_ruler_begins_at_the_floor_and_coarse_pictures_forgive_a_blur(data):
    measure = measure_of(data)
    ruler, floor = measure.on_ruler("b"), measure.floor("b")
    train = ruler_of.blurred(data.pixels("train", "b", SIDE)[0], 1.2)
    test = data.pixels("test", "b", SIDE)[0]
    features = Squares().features
    assert ruler["blur"]["1.2"] == pytest.approx(kid(features(train), features(test)), rel=1e-6)
    assert list(ruler["noise"]) == ["1", "2", "4", "8"]
    assert "kid_coarse" not in floor
    truth = truth_of(data, AB)
    blurred = measure.score_of(AB, lambda pixels, rows: ruler_of.blurred(truth(pixels, rows), 0.5))
    assert abs(blurred["kid_coarse"]) < abs(measure.trivial(AB)["identity"]["kid_coarse"])
    assert "kid_coarse" not in measure.trivial(AB)["mean_image"]


def test_the_floor_is_training_pictures_against_test_pictures(data):
    train, test = (
        Squares().features(np.concatenate([rows for rows, _ in data.pictures(split, "b", SIDE)]))
        for split in ("train", "test")
    )
    assert measure_of(data).floor("b")["kid"] == pytest.approx(kid(train, test), rel=1e-6)


def test_the_same_pictures_of_both_domains_are_drawn_and_the_number_is_kept(data):
    measure = measure_of(data, images=4, train_images=5)
    found = measure.translation(AB, truth_of(data, AB), None, Gallery(), "last")
    assert found["paired"]["l1"] == 0
    assert measure.real("test", "b").moments.count == 4
    assert measure.real("train", "b").moments.count == 5
    assert (measure.planned("test", "a"), measure.planned("train", "a")) == (4, 5)


def test_without_truth_the_distance_is_that_to_the_nearest_real_picture(data):
    unpaired = Dataset("x", data.train, data.test)
    gallery = Gallery()
    found = measure_of(unpaired).translation(AB, truth_of(data, AB), None, gallery, "last")
    assert found["paired"] is None
    assert [row.truth for row in gallery.first] == [None] * 8
    assert max(row.distance for row in gallery.worst) < 1e-6


def test_too_few_pictures_are_refused():
    data = Dataset("x", {k: Noise(3, 0) for k in "ab"}, {k: Noise(1, 1) for k in "ab"})
    with pytest.raises(InputError, match="noise holds 1 pictures"):
        measure_of(data).real("test", "a")


def row(distance, which="last"):
    pixels = np.zeros((1, 1, 3), np.uint8)
    return Row(str(distance), distance, pixels, {which: pixels}, None, None, None)


def test_the_gallery_keeps_the_first_the_best_and_the_worst():
    distances = np.random.default_rng(0).permutation(50) / 50
    gallery = Gallery(first=3, extremes=2)
    for index, distance in enumerate(distances):
        gallery.offer(index, row(float(distance)))
    gallery.close()
    assert [one.distance for one in gallery.first] == list(distances[:3])
    assert [one.distance for one in gallery.best] == [0, 0.02]
    assert [one.distance for one in gallery.worst] == [0.98, 0.96]
    for index in range(50):
        gallery.offer(index, row(0.5, "best"))
    assert [one.distance for one in gallery.best] == [0, 0.02]
    for one in (*gallery.first, *gallery.best, *gallery.worst):
        assert set(one.fakes) == {"last", "best"}


def peak_of(count):
    train = {key: Noise(10, 0) for key in "ab"}
    data = Dataset("x", train, {"a": Noise(count, 1), "b": Noise(count, 2)}, paired={"test"})
    measure = Measure(data, Squares(), image_size=8)
    measure.real("test", "b")
    tracemalloc.start()
    found = measure._answered(AB, lambda pixels, rows: 255 - pixels, None, Gallery(), "last")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.moments.count == count
    return peak


def test_memory_does_not_grow_with_the_number_of_pictures():
    small, large = peak_of(500), peak_of(5000)
    # Four numbers a picture, and its features in the sample.
    assert large - small < 4500 * (4 * 8 + 48 * 4) * 2


def test_small_numbers_and_useless_translations_come_with_a_warning():
    score = {"kid": 0.1, "fid": 3.0, "paired": None}
    found = {
        "n": {"translated": 20, "real": 30, "train": 9},
        "trivial": {"identity": score},
        "checkpoints": {"last": score},
    }
    few = warnings(AB, found)
    for word, sentence in zip(("FID of 20 against 30", "intervals", "no closer"), few, strict=True):
        assert word in sentence
    found["n"] = {"translated": 2000, "real": 2000, "train": 9}
    found["checkpoints"]["last"] = {"kid": 0.01, "fid": 1.0, "paired": None}
    assert warnings(AB, found) == []


def test_right_content_in_a_wrong_texture_is_told_from_useless_translations():
    found = {
        "n": {"translated": 2000, "real": 2000, "train": 9},
        "trivial": {"identity": {"kid": 0.1, "paired": {"l1": 0.3}}},
        "checkpoints": {"last": {"kid": 0.2, "paired": {"l1": 0.1}}},
    }
    found["checkpoints"]["last"]["diversity"] = {"fake": 0.4, "real": 0.5}
    assert "closer to the truth" in warnings(AB, found)[0]
    found["trivial"]["mean_image"] = {"kid": 0.9, "paired": {"l1": 0.08}}
    assert "closer to the truth" not in warnings(AB, found)[0]
    found["trivial"]["mean_image"]["paired"]["l1"] = 0.2
    found["checkpoints"]["last"]["diversity"]["fake"] = 0.1
    assert "closer to the truth" not in warnings(AB, found)[0]
    found["checkpoints"]["last"] |= {"diversity": {"fake": 0.4, "real": 0.5}, "paired": {"l1": 0.4}}
    assert "closer to the truth" not in warnings(AB, found)[0]


def test_the_mean_picture_is_that_of_the_training_pictures_of_the_target(data):
    found = measure_of(data).trivial(AB)["mean_image"]
    train = np.concatenate([rows for rows, _ in data.pictures("train", "b", SIDE)])
    truth = data.pixels("test", "b", SIDE)[0]
    expected = np.abs(np.rint(train.mean(0)) - truth).mean() / 255
    assert found["paired"]["l1"] == pytest.approx(expected, rel=1e-5)
    assert found["paired"]["l1"] < measure_of(data).trivial(AB)["identity"]["paired"]["l1"]
