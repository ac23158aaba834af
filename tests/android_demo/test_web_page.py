"""The browser page of the Android demo in headless Chromium: figures, users, errors, looks."""

import json
import re
import zlib
from pathlib import Path

import deep_png
import numpy as np
import pytest
from PIL import Image
from web_page import (
    DESK,
    PHONE,
    WEB,
    Visit,
    assert_same,
    build,
    encoded,
    file_of,
    noise,
    rewrite,
    scaled,
    signature_of,
)

from tfi2i.pictures.channels import in_channels

FORMER = Path(__file__).parents[1] / "fixtures" / "sidecar_schema1.json"

# The arithmetic is Python's


@pytest.mark.parametrize("fit", ["whole", "crop", "tiles"])
def test_int8_at_the_size_of_the_model_is_python_s(visit, site, fit):
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    pixels = noise(64, 64)
    expected = TFLiteTranslator(file_of(site, "int8"))(pixels[None])[0]
    assert_same(visit.translated(pixels, "int8", fit), expected)
    assert visit.file_name == "photo-a2b.png"


@pytest.mark.parametrize("direction", ["a to b", "b to a"])
def test_float_at_the_size_of_the_model_is_python_s(visit, site, direction):
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    pixels = noise(64, 64)
    expected = TFLiteTranslator(file_of(site, "float"))(pixels[None])[0]
    assert_same(visit.translated(pixels, "float", direction=f"from {direction}"), expected)
    assert visit.file_name == f"photo-{direction.replace(' to ', '2')}.png"


@pytest.mark.parametrize(
    ("run", "height", "width"),
    [("int8", 150, 201), ("int8", 40, 300), ("int8", 9, 7), ("int8", 1, 1)]
    + [("sizes", 30, 20), ("sizes", 60, 40), ("sizes", 65, 97)],
)
def test_tiles_and_padding_of_any_size_are_python_s(visit, site, run, height, width):
    from tfi2i_export.tflite.pictures import TFLitePictureTranslator

    pixels = noise(height, width)
    expected = TFLitePictureTranslator(file_of(site, run))(pixels)
    assert_same(visit.translated(pixels, run), expected)


@pytest.mark.parametrize("chosen", [{}, {"style": "style 6", "label": "1920s"}, {"label": "dusk"}])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (50, 41)])
def test_a_style_and_a_label_are_python_s_in_every_tile(visit, site, chosen, height, width):
    from tfi2i_export.sidecar import read
    from tfi2i_export.tflite.pictures import TFLitePictureTranslator

    path = file_of(site, "open")
    beside = read(path.with_suffix(".json")).signatures[0].inputs[1:]
    values = {
        one.name: next(
            choice.values
            for choice in one.choices
            if choice.name == chosen.get(one.name, one.choices[0].name)
        )
        for one in beside
    }
    pixels = noise(height, width)
    expected = TFLitePictureTranslator(path, inputs=values)(pixels)
    visit.choose("int8")  # so that nothing is chosen from before
    assert_same(visit.translated(pixels, "open", **chosen), expected)
    assert visit.file_name == "photo-any 1 of 5.png"
    assert visit.page.locator("#inputs label").all_inner_texts() == [one.name for one in beside]
    named = visit.page.get_by_label("label", exact=True).locator("option")
    assert named.all_inner_texts() == ["day", "dusk", "night", "winter", "1920s"]
    assert visit.page.locator("#directions label").inner_text() == "any 1 of 5"


