"""The wheel is whole, and works where it is installed, without the checkout.

There a newcomer's whole way is walked in fresh processes: demo, then translate.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import BytesParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tfi2i_export import sidecar

from tfi2i.data.sources.scene_drawing import draw
from tfi2i.pictures.files import read_picture

CHECKOUT = Path(__file__).parent.parent
PACKAGES = {"tfi2i": "tfi2i", "export/tfi2i_export": "tfi2i_export", "configs": "tfi2i/configs"}
RUN = "00001-nicegan-demo"
DEMO = ("demo", "--smoke")

# Runs commands with "then" between, and prints which files of ours were imported.
USE = """
import itertools, sys
from tfi2i.cli import main
for then, words in itertools.groupby(sys.argv[1:], "then".__eq__):
    assert then or main(list(words)) == 0
ours = [m for name, m in sys.modules.items() if name.split(".")[0] in ("tfi2i", "tfi2i_export")]
print("imported", *sorted(m.__file__ for m in ours), sep="\\n")
"""


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that ends well, without the tests' own search path."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=CHECKOUT)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(sdist):
    """A wheel of the sdist, so that whatever building needs is known to be in that."""
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir")
    wheels = sdist.parent / "wheels"
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", wheels, sdist, cwd=sdist.parent)
    (path,) = wheels.iterdir()
    return path


def environment(home: Path) -> Path:
    """An interpreter with the dependencies of the tests' own, but no tfi2i."""
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    purelib = run(python, "-c", ask, cwd=home).stdout.strip()
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    Path(purelib, "dependencies.pth").write_text("\n".join(paths), encoding="utf-8")
    return python


def install(wheel: Path, *where: object, python: Path | str = sys.executable) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run(*pip, "--no-deps", "--no-index", *where, wheel, cwd=wheel.parent)


def used(
    python: Path, home: Path, cwd: Path, *command: object, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Commands done by nothing but what is installed in `home`."""
    done = run(python, "-c", USE, *command, cwd=cwd, **variables)
    files = done.stdout.partition("imported\n")[2].splitlines()
    assert len(files) > 30
    assert [path for path in files if not Path(path).is_relative_to(home)] == []
    return done


@pytest.mark.slow
def test_the_wheel_works_from_a_folder(wheel, tmp_path):
    home, work = tmp_path / "target", tmp_path / "work"
    work.mkdir()
    install(wheel, "--target", home)
    python, variables = environment(tmp_path / "venv"), {"PYTHONPATH": str(home)}
    listed = run(python, home / "bin" / "tfi2i", "list", cwd=work, **variables)
    assert "nice_gan/scenes" in listed.stdout
    train = ("train", "cyclegan/scenes", "--smoke")
    used(python, home, work, *train, "then", *DEMO, "--out", "demo", **variables)
    assert len(list(work.rglob("checkpoints/last.keras"))) == 2


# the whole way, from an environment


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory):
    home = tmp_path_factory.mktemp("venv")
    python = environment(home)
    install(wheel, python=python)
    return python.parent / "tfi2i"


@pytest.fixture(scope="module")
def demo(program, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    bin = program.parent
    command = ("train", "cyclegan/scenes", "--smoke", "then", *DEMO, "--out", out, "--seed", "3")
    return out, used(bin / "python", bin.parent, out.parent, *command)


@pytest.mark.slow
def test_the_wheel_trains_from_an_environment(program, demo):
    out, _ = demo
    assert "nice_gan/scenes" in run(program, "list", cwd=out.parent).stdout
    assert len(list(out.parent.glob("runs/*/checkpoints/last.keras"))) == 1


@pytest.mark.slow
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
        record = sidecar.verify(out / RUN / "exports" / f"{direction}-int8.json")
        assert record.evaluation["pictures"] == 4
        assert record.size_bytes // 1000 == summary["int8"][direction]["kilobytes"]
    assert "</html>" in (out / RUN / "evaluation" / "report.html").read_text()


@pytest.mark.slow
def test_a_picture_is_translated_the_same_on_the_command_line_and_in_python(
    program, demo, tmp_path
):
    out, _ = demo
    scene = draw(9, "test", 0, 64)[0]
    Image.fromarray(np.hstack([scene, scene[:, :30]])).save(tmp_path / "scene.png")
    script = (
        "import sys, numpy, tfi2i\n"
        "from tfi2i.cli import main\n"
        "from tfi2i.pictures.files import read_picture\n"
        "from tfi2i.pictures.tiles import PictureTranslator\n"
        "run, scene, out, made = sys.argv[1:]\n"
        "assert main(['translate', run, scene, '--out', out]) == 0\n"
        "translate = PictureTranslator(tfi2i.Run(run).network('a2b'))\n"
        "numpy.save(made, translate(read_picture(scene).pixels))\n"
    )
    paths = (out / RUN, tmp_path / "scene.png", tmp_path / "out", tmp_path / "pixels.npy")
    run(program.parent / "python", "-c", script, *paths, cwd=tmp_path)
    pixels = read_picture(tmp_path / "out" / "scene.png").pixels
    assert pixels.shape == (64, 94, 3)
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy"), pixels)


# what is in it


def test_the_wheel_holds_what_the_checkout_has(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"tfi2i/py.typed", "tfi2i_export/py.typed"} <= names
    for folder, home in PACKAGES.items():
        files = [path for path in (CHECKOUT / folder).rglob("*.*") if path.suffix != ".pyc"]
        assert files
        packed = {f"{home}/{path.relative_to(CHECKOUT / folder).as_posix()}" for path in files}
        assert packed <= names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tfi2i", "tfi2i_export"}


def test_the_description_has_no_link_into_the_repository(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = BytesParser().parsebytes(archive.read(name)).get_payload()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and [link for link in links if not link.startswith("https://")] == []


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="not a checkout")
def test_the_sdist_is_the_checkout_without_what_git_ignores(sdist):
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive if member.isfile()}
    listed = run(
        *("git", "ls-files", "--cached", "--others", "--exclude-standard"), cwd=CHECKOUT
    ).stdout.splitlines()
    assert packed - {"PKG-INFO"} == {path for path in listed if (CHECKOUT / path).is_file()}
