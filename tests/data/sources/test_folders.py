import logging
import os

import numpy as np
import pytest
from PIL import Image

from tfi2i.data import folders
from tfi2i.errors import InputError


def save(path, mode="RGB", size=(12, 10), seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], len(Image.new(mode, (1, 1)).getbands()))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.frombytes(mode, size, pixels.tobytes()).save(path, **options)


def layout(root, counts):
    for folder, count in counts.items():
        for index in range(count):
            save(root / folder / f"{index:03d}.png", seed=hash((folder, index)) % 2**31)
    return root


def test_the_layout_of_four_folders_is_read_recursively_and_sorted(tmp_path):
    layout(tmp_path, {"trainA": 2, "trainB/deep/er": 3, "testA": 1, "testB": 2})
    save(tmp_path / "trainB" / "a.webp")
    (tmp_path / "trainA" / "notes.txt").write_text("no picture")
    data = folders(tmp_path)
    assert data.name == tmp_path.name and not data.paired
    assert data.train["a"].names == ["000.png", "001.png"]
    assert data.train["b"].names == ["a.webp", *(f"deep/er/00{i}.png" for i in range(3))]
    assert [len(data.test[key]) for key in "ab"] == [1, 2]


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("RGB", "bmp"), ("LA", "png")]
    + [("RGB", "tiff"), ("RGB", "webp"), ("1", "png")],
)
def test_any_mode_and_format_becomes_rgb(tmp_path, mode, suffix):
    for key in "AB":
        if mode == "1":
            (tmp_path / f"train{key}").mkdir()
            Image.new("1", (12, 10), 1).save(tmp_path / f"train{key}" / f"x.{suffix}")
        else:
            save(tmp_path / f"train{key}" / f"x.{suffix}", mode)
        save(tmp_path / f"test{key}" / "y.png")
    pixels = folders(tmp_path).train["a"].read(0)
    assert pixels.shape == (10, 12, 3) and pixels.dtype == np.uint8


def test_the_camera_rotation_is_applied(tmp_path):
    layout(tmp_path, {"trainA": 1, "trainB": 1, "testA": 1, "testB": 1})
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "trainA" / "000.png", exif=exif)
    assert folders(tmp_path).train["a"].read(0).shape == (12, 10, 3)


def test_two_folders_by_name_hold_out_a_fixed_share_and_say_so(tmp_path, caplog):
    layout(tmp_path, {"cats": 40, "dogs": 6})
    with caplog.at_level(logging.INFO, "tfi2i"):
        data = folders(a=tmp_path / "cats", b=str(tmp_path / "dogs"))
    assert data.name == "cats2dogs"
    assert (len(data.train["a"]), len(data.test["a"])) == (38, 2)
    assert (len(data.train["b"]), len(data.test["b"])) == (5, 1)
    assert not {*data.train["a"].names} & {*data.test["a"].names}
    assert "2 of its 40 pictures are held out" in caplog.text
    again = folders(a=tmp_path / "cats", b=tmp_path / "dogs")
    assert again.test["a"].names == data.test["a"].names
    assert again.description() == data.description()


def test_test_folders_by_name_are_used(tmp_path):
    layout(tmp_path, {"cats": 3, "dogs": 3, "more cats": 2})
    data = folders(a=tmp_path / "cats", b=tmp_path / "dogs", test_a=tmp_path / "more cats")
    assert [len(data.train[key]) for key in "ab"] == [3, 2]
    assert [len(data.test[key]) for key in "ab"] == [2, 1]


def test_the_digest_follows_names_and_sizes(tmp_path):
    layout(tmp_path, {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1})
    before = folders(tmp_path).description()
    save(tmp_path / "trainA" / "000.png", size=(40, 40))
    after = folders(tmp_path).description()
    changed = [key for key in before if before[key] != after[key]]
    assert changed == ["train_a"] and after["train_a"]["count"] == 2


def test_paired_test_pictures_are_matched_by_name(tmp_path):
    layout(tmp_path, {"trainA": 1, "trainB": 1})
    for scene in ("x", "y"):
        save(tmp_path / "testA" / f"{scene}_A.png")
        save(tmp_path / "testB" / f"{scene}_B.jpg")
    data = folders(tmp_path, paired_test=True)
    assert data.paired == {"test"}
    assert data.test["a"].names == ["x_A.png", "y_A.png"]
    assert data.test["b"].names == ["x_B.jpg", "y_B.jpg"]
    save(tmp_path / "testB" / "z_B.png")
    with pytest.raises(InputError, match="paired_test needs the same names .* 'z' for one"):
        folders(tmp_path, paired_test=True)


def test_a_loop_of_links_ends(tmp_path):
    layout(tmp_path, {"trainA": 2, "trainB": 1, "testA": 1, "testB": 1})
    (tmp_path / "trainA" / "loop").symlink_to(tmp_path)
    (tmp_path / "trainA" / "self").symlink_to(tmp_path / "trainA")
    assert 2 <= len(folders(tmp_path).train["a"]) < 20


def test_a_file_that_is_no_picture_is_skipped_in_training(tmp_path, caplog):
    layout(tmp_path, {"trainA": 2, "trainB": 1, "testA": 1, "testB": 1})
    (tmp_path / "trainA" / "evil.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\xff" * 50)
    (tmp_path / "trainA" / "empty.jpg").touch()
    with caplog.at_level(logging.WARNING, "tfi2i"):
        list(folders(tmp_path).batches(image_size=8).take(12))
    assert sum("evil.png" in message for message in caplog.messages) == 1
    assert sum("empty.jpg" in message for message in caplog.messages) == 1