@pytest.mark.parametrize("chosen", [{}, {"latent": "latent 3", "label": "winter"}])
def test_a_sampler_makes_python_s_pictures_of_what_is_chosen(visit, site, chosen):
    from tfi2i_export.sidecar import read
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    path = file_of(site, "painter")
    values = {
        one.name: next(
            np.float32([choice.values])
            for choice in one.choices
            if choice.name == chosen.get(one.name, one.choices[0].name)
        )
        for one in read(path.with_suffix(".json")).signatures[0].inputs
    }
    visit.choose("int8")
    visit.give(encoded(noise(20, 30)))
    visit.finished()
    visit.set("painter", fit=None, **chosen)
    page = visit.page
    assert page.locator("#sources").is_hidden() and page.locator("#fits").is_hidden()
    page.get_by_role("button", name="Make a picture").click()
    page.wait_for_selector("#status:has-text('Made in'), #alert:not(:empty)")
    assert page.inner_text("#alert") == "" and page.inner_text("#before-tag") == "Picture"
    assert_same(visit.saved(), TFLiteTranslator(path)(None, **values)[0])
    assert visit.file_name == "sample.png"
    visit.choose("int8")  # the photo is still there
    page.get_by_role("button", name="Translate").click()
    visit.finished()
    assert visit.saved().shape == (20, 30, 3)


def test_a_second_picture_is_asked_for_and_goes_in_as_python_s(visit, site):
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    from tfi2i.pictures.pixels import to_image

    visit.choose("int8")
    visit.set("tinter", fit="whole")
    pixels, second = noise(64, 64), noise(48, 70, seed=3)
    visit.give(encoded(pixels))
    page = visit.page
    page.wait_for_selector("#status:has-text('This model needs another picture; choose it below.')")
    assert page.get_by_role("button", name="Translate").is_disabled()
    files = [{"name": "second.png", "mimeType": "image/png", "buffer": encoded(second)}]
    page.set_input_files("#inputs input", files)
    page.wait_for_selector("#inputs output:has-text('second.png')")
    page.get_by_role("button", name="Translate").click()
    visit.finished()
    given = to_image(second[:, 11:59])[None]  # the middle
    expected = TFLiteTranslator(file_of(site, "tinter"))(pixels[None], reference=given)[0]
    assert_same(visit.saved(), expected)


@pytest.mark.parametrize(("run", "taken"), [("grey", 1), ("tint", 1), ("luma", 3)])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (9, 7), (50, 101)])
def test_grey_is_python_s_and_a_grey_translation_is_a_grey_file(
    visit, site, run, taken, height, width
):
    from tfi2i_export.tflite.pictures import TFLitePictureTranslator

    pixels = noise(height, width)
    expected = TFLitePictureTranslator(file_of(site, run))(in_channels(pixels, taken))
    made = visit.translated(pixels, run)
    if run == "tint":
        assert_same(made, expected)
        return
    assert made.ndim == 2 and np.ptp(made) > 9
    assert_same(made[..., None], expected)
    visit.set(run, strength=50)  # colours of the photo come back
    half = np.rint(pixels + 0.5 * (made[..., None].astype(float) - pixels))
    np.testing.assert_array_equal(visit.saved(), half)
    visit.set(run)


def test_a_grey_photo_stays_a_grey_file_at_any_strength(visit):
    pixels = np.repeat(noise(32, 48)[..., :1], 3, axis=-1)
    visit.translated(pixels, "grey", strength=0)
    np.testing.assert_array_equal(visit.saved(), pixels[..., 0])


def test_around_a_grey_crop_the_photo_is_grey_as_well(visit):
    pixels = noise(32, 148)
    made = visit.translated(pixels, "luma", "crop")
    luminance = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(made[:, :50], luminance[:, :50])
    assert (made[:, 50:98] != luminance[:, 50:98]).any()


def test_what_colours_a_model_takes_and_in_what_range_is_told(visit):
    told = {}
    for run in ("grey", "tint", "luma", "int8", "ranged"):
        visit.translated(noise(20, 30), run)
        told[run] = visit.page.inner_text("#status"), visit.page.text_content("#about")
    for run, colours in {
        "grey": "grey to grey",
        "tint": "grey to RGB",
        "luma": "RGB to grey",
        "ranged": "grey to grey",
    }.items():
        assert f"Pictures{colours}" in told[run][1]
    scaled = "read as 8 bits, 0 to 255, and 0 to 4095 are black to white to the model. Of more bits"
    assert [run for run in told if scaled in told[run][0]] == ["ranged"]


# Numbers of more than 8 bits


