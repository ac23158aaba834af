"""The KID of fixed pictures, every so many steps, and notes on where it goes."""

from typing import Any

import keras
import numpy as np

from tfi2i.evaluate import backbones
from tfi2i.evaluate.distances import kid
from tfi2i.evaluate.paired import l1
from tfi2i.training.checkpoints import is_due
from tfi2i.training.diagnosis import drift_note, near_note
from tfi2i.training.reports import Reports, log
from tfi2i.training.samples import TestImages


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
