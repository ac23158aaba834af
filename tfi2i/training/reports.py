"""Reports of a training: progress bar, log, metrics.jsonl and TensorBoard.

Every callback counts by `system.step`, so a resumed run does at step t what it would have done.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

from tfi2i.data.clock import Clock
from tfi2i.evaluate.diagnosis import loss_notes
from tfi2i.files import full_disk
from tfi2i.runs.run import Run
from tfi2i.terminal import progress_bar

log = logging.getLogger("tfi2i")

Pixels = NDArray[np.uint8]


class Reports(keras.callbacks.Callback):
    """Progress bar, log line, metrics.jsonl and TensorBoard; an epoch of Keras is one report."""

    def __init__(self, run: Run, batch_size: int, tensorboard: bool, show: bool):
        super().__init__()
        self.run, self.batch_size = run, batch_size
        self.extra: dict[str, float] = {}
        self.history = run.read_metrics()
        self.said: set[str] = set()  # losses that a note was written of
        self.clock = Clock()
        self.tracing = True
        self.writer = tf.summary.create_noop_writer()
        if tensorboard:
            with self.tensorboard():
                self.writer = tf.summary.create_file_writer(str(run.tensorboard_dir))
        self.progress = progress_bar(
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", style="dim"),
            show=show,
        )

    @contextmanager
    def tensorboard(self) -> Iterator[None]:
        """Raises as `OSError` what TensorFlow says inside where the disk is full."""
        try:
            yield
        except tf.errors.OpError as error:
            raise full_disk(error, self.run.tensorboard_dir) or error from None

    @contextmanager
    def shown(self, step: int, total_steps: int) -> Iterator[None]:
        """Shows the bar inside, and closes TensorBoard's file at the end."""
        with self.tensorboard(), self.progress, closing(self.writer):
            self.task = self.progress.add_task(
                "training", total=total_steps, completed=step, speed="", losses=""
            )
            yield

    def on_epoch_begin(self, epoch, logs=None):
        self.started, self.start_step = time.perf_counter(), self.model.step
        self.start_waited = self.clock.waited_seconds

    def on_train_batch_end(self, batch, logs=None):
        if self.tracing:  # the first step includes building the graph: no speed to report
            self.tracing = False
            self.on_epoch_begin(0)
            return
        done = self.model.step
        seconds = time.perf_counter() - self.started
        rate = (done - self.start_step) * self.batch_size / seconds
        self.progress.update(self.task, completed=done, speed=f"{rate:.1f} images/s")

    def on_epoch_end(self, epoch, logs=None):
        step, seconds = self.model.step, time.perf_counter() - self.started
        images = (step - self.start_step) * self.batch_size
        losses = {name: float((logs or {})[name]) for name in self.model.loss_names}
        rates = self.model.optimizer.rates()
        report = {
            "step": step,
            "images": step * self.batch_size,
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 2),
            "waiting_share": round((self.clock.waited_seconds - self.start_waited) / seconds, 4),
            **losses,
            **{f"learning_rate_{name}": rate for name, rate in rates.items()},
            **self.extra,
        }
        self.extra = {}
        self.run.append_metrics(report)
        text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.progress.update(self.task, losses=text[:60])
        rate, waiting = report["images_per_second"], 100 * report["waiting_share"]
        log.info(
            "step %d: %s (learning rate %s, %.1f images/s, waiting for data %.1f %%)",
            *(step, text, " / ".join(dict.fromkeys(f"{one:.3g}" for one in rates.values()))),
            *(rate, waiting),
        )
        self._warn_of_losses(report)
        if waiting > 10 and seconds > 10:
            log.warning(
                "step %d: %.0f %% of the time was spent waiting for data; raise batches.cache_mb "
                "or shrink the pictures beforehand",
                *(step, waiting),
            )
        with self.tensorboard(), self.writer.as_default(step=step):
            for name, value in report.items():
                if name != "step":
                    tf.summary.scalar(name, value)
            self.writer.flush()

    def _warn_of_losses(self, report: dict[str, float]) -> None:
        self.history.append(report)
        numbers = self.model.get_compile_config()
        for name, note in loss_notes(self.history, self.model.discriminator_terms, numbers):
            if name not in self.said:
                self.said.add(name)
                log.warning("step %d: %s", self.model.step, note)

    def picture(self, step: int, name: str, pixels: Pixels) -> None:
        """Shows a picture in TensorBoard."""
        with self.tensorboard(), self.writer.as_default(step=step):
            tf.summary.image(name, pixels[None])
            self.writer.flush()