def of_python(site, run, data, folder):
    """The file that `tfi2i translate` makes of a file with a model of the page."""
    from tfi2i.cli import main

    (folder / "given.png").write_bytes(data)
    given = file_of(site, run), folder / "given.png", "--out", folder / "out", "--overwrite"
    assert main(["translate", *map(str, given)]) == 0
    return np.array(Image.open(folder / "out" / "given.png"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_file_of_16_bits_becomes_what_python_makes_of_it(
    visit, site, channels, interlaced, tmp_path
):
    data = deep_png.deep_png(deep_png.numbers(50, 101, channels, 5000), interlaced=interlaced)
    visit.set("points")  # as a browser reads it
    visit.give(data)
    visit.finished()
    visit.set("ranged")
    visit.page.get_by_role("button", name="Translate").click()
    told = visit.finished()
    assert "numbers in this file were read so that 0 is black and 4095 is white, as" in told
    expected = of_python(site, "ranged", data, tmp_path)
    made = visit.saved()
    assert made.ndim == 2 and np.ptp(made) > 9
    assert_same(made, expected)
    visit.set("points")  # and back
    visit.page.get_by_role("button", name="Translate").click()
    assert "numbers in this file" not in visit.finished()


def test_a_file_of_8_bits_becomes_what_python_makes_of_it(visit, site, tmp_path):
    data = encoded(noise(50, 101))
    visit.set("ranged")
    visit.give(data)
    visit.finished()
    assert_same(visit.saved(), of_python(site, "ranged", data, tmp_path))


def test_every_kind_of_file_of_16_bits_is_read_as_python_reads_it(browser, changed_site):
    index = changed_site.folder / "models" / "index.json"
    cases = {
        name: about for name, about in deep_png.files().items() if about[2].get("sample", 1) == 1
    }
    for i, (_, value_range, about) in enumerate(cases.values()):
        like = "grey" if about.get("grey") else "points"
        rewrite(changed_site, f"deep{i}", like, run=f"deep{i}", value_range=value_range)
    index.write_text(json.dumps({"models": [f"deep{i}.json" for i in range(len(cases))]}))
    visit = Visit(browser, changed_site.url)
    visit.page.wait_for_selector("#model:enabled")
    for i, (name, (data, value_range, about)) in enumerate(cases.items()):
        visit.set(f"deep{i}", strength=0)
        visit.give(data)
        visit.finished()
        expected = deep_png.read(data, value_range, **about)
        found = visit.saved()
        expected = expected[..., 0] if found.ndim == 2 else expected
        np.testing.assert_array_equal(found, expected, name)
    visit.close()


def test_a_large_file_of_16_bits_is_read_in_part(visit):
    numbers = np.arange(4100, dtype=np.uint16)[None, :, None]
    row = b"\0" + numbers.astype(">u2").tobytes()
    about = np.array([4100, 4000], ">u4").tobytes() + bytes([16, 0, 0, 0, 0])
    chunks = (b"IHDR", about), (b"IDAT", zlib.compress(4000 * row, 1)), (b"IEND", b"")
    data = b"\x89PNG\r\n\x1a\n" + b"".join(deep_png.chunk(*one) for one in chunks)
    visit.set("ranged", "whole", strength=0)
    visit.give(data)
    assert "4100 × 4000 pixels were scaled down to 2050 × 2000." in visit.finished()
    expected = deep_png.read(deep_png.deep_png(numbers), (0, 4095), sample=2)[..., 0]
    found = visit.saved()
    assert found.shape == (2000, 2050) and (found == expected).all()


def test_damaged_files_of_16_bits_are_refused_in_a_sentence(visit):
    visit.set("ranged")
    for name, (data, reason) in deep_png.damaged().items():
        visit.give(data)
        told = visit.alarm()
        assert told.startswith("photo.png ") and told.endswith(".") and reason in told, name


def test_a_second_picture_is_read_in_the_range_of_the_target(browser, changed_site):
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    from tfi2i.pictures.pixels import to_image

    rewrite(changed_site, "tinter", target_range=(100, 4000))
    visit = Visit(browser, changed_site.url)
    visit.page.wait_for_selector("#model:enabled")
    visit.set("tinter", fit="whole")
    pixels, data = noise(64, 64), deep_png.deep_png(deep_png.numbers(48, 48, 3, 4096))
    files = [{"name": "second.png", "mimeType": "image/png", "buffer": data}]
    visit.page.set_input_files("#inputs input", files)
    visit.page.wait_for_selector("#inputs output:has-text('second.png')")
    visit.give(encoded(pixels))
    visit.finished()
    given = to_image(deep_png.read(data, (100, 4000)))[None]
    translate = TFLiteTranslator(file_of(changed_site, "tinter"))
    assert_same(visit.saved(), translate(pixels[None], reference=given)[0])
    visit.close()


def test_a_sidecar_of_schema_1_still_loads(browser, changed_site):
    about = json.loads((changed_site.folder / "models" / "float.json").read_text())
    former = json.loads(FORMER.read_text(encoding="utf-8"))
    former |= {key: about[key] for key in ("file", "sha256", "size_bytes", "run")}
    (changed_site.folder / "models" / "float.json").write_text(json.dumps(former))
    visit = Visit(browser, changed_site.url)
    visit.page.wait_for_selector("#model:enabled")
    visit.translated(noise(64, 64), "float", direction="from a to b")
    assert visit.file_name == "photo-a2b.png"
    visit.close()


@pytest.mark.parametrize(("height", "width"), [(100, 90), (11, 40), (64, 200)])
def test_whole_photos_are_scaled_undistorted_and_back(visit, site, height, width):
    from tfi2i_export.tflite.pictures import TFLitePictureTranslator

    pixels = noise(height, width)
    scale = min(32 / height, 48 / width)
    small = scaled(pixels, round(height * scale), round(width * scale))
    expected = scaled(TFLitePictureTranslator(file_of(site, "points"))(small), height, width)
    np.testing.assert_allclose(visit.translated(pixels, "points", "whole"), expected, atol=1)


def test_a_crop_translates_the_middle_and_leaves_the_rest(visit, site):
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    pixels = noise(64, 200)
    middle = slice(52, 148)
    small = scaled(pixels[:, middle], 32, 48)
    answer = TFLiteTranslator(file_of(site, "points"))(small[None])[0]
    expected = pixels.copy()
    expected[:, middle] = scaled(answer, 64, 96)
    made = visit.translated(pixels, "points", "crop")
    np.testing.assert_allclose(made, expected, atol=1)
    np.testing.assert_array_equal(made[:, :52], pixels[:, :52])


# What a user does


def test_strength_blends_without_another_run(visit):
    pixels = noise(64, 64)
    full = visit.translated(pixels, "int8").astype(float)
    told = visit.page.inner_text("#status")
    for percent in (0, 35):
        visit.page.locator("#strength").fill(str(percent))
        expected = np.rint(pixels + percent / 100 * (full - pixels))
        np.testing.assert_array_equal(visit.saved(), expected)
    assert visit.page.locator("#after").evaluate("one => getComputedStyle(one).opacity") == "0.35"
    assert visit.page.inner_text("#status") == told


def test_the_divider_follows_keys_and_pointers(visit):
    visit.translated(noise(64, 64), "int8")
    divider = visit.page.get_by_role("slider", name="Divider")

    def place():
        return int(divider.get_attribute("aria-valuenow"))

    assert place() == 50
    divider.focus()
    for key, expected in [("ArrowLeft", 49), ("PageUp", 59), ("End", 100), ("Home", 0)]:
        visit.page.keyboard.press(key)
        assert place() == expected
    assert divider.get_attribute("aria-valuetext") == "0 % photo, 100 % translation"
    box = visit.page.locator("#comparison").bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 9)
    assert place() == 0
    visit.page.mouse.down()
    assert place() == 25
    visit.page.mouse.move(box["x"] + 2 * box["width"], box["y"])
    visit.page.mouse.up()
    assert place() == 100
    visit.page.mouse.move(box["x"], box["y"])
    assert place() == 100


def test_photos_are_turned_upright_and_put_on_white(visit):
    pixels = np.kron(noise(4, 6), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by a quarter clockwise
    visit.set("int8", strength=0)
    visit.give(encoded(pixels, "JPEG", quality=95, subsampling=0, exif=exif), "p.jpg", "image/jpeg")
    visit.finished()
    np.testing.assert_allclose(visit.saved(), np.rot90(pixels, -1), atol=40)
    assert visit.file_name == "p-a2b.png"
    clear = np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)])
    visit.give(encoded(clear))
    visit.finished()
    assert (visit.saved() == 255).all()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_photos_are_dropped_and_pasted(visit, way):
    visit.set("int8")
    visit.page.evaluate(
        """([way, bytes]) => {
            const given = new DataTransfer();
            given.items.add(new File([new Uint8Array(bytes)], 'a.b.png', {type: 'image/png'}));
            const about = {bubbles: true, cancelable: true};
            const event = way === 'drop'
                ? new DragEvent('drop', {...about, dataTransfer: given})
                : new ClipboardEvent('paste', {...about, clipboardData: given});
            document.body.dispatchEvent(event);
        }""",
        [way, list(encoded(noise(20, 30)))],
    )
    visit.finished()
    assert visit.saved().shape == (20, 30, 3)
    assert visit.file_name == "a.b-a2b.png"


