"""Ranges of values: what is found, what is kept, and what is said where one is missing."""

import logging

import numpy as np
import pytest
from PIL import Image

from tfi2i.data import folders
from tfi2i.data.check import check
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import eight_bit, sixteen_bit, to_image


def deep(root, low, high, dtype=np.uint16, suffix="png", sides="AB", count=3):
    """Folders of pictures whose values go from low to high."""
    for split in ("train", "test"):
        for key in sides:
            folder = root / f"{split}{key}"
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                values = np.linspace(low, high, 96).reshape(8, 12) * (1 - 0.1 * index)
                values.flat[0] = low if index == 0 else values.flat[0]
                Image.fromarray(values.astype(dtype)).save(folder / f"{index}.{suffix}")
    return root


def plain(root, key):
    for split in ("train", "test"):
        (root / f"{split}{key}").mkdir(parents=True, exist_ok=True)
        for index in range(3):
            pixels = np.random.default_rng(index).integers(0, 256, (8, 12, 3), np.uint8)
            Image.fromarray(pixels).save(root / f"{split}{key}" / f"{index}.png")
    return root


@pytest.mark.parametrize(("high", "wish"), [(1000, 1023), (4095, 4095), (16000, 16383)])
def test_files_that_do_not_fill_sixteen_bits_are_said(tmp_path, high, wish):
    data = folders(plain(deep(tmp_path, 0, high, sides="A"), "B"))
    faults = data.remarks().faults
    assert len(faults) == 1 and "trainA: its 3 pictures" in faults[0]
    assert f"from 0 to {high} of 0 to 65535" in faults[0] and "too dark" in faults[0]
    assert f"data.value_range to auto or to [0, {wish}]" in faults[0]


@pytest.mark.parametrize(
    ("dtype", "suffix", "high"), [(np.uint16, "png", 65535), (np.float32, "tif", 1)]
)
def test_full_files_and_settled_ones_need_no_word(tmp_path, dtype, suffix, high):
    assert folders(deep(tmp_path, 0, high, dtype, suffix)).remarks() == ([], [])
    dark = folders(deep(tmp_path, 0, high / 16, dtype, suffix), value_range="auto")
    assert dark.remarks() == ([], [])


def test_floats_that_use_a_tenth_of_their_range_are_said(tmp_path):
    (fault, _) = folders(deep(tmp_path, 0, 0.1, np.float32, "tif")).remarks().faults
    assert "from 0 to 0.1 of 0 to 1" in fault


def test_numbers_that_are_no_colours_are_refused_once_for_the_domain(tmp_path):
    data = folders(deep(tmp_path, -1000, 2000, np.int32, "tif"))
    with pytest.raises(
        InputError, match=r"trainA holds values from -1000 to 2000.*\[-1000, 2000\]"
    ):
        data.remarks()
    assert check(data).problems == []  # the refusal says it
    data = folders(tmp_path, value_range=[-1000, 2000])
    assert not any(found.unreadable for found in check(data).sets)
    assert data.remarks() == ([], [])


def test_a_single_odd_file_is_left_out_as_any_other(tmp_path):
    data = folders(plain(plain(tmp_path, "A"), "B"))
    Image.fromarray(np.full((4, 4), -5, np.int32)).save(tmp_path / "trainA" / "odd.tif")
    data = folders(tmp_path)
    data.remarks()
    assert [name for name, _ in check(data).sets[0].unreadable] == ["odd.tif"]


