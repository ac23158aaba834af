import logging
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfi2i.data
from tfi2i.data.batches import _Cache
from tfi2i.data.clock import timed
from tfi2i.data.dataset import Dataset
from tfi2i.data.domains import Domain, DrawnDomain, held_out
from tfi2i.data.resize import scaled_for_crop, scaled_to
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import to_image, to_pixels


class Numbered(Domain):
    """Pictures of one colour, 10 x index, so that a batch shows which examples it holds."""

    def __init__(self, count, broken=(), where="The folder numbered"):
        super().__init__([f"{index}.png" for index in range(count)], where)
        self.broken = set(broken)
        self.reads = 0

    def read(self, index, side=None):
        self.reads += 1
        if index in self.broken:
            raise InputError(f"{self.where}/{self.names[index]} is damaged.")
        return np.full((12, 10, 3), 10 * index, np.uint8)

    def digest(self):
        return "0"


class Textured(Domain):
    def __init__(self, count, shape=(20, 20, 3)):
        super().__init__([str(index) for index in range(count)], "The folder textured")
        self.shape = shape

    def read(self, index, side=None):
        return np.random.default_rng(index).integers(0, 256, self.shape, np.uint8)

    def digest(self):
        return "0"


def data_of(a, b, **more):
    return Dataset("test", {"a": a, "b": b}, {"a": a, "b": b}, **more)


def indices(dataset, steps):
    """The example numbers of the first steps, of each domain."""
    taken = list(dataset.take(steps).as_numpy_iterator())
    return [
        [int(np.rint(to_pixels(image[0, 0, 0]) / 10)) for batch in taken for image in batch[key]]
        for key in "ab"
    ]


def test_every_example_is_seen_once_an_epoch_in_an_order_of_its_own():
    data = data_of(Numbered(6), Numbered(4))
    a, b = indices(data.batches(image_size=8, load_size=8, batch_size=3), steps=8)
    epochs_a = [a[start : start + 6] for start in range(0, 24, 6)]
    epochs_b = [b[start : start + 4] for start in range(0, 24, 4)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs_a)
    assert all(sorted(epoch) == list(range(4)) for epoch in epochs_b)
    assert len({tuple(epoch) for epoch in epochs_a}) > 2
    assert a[:4] != b[:4] or a[4:8] != b[4:8]


@pytest.mark.parametrize("start", [1, 7, 1000])
def test_a_resumed_run_continues_exactly(start):
    data = data_of(Textured(5), Textured(3))
    settings = {"image_size": 8, "load_size": 12, "batch_size": 2, "seed": 3}
    straight = data.batches(**settings).skip(start).take(3).as_numpy_iterator()
    resumed = data.batches(**settings, start_step=start).take(3).as_numpy_iterator()
    for left, right in zip(straight, resumed, strict=True):
        np.testing.assert_array_equal(left["a"], right["a"])
        np.testing.assert_array_equal(left["b"], right["b"])


def test_another_seed_gives_another_order_and_the_same_seed_the_same():
    data = data_of(Numbered(20), Numbered(20))
    settings = {"image_size": 8, "load_size": 8, "batch_size": 10}
    first = indices(data.batches(**settings, seed=1), 2)
    assert indices(data.batches(**settings, seed=1), 2) == first
    assert indices(data.batches(**settings, seed=2), 2) != first


def test_crops_and_flips_are_fresh_in_every_epoch():
    data = data_of(Textured(1), Textured(1))
    batches = data.batches(image_size=8, load_size=16).take(40).as_numpy_iterator()
    assert len({batch["a"].tobytes() for batch in batches}) > 30


def test_half_of_the_pictures_are_mirrored_unless_flip_is_off():
    data = data_of(Textured(1, (8, 8, 3)), Textured(1, (8, 8, 3)))
    upright = to_image(data.train["a"].read(0))
    for flip, low, high in ((True, 70, 130), (False, 0, 0)):
        settings = {"image_size": 8, "load_size": 8, "flip": flip, "batch_size": 200}
        images = next(data.batches(**settings).as_numpy_iterator())["a"]
        mirrored = sum(np.array_equal(image, upright[:, ::-1]) for image in images)
        assert low <= mirrored <= high
        assert mirrored + sum(np.array_equal(image, upright) for image in images) == 200