def test_names_that_are_not_utf_8_are_no_trouble(tmp_path):
    layout(tmp_path, {"trainA": 1, "trainB": 1, "testA": 1, "testB": 1})
    strange = tmp_path / "trainA" / os.fsdecode(b"\xff\n.png")
    (tmp_path / "trainA" / "000.png").rename(strange)
    data = folders(tmp_path)
    assert data.train["a"].read(0).shape == (10, 12, 3)
    assert data.description()["train_a"]["count"] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: folders(), "needs `root` .* but `a` is missing"),
        (lambda root: folders(a=root / "trainA"), "`b` is missing"),
        (lambda root: folders(root / "nowhere"), "nowhere of `root` is not there"),
        (lambda root: folders(root), "has no folder trainB \\(it holds empty, one, trainA\\)"),
        (lambda root: folders(a=root / "x", b=root / "one"), "x of `a` is not there"),
        (lambda root: folders(root, b=root / "trainA"), "are the same folder"),
        (lambda root: folders(root, b=root / "empty"), "empty holds no pictures"),
        (lambda root: folders(root, b=root / "one"), "one holds a single picture"),
        (
            lambda root: folders(root, b=root / "one", test_b=root / "empty"),
            "test folder .*empty holds no pictures",
        ),
    ],
)
def test_bad_folders_are_refused_with_a_way_out(tmp_path, make, message):
    layout(tmp_path, {"trainA": 2, "one": 1})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        make(tmp_path)


@pytest.mark.parametrize("names", ["{split}{key}", "{split}/{key}", "{key}/{split}"])
def test_the_usual_layouts_are_read_with_their_validation_folders(tmp_path, names):
    counts = {"train": 3, "test": 2, "val": 4}
    folders_of = {
        names.format(split=split, key=key): count for split, count in counts.items() for key in "AB"
    }
    data = folders(layout(tmp_path, folders_of))
    for split, domains in (("train", data.train), ("test", data.test), ("val", data.validation)):
        assert [len(domain) for domain in domains.values()] == [counts[split]] * 2


def test_validation_folders_by_name_and_one_alone(tmp_path, caplog):
    layout(tmp_path, {"cats": 2, "dogs": 2, "vc": 3, "vd": 4})
    both = {"a": tmp_path / "cats", "b": tmp_path / "dogs"}
    data = folders(**both, val_a=tmp_path / "vc", val_b=tmp_path / "vd")
    assert [len(domain) for domain in data.validation.values()] == [3, 4]
    assert folders(**both, val_a=tmp_path / "vc").validation == {}
    assert "vc is not used" in caplog.text


def test_aligned_pairs_are_named_as_what_they_are(tmp_path):
    with pytest.raises(InputError, match="aligned pairs .* set data.side_by_side to a or b"):
        folders(layout(tmp_path, {"train": 2}))


def test_pictures_are_held_out_among_those_that_open(tmp_path, caplog):
    layout(tmp_path, {"cats": 8, "dogs": 8})
    held = folders(a=tmp_path / "cats", b=tmp_path / "dogs").test["a"].names[0]
    (tmp_path / "cats" / held).write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 99)
    with caplog.at_level(logging.INFO, "tfi2i"):
        data = folders(a=tmp_path / "cats", b=tmp_path / "dogs")
        assert data.test["a"].names != [held] and held in data.train["a"].names
        assert data.test["a"].read(0).shape == (10, 12, 3)
        list(data.batches(image_size=8).take(9))
    assert sum(held in message for message in caplog.messages) == 1


def test_what_is_passed_over_is_counted_by_kind(tmp_path):
    layout(tmp_path, {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1, "films": 0})
    for name in ("clip.mov", "a.txt", "b.TXT", ".hidden.txt"):
        (tmp_path / "trainA" / name).touch()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "b.mp4").touch()
    notes = folders(tmp_path).remarks().notes
    assert len(notes) == 1 and notes[0].endswith("trainA: passed over 2 TXT, 1 video.")
    with pytest.raises(InputError, match=r"films holds no pictures .* but 1 video"):
        folders(tmp_path, a=tmp_path / "films")


def test_animations_are_said_with_their_number(tmp_path):
    layout(tmp_path, {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1})
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    for name in ("x.gif", "y.webp"):
        frames[0].save(tmp_path / "trainB" / name, save_all=True, append_images=frames[1:])
    notes = folders(tmp_path).remarks().notes
    assert len(notes) == 1 and "trainB: 2 of its pictures have several frames" in notes[0]


def test_pictures_of_more_pixels_than_are_wanted_are_left_out_by_name(tmp_path, caplog):
    layout(tmp_path, {"trainA": 2, "trainB": 2, "testA": 1, "testB": 1})
    Image.new("L", (1_001, 1_000)).save(tmp_path / "trainA" / "big.png")
    data = folders(tmp_path, megapixels=1)
    next(iter(data.batches(image_size=8, load_size=8, batch_size=3)))
    assert data.train["a"].read_or_none(2) is None
    assert "big.png has 1,001,000 pixels (1,001 x 1,000), and the limit is 1 million" in caplog.text
    assert folders(tmp_path, megapixels=2).train["a"].read(2).shape == (1_000, 1_001, 3)
