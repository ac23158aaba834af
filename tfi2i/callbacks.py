"""What happens around the steps of a training: reports, samples, checkpoints, and reasons to stop.

Every callback counts by `system.step`, so a resumed run does at step t what it would have done.
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tfi2i.data.clock import Clock
from tfi2i.errors import InputError
from tfi2i.evaluate import backbones
from tfi2i.evaluate.distances import kid
from tfi2i.evaluate.diversity import COPY_DISTANCE
from tfi2i.evaluate.paired import l1
from tfi2i.files import replacing
from tfi2i.pictures import sheets
from tfi2i.pictures.pixels import run_over, to_image
from tfi2i.runs.run import Run

log = logging.getLogger("tfi2i")

Pixels = NDArray[np.uint8]
CONSTANT_SPREAD = 0.01  # the same between outputs for different inputs
KEEPING_WEIGHTS = ("cycle_weight", "recon_weight", "identity_weight", "nce_weight")
"""Arguments of `compile` that hold an output to its input: too high, they make a copy of it."""
NEAR_SHARE = 1 / 3  # of the distance between a picture of a and one of b


@dataclass
class TestImages:
    """Pixels (N, S, S, 3) by domain that training never sees; if paired, rows belong together."""

    pixels: dict[str, Pixels]
    paired: bool

    def translations(self, system: Any) -> dict[str, Pixels]:
        """The outputs of every direction, by direction."""
        return {d: run_over(system.predictor(d), self.pixels[d[0]]) for d in system.directions}


class StopOnNaN(keras.callbacks.Callback):
    """Raises `InputError` at the first step whose losses are not finite."""

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    def on_train_batch_end(self, batch, logs=None):
        # The logs are running means: a term that was once not finite stays so.
        values = {name: float(value) for name, value in (logs or {}).items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise InputError(
                f"{self.run.path}: training diverged at step {self.model.step}: "
                f"{', '.join(f'{name} is {values[name]}' for name in bad)}; {self.last_good()}"
            )

    def last_good(self) -> str:
        """Where to go on from, in words."""
        path = self.run.checkpoint_path("last")
        if not path.is_file():
            return "there is no checkpoint yet; start again with a lower compile.learning_rate."
        return (
            f"the last good checkpoint is {path}; start again with a lower compile.learning_rate, "
            "or without half precision."
        )


class Reports(keras.callbacks.Callback):
    """Progress bar, log line, metrics.jsonl and TensorBoard; an epoch of Keras is one report."""

    def __init__(self, run: Run, batch_size: int, tensorboard: bool, show: bool):
        super().__init__()
        self.run = run
        self.batch_size = batch_size
        self.extra: dict[str, float] = {}
        self.clock = Clock()
        self.tracing = True
        self.writer = (
            tf.summary.create_file_writer(str(run.tensorboard_dir)) if tensorboard else None
        )
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", style="dim"),
            console=console,
            disable=not (show and console.is_terminal),
        )

    def start(self, step: int, total_steps: int) -> None:
        """Shows the bar; `stop` must follow."""
        self.progress.start()
        self.task = self.progress.add_task(
            "", total=total_steps, completed=step, speed="", losses=""
        )

    def stop(self) -> None:
        """Takes the bar away and closes TensorBoard's file."""
        self.progress.stop()
        if self.writer is not None:
            self.writer.close()

    def on_epoch_begin(self, epoch, logs=None):
        self._start_clock()

    def _start_clock(self) -> None:
        self.started, self.start_step = time.perf_counter(), self.model.step
        self.start_waited = self.clock.waited_seconds

    def on_train_batch_end(self, batch, logs=None):
        if self.tracing:  # the first step includes building the graph: no speed to report
            self.tracing = False
            self._start_clock()
            return
        done = self.model.step
        seconds = time.perf_counter() - self.started
        rate = (done - self.start_step) * self.batch_size / seconds
        self.progress.update(self.task, completed=done, speed=f"{rate:.1f} images/s")

    def on_epoch_end(self, epoch, logs=None):
        step, seconds = self.model.step, time.perf_counter() - self.started
        images = (step - self.start_step) * self.batch_size
        losses = {name: float((logs or {})[name]) for name in self.model.loss_names}
        report = {
            "step": step,
            "images": step * self.batch_size,
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 2),
            "waiting_share": round((self.clock.waited_seconds - self.start_waited) / seconds, 4),
            **losses,
            **self.extra,
        }
        self.extra = {}
        self.run.append_metrics(report)
        text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.progress.update(self.task, losses=text[:60])
        log.info(
            "step %d: %s (%.1f images/s, waiting for data %.1f %%)",
            step,
            text,
            report["images_per_second"],
            100 * report["waiting_share"],
        )
        if report["waiting_share"] > 0.1 and seconds > 10:
            log.warning(
                "step %d: %.0f %% of the time was spent waiting for data; raise batches.cache_mb "
                "or shrink the pictures beforehand",
                step,
                100 * report["waiting_share"],
            )
        if self.writer is not None:
            with self.writer.as_default(step=step):
                for name, value in report.items():
                    if name != "step":
                        tf.summary.scalar(name, value)
            self.writer.flush()

    def picture(self, step: int, name: str, pixels: Pixels) -> None:
        """Shows a picture in TensorBoard."""
        if self.writer is not None:
            with self.writer.as_default(step=step):
                tf.summary.image(name, pixels[None])