def test_a_photo_that_comes_before_the_models_is_translated_when_they_are_there(browser, site):
    made = Visit(browser, site.url, service_workers="block")
    held = []
    made.page.route("**/models/index.json", lambda route: held.append(route))
    made.page.reload()
    made.give(encoded(np.zeros((32, 32, 3), np.uint8)))
    made.page.wait_for_selector("#status:has-text('There is no model')")
    while not held:
        made.page.wait_for_timeout(50)
    held[0].continue_()
    made.finished()
    made.complaints = [one for one in made.complaints if "Service Worker" not in one]  # blocked
    made.close()


def test_a_large_photo_is_cancelled_and_translated_all_the_same(visit):
    visit.set("int8")
    visit.give(encoded(np.zeros((3000, 3000, 3), np.uint8)))
    cancel = visit.page.get_by_role("button", name="Cancel")
    visit.page.get_by_text("of 2916 tiles").wait_for()
    cancel.click()
    assert visit.page.inner_text("#status") == "Cancelled."
    assert visit.page.evaluate("document.activeElement.id") == "translate"
    assert visit.page.get_by_role("button", name="Save as PNG").is_disabled()
    visit.page.get_by_role("radio", name="whole").check(force=True)
    visit.page.get_by_role("button", name="Translate").click()
    assert "on the CPU (WebAssembly), at 64 × 64." in visit.finished()


