"""Files and folders through a translation: names, transparency, and never over an input."""

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tfi2i.errors import InputError
from tfi2i.pictures.files import read_picture, write_picture
from tfi2i.pictures.folders import translate_files


def inverted(pixels):
    return 255 - pixels


def colours(height=6, width=9, channels=3):
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def picture(path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, colours(), **options)
    return path


def run(inputs, out, translate=inverted, **options):
    options.setdefault("console", Console(file=io.StringIO()))
    return translate_files(translate, inputs, out, **options)


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_files_and_folders_keep_their_names(tmp_path):
    single = picture(tmp_path / "one.PNG")
    folder = tmp_path / "photos"
    picture(folder / "b.png")
    picture(folder / "2020" / "b.webp")
    picture(folder / "2020" / "c.tif")
    picture(folder / "2020" / "d.jpg")
    (folder / "notes.txt").write_text("not a picture")
    out = tmp_path / "new" / "out"
    summary = run([single, folder], out)
    assert names(out) == ["2020/b.webp", "2020/c.tif", "2020/d.jpg", "b.png", "one.PNG"]
    assert sorted(summary.written) == sorted(out / name for name in names(out))
    assert summary.failed == ()
    for name in ("2020/b.webp", "2020/c.tif", "b.png"):
        np.testing.assert_array_equal(read_picture(out / name).pixels, 255 - colours())


def test_formats_that_cannot_be_written_become_png(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "a.gif")
    Image.fromarray(colours()[..., 0]).save(tmp_path / "b.pgm")
    Image.fromarray(colours()).save(tmp_path / "c.2021", "JPEG")
    Image.fromarray(colours()).save(tmp_path / "bare", "BMP")
    run([tmp_path / name for name in ("a.gif", "b.pgm", "c.2021", "bare")], tmp_path / "out")
    assert names(tmp_path / "out") == ["a.png", "b.png", "bare.png", "c.2021.png"]


@pytest.mark.parametrize("suffix", ["png", ".JPG"])
def test_one_format_for_all(tmp_path, suffix):
    folder = picture(tmp_path / "in" / "a.png").parent
    picture(folder / "b.jpg")
    picture(folder / "c.tif")
    run([folder], tmp_path / "out", suffix=suffix)
    end = "." + suffix.lower().removeprefix(".")
    assert names(tmp_path / "out") == [f"a{end}", f"b{end}", f"c{end}"]


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'gif'; use one of .*\.png"):
        run([picture(tmp_path / "a.png")], tmp_path / "out", suffix="gif")
    assert not (tmp_path / "out").exists()


def test_transparency_is_copied(tmp_path):
    alpha = colours(channels=1)[..., 0]
    for name in ("a.png", "b.webp", "c.tif"):
        picture(tmp_path / "in" / name, alpha=alpha)
    run([tmp_path / "in"], tmp_path / "out")
    for name in ("a.png", "b.webp", "c.tif"):
        np.testing.assert_array_equal(read_picture(tmp_path / "out" / name).alpha, alpha)


def test_transparency_changes_the_format_if_it_must(tmp_path):
    alpha = colours(channels=1)[..., 0]
    disguised = picture(tmp_path / "in" / "a.png", alpha=alpha).rename(tmp_path / "in" / "a.jpg")
    run([disguised], tmp_path / "out")
    assert names(tmp_path / "out") == ["a.png"]
    np.testing.assert_array_equal(read_picture(tmp_path / "out" / "a.png").alpha, alpha)
    before = (tmp_path / "out" / "a.png").read_bytes()
    with pytest.raises(InputError, match=r"a\.jpg is transparent .*a\.png.* exists already"):
        run([disguised], tmp_path / "out", lambda pixels: pixels)
    assert (tmp_path / "out" / "a.png").read_bytes() == before
    run([disguised], tmp_path / "out", lambda pixels: pixels, overwrite=True)
    assert (tmp_path / "out" / "a.png").read_bytes() != before


