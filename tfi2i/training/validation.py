"""The KID of fixed pictures, every so many steps, and notes on where it goes."""

from typing import Any

import keras
import numpy as np

from tfi2i.evaluate import backbones
from tfi2i.evaluate.diagnosis import drift_note, near_note
from tfi2i.evaluate.distances import kid
from tfi2i.evaluate.paired import l1
from tfi2i.pictures.channels import shown
from tfi2i.training.checkpoints import is_due
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
        self.reports, self.images, self.every = reports, images, every
        self.real: dict[str, Any] = {}

    def on_epoch_end(self, epoch, logs=None):
        if not is_due(self.model.step, self.every, self.model.total_steps):
            return
        backbone = backbones.load()
        if not self.real:
            pictures = self.images.pixels.items()
            self.real = {key: backbone.features(shown(rows)) for key, rows in pictures}
        images, fakes = self.images, self.images.translations(self.model)
        everything = np.concatenate([*self.real.values()])  # the target where a label chooses
        kids, changes, errors = {}, {}, {}
        for way in self.model.directions:
            fake = fakes[way.name]
            # Rounded: where arrays lie in memory decides the last bits of a matrix product.
            real = self.real.get(way.target, everything)
            kids[way.name] = round(kid(backbone.features(shown(fake)), real), 6)
            if way.source is not None:
                changes[way.name] = l1(shown(fake), shown(images.of(way.source)))
            if images.paired and {way.source, way.target} <= images.pixels.keys():
                errors[way.name] = l1(fake, images.pixels[way.target])
        for name, values in (("val_kid", kids), ("val_change", changes), ("val_l1", errors)):
            if values:
                self.reports.extra |= {f"{name}_{way}": value for way, value in values.items()}
                self.reports.extra[name] = sum(values.values()) / len(values)
        self._warn_of_drift()

    def _warn_of_drift(self) -> None:
        reports = [*self.reports.run.read_metrics(), self.reports.extra]
        numbers = self.model.get_compile_config()
        for way in self.model.directions:
            if way.source not in self.real or way.target not in self.real:
                continue  # of a mixture of domains an input may belong to the target already
            inputs_kid = kid(self.real[way.source], self.real[way.target])
            change, kid_now = reports[-1][f"val_change_{way}"], reports[-1][f"val_kid_{way}"]
            a, b = shown(self.images.pixels[way.source]), shown(self.images.pixels[way.target])
            count = min(len(a), len(b))
            between = l1(a[:count], np.roll(b[:count], 1, axis=0))  # pairs are shifted by one
            note = drift_note(reports, way.name, inputs_kid, numbers)
            note = note or near_note(change, kid_now, between, inputs_kid, numbers)
            if note:
                log.warning("step %d, %s: %s", self.model.step, way, note)