class Samples(keras.callbacks.Callback):
    """A sheet of the same test images every so many steps, and a note when outputs collapse."""

    def __init__(self, run: Run, reports: Reports, images: TestImages, every: int):
        super().__init__()
        self.run = run
        self.reports = reports
        self.images = images
        self.every = every

    def on_train_begin(self, logs=None):
        if self.model.step == 0:
            self.draw()

    def on_epoch_end(self, epoch, logs=None):
        if is_due(self.model.step, self.every, self.model.total_steps):
            self.draw()

    def draw(self) -> None:
        """Writes `samples/STEP.png`."""
        step = self.model.step
        fakes = self.images.translations(self.model)
        sheet = sample_sheet(self.model, self.images, fakes)
        with replacing(self.run.sample_path(step)) as temporary:
            Image.fromarray(sheet).save(temporary)
        self.reports.picture(step, "samples", sheet)
        if step:
            for direction, fake in fakes.items():
                note = collapse_note(
                    self.images.pixels[direction[0]], fake, self.model.get_compile_config()
                )
                if note:
                    log.warning("step %d, %s: %s", step, direction, note)


def sample_sheet(system: Any, images: TestImages, fakes: dict[str, Pixels]) -> Pixels:
    """Rows real, attention, fake, cycle and (paired) truth, for every direction."""
    rows: list[tuple[str, Pixels]] = []
    for direction, fake in fakes.items():
        source, target = direction.split("2")
        real = images.pixels[source]
        rows.append((f"real {source}", real))
        attention = system.attention(to_image(real), direction)
        if attention is not None:
            rows.append(("attention", sheets.heat(np.asarray(attention), real.shape[1])))
        rows.append((f"fake {target}", fake))
        back = f"{target}2{source}"
        if back in system.directions:
            rows.append((f"cycle {source}", run_over(system.predictor(back), fake)))
        if images.paired:
            rows.append((f"truth {target}", images.pixels[target]))
    return sheets.grid(rows, sheets.scale_for(rows[0][1].shape[1]))