def test_a_range_fills_the_images_with_all_the_depth_of_the_files(tmp_path):
    data = folders(deep(tmp_path, 0, 4095), value_range=[0, 4095])
    pixels = data.train["a"].read(0)
    assert pixels.dtype == np.uint16 and (pixels.min(), pixels.max()) == (0, 65535)
    assert len(np.unique(pixels)) == 96 and len(np.unique(pixels // 257)) <= 96
    batch = next(iter(data.batches(image_size=8, load_size=8, batch_size=3, flip=False)))
    images = batch["a"].numpy()
    assert images.dtype == np.float32 and images.min() < -0.9 and images.max() > 0.9
    # Between two of 256 levels there are others.
    assert (np.abs(images * 127.5 - np.rint(images * 127.5 + 0.5) + 0.5) > 1e-3).any()
    shown, _ = data.pixels("test", "a", 8)
    assert shown.dtype == np.uint8 and shown.max() > 240


@pytest.mark.parametrize("aspect", ["squash", "crop"])
def test_scaling_sixteen_bits_equals_scaling_eight(tmp_path, aspect):
    from tfi2i.data.resize import scaled_for_crop

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    wide = scaled_for_crop(sixteen_bit(pixels), 12, aspect)
    narrow = scaled_for_crop(pixels, 12, aspect)
    assert wide.dtype == np.uint16 and np.abs(eight_bit(wide).astype(int) - narrow).max() <= 1


def test_eight_and_sixteen_bits_are_the_same_images():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(to_image(sixteen_bit(pixels)), to_image(pixels), atol=1e-6)
    np.testing.assert_array_equal(eight_bit(sixteen_bit(pixels)), pixels)


def test_auto_is_of_the_training_pictures_and_kept_as_numbers(tmp_path, caplog):
    deep(tmp_path, 100, 3000)
    Image.fromarray(np.full((4, 4), 9000, np.uint16)).save(tmp_path / "testA" / "bright.png")
    with caplog.at_level(logging.INFO, "tfi2i"):
        data = folders(tmp_path, value_range="auto")
    low, high = data.settings["value_range"]["a"]
    assert (low, high) == data.train["a"].value_range == data.test["a"].value_range
    assert 80 <= low <= 100 and high == 3000 and "values 80 to 3000" in caplog.text
    assert data.test["a"].read(3).min() == 65535
    again = folders(tmp_path, value_range=data.settings["value_range"])
    assert again.settings["value_range"] == data.settings["value_range"]


def test_percentiles_leave_the_ends_out(tmp_path):
    deep(tmp_path, 0, 1000)
    values = np.asarray(Image.open(tmp_path / "trainA" / "0.png")).copy()
    values.flat[5] = 60000  # a dead pixel
    Image.fromarray(values).save(tmp_path / "trainA" / "0.png")
    data = folders(tmp_path, value_range={"percentiles": [2, 98]})
    low, high = data.settings["value_range"]["a"]
    assert 5 < low < 60 and 900 < high < 1000


def test_a_domain_has_its_own_range_and_swapping_exchanges_them(tmp_path):
    data = folders(plain(deep(tmp_path, 0, 4095, sides="A"), "B"), value_range={"a": [0, 4095]})
    assert data.settings["value_range"] == {"a": [0, 4095]}
    assert (data.train["a"].dtype, data.train["b"].dtype) == (np.uint16, np.uint8)
    swapped = data.swapped()
    assert swapped.train["b"].value_range == (0, 4095) and swapped.train["a"].value_range is None
    joined = data.domain("train", "any")
    assert joined.dtype == np.uint16 and joined.read(len(joined) - 1).dtype == np.uint16


@pytest.mark.parametrize(
    "wish",
    [[4095, 0], [1, 1], [0, float("nan")], {"c": "auto"}, {"percentiles": [1, 101]}, {"a": "max"}]
    + [{"percentiles": 5}, {"a": [1]}, {"percentiles": [1, 99], "a": "auto"}],
)
def test_a_range_that_is_none_is_refused(tmp_path, wish):
    with pytest.raises(InputError, match="data.value_range is .*give two rising numbers, auto"):
        folders(tmp_path, value_range=wish)


def test_a_domain_of_one_value_has_no_range(tmp_path):
    deep(tmp_path, 7, 7)
    for path in (tmp_path / "trainA").iterdir():
        Image.fromarray(np.full((4, 4), 7, np.uint16)).save(path)
    with pytest.raises(InputError, match="auto finds the one value 7"):
        folders(tmp_path, value_range="auto")


def test_grey_stays_grey_and_deep_in_a_systems_channels(tmp_path):
    data = folders(deep(tmp_path, 0, 4095), value_range=[0, 4095]).in_channels(1)
    pixels = data.train["a"].read(0)
    assert pixels.shape == (8, 12, 1) and pixels.dtype == data.train["a"].dtype == np.uint16
    assert len(np.unique(pixels)) == 96 and data.remarks() == ([], [])
    batch = next(iter(data.batches(image_size=8, load_size=8)))
    assert batch["a"].shape == (1, 8, 8, 1) and batch["a"].numpy().max() > 0.5
    assert len(folders(deep(tmp_path, 0, 999)).in_channels(1).remarks().faults) == 2
