"""Pairs to train on: two folders with one name a pair, or files that hold both pictures."""

import logging

import numpy as np
import pytest
from PIL import Image

from tfi2i.cli import main
from tfi2i.data import Batch, folders
from tfi2i.data.check import check
from tfi2i.errors import InputError
from tfi2i.models.cyclegan import CycleGAN
from tfi2i.pictures.pixels import to_pixels


def save(path, seed=0, size=(12, 10), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def pairs(root, names, *, split="train", suffix="png"):
    """Pictures of b are those of a with black and white exchanged."""
    for index, name in enumerate(names):
        save(root / f"{split}A" / f"{name}.png", index)
        path = root / f"{split}B" / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        a = np.asarray(Image.open(root / f"{split}A" / f"{name}.png"))
        Image.fromarray(255 - a).save(path)
    return root


def are_pairs(data, split):
    a, b = getattr(data, split).values()
    return all(np.array_equal(a.read(i), 255 - b.read(i)) for i in range(len(a)))


def test_two_folders_of_the_same_names_are_pairs_in_every_split(tmp_path):
    pairs(tmp_path, ["x", "deep/y", "z_b"], suffix="bmp")
    pairs(tmp_path, ["u", "v"], split="test")
    pairs(tmp_path, ["w"], split="val")
    data = folders(tmp_path, paired=True)
    assert data.paired == {"train", "test", "validation"}
    assert data.train["b"].names == ["deep/y.bmp", "x.bmp", "z_b.bmp"]
    assert all(are_pairs(data, split) for split in data.splits())
    batch = next(data.batches(Batch("paired"), image_size=8, batch_size=3).as_numpy_iterator())
    a, b = (to_pixels(batch[key]).astype(int) for key in "ab")
    assert np.abs(a - (255 - b)).max() <= 1  # one crop and one flip, but each side is scaled
    assert data.settings["paired"] is True


def test_marks_of_the_domains_are_no_part_of_a_name(tmp_path):
    for name in ("x", "y_A"):
        save(tmp_path / "a" / f"{name}_A.png")
        save(tmp_path / "b" / f"{name}-b.png")
    data = folders(a=tmp_path / "a", b=tmp_path / "b", paired=True)
    both = [{*data.train[key].names, *data.test[key].names} for key in "ab"]
    assert both == [{"x_A.png", "y_A_A.png"}, {"x-b.png", "y_A-b.png"}]


def test_pairs_are_held_out_together(tmp_path, caplog):
    pairs(tmp_path, [f"{index:02d}" for index in range(41)])
    with caplog.at_level(logging.INFO, "tfi2i"):
        data = folders(tmp_path, paired=True)
    assert [len(data.train[key]) for key in "ab"] == [39, 39]
    assert are_pairs(data, "train") and are_pairs(data, "test")
    assert "2 of its 41 pairs are held out" in caplog.text


@pytest.mark.parametrize("first", ["a", "b"])
def test_files_that_hold_both_pictures_are_cut_in_two(tmp_path, first):
    for split, count in (("train", 3), ("test", 2), ("val", 1)):
        for index in range(count):
            save(tmp_path / split / f"{index}.png", index, (20, 6))
    data = folders(tmp_path, side_by_side=first)
    counts = {split: len(domains["a"]) for split, domains in data.splits().items()}
    assert counts == {"train": 3, "test": 2, "validation": 1} and data.paired == {*counts}
    whole = np.asarray(Image.open(tmp_path / "train" / "1.png"))
    left, right = ("a", "b") if first == "a" else ("b", "a")
    np.testing.assert_array_equal(data.train[left].read(1), whole[:, :10])
    np.testing.assert_array_equal(data.train[right].read(1), whole[:, 10:])
    grey = data.in_channels({"a": 1, "b": 4})
    assert [grey.train[key].read(0).shape for key in "ab"] == [(6, 10, 1), (6, 10, 4)]
    assert data.description()["train_a"]["digest"] != data.description()["train_b"]["digest"]
    np.testing.assert_array_equal(data.swapped().train["a"].read(1), data.train["b"].read(1))


def test_files_with_both_pictures_may_lie_in_the_root_and_hold_deep_numbers(tmp_path):
    for index in range(4):
        half = np.full((6, 5), 1000 * index, np.uint16)
        Image.fromarray(np.hstack([half, half + 500])).save(tmp_path / f"{index}.png")
    data = folders(tmp_path, side_by_side="b", value_range={"a": "auto"})
    assert [len(one["a"]) for one in data.splits().values()] == [3, 1]
    low, high = data.settings["value_range"]["a"]
    assert low % 1000 == high % 1000 == 500  # those of the right halves alone
    assert [data.train[key].dtype for key in "ab"] == [np.uint16, np.uint8]


def broken(root, how):
    pairs(root, ["x", "y", "z"])
    if how == "missing":
        (root / "trainB" / "y.png").unlink()
    elif how == "two sizes":
        save(root / "trainB" / "y.png", size=(12, 9))
    elif how == "twice":
        save(root / "trainA" / "y.jpg")
    elif how == "one test":
        save(root / "testA" / "x.png")
    elif how == "one pair":
        for name in ("x", "y"):
            for key in "AB":
                (root / f"train{key}" / f"{name}.png").unlink()
    elif how == "test":
        pairs(root, ["u"], split="test")
        save(root / "testB" / "v.png")
    return folders(root, paired=True)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "missing",
            r"^1 of the 3 pictures of .*trainA have no partner .*trainB \(the first: y.png",
        ),
        ("two sizes", r"^y.png of .*trainA is 12x10 and y.png of .*its partner, 12x9 .*: 1 of 3\)"),
        ("twice", r"trainA has two pictures of the name y \(y.jpg and y.png\)"),
        ("one test", r"test pairs there are only those of domain a .*as `test_b`"),
        ("one pair", "trainA holds a single pair and there is no test folder"),
        ("test", r"^1 of the 2 pictures of .*testB have no partner in"),
    ],
)
def test_pairs_that_do_not_match_are_refused_in_one_sentence(tmp_path, how, message):
    with pytest.raises(InputError, match=message) as caught:
        broken(tmp_path, how)
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root": None}, "`root` is missing; give `root` alone"),
        ({"test_b": "x"}, "`test_b` is given; give `root` alone"),
        ({"root": "nowhere"}, "nowhere of `root` is not there"),
        ({"root": "empty"}, "neither a folder train nor pictures of its own"),
        ({}, r"1.png of .*train is 9 pixels wide, which has no two halves of one size"),
    ],
)
def test_files_with_both_pictures_that_cannot_be_cut_are_refused(tmp_path, settings, message):
    (tmp_path / "empty").mkdir()
    save(tmp_path / "train" / "0.png", size=(8, 5))
    save(tmp_path / "train" / "1.png", size=(9, 5))
    root = settings.pop("root", "")
    with pytest.raises(InputError, match=message):
        folders(None if root is None else tmp_path / root, side_by_side="a", **settings)