def collapse_note(real: Pixels, fake: Pixels, numbers: Mapping[str, Any]) -> str | None:
    """What is wrong with outputs that are all alike or copies of their inputs; None if neither.

    Args:
        real: the inputs (N, H, W, 3).
        fake: the outputs, in the inputs' order.
        numbers: what the system was compiled with, for the advice.
    """
    if len(fake) > 1:
        spread = float(np.mean([l1(fake[i], fake[i - 1]) for i in range(1, len(fake))]))
        inputs = float(np.mean([l1(real[i], real[i - 1]) for i in range(1, len(real))]))
        if spread < CONSTANT_SPREAD < inputs:
            return (
                f"the outputs for different inputs are all alike (they differ by {spread:.3f} of "
                "the range): the generator has collapsed to a constant; go back to an earlier "
                "checkpoint or lower compile.learning_rate"
            )
    distance = l1(fake, real)
    if distance < COPY_DISTANCE:
        return (
            f"the outputs are copies of the inputs (distance {distance:.3f} of the range): the "
            f"translator changes nothing; {_freeing(numbers)}"
        )
    return None


def drift_note(
    reports: Sequence[Mapping[str, Any]],
    direction: str,
    inputs_kid: float,
    numbers: Mapping[str, Any],
) -> str | None:
    """What is wrong with outputs on their way back to their inputs; None if they are not.

    Being close to the input proves nothing: a horse in its field should differ little from a
    zebra there, and the outputs of a young translator come closer. Those are meant that were
    better: since the lowest KID at least half of what it was below that of the inputs is lost
    again, and the outputs have come to less than half their distance from the inputs.

    Args:
        reports: all of the run, the newest last; those without KID are passed over.
        direction: of the outputs.
        inputs_kid: of the inputs themselves, as if the translator changed nothing.
        numbers: what the system was compiled with, for the advice.
    """
    kid_name, change_name = f"val_kid_{direction}", f"val_change_{direction}"
    judged = [r for r in reports if r.get(kid_name) is not None and r.get(change_name) is not None]
    if not judged or judged[-1] is not reports[-1]:
        return None
    now, best = judged[-1], min(judged, key=lambda report: report[kid_name])
    gained = inputs_kid - best[kid_name]
    if inputs_kid <= 0 or gained < 0.2 * inputs_kid:  # it has never been better, but for chance
        return None
    if now[kid_name] - best[kid_name] < gained / 2 or now[change_name] >= best[change_name] / 2:
        return None
    return (
        f"the outputs drift back to their inputs: they differ by {now[change_name]:.3f} of the "
        f"range, at step {best['step']} by {best[change_name]:.3f}, and their KID has gone from "
        f"{best[kid_name]:.3f} to {now[kid_name]:.3f}, the inputs' own being {inputs_kid:.3f}; "
        f"go back to the best checkpoint, and {_freeing(numbers)}"
    )


def near_note(
    change: float, kid_now: float, between: float, inputs_kid: float, numbers: Mapping[str, Any]
) -> str | None:
    """What is wrong with outputs that have not left their inputs; None if they have.

    A small change alone may be all that is wanted, so it counts only where the outputs are no
    closer to the target domain than their inputs.

    Args:
        change: mean |output - input|, 0 to 1.
        kid_now: of the outputs.
        between: the same distance as `change`, of pictures of the two domains that do not belong
            together.
        inputs_kid: of the inputs themselves.
        numbers: what the system was compiled with, for the advice.
    """
    if change >= NEAR_SHARE * between or kid_now < 0.8 * inputs_kid:
        return None
    return (
        f"the outputs are nearly their inputs: they differ by {change:.3f} of the range, where "
        f"pictures of the two domains differ by {between:.3f}, and by KID ({kid_now:.3f}) they are "
        f"no closer to the target than the inputs ({inputs_kid:.3f}); if that stays so, "
        f"{_freeing(numbers)}"
    )


def _freeing(numbers: Mapping[str, Any]) -> str:
    """What to do about a translator that keeps too much of its input."""
    weights = [
        f"compile.{name} (now {numbers[name]:g})" for name in KEEPING_WEIGHTS if numbers.get(name)
    ]
    if not weights:
        return "lower compile.learning_rate"
    return f"lower {' or '.join(weights)}"


def is_due(step: int, every: int, total_steps: int) -> bool:
    """Whether a step is a multiple of `every` or the last one."""
    return step % every == 0 or step == total_steps


