"""Systems that translate a to b and not back, from training to a file; and exchanged domains."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from rich.progress import Progress
from squares import use_squares
from tfi2i_export import sidecar
from tfi2i_export.tflite.bench import plain_export

from tfi2i import models
from tfi2i.cli import main
from tfi2i.conditions import A_TO_B
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.data import scenes
from tfi2i.data.sources.scene_drawing import draw
from tfi2i.errors import InputError
from tfi2i.evaluate import evaluation
from tfi2i.models.model import ImageTranslator
from tfi2i.networks.generators import resnet_generator
from tfi2i.optimizers import CoupledAdam
from tfi2i.pictures.files import read_picture
from tfi2i.runs.run import Run
from tfi2i.training import samples

REFUSED = (
    "OneWay translates a to b only; for the other way train again with the domains exchanged, by "
    "--set data.swap=true."
)


@keras.saving.register_keras_serializable("tests")
class OneWay(ImageTranslator):
    """Learns the mean picture of b."""

    loss_names = ("g_mean",)
    directions = A_TO_B
    inference_networks = ("gen_ab",)
    smoke = {"image_size": 32}

    def __init__(self, *, image_size: int = 256, **kwargs):
        super().__init__(**kwargs)
        with self.precision():
            self.gen_ab = resnet_generator(4, 1, "gen_ab", keras.initializers.HeNormal)
        self.built = True

    def compile(self, *, total_steps: int = 100, ema_decay: float | None = None):
        self.prepare_training(lambda name: CoupledAdam(1e-3), ema_decay)

    def optimizer_variables(self):
        return {"generator": self.gen_ab.trainable_variables}

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(self.gen_ab(batch["a"]) - batch["b"]))
        self.minimize("generator", loss, tape)
        return self.finish_step({"g_mean": loss})

    def network(self, direction=None):
        self.direction(direction)
        return self.inference_network("gen_ab")


@pytest.fixture(scope="module", autouse=True)
def one_way():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.ALL, "OneWay", OneWay)
        use_squares(patch)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_way")
    config = folder / "one_way.yaml"
    config.write_text("system: OneWay\ndata: {source: scenes}\nfit: {tensorboard: false}\n")
    assert main(["train", str(config), "--smoke", "--runs", str(folder)]) == 0
    return Run(folder / "00001-oneway-scenes")


def test_training_leaves_one_translator_and_validates_one_direction(run):
    assert [path.name for path in (run.path / "translators").iterdir()] == ["a2b.keras"]
    last = run.read_metrics()[-1]
    assert last["val_kid"] == last["val_kid_a2b"]
    assert "val_kid_b2a" not in last


def test_a_sheet_shows_input_translation_and_truth_and_no_way_back(run):
    pairs = zip(*(draw(0, "test", index, 32) for index in range(2)), strict=True)
    pixels = dict(zip("ab", map(np.stack, pairs), strict=True))
    system = run.load_system()
    images = samples.TestImages(pixels, paired=True)
    sheet = samples.sample_sheet(system, images, images.translations(system))
    assert len(sheet) == 4 + 3 * (128 + 4)  # a gap, and three rows with a gap each


def test_an_evaluation_has_one_direction_and_nothing_of_the_way_back(run, capsys, monkeypatch):
    bar = Progress(disable=True)
    monkeypatch.setattr(evaluation, "progress_bar", lambda show: bar)
    assert main(["evaluate", str(run.path)]) == 0
    assert bar.finished
    printed = capsys.readouterr().out
    assert "a to b" in printed
    assert "b to a" not in printed
    assert "nan" not in printed  # four pictures are too few for an interval
    found = json.loads((run.evaluation_dir / "evaluation.json").read_text())
    assert list(found["directions"]) == ["a2b"]
    part = found["directions"]["a2b"]
    assert part["n"] == {"translated": 4, "real": 4, "train": 8}
    assert part["checkpoints"]["last"]["cycle_l1"] is None
    page = (run.evaluation_dir / "report.html").read_text()
    assert "There and back" not in page
    assert "Input" in page


def test_the_exported_file_translates_as_the_run_does(run, tmp_path):
    assert main(["export", str(run.path), "--format", "float32", "--to", str(tmp_path)]) == 0
    record = sidecar.verify(tmp_path / "a2b-float32.json")
    assert record.direction == "a2b"
    scene = tmp_path / "scene.png"
    Image.fromarray(draw(5, "test", 0, 32)[0]).save(scene)
    made = []
    for name, model in (("run", run.path), ("file", tmp_path / "a2b-float32.tflite")):
        target = tmp_path / name
        assert main(["translate", str(model), str(scene), "--out", str(target)]) == 0
        made.append(read_picture(target / "scene.png").pixels.astype(int))
    assert np.abs(made[0] - made[1]).max() <= 1


def test_a_study_compares_what_goes_the_same_way(run, tmp_path):
    methods = [f"{name}={run.path}" for name in ("one", "two")]
    assert main(["study", *methods, "--out", str(tmp_path / "study"), "--images", "2"]) == 0
    assert len(list((tmp_path / "study" / "pictures").iterdir())) == 6


@pytest.mark.parametrize("verb", ["translate", "export", "study"])
def test_the_way_back_is_refused_with_the_way_out(run, tmp_path, verb, capsys):
    more = {"translate": [str(tmp_path)], "export": [], "study": [str(tmp_path)]}[verb]
    more += ["--out" if verb != "export" else "--to", str(tmp_path / "out")]
    assert main([verb, str(run.path), *more, "--direction", "b2a"]) == 2
    assert capsys.readouterr().err == f"tfi2i: error: {run.path}: {REFUSED}\n"
    assert not (tmp_path / "out").exists()


def test_who_has_swapped_is_told_to_swap_back(tmp_path):
    settings = {"system": "OneWay", "data": {"source": "scenes", "swap": True}}
    made = Run.create(tmp_path, "OneWay", "scenes-swapped", settings, {})
    with pytest.raises(InputError, match=r"by --set data\.swap=false\.$"):
        made.network("b2a")


def test_a_comparison_with_the_run_refuses_the_way_back_too(run):
    with pytest.raises(InputError, match="OneWay translates a to b only"):
        plain_export(run, "b2a", (32, 32))


# exchanged domains


def test_swapped_data_is_the_same_with_a_and_b_exchanged():
    data = scenes(train_size=2, test_size=2)
    swapped = data.swapped()
    assert swapped.name == "scenes-swapped"
    assert swapped.paired == {"test", "validation"}
    for split in ("train", "test", "validation"):
        there, here = getattr(data, split), getattr(swapped, split)
        assert (here["a"], here["b"]) == (there["b"], there["a"])
    assert swapped.swapped().train == data.train
    before, after = (
        one.batches(image_size=32, load_size=32, flip=False) for one in (data, swapped)
    )
    means = [
        {key: np.mean([batch[key] for batch in batches.take(2)]) for key in "ab"}
        for batches in (before, after)
    ]
    assert means[0] == pytest.approx({"a": means[1]["b"], "b": means[1]["a"]}, rel=1e-5)


@pytest.mark.parametrize("source", ["scenes", "folders", "tfds", "single_image"])
def test_every_source_can_be_swapped(source):
    assert configs.schema("OneWay", source)["data"]["swap"].default is False


def test_a_configuration_swaps_and_its_run_says_so(tmp_path):
    for folder, shade in (("trainA", 0), ("trainB", 200), ("testA", 0), ("testB", 200)):
        (tmp_path / "day2night" / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8), (shade,) * 3).save(tmp_path / "day2night" / folder / "x.png")
    settings = ["data.source=folders", f"data.root={tmp_path / 'day2night'}"]
    for swap in (False, True):
        config = configs.load({"system": "OneWay"}, [*settings, f"data.swap={str(swap).lower()}"])
        data = building.build_data(config)
        assert data.train["a"].read(0).mean() == (200 if swap else 0)
        assert data.name == config.data_name == "day2night" + ("-swapped" if swap else "")


def test_a_run_from_before_there_was_swapping_is_read():
    config = configs.load({"system": "OneWay", "data": {"source": "scenes"}})
    assert config.resolved().data["swap"] is False
    assert building.build_data(config).name == "scenes"
