import time

import numpy as np
import pytest
from PIL import Image

from tfi2i.data import SOURCES, single_image
from tfi2i.data.sources.single_image import TRAIN_PATCHES, PatchDomain
from tfi2i.errors import InputError


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def patches_of(pixels, scale_max=3.0, seed=(0,)):
    return PatchDomain(pixels, 1000, scale_max, seed, "patches")


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "photo.png", tmp_path / "painting.jpg"]
    for seed, path in enumerate(paths):
        Image.fromarray(noise(150, 120, seed)).save(path)
    return paths


def whole_picture_then_patch(pixels, index, side):
    """The definition: scale the whole picture by two factors, then cut a cell of the grid."""
    random = np.random.default_rng(np.random.SeedSequence((0, index)))
    height, width = pixels.shape[:2]
    across, down = random.uniform(1 / 3, 1, 2)
    size = max(side, round(width * across)), max(side, round(height * down))
    scaled = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    columns, rows = size[0] // side, size[1] // side
    left, top = random.integers(0, [size[0] % side + 1, size[1] % side + 1])
    cell = index % (columns * rows)
    left, top = left + side * (cell // rows), top + side * (cell % rows)
    return np.asarray(scaled.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize(("width", "height"), [(311, 205), (70, 40), (20, 300)])
def test_a_patch_is_cut_from_the_scaled_picture(width, height):
    pixels = noise(width, height)
    domain = patches_of(pixels)
    for index in range(60):
        ours = domain.read(index, 32)
        expected = whole_picture_then_patch(pixels, index, 32)
        # Each of Pillow's two passes may round the other way.
        assert np.abs(ours.astype(int) - expected).max() <= 2


def test_patches_follow_from_seed_and_index_alone():
    pixels = noise(200, 150)
    first, again, other = (patches_of(pixels, seed=(seed,)) for seed in (0, 0, 1))
    for index in (7, 3, 999):
        np.testing.assert_array_equal(first.read(index, 48), again.read(index, 48))
        assert not np.array_equal(first.read(index, 48), other.read(index, 48))
    assert first.read(0).shape == (64, 64, 3)


def test_patches_reach_every_corner_of_the_picture():
    places = np.indices((100, 130)).transpose(1, 2, 0) * 255 // 130
    domain = patches_of(np.dstack([places, places[..., :1]]).astype(np.uint8))
    seen = np.stack([domain.read(index, 32) for index in range(200)])
    assert seen[..., 0].min() <= 3 and seen[..., 0].max() >= 99 * 255 // 130 - 3
    assert seen[..., 1].min() <= 3 and seen[..., 1].max() >= 129 * 255 // 130 - 3


def test_without_scaling_patches_show_the_pictures_own_pixels():
    pixels = noise(90, 90)
    patch = patches_of(pixels, scale_max=1.0).read(5, 32)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (32, 32, 3))
    assert (windows[..., 0, :, :, :] == patch).all((2, 3, 4)).sum() == 1


def test_a_picture_smaller_than_a_patch_is_scaled_up():
    patch = patches_of(noise(9, 5)).read(0, 64)
    assert patch.shape == (64, 64, 3) and patch.std() > 10


def test_two_files_make_training_and_test_patches_of_them(files):
    data = single_image(a=files[0], b=str(files[1]))
    assert data.name == "photo2painting" and not data.paired and not data.validation
    assert len(data.train["a"]) == len(data.train["b"]) == TRAIN_PATCHES
    shown = [data.train["a"], data.train["b"], data.test["a"], data.test["b"]]
    assert len({domain.read(0, 32).tobytes() for domain in shown}) == 4
    assert data.train["b"].where == "train patches of painting.jpg"


def test_without_files_two_different_scenes_stand_in():
    data = single_image()
    assert data.name == "one_scene"
    a, b = (np.mean(data.pixels("test", key, 64)[0], (0, 1, 2)) for key in "ab")
    assert np.abs(a - b).max() > 30  # a summer day and a dusk poster
    other = single_image(seed=1)
    assert other.train["a"].digest() != data.train["a"].digest()


def test_batches_take_patches_as_they_are_or_cut_them_from_larger_ones(files):
    data = single_image(a=files[0], b=files[1])
    for load_size in (32, None):
        batches = data.batches(image_size=32, batch_size=3, load_size=load_size, cache_mb=0)
        for batch in batches.take(2):
            assert batch["a"].shape == batch["b"].shape == (3, 32, 32, 3)
    (plain,) = data.batches(image_size=32, load_size=32, flip=False).take(1)
    patch = np.rint((np.asarray(plain["a"])[0] + 1) * 127.5).astype(np.uint8)
    order = np.random.Philox(np.random.SeedSequence((0, 0, 0, 0)))
    index = int(np.random.Generator(order).permutation(TRAIN_PATCHES)[0])
    np.testing.assert_array_equal(patch, data.train["a"].read(index, 32))


def test_pictures_to_judge_by_and_a_description_are_quick():
    started = time.perf_counter()
    data = single_image()
    described = data.description()
    assert described["train_a"]["count"] == TRAIN_PATCHES
    assert described == single_image().description()
    pixels, names = data.pixels("train", "a", 64, limit=128)
    assert pixels.shape == (128, 64, 64, 3) and len(set(names)) == 128
    assert time.perf_counter() - started < 5


def test_a_digest_changes_with_the_picture_and_with_the_numbers():
    pixels = noise(40, 30)
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    domains = [patches_of(pixels), patches_of(changed), patches_of(pixels, 2.0)]
    domains.append(patches_of(pixels, seed=(1,)))
    assert len({domain.digest() for domain in domains}) == 4


def test_any_file_that_can_be_read_as_a_picture_will_do(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(noise(60, 40)).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(noise(50, 50)[..., 0]).convert("P").save(tmp_path / "b.gif")
    data = single_image(a=tmp_path / "a.jpg", b=tmp_path / "b.gif", scale_max=1.0)
    assert data.train["a"].read(0, 60).shape == (60, 60, 3)
    upright = np.asarray(Image.open(tmp_path / "a.jpg").transpose(Image.Transpose.ROTATE_270))
    patch = data.train["a"].read(0, 40)
    windows = np.lib.stride_tricks.sliding_window_view(upright, (40, 40, 3))
    assert (windows == patch).all((3, 4, 5)).sum() == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"b": None}, "needs a picture for `b` too"),
        ({"a": None}, "needs a picture for `a` too"),
        ({"a": "nowhere.png"}, "There is no picture nowhere.png"),
        ({"scale_max": 0.5}, "scale_max of single_image is 0.5"),
        ({"scale_max": float("nan")}, "scale_max of single_image is nan"),
        ({"seed": -1}, "seed of single_image is -1"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(files, wrong, words):
    with pytest.raises(InputError, match=words):
        single_image(**{"a": files[0], "b": files[1], **wrong})


def test_a_range_of_values_keeps_the_depth_of_a_picture(files, caplog):
    deep = files[0].with_name("deep.png")
    values = np.linspace(0, 4000, 80 * 90).reshape(80, 90).astype(np.uint16)
    Image.fromarray(values).save(deep)
    single_image(a=deep, b=files[1])
    assert "deep.png: its 1 pictures of more than 8 bits hold values from 0 to 4000" in caplog.text
    data = single_image(a=deep, b=files[1], value_range={"a": "auto"})
    assert data.settings["value_range"] == {"a": [0, 4000]}
    patch = data.train["a"].read(0, 64)
    assert patch.dtype == np.uint16 and len(np.unique(patch)) > 1000
    assert data.train["b"].read(0, 64).dtype == data.train["b"].dtype == np.uint8
    assert data.train["a"].digest() != single_image(a=deep, b=files[1]).train["a"].digest()


def test_one_picture_for_both_domains_is_refused(files):
    with pytest.raises(InputError, match=r"the same picture .*photo\.png"):
        single_image(a=files[0], b=files[0].parent / "." / "photo.png")


def test_a_file_that_is_no_picture_is_refused(files):
    files[1].write_text("<svg onload=alert(1)>")
    with pytest.raises(InputError, match=r"painting\.jpg is not a picture"):
        single_image(a=files[0], b=files[1])


def test_it_is_a_source_of_configurations():
    assert SOURCES["single_image"] is single_image
