"""A system that trains in no time, its run, and what a run holds, for tests of kills."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image
from squares import use_squares
from stand_in import register

from tfi2i import models
from tfi2i.cli import main
from tfi2i.conditions import Condition
from tfi2i.optimizers import CoupledAdam
from tfi2i.runs.run import Run
from tfi2i.samplers.sampler import Sampler

STEPS = 2


@keras.saving.register_keras_serializable("tests")
class Lamp(Sampler):
    """Shines in a colour that changes with every step; all that it does takes no time.

    Args:
        image_size: side of the pictures.
    """

    loss_names = ("g_level",)
    inference_networks = ("generator",)
    smoke = {"image_size": 8}

    def __init__(self, *, image_size: int = 8, **kwargs):
        super().__init__(**kwargs)
        latent = keras.Input((2,), name="latent")
        pixels = layers.Dense(3 * self.image_size**2, activation="tanh", name="shine")(latent)
        shape = (self.image_size, self.image_size, 3)
        self.generator = keras.Model(latent, layers.Reshape(shape)(pixels), name="generator")
        self.built = True

    def compile(
        self,
        *,
        learning_rate: float = 1e-2,
        total_steps: int = STEPS,
        ema_decay: float | None = None,
    ):
        self.prepare_training(lambda name: CoupledAdam(self.learning_rate), self.ema_decay)

    @property
    def conditions(self):
        return (Condition("latent", "latent", (2,)),)

    def optimizer_variables(self):
        return {"g": self.generator.trainable_variables}

    def train_step(self, batch):
        bias = self.generator.get_layer("shine").bias
        bias.assign_add(tf.random.stateless_normal(bias.shape, self.draw_seed(0)))
        return self.finish_step({"g_level": tf.reduce_mean(batch["image"]) + bias[0]})

    def network(self, direction=None):
        return self.inference_network("generator")


def make_known(patch):
    """Lets configurations and commands know the lamp, and what costs nothing beside it."""
    register(patch)
    patch.setitem(models.ALL, "Lamp", Lamp)
    use_squares(patch)


def begin(folder):
    """Trains a new run in a folder of runs; the exit code."""
    path = folder / "lamp.yaml"
    path.write_text(
        "system: Lamp\ndata: {source: seasons, domains: [day], train_size: 3, test_size: 2}\n"
        "batches: {batch_size: 1}\nfit: {report_steps: 1, sample_steps: 1, checkpoint_steps: 1,"
        " evaluate_images: 2, sample_images: 1, show: false}\n"
    )
    return main(["train", str(path), "--runs", str(folder / "runs")])


def run_in(folder):
    return folder / "runs" / "00001-lamp-seasons"


def contents(path):
    """All that a run holds, as values that compare."""
    run = Run(path)
    timing = {"seconds", "images_per_second", "waiting_share"}
    reports = [{k: v for k, v in one.items() if k not in timing} for one in run.read_metrics()]
    systems = {which: run.load_system(which) for which in ("last", "best")}
    sheets = {file.name: np.asarray(Image.open(file)) for file in path.glob("samples/*.png")}
    events = {
        (event.step, value.tag)
        for file in run.tensorboard_dir.iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    return {
        "reports": reports,
        "steps": {which: system.step for which, system in systems.items()},
        "weights": {which: system.get_weights() for which, system in systems.items()},
        "translator": run.network().get_weights(),
        "sheets": sheets,
        "events": sorted(events),
        "complete": run.completion.step,
        "record": sorted(run.completion.files),
        "candidates": {len(digests) for digests in run.completion.files.values()},
        "left": sorted(str(file.relative_to(path)) for file in path.rglob(".*.tmp*")),
    }


def assert_same(ours, theirs):
    for key, value in theirs.items():
        keras.tree.map_structure(np.testing.assert_array_equal, ours[key], value)