def test_batches_have_static_shapes_the_images_range_and_no_end():
    data = data_of(Textured(3), Textured(3))
    dataset = data.batches(image_size=8, batch_size=2)
    spec = tf.TensorSpec((2, 8, 8, 3), tf.float32)
    assert dataset.element_spec == {"a": spec, "b": spec}
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    image = next(dataset.as_numpy_iterator())["a"]
    assert image.min() >= -1 and image.max() <= 1 and image.min() < 0 < image.max()


def test_squash_is_pillows_antialiased_bilinear_and_crop_keeps_the_shape():
    pixels = Textured(1, (30, 60, 3)).read(0)
    expected = Image.fromarray(pixels).resize((12, 12), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(scaled_for_crop(pixels, 12, "squash"), np.asarray(expected))
    np.testing.assert_array_equal(scaled_to(pixels, 12, "squash"), np.asarray(expected))
    assert scaled_for_crop(pixels, 12, "crop").shape == (12, 24, 3)
    centre = Image.fromarray(pixels[:, 15:45]).resize((12, 12), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(scaled_to(pixels, 12, "crop"), np.asarray(centre))


def test_rectangles_are_height_and_width_everywhere():
    data = data_of(Textured(3, (30, 60, 3)), Textured(3, (60, 30, 3)))
    spec = tf.TensorSpec((2, 8, 24, 3), tf.float32)
    for aspect in ("squash", "crop"):
        dataset = data.batches(image_size=(8, 24), batch_size=2, aspect=aspect)
        assert dataset.element_spec == {"a": spec, "b": spec}
        pixels, _ = data.pixels("test", "b", (8, 24), aspect=aspect)
        assert pixels.shape == (3, 8, 24, 3)
    pixels = Textured(1, (30, 60, 3)).read(0)
    assert scaled_for_crop(pixels, (10, 30), "squash").shape == (10, 30, 3)
    assert scaled_for_crop(pixels, (10, 30), "crop").shape == (15, 30, 3)
    centre = Image.fromarray(pixels[5:25]).resize((24, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(scaled_to(pixels, (8, 24), "crop"), np.asarray(centre))
    strip = np.zeros((1, 50_000, 3), np.uint8)
    assert scaled_for_crop(strip, (10, 30), "crop").shape == (10, 240, 3)


def test_the_load_size_of_rectangles_keeps_their_proportions_unless_both_sides_are_given():
    data = data_of(Textured(3), Textured(3))
    with pytest.raises(InputError, match="load_size of the batches is 7; choose 8x24"):
        data.batches(image_size=(8, 24), load_size=7)
    with pytest.raises(InputError, match="load_size of the batches is 30x20; choose 8x24"):
        data.batches(image_size=(8, 24), load_size=(30, 20))
    wide = next(data.batches(image_size=(8, 24), load_size=8, flip=False).as_numpy_iterator())
    first = [to_image(scaled_to(Textured(3).read(i), (8, 24), "squash")) for i in range(3)]
    assert any(np.array_equal(wide["a"][0], one) for one in first)  # nothing is left to crop


def test_a_strip_is_not_scaled_up_to_gigabytes():
    strip = np.zeros((1, 50_000, 3), np.uint8)
    assert scaled_for_crop(strip, 100, "crop").shape == (100, 800, 3)


def test_crops_reach_every_edge_of_a_picture_that_keeps_its_shape():
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None], (8, 40, 3))
    domain = DrawnDomain(["ramp"], lambda index, side: ramp, "ramp", (1, 999))
    settings = {"image_size": 8, "load_size": 8, "aspect": "crop", "flip": False}
    batch = data_of(domain, domain).batches(**settings, batch_size=400)
    images = to_pixels(next(batch.as_numpy_iterator())["a"])
    assert set(images[:, 0, 0, 0]) == set(range(33))


def test_an_unreadable_picture_is_replaced_by_the_next_and_logged_once(caplog):
    domain = Numbered(6, broken={2, 5})
    data = data_of(domain, Numbered(6))
    with caplog.at_level(logging.WARNING, "tfi2i"):
        a, _ = indices(data.batches(image_size=8, load_size=8, cache_mb=0), steps=30)
    assert sorted(a[:6]) == [0, 0, 1, 3, 3, 4]
    for name in ("2.png", "5.png"):
        assert sum(name in message for message in caplog.messages) == 1


@pytest.mark.parametrize("domain", [Numbered(3, broken=range(3)), Numbered(0)])
def test_a_domain_without_a_readable_picture_is_refused_before_training(domain):
    with pytest.raises(InputError, match="The folder numbered needs pictures, but"):
        data_of(Numbered(3), domain).batches(image_size=8)


def test_a_later_failure_is_kept_for_the_caller():
    domain = Numbered(2)
    data = data_of(domain, Numbered(2))
    dataset = data.batches(image_size=8, cache_mb=0)
    domain.broken = {0, 1}
    with pytest.raises(tf.errors.OpError):
        list(dataset.take(20))
    assert isinstance(data.failure, InputError)
    assert "The folder numbered" in str(data.failure)
    domain.broken, domain.unreadable = set(), {}
    data.batches(image_size=8)
    assert data.failure is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "batch_size of the batches is 0"),
        ({"image_size": 0}, "image_size"),
        ({"load_size": 7}, "load_size of the batches is 7; choose 8, the image_size or more"),
        ({"seed": -1}, "seed"),
        ({"start_step": -1}, "start_step"),
        ({"cache_mb": -1}, "cache_mb"),
        ({"aspect": "stretch"}, "aspect is 'stretch'; choose 'squash' or 'crop'"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        data_of(Numbered(1), Numbered(1)).batches(**{"image_size": 8, **setting})


def test_later_epochs_come_from_the_cache():
    cached, uncached = Numbered(5), Numbered(5)
    list(data_of(cached, cached).batches(image_size=8).take(50))
    list(data_of(uncached, uncached).batches(image_size=8, cache_mb=0).take(50))
    assert cached.reads <= 2 * 5 + 16  # threads may make a picture twice, not every time
    assert uncached.reads >= 100


def test_the_cache_keeps_within_its_bytes():
    cache = _Cache(250)
    made = []

    def make(key):
        return lambda: made.append(key) or np.zeros(100, np.uint8)

    for key in (1, 2, 3, 1, 2, 3):
        cache.get(key, make(key))
    assert made == [1, 2, 3, 3]


def test_pixels_skip_unreadable_pictures_and_stop_at_the_limit():
    data = data_of(Numbered(5, broken={1}), Numbered(5, broken={3}))
    pixels, names = data.pixels("test", "a", 8)
    assert pixels.shape == (4, 8, 8, 3) and pixels.dtype == np.uint8
    assert names == ["0.png", "2.png", "3.png", "4.png"]
    assert data.pixels("test", "a", 8, limit=2, seed=None)[1] == ["0.png", "2.png"]
    with pytest.raises(InputError, match="holds no test picture"):
        data_of(Numbered(1, broken={0}), Numbered(1)).pixels("test", "a", 8)


def test_pixels_of_pairs_stay_aligned():
    data = data_of(Numbered(5, broken={1}), Numbered(5, broken={3}), paired={"test"})
    names = [data.pixels("test", key, 8)[1] for key in "ab"]
    assert names == [["0.png", "2.png", "4.png"]] * 2


def test_the_clock_sees_starvation_and_only_starvation():
    def slow(batch):
        nap = tf.numpy_function(lambda: (time.sleep(0.02), 1)[1], [], tf.int64)
        with tf.control_dependencies([nap]):
            return tf.nest.map_structure(tf.identity, batch)

    def waited(dataset, pause):
        iterator, clock = (iter(dataset[0]), dataset[1])
        next(iterator)
        first = clock.waited_seconds
        for _ in range(20):
            time.sleep(pause)
            next(iterator)
        assert clock.steps == 21
        return clock.waited_seconds - first

    batches = data_of(Numbered(4), Numbered(4)).batches(image_size=8)
    starved, fed = timed(batches.map(slow).prefetch(2)), timed(batches)
    assert waited(starved, pause=0) > 0.3  # of the 0.4 s that the slow stage sleeps
    assert waited(fed, pause=0.02) < 0.2
    fed = fed[0]
    assert fed.element_spec == batches.element_spec


def test_fit_sees_the_steps_in_order_and_goes_on_in_the_next_epoch():
    seen = []

    class Recorder(keras.Model):
        def train_step(self, batch):
            value = tf.numpy_function(
                lambda v: (seen.append(float(v)), v)[1], [batch["a"][0, 0, 0, 0]], tf.float32
            )
            return {"loss": value}

    data = data_of(Numbered(7), Numbered(7))
    model = Recorder()
    model.compile()
    batches, clock = timed(data.batches(image_size=8, load_size=8))
    model.fit(batches, steps_per_epoch=3, epochs=3, shuffle=False, verbose=0)
    expected, _ = indices(data.batches(image_size=8, load_size=8), 9)
    assert [int(np.rint((value + 1) * 12.75)) for value in seen] == expected
    assert clock.steps >= 9


def test_scenes_are_paired_in_the_test_and_not_in_training():
    data = tfi2i.data.scenes(train_size=4, test_size=3)
    assert data.paired and len(data.train["a"]) == 4 and len(data.test["b"]) == 3
    batch = next(data.batches(image_size=32, batch_size=2).as_numpy_iterator())
    assert batch["a"].shape == (2, 32, 32, 3)
    pixels, names = data.pixels("test", "b", 40)
    assert pixels.shape == (3, 40, 40, 3) and len(names) == 3
    # The style of domain a on the scene of test b is what test a holds, not what train a holds.
    assert not np.array_equal(data.train["a"].read(0, 40), data.test["a"].read(0, 40))
    assert data.description()["train_a"]["digest"] != data.description()["train_b"]["digest"]
    assert data.description() == tfi2i.data.scenes(train_size=4, test_size=3).description()
    with pytest.raises(InputError, match="train_size of scenes is 0"):
        tfi2i.data.scenes(train_size=0)


def test_the_held_out_share_is_fixed_and_bounded():
    names = [f"{index}.jpg" for index in range(2000)]
    kept = {names[index] for index in held_out(names)}
    backwards = names[::-1]
    assert len(kept) == 50 and kept == {backwards[index] for index in held_out(backwards)}
    assert [len(held_out(names[:count])) for count in (1, 2, 40, 200)] == [0, 1, 2, 10]


def test_importing_stays_light_and_an_unfinished_iterator_does_not_disturb_the_exit():
    code = """
import sys, tfi2i.data
assert not {"tensorflow", "keras", "tensorflow_datasets"} & {*sys.modules}
assert callable(tfi2i.data.tfds) and callable(tfi2i.data.folders) and callable(tfi2i.data.scenes)
iterator = iter(tfi2i.data.scenes(train_size=3).batches(image_size=32))
print(next(iterator)["a"].shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "(1, 32, 32, 3)" in done.stdout, done.stderr
    assert "Fatal" not in done.stderr and "Traceback" not in done.stderr


def test_pictures_come_in_the_channels_that_a_system_has():
    data = data_of(Textured(3), Textured(3), paired=frozenset({"test"}))
    assert data.in_channels(3) is data is data.in_channels({"a": 3, "b": 3})
    seen = data.in_channels({"a": 1, "b": 4})
    assert seen.in_channels({"a": 1, "b": 4}) is seen
    assert seen.in_channels(3).train["a"].channels == 3
    specs = seen.batches(image_size=8, batch_size=2).element_spec
    assert {key: spec.shape.as_list() for key, spec in specs.items()} == {
        "a": [2, 8, 8, 1],
        "b": [2, 8, 8, 4],
    }
    grey, _ = seen.pixels("test", "a", 20)
    expected = Image.fromarray(Textured(3).read(1)).convert("L")
    np.testing.assert_array_equal(grey[1, ..., 0], np.asarray(expected))
    assert (seen.pixels("test", "b", 20)[0][..., 3] == 255).all()
    assert seen.description() == data.description()
    named = Dataset(
        "x", {"cat": Textured(2), "dog": Textured(2)}, {"cat": Textured(2), "dog": Textured(2)}
    )
    assert named.in_channels({"a": 1, "b": 3}).train["cat"].channels == 1
