"""Sheets of the same test images, every so many steps."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from PIL import Image

from tfi2i.evaluate.diagnosis import collapse_note
from tfi2i.files import replacing
from tfi2i.pictures import sheets
from tfi2i.pictures.pixels import run_over, to_image
from tfi2i.runs.run import Run
from tfi2i.training.checkpoints import is_due
from tfi2i.training.reports import Pixels, Reports, log

VALUES = 3  # of open conditions, for each picture of a sheet


@dataclass
class TestImages:
    """Pixels (N, H, W, 3) by domain that training never sees; if paired, rows belong together."""

    pixels: dict[str, Pixels]
    paired: bool

    def of(self, domain: str | None) -> Pixels:
        """The pixels of a domain; of `ANY`, or where a label chooses, those of all by turns."""
        if domain in self.pixels:
            return self.pixels[domain]
        every = list(self.pixels.values())
        turns = np.concatenate([np.arange(len(pixels)) for pixels in every])
        return np.concatenate(every)[np.argsort(turns, kind="stable")]

    def translations(self, system: Any, seed: int = 0) -> dict[str, Pixels]:
        """The outputs of every direction by its name, with conditions of a fixed seed."""
        outputs = {}
        for way in system.directions:
            pixels = None if way.source is None else self.of(way.source)
            count = len(self.of(way.target) if pixels is None else pixels)
            values = system.values_of(way.name, count, seed)
            outputs[way.name] = run_over(system.predictor(way.name), pixels, values=values)
        return outputs


class Samples(keras.callbacks.Callback):
    """A sheet of the same test images every so many steps, and a note when outputs collapse."""

    def __init__(self, run: Run, reports: Reports, images: TestImages, every: int):
        super().__init__()
        self.run, self.reports, self.images, self.every = run, reports, images, every

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
        for way in self.model.directions if step else ():
            if way.source is not None:
                numbers = self.model.get_compile_config()
                note = collapse_note(self.images.of(way.source), fakes[way.name], numbers)
                if note:
                    log.warning("step %d, %s: %s", step, way, note)


def sample_sheet(system: Any, images: TestImages, fakes: dict[str, Pixels]) -> Pixels:
    """Rows real, attention, fake, cycle and (paired) truth, for every direction.

    Where conditions are open, further rows show the same pictures under other values.
    """
    rows: list[tuple[str, Pixels]] = []
    more = [
        images.translations(system, seed) for seed in range(1, VALUES if system.conditions else 1)
    ]
    for way in system.directions:
        fake, name = fakes[way.name], way.target or "by label"
        if way.source is not None:
            real = images.of(way.source)
            rows.append((f"real {way.source}", real))
            attention = system.attention(to_image(real), way.name)
            if attention is not None:
                rows.append(("attention", sheets.heat(np.asarray(attention), real.shape[1:3])))
        rows.append((f"fake {name}", fake))
        if more and system.conditions_of(way.name):
            rows += [(f"fake {name}, {i}", one[way.name]) for i, one in enumerate(more, 2)]
        for back in system.directions:
            if way.source is not None and (back.source, back.target) == (way.target, way.source):
                values = system.values_of(back.name, len(fake), 0)
                cycle = run_over(system.predictor(back.name), fake, values=values)
                rows.append((f"cycle {way.source}", cycle))
        if images.paired and way.target in images.pixels and way.source in images.pixels:
            rows.append((f"truth {way.target}", images.pixels[way.target]))
    count, *size = rows[0][1].shape[:3]  # of all domains together there may be more
    return sheets.grid([(label, pixels[:count]) for label, pixels in rows], sheets.scale_for(size))