def test_a_photo_of_more_than_16_megapixels_is_scaled_down(visit):
    visit.set("int8", "whole")
    visit.give(encoded(np.zeros((4000, 4100, 3), np.uint8)))
    assert "4100 × 4000 pixels were scaled down to 4049 × 3950." in visit.finished()


def test_a_loaded_page_works_without_its_server(browser, changed_site):
    visit = Visit(browser, changed_site.url)
    visit.page.wait_for_selector("#model:enabled")
    first = visit.translated(noise(64, 64), "int8")
    visit.page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    changed_site.stop()
    visit.page.reload()
    visit.page.wait_for_selector("#model:enabled")
    np.testing.assert_array_equal(visit.translated(noise(64, 64), "int8"), first)
    visit.context.close()  # Chromium itself writes that the server is gone


# Errors in words


def test_what_is_no_picture_is_refused_and_the_photo_before_it_stays(visit):
    visit.translated(noise(20, 30), "int8")
    for data in (b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(99)):
        visit.give(data, "<b>notes.png")
        assert visit.alarm() == (
            "<b>notes.png is no picture that this browser can read; give a JPEG, PNG or WebP file."
        )
    assert visit.saved().shape == (20, 30, 3)


REFUSED = {
    "still": ({"value_range": [5, 5]}, "is not a sidecar: value_range is [5,5] and has to rise"),
    "newer": ({"schema": 3}, "was made by a newer tfi2i (sidecar schema 3; this page reads 2)"),
    "nowhere": ({"direction": ""}, 'is not a sidecar: direction is "" and has to match'),
    "sampler": (
        {"domains": {"source": None, "target": "b"}},
        "takes image besides the picture, and its sidecar has no presets for it; export it with",
    ),
    "part": ({"step": 1.5}, "is not a sidecar: step is 1.5 and has to be integer"),
    "digest": ({"sha256": "AB"}, 'is not a sidecar: sha256 is "AB" and has to match'),
    "path": ({"file": "../secret"}, 'is not a sidecar: file is "../secret"'),
    "none": ({"signatures": []}, "signatures has 0 entries and has to have 1 or more"),
    "lacking": ({"versions": {}}, "is not a sidecar: versions lacks tfi2i"),
    "server": ({"format": "saved_model"}, "is a SavedModel, for servers"),
    "large": ({"size_bytes": 1 << 40}, "which is too much for a browser"),
    "int8": ({"dtype": "int8"}, "takes and gives int8 values, which LiteRT.js does not support"),
    "free": ({"shape": (1, -1, -1, 3)}, "export it with --sizes instead of --dynamic"),
    "alpha": (
        {"shape": (1, 64, 64, 4)},
        "takes pictures of 4 channels, and this page shows grey and RGB alone; use tfi2i "
        "translate.",
    ),
    "bands": ({"shape": (1, 64, 64, 2)}, "takes pictures of 2 channels, and this page shows"),
    "five": ({"shape": (1, 64, 64, 5)}, "takes (1, 64, 64, 5), which is no picture"),
    "range": ({"range": (-1, 1)}, "takes -1..1 instead of 0..255"),
    "style": (
        {"beside": {}},
        "takes style besides the picture, and its sidecar has no presets for it; export it with "
        "--bake, or again with this version of tfi2i.",
    ),
    "second": (
        {"beside": {"kind": "picture"}},
        "takes (1, 8) for style, which is no picture; export it again.",
    ),
    "integers": ({"beside": {"dtype": "int32"}}, "takes int32 (1, 8) for style; export it again"),
    "preset": (
        {"beside": {"presets": [{"name": "calm", "values": [[0] * 8]}]}},
        "signatures[0].inputs[1].presets[0].values has to hold numbers nested as [8]",
    ),
    "presets": (
        {"beside": {"presets": [{"name": "calm", "values": [0] * 8}] * 65}},
        "presets has 65 entries and has to have 0 to 64",
    ),
}


