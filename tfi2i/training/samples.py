"""Sheets of the same test images, every so many steps."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from PIL import Image

from tfi2i.files import replacing
from tfi2i.pictures import sheets
from tfi2i.pictures.pixels import run_over, to_image
from tfi2i.runs.run import Run
from tfi2i.training.checkpoints import is_due
from tfi2i.training.diagnosis import collapse_note
from tfi2i.training.reports import Pixels, Reports, log


@dataclass
class TestImages:
    """Pixels (N, S, S, 3) by domain that training never sees; if paired, rows belong together."""

    pixels: dict[str, Pixels]
    paired: bool

    def translations(self, system: Any) -> dict[str, Pixels]:
        """The outputs of every direction, by direction."""
        return {d: run_over(system.predictor(d), self.pixels[d[0]]) for d in system.directions}


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
