"""Checkpoints of a run, what belongs to them, and the stop at numbers that are not finite."""

import math

import keras
import numpy as np

from tfi2i.errors import InputError
from tfi2i.models.model import GenerativeModel
from tfi2i.runs.run import Run


def is_due(step: int, every: int, total_steps: int) -> bool:
    """Whether a step is a multiple of `every` or the last one."""
    return step % every == 0 or step == total_steps


class Checkpoints(keras.callbacks.Callback):
    """Saves last.keras and the translators, and best.keras by the KID of `Validation`.

    Raises `InputError` at the first step whose losses are not finite, and before it would save such
    weights. Stands after `Reports`: the report of a step is on disk before its checkpoint, so a
    resumed run drops the reports that its checkpoint lacks and finds the best KID so far in the
    others.
    """

    def __init__(self, run: Run, every: int):
        super().__init__()
        self.run, self.every = run, every

    def on_train_batch_end(self, batch, logs=None):
        # The logs are running means: a term that was once not finite stays so.
        values = {name: float(value) for name, value in (logs or {}).items()}
        bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if bad:
            path = self.run.checkpoint_path("last")
            way_out = "there is no checkpoint yet; start again with a lower compile.learning_rate"
            if path.is_file():
                way_out = (
                    f"the last good checkpoint is {path}; start again with a lower "
                    "compile.learning_rate, or without half precision"
                )
            raise InputError(
                f"{self.run.path}: training diverged at step {self.model.step}: {', '.join(bad)}; "
                f"{way_out}."
            )

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        if not is_due(step, self.every, self.model.total_steps):
            return
        broken = [v.path for v in self.model.variables if not np.isfinite(np.asarray(v)).all()]
        if broken:
            raise InputError(
                f"{self.run.path}: the weights are not finite at step {step} ({broken[0]}) and "
                "were not saved; lower compile.learning_rate or train without half precision."
            )
        self.run.save_checkpoint(self.model, "last")
        follow(self.run, self.model)


class Completion(keras.callbacks.Callback):
    """Records each checkpoint to which everything is there. Stands last."""

    def __init__(self, run: Run, every: int):
        super().__init__()
        self.run, self.every = run, every

    def on_epoch_end(self, epoch, logs=None):
        if is_due(self.model.step, self.every, self.model.total_steps):
            self.run.complete(self.model.step)


def follow(run: Run, system: GenerativeModel) -> None:
    """Brings the translators and the best checkpoint to the last checkpoint, which `system` is.

    The last checkpoint becomes the best one if its KID while training is the lowest so far.
    """
    run.save_translators(system)
    reports = run.read_metrics()
    scored = [(r["val_kid"], r["step"]) for r in reports if r.get("val_kid") is not None]
    if scored and min(scored)[1] == system.step:
        run.copy_last_to_best()