def test_models_that_cannot_run_are_named_with_the_reason(browser, changed_site):
    for name, (changes, _) in REFUSED.items():
        of_tensor = changes.keys() & {"dtype", "shape", "range", "beside"}
        about = {"file": f"bad-{name}.tflite"} | (signature_of(**changes) if of_tensor else changes)
        rewrite(changed_site, f"bad-{name}", "float", **about)
    (changed_site.folder / "models" / "bad-text.json").write_text("[")
    index = changed_site.folder / "models" / "index.json"
    good = json.loads(index.read_text())["models"]
    bad = [f"bad-{name}.json" for name in (*REFUSED, "text", "missing")]
    index.write_text(json.dumps({"models": [*bad, *good]}))
    visit = Visit(browser, changed_site.url)
    visit.page.wait_for_selector("#model:enabled")
    visit.page.get_by_text(f"{len(bad)} models cannot run here").click()
    told = visit.page.inner_text("#reasons").splitlines()
    for (name, (_, words)), line in zip(REFUSED.items(), told, strict=False):
        assert line.startswith(f"bad-{name}.")
        assert words in line
    assert told[-2].startswith("bad-text.json is not JSON (")
    assert told[-1] == "models/bad-missing.json cannot be loaded (the server answers 404)."
    assert len(told) == len(bad)
    assert visit.page.locator("#model option").count() == 11  # the others can be used
    assert [text for text in visit.complaints if "404" not in text] == []
    visit.context.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:-4] + b"1234", r"int8.tflite has the SHA-256 \w{12}… and its"),
        (lambda content: content[:-4], r"int8.tflite has \d+ bytes and its sidecar says \d+; copy"),
        (lambda content: content + b"1234", "int8.tflite has more bytes and its sidecar says"),
    ],
)
def test_another_file_than_the_sidecar_speaks_of_is_refused(browser, changed_site, change, words):
    path = file_of(changed_site, "int8")
    path.write_bytes(change(path.read_bytes()))
    visit = Visit(browser, changed_site.url)
    visit.page.wait_for_selector("#model:enabled")
    visit.choose("int8")
    assert re.match(words, visit.alarm())
    visit.choose("points")  # the next one can be used
    visit.translated(noise(20, 30), "points")
    visit.close()


