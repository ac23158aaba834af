"""configs/nice_gan/prepare_cifar10.py on a package of the same layout, with few pictures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "configs" / "nice_gan" / "prepare_cifar10.py"


def prepare(package, out):
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(package), str(out)], capture_output=True, text=True
    )


def test_automobiles_and_trucks_come_out_as_they_are(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    rng = np.random.default_rng(0)
    names = [*(f"data_batch_{i}.png" for i in range(1, 6)), "test_batch.png"]
    sprites = rng.integers(0, 256, (6, 2, 1024, 3), np.uint8)
    for name, sprite in zip(names, sprites, strict=True):
        Image.fromarray(sprite).save(package / name)
    (package / "train_lables.json").write_text(json.dumps([1, 9, 0, 9, 1, 1, 2, 3, 4, 5]))
    (package / "test_lables.json").write_text(json.dumps([9, 1]))
    done = prepare(package, tmp_path / "cifar10")
    assert done.returncode == 0, done.stderr
    found = {
        p.relative_to(tmp_path / "cifar10").as_posix(): np.asarray(Image.open(p))
        for p in sorted((tmp_path / "cifar10").rglob("*.png"))
    }
    assert list(found) == [
        *("testA/00001.png", "testB/00000.png"),
        *("trainA/00000.png", "trainA/00004.png", "trainA/00005.png"),
        *("trainB/00001.png", "trainB/00003.png"),
    ]
    np.testing.assert_array_equal(found["trainA/00004.png"], sprites[2, 0].reshape(32, 32, 3))
    assert prepare(package, tmp_path / "cifar10").returncode == 2  # nothing is overwritten


def test_a_folder_that_is_not_the_package_is_refused_in_words(tmp_path):
    done = prepare(tmp_path, tmp_path / "out")
    assert done.returncode == 2
    assert "train_lables.json" in done.stderr
    assert not (tmp_path / "out").exists()
