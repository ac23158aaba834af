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
        images, ways = self.images, self.model.directions
        kids = {
            way.name: round(kid(backbone.features(fakes[way.name]), self._real(way.target)), 6)
            for way in ways
        }
        self._report("val_kid", kids)
        changes = {
            way.name: l1(fakes[way.name], images.of(way.source))
            for way in ways
            if way.source is not None
        }
        self._report("val_change", changes)
        if images.paired:
            errors = {
                way.name: l1(fakes[way.name], images.pixels[way.target])
                for way in ways
                if way.source in images.pixels and way.target in images.pixels
            }
            self._report("val_l1", errors)
        self._warn_of_drift()

    def _real(self, domain: str | None) -> Any:
        """The features of a domain's pictures; where a label chooses, those of all domains."""
        return self.real[domain] if domain in self.real else np.concatenate([*self.real.values()])

    def _warn_of_drift(self) -> None:
        reports = [*self.reports.run.read_metrics(), self.reports.extra]
        numbers = self.model.get_compile_config()
        for way in self.model.directions:
            if way.source not in self.real or way.target not in self.real:
                continue  # of a mixture of domains an input may belong to the target already
            inputs_kid = kid(self.real[way.source], self.real[way.target])
            change, kid_now = (
                self.reports.extra[f"{name}_{way}"] for name in ("val_change", "val_kid")
            )
            note = drift_note(reports, way.name, inputs_kid, numbers)
            between = self._between(way.source, way.target)
            note = note or near_note(change, kid_now, between, inputs_kid, numbers)
            if note:
                log.warning("step %d, %s: %s", self.model.step, way, note)

    def _between(self, source: str, target: str) -> float:
        """Mean distance of pictures of two domains, of the next one where they are pairs."""
        a, b = self.images.pixels[source], self.images.pixels[target]
        count = min(len(a), len(b))
        return l1(a[:count], np.roll(b[:count], 1, axis=0))

    def _report(self, name: str, values: dict[str, float]) -> None:
        if not values:
            return
        self.reports.extra |= {f"{name}_{d}": value for d, value in values.items()}
        self.reports.extra[name] = sum(values.values()) / len(values)