class Validation(keras.callbacks.Callback):
    """Puts the KID, the change and, of pairs, the error of fixed pictures into a step's report.

    Says so when the outputs stay with their inputs or drift back to them. Stands before `Reports`.
    The pictures are none of the test set, or the figures of the best checkpoint on the test set
    would be its luck.
    """

    def __init__(self, reports: Reports, images: TestImages, every: int):
        super().__init__()
        self.reports = reports
        self.images = images
        self.every = every
        self.real: dict[str, Any] = {}

    def on_epoch_end(self, epoch, logs=None):
        if not is_due(self.model.step, self.every, self.model.total_steps):
            return
        backbone = backbones.load()
        if not self.real:
            self.real = {key: backbone.features(rows) for key, rows in self.images.pixels.items()}
        fakes = self.images.translations(self.model)
        # Rounded: where arrays lie in memory decides the last bits of a matrix product.
        kids = {
            d: round(kid(backbone.features(fake), self.real[d[2]]), 6) for d, fake in fakes.items()
        }
        self._report("val_kid", kids)
        self._report(
            "val_change", {d: l1(fake, self.images.pixels[d[0]]) for d, fake in fakes.items()}
        )
        if self.images.paired:
            self._report(
                "val_l1", {d: l1(fake, self.images.pixels[d[2]]) for d, fake in fakes.items()}
            )
        self._warn_of_drift()

    def _warn_of_drift(self) -> None:
        reports = [*self.reports.run.read_metrics(), self.reports.extra]
        numbers = self.model.get_compile_config()
        for d in self.model.directions:
            inputs_kid = kid(self.real[d[0]], self.real[d[2]])
            change, kid_now = (
                self.reports.extra[f"{name}_{d}"] for name in ("val_change", "val_kid")
            )
            note = drift_note(reports, d, inputs_kid, numbers)
            note = note or near_note(change, kid_now, self._between(), inputs_kid, numbers)
            if note:
                log.warning("step %d, %s: %s", self.model.step, d, note)

    def _between(self) -> float:
        """How far a picture of a is from one of b on average, the next one where they are pairs."""
        a, b = self.images.pixels["a"], self.images.pixels["b"]
        count = min(len(a), len(b))
        return l1(a[:count], np.roll(b[:count], 1, axis=0))

    def _report(self, name: str, values: dict[str, float]) -> None:
        self.reports.extra |= {f"{name}_{d}": value for d, value in values.items()}
        self.reports.extra[name] = sum(values.values()) / len(values)


class Checkpoints(keras.callbacks.Callback):
    """Saves last.keras and the translators, and best.keras by the KID of `Validation`.

    Stands after `Reports`: the report of a step is on disk before its checkpoint, so a resumed run
    drops the reports that its checkpoint lacks and finds the best KID so far in the others.
    """

    def __init__(self, run: Run, every: int):
        super().__init__()
        self.run = run
        self.every = every

    def on_train_begin(self, logs=None):
        self.keep_best()  # a kill may have come between the two files

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        if not is_due(step, self.every, self.model.total_steps):
            return
        broken = [v.path for v in self.model.variables if not _finite(v)]
        if broken:
            raise InputError(
                f"{self.run.path}: the weights are not finite at step {step} ({broken[0]}) and "
                "were not saved; lower compile.learning_rate or train without half precision."
            )
        self.run.save_checkpoint(self.model, "last")
        self.run.save_translators(self.model)
        self.keep_best()

    def keep_best(self) -> None:
        """Makes the last checkpoint the best one if its validation KID is the lowest so far."""
        reports = self.run.read_metrics()
        scored = [(r["val_kid"], r["step"]) for r in reports if r.get("val_kid") is not None]
        if scored and min(scored)[1] == self.model.step:
            self.run.copy_last_to_best()


def _finite(variable: Any) -> bool:
    value = np.asarray(variable)
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())
