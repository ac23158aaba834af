"""The whole way in fresh processes, as a newcomer walks it: demo, then translate, then Python."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tfi2i_export import sidecar

from tfi2i.data.sources.scene_drawing import draw
from tfi2i.pictures.files import read_picture

CHECKOUT = Path(__file__).parent.parent
RUN = "00001-nicegan-demo"


def tfi2i(*arguments):
    return python("-m", "tfi2i.cli", *map(str, arguments))


def python(*arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    return out, tfi2i("demo", "--smoke", "--out", out, "--seed", "3")


def test_the_demo_measures_and_draws_and_says_where_everything_is(demo):
    out, done = demo
    assert "held-out pairs" in done.stderr
    assert "tfi2i translate" in done.stderr
    with Image.open(out / "demo.png") as picture:
        assert picture.size[0] > 4 * 128  # four pairs of scenes, enlarged
    summary = json.loads((out / RUN / "evaluation" / "demo.json").read_text())
    assert (summary["seed"], summary["steps"], summary["pairs"]) == (3, 4, 4)
    for errors in summary["l1"].values():
        trivial = {key: errors[key] for key in ("identity", "colour_statistics", "mean_image")}
        assert all(0.1 < value < 0.6 for value in trivial.values())
        assert errors["translation"] > 0.1  # four steps teach nothing
        assert abs(errors["int8"] - errors["translation"]) < 0.01
    for direction in ("a2b", "b2a"):
        assert summary["kid"][direction]["floor"] < summary["kid"][direction]["translation"]
        card = sidecar.verify(out / RUN / "exports" / f"{direction}-int8.json")
        assert card.evaluation["pictures"] == 4
        assert card.size_bytes // 1000 == summary["int8"][direction]["kilobytes"]
    assert "</html>" in (out / RUN / "evaluation" / "report.html").read_text()


def test_a_picture_is_translated_the_same_on_the_command_line_and_in_python(demo, tmp_path):
    out, _ = demo
    scene = draw(9, "test", 0, 64)[0]
    Image.fromarray(np.hstack([scene, scene[:, :30]])).save(tmp_path / "scene.png")
    tfi2i("translate", out / RUN, tmp_path / "scene.png", "--out", tmp_path / "out")
    pixels = read_picture(tmp_path / "out" / "scene.png").pixels
    assert pixels.shape == (64, 94, 3)
    script = (
        "import sys, numpy, tfi2i\n"
        "from tfi2i.pictures.files import read_picture\n"
        "from tfi2i.pictures.tiles import PictureTranslator\n"
        "run = tfi2i.Run(sys.argv[1])\n"
        "translate = PictureTranslator(run.network('a2b'))\n"
        "pixels = translate(read_picture(sys.argv[2]).pixels)\n"
        "numpy.save(sys.argv[3], pixels)\n"
    )
    paths = (str(out / RUN), str(tmp_path / "scene.png"), str(tmp_path / "pixels.npy"))
    python("-c", script, *paths)
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy"), pixels)