def test_a_late_change_of_format_never_takes_another_pictures_name(tmp_path):
    clear = np.zeros((6, 9), np.uint8)
    picture(tmp_path / "in" / "x.png", alpha=clear).rename(tmp_path / "in" / "a.bmp")
    picture(tmp_path / "in" / "a.png")
    summary = run([tmp_path / "in"], tmp_path / "out", overwrite=True)
    assert [path.name for path in summary.written] == ["a.png"]
    assert [source.name for source, _ in summary.failed] == ["a.bmp"]
    assert "would both become" in summary.failed[0][1]
    assert read_picture(tmp_path / "out" / "a.png").alpha is None


def test_transparency_that_the_chosen_format_cannot_hold_is_a_failure(tmp_path):
    picture(tmp_path / "in" / "a.png", alpha=np.zeros((6, 9), np.uint8))
    picture(tmp_path / "in" / "b.png", alpha=np.full((6, 9), 255, np.uint8))
    summary = run([tmp_path / "in"], tmp_path / "out", suffix="jpg")
    assert names(tmp_path / "out") == ["b.jpg"]
    assert len(summary.failed) == 1
    assert "transparency" in summary.failed[0][1]


def test_turned_photographs_come_out_upright_without_the_tag(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours(8, 16)).save(tmp_path / "a.jpg", exif=exif, quality=100)
    run([tmp_path / "a.jpg"], tmp_path / "out", lambda pixels: pixels)
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        assert image.size == (8, 16)
        assert 0x0112 not in image.getexif()


def test_inputs_are_never_overwritten(tmp_path):
    source = picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "b" / "c.png")
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(source)
    (tmp_path / "hard").mkdir()
    os.link(source, tmp_path / "hard" / "a.png")
    for out in ("in", "link", "in/../in", "links", "hard"):
        for inputs in ([source], [tmp_path / "in"]):
            for overwrite in (False, True):
                with pytest.raises(InputError, match=r"is the input .*never overwritten"):
                    run(inputs, tmp_path / out, overwrite=overwrite)
    assert source.read_bytes() == before
    # The picture is named through a link, the output is the file behind it.
    with pytest.raises(InputError, match="never overwritten"):
        run([tmp_path / "links" / "a.png"], tmp_path / "in", overwrite=True)
    assert source.read_bytes() == before


def test_an_output_folder_inside_the_input_is_not_translated_again(tmp_path):
    picture(tmp_path / "a.png")
    run([tmp_path], tmp_path / "out")
    run([tmp_path], tmp_path / "out", overwrite=True)
    assert names(tmp_path) == ["a.png", "out/a.png"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x/a.png", "y/a.png"),
        ("x/a.png", "x/a.gif"),
        ("x/\u00c4.png", "y/\u00e4.PNG"),
        ("x/\u00e9.png", "y/e\u0301.png"),
    ],
)
def test_two_pictures_of_one_name_are_refused(tmp_path, first, second):
    picture(tmp_path / first)
    (tmp_path / second).parent.mkdir(exist_ok=True)
    Image.fromarray(colours()).save(tmp_path / second)
    with pytest.raises(InputError) as caught:
        run([tmp_path / first, tmp_path / second], tmp_path / "out")
    assert str(tmp_path / first) in str(caught.value)
    assert str(tmp_path / second) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_picture_named_twice_is_translated_once(tmp_path):
    path = picture(tmp_path / "in" / "a.png")
    calls = []
    again = path.parent / ".." / "in" / "a.png"
    summary = run(
        [path, path, again, path.parent], tmp_path / "out", lambda p: calls.append(1) or p
    )
    assert len(calls) == len(summary.written) == 1


def test_earlier_outputs_are_kept_unless_asked(tmp_path):
    folder = picture(tmp_path / "in" / "a.png").parent
    run([folder], tmp_path / "out")
    before = (tmp_path / "out" / "a.png").read_bytes()
    picture(folder / "b.png")
    with pytest.raises(InputError, match=r"a\.png exists already.*--overwrite"):
        run([folder], tmp_path / "out", lambda pixels: pixels)
    assert names(tmp_path / "out") == ["a.png"]
    assert (tmp_path / "out" / "a.png").read_bytes() == before
    run([folder], tmp_path / "out", lambda pixels: pixels, overwrite=True)
    assert names(tmp_path / "out") == ["a.png", "b.png"]
    with pytest.raises(InputError, match=r"\(and 1 more\) exists already"):
        run([folder], tmp_path / "out")


