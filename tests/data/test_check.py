import shutil

import numpy as np
import pytest
from PIL import Image

from tfi2i.cli import main
from tfi2i.data import folders, scenes
from tfi2i.data.check import check


@pytest.fixture
def root(tmp_path):
    sizes = {"trainA": [(20, 10), (30, 40), (8, 8)], "trainB": [(9, 9)] * 2}
    sizes |= {"testA": [(5, 5)], "testB": [(6, 7)]}
    rng = np.random.default_rng(0)
    for folder, all_sizes in sizes.items():
        (tmp_path / folder).mkdir()
        for index, (width, height) in enumerate(all_sizes):
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{folder}{index}.png")
    return tmp_path


def test_a_clean_set_has_no_problems_and_fits_a_screen(root):
    steps = []
    report = check(folders(root), progress=lambda done, total: steps.append((done, total)))
    assert report.problems == [] and report.notes == [] and report.duplicates == []
    assert steps == [(done, 7) for done in range(1, 8)]
    train_a = report.sets[0]
    assert (train_a.title, train_a.count) == ("train a", 3)
    assert sorted(train_a.widths) == [8, 20, 30] and sorted(train_a.heights) == [8, 10, 40]
    text = report.text()
    assert "8x8" in text and "20x10" in text and "30x40" in text and "RGB 3" in text
    assert text.endswith("No problems found.")
    assert len(text.splitlines()) < 24 and max(map(len, text.splitlines())) < 100


def test_modes_are_those_of_the_files(root):
    Image.new("L", (4, 4), 9).save(root / "trainB" / "grey.png")
    Image.new("CMYK", (4, 4), (1, 2, 3, 4)).save(root / "trainB" / "print.jpg")
    assert check(folders(root)).sets[1].modes == {"RGB": 2, "L": 1, "CMYK": 1}


def test_hostile_files_are_listed_with_their_reason(root):
    good = (root / "trainA" / "trainA0.png").read_bytes()
    hostile = {
        "cut.png": good[: len(good) // 2],
        "text.jpg": b"<script>alert(1)</script>",
        "empty.png": b"",
        "bomb.png": good[:16] + (2**31 - 1).to_bytes(4, "big") * 2 + good[24:],
        "bad\x1b[31m.gif": b"GIF89a" + b"\xff" * 40,
        "loop.png": None,
    }
    for name, content in hostile.items():
        path = root / "trainB" / name
        if content is None:
            path.symlink_to(path)
        else:
            path.write_bytes(content)
    report = check(folders(root))
    names = {name for name, _ in report.sets[1].unreadable}
    assert names == {*hostile} - {"loop.png"}
    assert len(report.problems) == 5 and all("unreadable" in p for p in report.problems)
    assert "\x1b" not in report.text() and "empty.png" in report.text()


def test_pictures_shared_by_training_and_test_are_a_problem(root):
    shutil.copy(root / "trainA" / "trainA1.png", root / "testA" / "renamed.png")
    # The same pixels in another encoding count too.
    Image.open(root / "trainB" / "trainB0.png").save(root / "testB" / "other.bmp")
    report = check(folders(root))
    assert len(report.problems) == 2
    assert all("to train and to test on" in problem for problem in report.problems)
    assert "trainA1.png (train a), renamed.png (test a)" in report.problems[0]
    assert [("train a", "trainA1.png"), ("test a", "renamed.png")] in report.duplicates


def test_a_picture_in_both_domains_is_a_problem_and_repetition_a_note(root):
    shutil.copy(root / "trainA" / "trainA1.png", root / "trainB" / "x.png")
    shutil.copy(root / "trainB" / "trainB0.png", root / "trainB" / "y.png")
    report = check(folders(root))
    assert len(report.problems) == 1 and "in both domains" in report.problems[0]
    assert len(report.notes) == 1 and "more than once" in report.notes[0]


def test_a_domain_without_any_readable_picture_is_named(root):
    for path in (root / "testB").iterdir():
        path.write_bytes(b"broken")
    report = check(folders(root))
    assert "test b: no picture of" in report.problems[0]


def test_a_long_list_of_problems_still_fits_a_screen(root):
    for index in range(100):
        (root / "trainA" / f"broken{index}.png").write_bytes(b"x")
        shutil.copy(root / "trainB" / "trainB0.png", root / "trainB" / f"copy{index}.png")
        shutil.copy(root / "trainB" / "trainB0.png", root / "testB" / f"copy{index}.png")
    report = check(folders(root))
    assert len(report.problems) == 101 and len(report.text().splitlines()) < 24
    assert "... and 95 more" in report.text() and "and 198 more" in report.text()


def test_the_embedded_set_is_clean():
    report = check(scenes(train_size=6, test_size=3))
    assert report.problems == [] and [found.count for found in report.sets] == [6, 6, 3, 3]


def test_domains_and_labels_are_checked_without_a_configuration(capsys):
    data = ["--set", "data.source=scenes", "--set", "data.styles=[day, winter, neon]"]
    sizes = ["--set", "data.train_size=2", "--set", "data.test_size=2"]
    assert main(["check-data", *data, *sizes]) == 0
    told = capsys.readouterr().out
    assert "Pairs: 2 to test on, 128 to validate on.\n" in told
    assert "Domains of training: day 33 %, winter 33 %, neon 33 %.\nNo problems found." in told
    assert main(["check-data", "cyclegan/scenes", *data[2:], *sizes]) == 1
    assert "Training refuses this: scenes has the domains day, winter and neon, but unpaired" in (
        capsys.readouterr().out
    )