def test_a_damaged_file_is_refused_in_words(browser, changed_site):
    from tfi2i_export.sidecar import fingerprint

    path = file_of(changed_site, "int8")
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(999))
    sha256, size = fingerprint(path)
    rewrite(changed_site, "int8", sha256=sha256, size_bytes=size)
    visit = Visit(browser, changed_site.url)
    visit.page.wait_for_selector("#model:enabled")
    visit.choose("int8")
    assert re.match(
        r"int8.tflite cannot be opened by LiteRT \(.+\); export it again.", visit.alarm()
    )
    visit.translated(noise(20, 30), "points")
    visit.close()


def test_a_page_that_is_not_trusted_says_that_it_cannot_check_models(browser, site):
    visit = Visit(browser, site.url.replace("127.0.0.1", "demo.test"))
    visit.page.wait_for_selector("#model:enabled")
    visit.translated(noise(20, 30), "int8")
    assert "SHA-256 was not checked" in visit.page.inner_text("#status")
    visit.close()


def test_a_page_without_models_says_how_to_build_one_with_them(browser, changed_site):
    (changed_site.folder / "models" / "index.json").write_text('{"models": []}')
    visit = Visit(browser, changed_site.url)
    assert "built without models" in visit.alarm()
    visit.close()


def test_a_build_without_models_is_refused(built, tmp_path):
    (tmp_path / "alone.tflite").touch()
    finished = build(tmp_path, tmp_path / "out")
    assert finished.returncode == 1
    assert "has no NAME.tflite with its NAME.json beside it" in finished.stderr
    full = build(built / "models", tmp_path)
    assert full.returncode == 1
    assert "is not empty" in full.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["alone.tflite"]


# How it looks, and what it may do


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_is_accessible_and_fits_its_window(browser, site, scheme, window, tmp_path):
    about = {"viewport": window, "color_scheme": scheme, "bypass_csp": True}
    touch = window is PHONE
    visit = Visit(browser, site.url, **about, has_touch=touch, is_mobile=touch)
    page = visit.page
    page.emulate_media(reduced_motion="reduce")
    page.wait_for_selector("#model:enabled")
    assert page.get_by_text("Take a photo").is_visible() == touch
    for step in ("empty", "translated", "refused"):
        if step == "translated":
            visit.translated(noise(90, 160), "int8")
            page.get_by_text("About this model").click()
        if step == "refused":
            visit.give(b"x", "x" * 99)
            visit.alarm()
        page.screenshot(path=tmp_path / f"{step}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.add_script_tag(path=WEB / "node_modules/axe-core/axe.min.js")
        found = page.evaluate("axe.run().then(result => result.violations)")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    visit.close()


def test_the_page_may_reach_nothing_but_its_own_origin(browser, site):
    visit = Visit(browser, site.url)
    reached = visit.page.evaluate(
        "fetch('http://demo.test/').then(() => 'reached', error => error.message)"
    )
    assert reached == "Failed to fetch"
    assert any("Content Security Policy" in text for text in visit.complaints)
    visit.context.close()


def test_packages_are_pinned_by_digest_and_no_host_is_named():
    lock = json.loads((WEB / "package-lock.json").read_text())["packages"]
    packages = {name: about for name, about in lock.items() if name}
    assert all(about["integrity"].startswith("sha512-") for about in packages.values())
    assert not any("resolved" in about for about in packages.values())
    asked = lock[""]["dependencies"] | lock[""]["devDependencies"]
    assert all(re.fullmatch(r"[\d.]+", version) for version in asked.values())