def test_one_bad_picture_does_not_stop_a_folder(tmp_path):
    folder = picture(tmp_path / "in" / "a.png").parent
    (folder / "b [bold].png").write_bytes(b"not a picture")
    picture(folder / "c.png")
    text = io.StringIO()
    summary = run([folder], tmp_path / "out", console=Console(file=text, width=40))
    assert names(tmp_path / "out") == ["a.png", "c.png"]
    assert [source.name for source, _ in summary.failed] == ["b [bold].png"]
    lines = text.getvalue().splitlines()
    assert "b [bold].png is not a picture" in lines[0]
    assert lines[1:] == [f"Translated 2 pictures into {tmp_path / 'out'}, 1 failed."]


def test_the_one_picture_asked_for_must_not_fail(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad\.png is empty"):
        run([tmp_path / "bad.png"], tmp_path / "out")
    summary = run([tmp_path / "bad.png", picture(tmp_path / "a.png")], tmp_path / "out")
    assert len(summary.failed) == len(summary.written) == 1


def test_what_is_not_there_is_refused_before_anything_is_written(tmp_path):
    good = picture(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    for inputs, message in (
        ([good, tmp_path / "gone.png"], r"no picture or folder .*gone\.png"),
        ([good, tmp_path / "empty"], r"empty has no pictures in it"),
        ([], "nothing to translate"),
        ([good, tmp_path / ("x" * 300)], "File name too long"),
    ):
        with pytest.raises(InputError, match=message):
            run(inputs, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"a\.png is a file; name a folder"):
        run([good], good)
    with pytest.raises(InputError, match="Not a directory|exists"):
        run([good], good / "deeper")


def test_a_translation_of_another_size_is_a_failure_that_writes_nothing(tmp_path):
    folder = picture(tmp_path / "in" / "a.png").parent
    summary = run([folder], tmp_path / "out", lambda pixels: pixels[:-1])
    assert "keeps the size" in summary.failed[0][1]
    assert names(tmp_path / "out") == []


def test_a_translator_with_progress_is_told_and_the_bar_leaves_no_trace(tmp_path):
    path = picture(tmp_path / "a.png")

    def slow(pixels, progress=None):
        for done in (1, 2):
            progress(done, 2)
        return pixels

    for terminal in (False, True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=80)
        run([path], tmp_path / f"out{terminal}", slow, console=console)
        assert "Translated 1 picture into" in text.getvalue()
        assert ("a.png" in text.getvalue().replace(str(tmp_path), "")) == terminal


def test_the_last_line_goes_to_stderr(tmp_path, capfd):
    translate_files(inverted, [picture(tmp_path / "a.png")], tmp_path / "out")
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "Translated 1 picture into" in shown.err


def test_translating_files_needs_no_tensorflow():
    import subprocess

    script = (
        "import sys, tfi2i.pictures.folders;"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


# several workers


def test_workers_do_the_same_in_the_same_order(tmp_path):
    rng = np.random.default_rng(0)
    seconds = {}
    for i in range(12):
        write_picture(picture(tmp_path / "in" / f"{i:02}.png"), np.full((6, 9, 3), i, np.uint8))
        seconds[i] = rng.uniform(0, 0.02)
    (tmp_path / "in" / "03 bad.png").write_bytes(b"")
    (tmp_path / "in" / "05 bad.png").write_bytes(b"no picture")
    lock, now, most = threading.Lock(), [0], [0]

    def slow(pixels):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(seconds[int(pixels.flat[0])])
        with lock:
            now[0] -= 1
        return 255 - pixels

    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    one = run([tmp_path / "in"], tmp_path / "one")
    four = run([tmp_path / "in"], tmp_path / "four", slow, workers=4, console=console)
    assert [path.name for path in four.written] == [path.name for path in one.written]
    assert four.failed == one.failed and len(one.failed) == 2
    assert 1 < most[0] <= 4
    assert "Translated 12 pictures" in text.getvalue()
    for path in one.written:
        same = tmp_path / "four" / path.name
        np.testing.assert_array_equal(read_picture(same).pixels, read_picture(path).pixels)


def test_workers_never_write_two_pictures_to_one_late_name(tmp_path):
    clear = np.zeros((6, 9), np.uint8)
    for suffix in ("jpg", "bmp", "jpeg", "ppm"):
        made = picture(tmp_path / "made.png", alpha=clear)
        (tmp_path / "in").mkdir(exist_ok=True)
        made.rename(tmp_path / "in" / f"a.{suffix}")
    for i in range(20):
        summary = run([tmp_path / "in"], tmp_path / f"out{i}", workers=4)
        assert [path.name for path in summary.written] == ["a.png"]
        assert len(summary.failed) == 3
        assert all("would both become" in reason for _, reason in summary.failed)
        assert names(tmp_path / f"out{i}") == ["a.png"]


def test_the_one_picture_asked_for_must_not_fail_with_workers_either(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad\.png is empty"):
        run([tmp_path / "bad.png"], tmp_path / "out", workers=4)
    with pytest.raises(InputError, match="At least 1 worker"):
        run([picture(tmp_path / "a.png")], tmp_path / "none", workers=0)
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("raised", [KeyboardInterrupt, ZeroDivisionError])
def test_stopping_or_a_bug_leaves_the_queued_pictures_alone(tmp_path, raised):
    for i in range(30):
        picture(tmp_path / "in" / f"{i}.png")
    go, calls = threading.Event(), []

    def translate(pixels):
        calls.append(1)
        if len(calls) == 2:
            if raised is KeyboardInterrupt:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            else:
                raise raised
        go.wait(10)
        return pixels

    started = time.monotonic()
    with pytest.raises(raised):
        run([tmp_path / "in"], tmp_path / "out", translate, workers=2)
    assert time.monotonic() - started < 5
    assert len(calls) <= 3
    go.set()


def animation(path: Path, count=3) -> Path:
    frames = [Image.new("RGB", (5, 4), (60 * i, 0, 0)) for i in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    return path


def test_the_first_frame_is_translated_and_that_is_said_once(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    animation(tmp_path / "in" / "a.gif")
    animation(tmp_path / "in" / "b.webp")
    picture(tmp_path / "in" / "c.png")
    run([tmp_path / "in"], tmp_path / "out", console=console)
    assert names(tmp_path / "out") == ["a.png", "b.webp", "c.png"]
    assert "2 with several frames or pages: the first was translated" in console.file.getvalue()


def test_all_frames_are_translated_on_request(tmp_path):
    animation(tmp_path / "in" / "a.gif")
    picture(tmp_path / "in" / "c.png")
    console = Console(file=io.StringIO(), width=200)
    run([tmp_path / "in"], tmp_path / "out", console=console, frames=True)
    assert names(tmp_path / "out") == [*(f"a-000{i}.png" for i in (1, 2, 3)), "c.png"]
    for i in range(3):
        red = read_picture(tmp_path / "out" / f"a-000{i + 1}.png").pixels[0, 0, 0]
        assert abs(int(red) - (255 - 60 * i)) < 9
    assert "frames or pages" not in console.file.getvalue()
    picture(tmp_path / "in" / "a-0002.png")
    with pytest.raises(InputError, match="would both become"):
        run([tmp_path / "in"], tmp_path / "other", frames=True)


def test_what_a_folder_holds_besides_is_counted_by_kind(tmp_path):
    picture(tmp_path / "in" / "a.png")
    for name in ("b.mov", "c.txt", "d.txt", ".e.txt"):
        (tmp_path / "in" / name).touch()
    console = Console(file=io.StringIO(), width=200)
    run([tmp_path / "in"], tmp_path / "out", console=console)
    assert "Passed over 2 TXT, 1 video." in console.file.getvalue()
    (tmp_path / "in" / "a.png").unlink()
    with pytest.raises(InputError, match="has no pictures in it but 2 TXT, 1 video"):
        run([tmp_path / "in"], tmp_path / "out")


@pytest.mark.parametrize("deep", [False, True])
def test_a_range_of_values_becomes_black_to_white(tmp_path, deep):
    values = np.array([[0, 1000, 2000, 4095]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    seen = []

    def translate(pixels):
        seen.append(pixels)
        return np.zeros(pixels.shape, np.uint8)

    translate.takes_deep = deep
    run([tmp_path / "a.png"], tmp_path / "out", translate, value_range=(0, 4095))
    full = 65535 if deep else 255
    assert seen[0].dtype == (np.uint16 if deep else np.uint8)
    np.testing.assert_array_equal(seen[0][..., 0], np.rint(values / 4095 * full))


def test_pictures_of_eight_bits_in_a_wider_range_are_said(tmp_path):
    picture(tmp_path / "in" / "a.png")
    Image.fromarray(np.full((4, 4), 900, np.uint16)).save(tmp_path / "in" / "b.png")
    console = Console(file=io.StringIO(), width=300)
    run([tmp_path / "in"], tmp_path / "out", console=console, value_range=(0, 4095))
    assert "1 of 8 bits (the first: " in console.file.getvalue()
    assert "a.png) hold values from 0 to 255, and 0 to 4095 are black" in console.file.getvalue()


def half(pixels):
    """Grey of half the depth, in 16 bits."""
    return pixels[..., :1] // 2


half.takes_deep = True


@pytest.mark.parametrize(
    ("target_range", "suffix", "wanted", "dtype", "numbers"),
    [
        ((0, 4095), ".png", ".png", np.uint16, [0, 500, 1000, 2047]),
        ((0, 65535), ".tif", ".tif", np.uint16, [0, 8001, 16003, 32767]),
        ((0, 4095), ".bmp", ".png", np.uint16, [0, 500, 1000, 2047]),
        ((0, 240), ".bmp", ".bmp", np.uint8, [0, 29, 59, 120]),
        ((-1000, 3000), ".png", ".tif", np.float32, [-1000, -511.64, -23.23, 1000]),
        ((0, 0.5), ".tif", ".tif", np.float32, [0, 0.061, 0.1221, 0.25]),
    ],
)
def test_grey_results_are_numbers_of_their_range(
    tmp_path, target_range, suffix, wanted, dtype, numbers
):
    Image.fromarray(np.array([[0, 1000, 2000, 4095]], np.uint16)).save(tmp_path / "a.png")
    source = (tmp_path / "a.png").rename(tmp_path / f"in{suffix}")
    ranges = {"value_range": (0, 4095), "target_range": target_range}
    (path,) = run([source], tmp_path / "out", half, **ranges).written
    assert path.name == f"in{wanted}"
    with Image.open(path) as made:
        values = np.asarray(made)
    assert values.dtype == dtype
    np.testing.assert_allclose(values, [numbers], rtol=1e-3, atol=0 if dtype == np.float32 else 1)


def test_results_that_a_format_holds_in_eight_bits_are_black_to_white(tmp_path):
    Image.fromarray(np.array([[0, 1000, 2000, 4095]], np.uint16)).save(tmp_path / "a.png")
    ranges = {"value_range": (0, 4095), "target_range": (0, 4095)}
    (path,) = run([tmp_path / "a.png"], tmp_path / "out", half, suffix="bmp", **ranges).written
    np.testing.assert_array_equal(read_picture(path).pixels[0, :, 0], [0, 31, 62, 127])


@pytest.mark.parametrize("alpha", [None, np.array([[0, 255]], np.uint8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_of_colour_and_of_transparency_are_written(tmp_path, channels, alpha):
    numbers = np.random.default_rng(0).integers(0, 65536, (1, 2, channels), np.uint16)
    write_picture(tmp_path / "a.png", numbers, alpha)
    made = read_picture(tmp_path / "a.png", value_range=(0, 65535))
    np.testing.assert_array_equal(made.pixels, np.broadcast_to(numbers, (1, 2, 3)))
    np.testing.assert_array_equal(made.alpha, alpha)
    with pytest.raises(InputError, match="must be uint8"):
        write_picture(tmp_path / "a.webp", numbers, alpha)


def test_a_picture_beyond_the_limit_of_pixels_fails_and_the_others_are_done(tmp_path):
    picture(tmp_path / "in" / "small.png")
    Image.new("L", (1_001, 1_000)).save(tmp_path / "in" / "large.png")
    summary = run([tmp_path / "in"], tmp_path / "out", megapixels=1)
    assert names(tmp_path / "out") == ["small.png"]
    assert "the limit is 1 million" in summary.failed[0][1]