def test_a_turned_photograph_has_the_size_that_it_is_seen_in(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("x", "y"):
        save(tmp_path / "a" / f"{name}.jpg", size=(10, 12), exif=exif)
        save(tmp_path / "b" / f"{name}.png", size=(12, 10))
    assert len(folders(a=tmp_path / "a", b=tmp_path / "b", paired=True).train["a"]) == 1


def test_a_check_counts_pairs(tmp_path):
    pairs(tmp_path, ["x", "y", "z"])
    pairs(tmp_path, ["u"], split="test")
    assert check(folders(tmp_path)).facts == []
    (tmp_path / "trainB" / "y.png").write_bytes(b"broken")
    report = check(folders(tmp_path, paired=True))
    assert report.facts == ["Pairs: 3 to train on, 1 to test on."]
    assert report.facts[0] in report.text()
    assert (
        "train: of a pair with an unreadable picture the partner is left out too." in report.notes
    )


@pytest.mark.parametrize("paired", [True, False])
def test_pairs_that_are_not_there_are_missed_before_anything_is_written(
    tmp_path, capsys, monkeypatch, paired
):
    pairs(tmp_path / "data", ["x", "y", "z"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CycleGAN, "batch", Batch("paired"))
    source = ["--set", "data.source=folders", "--set", "data.root=data"]
    if paired:
        (tmp_path / "data" / "trainB" / "x.png").unlink()
        source += ["--set", "data.paired=true"]
    assert main(["train", "cyclegan/scenes", *source]) == 2
    assert (
        "have no partner in" if paired else "has no pairs to train on"
    ) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
