"""Any number of domains, a folder each: AFHQ's layout and others, and the share held out."""

import logging

import numpy as np
import pytest
from PIL import Image
from stand_in import Seasons

from tfi2i.data import Batch, folders
from tfi2i.data.check import check
from tfi2i.errors import InputError

ANIMALS = ("cat", "dog", "wild")


def fill(folder, count, suffix="png", level=0):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.random.default_rng((level, index)).integers(0, 200, (9, 9, 3), np.uint8)
        Image.fromarray(pixels + np.uint8(level)).save(folder / f"{index:03d}.{suffix}")


@pytest.mark.parametrize("place", ["{split}/{name}", "{name}/{split}"])
def test_domains_are_folders_split_by_train_and_test(tmp_path, place):
    counts = {"train": 4, "test": 2, "val": 3}
    for level, name in enumerate(ANIMALS):
        for split, count in counts.items():
            fill(tmp_path / place.format(split=split, name=name), count, level=level)
    data = folders(tmp_path, domains="all")
    assert [*data.train] == [*ANIMALS] and data.name == tmp_path.name and not data.paired
    for (split, domains), count in zip(data.splits().items(), counts.values(), strict=True):
        assert [len(one) for one in domains.values()] == [count] * 3, split
    chosen = folders(tmp_path, domains=("wild", "cat"))
    assert chosen.label_names == ("wild", "cat")
    assert chosen.train["cat"].names == data.train["cat"].names
    two = next(chosen.batches(image_size=8).as_numpy_iterator())
    assert [*two] == ["a", "b"]


def test_folders_without_a_split_hold_out_the_stated_share(tmp_path, caplog):
    for level, name in enumerate(ANIMALS):
        fill(tmp_path / name, 20, level=level)
    with caplog.at_level(logging.INFO, "tfi2i"):
        data = folders(tmp_path, domains=ANIMALS, test_share=0.25)
    assert [len(one) for one in data.test.values()] == [5, 5, 5]
    assert "5 of its 20 pictures are held out" in caplog.text
    assert not {*data.train["dog"].names} & {*data.test["dog"].names}
    assert [len(o) for o in folders(tmp_path, domains="all").test.values()] == [1, 1, 1]
    two = folders(a=tmp_path / "cat", b=tmp_path / "dog", test_share=0.5)
    assert [len(one) for one in two.train.values()] == [10, 10]
    pairs = folders(a=tmp_path / "cat", b=tmp_path / "dog", test_share=0.3, paired=True)
    assert [len(one) for one in pairs.test.values()] == [6, 6]


def test_a_system_of_many_domains_learns_from_folders(tmp_path):
    for level, name in enumerate(ANIMALS):
        fill(tmp_path / name, 4, level=level)
    data = folders(tmp_path, domains="all", value_range={"dog": [0, 127]})
    assert data.settings["value_range"] == {"dog": [0, 127]}
    system = Seasons(image_size=32, domains=ANIMALS, width=4)
    batch = next(data.batches(system, batch_size=4).as_numpy_iterator())
    assert batch["label"].shape == (4, 3) and batch["image"].shape == (4, 32, 32, 3)
    with pytest.raises(
        InputError, match="labels of the system are cat, dog and wild, but those of"
    ):
        folders(tmp_path, domains=("dog", "cat")).batches(system, batch_size=2)
    batch = next(data.batches(Batch("single"), image_size=8, batch_size=3).as_numpy_iterator())
    assert batch["label"].sum() == 3


def test_a_check_shows_the_balance_of_the_domains(tmp_path):
    for level, (name, count) in enumerate(zip(ANIMALS, (60, 4, 36), strict=True)):
        fill(tmp_path / "train" / name, count, level=level)
        fill(tmp_path / "test" / name, 1, level=level + 20)
    report = check(folders(tmp_path, domains="all"))
    assert report.facts == ["Domains of training: cat 60 %, dog 4 %, wild 36 %."]
    assert report.notes == ["Training sees cat 15 times as often as dog."]
    assert "Domains of training: cat 60 %" in report.text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains": ("cat",)}, "two or more different names, received domains='cat'"),
        ({"domains": ("cat", "cat")}, "two or more different names"),
        ({"domains": ("cat", "any")}, "the name 'any'; rename one"),
        ({"domains": ("cat", "cow")}, r"has no folder cow \(it holds cat, dog, empty\), nor train"),
        ({"domains": ("cat", "empty")}, "empty holds no pictures"),
        ({"domains": ("cat", "dog"), "a": "x"}, "`a` is given; give `root` alone"),
        ({"domains": ("cat", "dog"), "paired": True}, "Pairs have two domains, a and b"),
        ({"domains": ("cat", "dog"), "value_range": {"a": "auto"}}, "a domain, {cat: ..., dog: ."),
        ({"domains": "all", "test_share": 1.0}, "test_share of folders is 1; choose a number from"),
        ({"domains": ("cat", "dog"), "root": None}, "`root` is missing"),
        ({"domains": "all", "root": "x"}, "The folder x of `root` is not there"),
    ],
)
def test_domains_that_are_not_there_are_refused(tmp_path, settings, message):
    fill(tmp_path / "cat", 3)
    fill(tmp_path / "dog", 3)
    (tmp_path / "empty").mkdir()
    settings = {"root": tmp_path} | settings
    with pytest.raises(InputError, match=message):
        folders(**settings)


def test_one_folder_alone_is_no_choice(tmp_path):
    fill(tmp_path / "train" / "cat", 3)
    with pytest.raises(InputError, match=r"two or more different names, received domains='cat'\.$"):
        folders(tmp_path, domains="all")
