"""The README's commands and its Python, as far as they go without a download."""

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfi2i
from tfi2i.cli import main
from tfi2i.config import config as configs

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for _, block in BLOCKS
    for line in block.splitlines()
    if line.startswith("tfi2i ")
]
TRAININGS = [command for command in COMMANDS if command[0] == "train"]


def test_there_is_something_to_check():
    assert len(TRAININGS) >= 4
    assert {"check-data", "translate"} <= {command[0] for command in COMMANDS}


@pytest.mark.parametrize("command", TRAININGS, ids=" ".join)
def test_every_training_of_the_readme_has_a_configuration(command):
    settings = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
    config = configs.load(command[1], settings)
    assert config.system == "NICEGAN"
    configs.load(config.resolved().as_dict())


def test_make_knows_the_two_commands():
    for target in ("demo", "test"):
        assert f"make {target}\n" in README
        subprocess.run(["make", "--dry-run", target], cwd=CHECKOUT, check=True, capture_output=True)


def test_two_folders_are_checked_trained_and_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # To make the graph of a step takes longer than its few steps.
    always = property(lambda system: True, lambda system, value: None)
    monkeypatch.setattr(tfi2i.NICEGAN, "run_eagerly", always)
    rng = np.random.default_rng(0)
    for folder in ("photos", "paintings"):
        Path(folder).mkdir()
        for i in range(3):
            pixels = rng.integers(0, 256, (70, 80 + i, 3), np.uint8)
            Image.fromarray(pixels).save(f"{folder}/{i}.jpg")
    training = next(command for command in TRAININGS if "nice_gan/folders" in command)
    assert main([*training, "--smoke", "--set", "fit.show=false"]) == 0
    translating = next(command for command in COMMANDS if command[0] == "translate")
    assert Path(translating[1]).is_dir()
    assert main([*translating[:2], "photos", *translating[3:]]) == 0
    with Image.open("painted/1.jpg") as picture:
        assert picture.size == (81, 70)


@pytest.mark.slow
def test_the_python_of_the_readme_runs_on_the_embedded_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = next(block for language, block in BLOCKS if language == "python")
    small = tfi2i.NICEGAN.smoke
    replaced = {
        "tfi2i.NICEGAN(image_size=256)": f"tfi2i.NICEGAN(**{small!r})",
        'tfi2i.data.tfds("cycle_gan/horse2zebra")': "tfi2i.data.scenes(train_size=4, test_size=4)",
        "model.fit(": "model.run_eagerly = True\nmodel.fit(",  # without a graph, as above
        "steps_per_epoch=1000, epochs=100": "steps_per_epoch=2, epochs=2, verbose=0",
        "export(run, data)": "artefact = export(run, data)",
    }
    for old, new in replaced.items():
        assert code.count(old) == 1
        code = code.replace(old, new)
    names = {"pixels": np.zeros((50, 61, 3), np.uint8)}
    exec(code, names)
    assert (names["zebra"].shape, names["zebra"].dtype) == ((50, 61, 3), np.uint8)
    assert names["model"].step == 4
    run = names["run"]
    assert (run.name, run.path.parent) == ("00001-nicegan-scenes", Path("runs"))
    assert configs.load(run.config_path).data["source"] == "scenes"
    assert (run.evaluation_dir / "report.html").is_file()
    assert names["artefact"] == run.exports_dir / "a2b-int8.tflite"
