"""The browser page of the Android demo: built with small models, served, and visited by a user."""

import dataclasses
import functools
import io
import json
import re
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WEB = Path(__file__).parents[2] / "android_demo" / "web"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(pixels, format="PNG", **about):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **about)
    return file.getvalue()


def signature(name, height, width, dtype="float32", beside=None, **changes):
    """Those of one signature; `beside` are fields of a style that goes in as well."""
    from tfi2i_export.sidecar import Signature, Tensor

    image, translation = (
        Tensor(**({"name": name, "shape": (1, height, width, 3), "dtype": dtype} | about))
        for name in ("image", "translation")
        for about in [{"range": (0, 255), "meaning": "A picture."} | changes]
    )
    style = {"name": "style", "shape": (1, 8), "dtype": "float32", "meaning": "", "kind": "style"}
    more = () if beside is None else (Tensor(**(style | beside)),)
    return (Signature(name=name, inputs=(image, *more), outputs=(translation,)),)


def write_models(folder):
    """Models that run in the browser; the run of each is called as its file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1].joinpath("export"))
        patch.syspath_prepend(Path(__file__).parents[1])
        import inputs_stand_in
        import small_files as files
        from stand_in import DOMAINS, Painter, Tinter
    from tfi2i_export.graph.fold import fold
    from tfi2i_export.signatures import of_file
    from tfi2i_export.tflite.conversion import convert, convolutions
    from tfi2i_export.tflite.quantization import quantize

    folded = fold(files.network(), side=64)
    plain = convert(folded)
    int8, _ = quantize(plain, "int8", layers=convolutions(folded))
    square = signature("serving_default", 64, 64)
    both = (*signature("translate_32x32", 32, 32, "uint8"),)
    both += signature("translate_64x48", 64, 48, "uint8")
    b2a = {"direction": "b2a", "domains": {"source": "b", "target": "a"}}

    def write(name, content, signatures, **changes):
        files.written(folder, name, content, signatures=signatures, **{"run": name, **changes})

    write("int8", int8, square, format="int8")
    write("float", plain, square)
    write("float-back", plain, square, run="float", **b2a)
    write("sizes", files.file_of_two_sizes(), both, io="uint8")
    write("points", files.point_file(), signature("serving_default", 32, 48))
    content = convert(fold(inputs_stand_in.stand_in(), side=32), io="float")
    domains = {"source": "photo", "target": None}
    described = of_file(content, domains, inputs_stand_in.FIELDS)
    write("open", content, described, direction="any 1 of 5", domains=domains, multiple=2)
    between = {"source": "a", "target": "b"}
    for name, taken, made, kind, changes in (
        ("grey", 1, 1, "float", {}),
        ("ranged", 1, 1, "float", {"value_range": (0.0, 4095.0)}),
        ("tint", 1, 3, "uint8", {"io": "uint8"}),
        ("luma", 3, 1, "float", {}),
    ):
        content = convert(fold(files.of_channels(taken, made), side=(32, 48)), io=kind)
        write(name, content, of_file(content, between), multiple=2, **changes)
    from tfi2i_export.sidecar import fields_of

    for name, system, domains in (
        ("painter", Painter(width=4, domains=DOMAINS), {"source": None, "target": "any"}),
        ("tinter", Tinter(image_size=48), {"source": "a", "target": "b"}),
    ):
        fields = {one.name: fields_of(one, None, "crop") for one in system.conditions}
        content = convert(fold(system.network(), side=64))
        described = of_file(content, domains, fields)
        direction = "a2b" if domains["source"] else "sample"
        write(name, content, described, direction=direction, domains=domains)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Serves a folder, as `python -m http.server` does."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # a browser that has gone does not want the rest

    def stop(self):
        self.shutdown()
        self.server_close()


def build(models, out):
    command = ["node", "build.mjs", "--models", str(models), "--out", str(out)]
    return subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=60)


class Visit:
    """The page in a window, and what a user does there."""

    def __init__(self, browser, url, **about):
        self.complaints = []
        self.context = browser.new_context(**{"viewport": PHONE, **about})
        self.context.on("request", lambda request: self._expect(request.url, url))
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def _expect(self, asked, url):
        if not asked.startswith((url, "data:", f"blob:{url}")):
            self.complaints.append(f"off-site: {asked}")

    def choose(self, run):
        option = self.page.locator("#model option", has_text=re.compile(f" {run}$"))
        self.page.select_option("#model", option.get_attribute("value"))

    def give(self, data, name="photo.png", kind="image/png"):
        self.page.set_input_files("#pick", {"name": name, "mimeType": kind, "buffer": data})

    def finished(self):
        self.page.wait_for_selector("#status:has-text('Translated in'), #alert:not(:empty)")
        alert = self.page.inner_text("#alert")
        assert alert == "", alert
        return self.page.inner_text("#status")

    def saved(self):
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Save as PNG").click()
        self.file_name = download.value.suggested_filename
        image = Image.open(download.value.path())
        return np.array(image) if image.mode == "L" else np.array(image)[..., :3]

    def set(self, run, fit="tiles", direction=None, strength=100, **inputs):
        self.choose(run)
        for name in filter(None, (direction, fit)):
            self.page.get_by_role("radio", name=name).check(force=True)
        for name, choice in inputs.items():
            self.page.get_by_label(name, exact=True).select_option(choice)
        self.page.locator("#strength").evaluate(
            """(one, value) => {
                one.value = value;
                one.dispatchEvent(new Event('input'));
            }""",
            strength,
        )

    def translated(self, pixels, run, fit="tiles", **about):
        self.set(run, fit, **about)
        self.give(encoded(pixels))
        self.finished()
        return self.saved()

    def alarm(self):
        self.page.wait_for_selector("#alert:not(:empty)")
        return self.page.inner_text("#alert")

    def close(self):
        self.context.close()
        assert self.complaints == [], self.complaints


def file_of(site, name):
    return site.folder / "models" / f"{name}.tflite"


def assert_same(made, expected):
    """Equal, but for what the last bit of a float32 sum decides: dynamic ranges of 8 bits do.

    WebAssembly and this machine's processor add in different orders.
    """
    difference = np.abs(made.astype(int) - expected)
    assert difference.max() <= 1, difference.max()
    assert (difference > 0).mean() < 1e-3, (difference > 0).mean()


def weights(before, after):
    """Shares of `before` samples in each of `after`: (after, before)."""
    edges = np.arange(after + 1) * before / after
    if after < before:
        clipped = np.clip(edges[:, None] - np.arange(before), 0, 1)
        return -np.diff(clipped, axis=0) * -after / before
    places = np.clip((edges[1:] + edges[:-1]) / 2 - 0.5, 0, before - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(before)))


def scaled(pixels, height, width):
    down, across = weights(pixels.shape[0], height), weights(pixels.shape[1], width)
    return np.rint(np.einsum("ih,hwc,jw->ijc", down, pixels, across)).astype(np.uint8)


def rewrite(site, name, source=None, **changes):
    """Gives a model another sidecar, or adds a model with one like that of `source`."""
    models = site.folder / "models"
    values = json.loads((models / f"{source or name}.json").read_text()) | changes
    (models / f"{name}.json").write_text(json.dumps(values))


def signature_of(**changes):
    """The JSON of a signature whose pictures differ from good ones."""
    one = signature("serving_default", 64, 64, **changes)
    return {"signatures": [dataclasses.asdict(each) for each in one]}
