"""Scenes whose domain b has a hidden, continuous style, which is known: an hour and a palette.

A mood is two numbers from 0 to 1. The hour is the light, from a blue night to a bright evening; the
palette turns the hues of everything, from a dusk poster's coral meadows to green ones. Every
picture of b has a mood of its own, drawn with it, and any scene can be drawn in any mood: so what a
translation should look like in the mood of a reference, how far the translations of one picture
should lie apart, and which mood a translation has, are known without a network.
"""

import colorsys
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import Domain, DrawnDomain, Pixels
from tfi2i.data.sources.scene_drawing import LARGEST, SMALLEST, SPLITS, Scene, compose, paint
from tfi2i.data.sources.scene_paints import STYLES, Colour
from tfi2i.data.sources.scenes import VALIDATION_SIZE
from tfi2i.errors import InputError
from tfi2i.limits import Between, Count, Seed
from tfi2i.pictures.pixels import require_pixels

MOODS = ("hour", "palette")

NIGHT_LIGHT = (0.34, 0.40, 0.62)
"""What is left of red, green and blue at the hour 0; at the hour 1, all."""
TURN = 0.35
"""How far the palette 1 turns the hues, in turns: less than one, so that no two moods are alike."""

Mood = NDArray[np.float32]


@source
def moods(
    *,
    train_size: Count = 1000,
    test_size: Count = 200,
    seed: Seed = 0,
    spread: Annotated[float, Between(0, 1)] = 1.0,
    paired: bool = False,
) -> Dataset:
    """Scenes by day (a), and at dusk in moods (b): each picture of b has an hour and a palette.

    Args:
        train_size: Scenes in each domain.
        test_size: Pairs of scenes.
        seed: Another seed, other scenes and moods.
        spread: Part of the moods that occur, around the middle one; at 0 all pictures have that.
        paired: True where the training scenes of a and b are the same ones too, row by row.

    Raises:
        InputError: A number out of its range.
    """

    def domains(split_a: str, split_b: str, first: int, count: int) -> dict[str, Domain]:
        names = [f"{first + index:05d}.png" for index in range(count)]

        def by_day(index: int, side: int) -> Pixels:
            return paint(compose(seed, split_a, first + index), STYLES["day"], side)

        where = f"moods {split_a} (seed {seed})"
        day = DrawnDomain(names, by_day, where, (SMALLEST, LARGEST))
        return {"a": day, "b": MoodDomain(seed, split_b, first, count, spread)}

    return Dataset(
        "moods",
        train=domains("train_a", "train_a" if paired else "train_b", 0, train_size),
        test=domains("test", "test", 0, test_size),
        paired=frozenset({"train", "test", "validation"} if paired else {"test", "validation"}),
        validation=domains("test", "test", test_size, VALIDATION_SIZE),
    )


class MoodDomain(DrawnDomain):
    """Scenes, each in its own mood.

    Args:
        seed: Seed of the scenes and moods.
        split: Split of the scenes.
        first: Index of the first scene.
        count: Number of scenes.
        spread: Part of the moods that occur, around the middle one.

    Attributes:
        moods: Mood (2,) of each picture, in 0..1: hour and palette.
    """

    def __init__(self, seed: int, split: str, first: int, count: int, spread: float = 1.0) -> None:
        names = [f"{first + index:05d}.png" for index in range(count)]
        where = f"moods {split} in moods (seed {seed})"
        super().__init__(names, self._in_its_own, where, (SMALLEST, LARGEST))
        self._scenes = seed, split, first
        rows = [_drawn_mood(seed, split, first + index) for index in range(count)]
        self.moods: Mood = (0.5 + spread * (np.stack(rows) - 0.5)).astype(np.float32)

    def read_as(self, index: int, mood: ArrayLike, side: int) -> Pixels:
        """Pixels (side, side, 3) of a scene in another mood, such as that of a reference.

        Args:
            index: 0..len-1.
            mood: Hour and palette, each 0..1.
            side: Side in pixels.

        Raises:
            InputError: A mood out of its range, or a side outside 32..1024.
        """
        return paint(self._scene(index), in_mood(mood), side)

    def mood_of(self, index: int, pixels: Pixels) -> tuple[Mood, float]:
        """The mood in which a scene comes nearest to a picture, and the distance that remains.

        Args:
            index: Scene that the picture should show.
            pixels: (S, S, 3) uint8.

        Returns:
            Hour and palette, to about a hundredth, and the mean absolute difference of pixels in
            units of images in [-1, 1]: 0 where the picture is the scene in this mood.
        """
        require_pixels("pixels", pixels[None])
        fitted = _Fitted(self._scene(index), pixels)
        best, width = np.array([0.5, 0.5]), 0.5
        steps = np.linspace(-1, 1, 11)
        while width > 0.004:
            offsets = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
            tried = np.clip(best + width * offsets, 0, 1)
            errors = [fitted.error(mood) for mood in tried]
            best, width = tried[int(np.argmin(errors))], width * 0.3
        return best.astype(np.float32), fitted.error(best)

    def _scene(self, index: int) -> Scene:
        seed, split, first = self._scenes
        return compose(seed, split, first + index)

    def _in_its_own(self, index: int, side: int) -> Pixels:
        return self.read_as(index, self.moods[index], side)


class _Fitted:
    """A picture of a scene, compared with the scene in any mood; a mood only colours the shapes."""

    def __init__(self, scene: Scene, pixels: Pixels) -> None:
        side = max(SMALLEST, min(64, pixels.shape[0]))
        canvas = Image.new("I", (side, side), len(scene.shapes))
        pen = ImageDraw.Draw(canvas)
        for number, shape in enumerate(scene.shapes):
            points = [(x * side, y * side) for x, y in shape.points]
            outline = pen.ellipse if len(points) == 2 else pen.polygon
            outline(points, fill=number)
        paints = {name: place for place, name in enumerate(STYLES["dusk"])}
        every = [(one.paint, one.towards or one.paint, one.share) for one in scene.shapes]
        every.append(("sky_low", "sky_low", 0.0))  # the canvas
        self._own = np.array([paints[own] for own, _, _ in every])
        self._other = np.array([paints[other] for _, other, _ in every])
        self._shares = np.array([[share] for _, _, share in every])
        # Pixels of one shape, away from its edges, which are mixed with those of others.
        shapes = np.asarray(canvas)
        inner = np.ones(shapes.shape, bool)
        for axis in (0, 1):
            for step in (-1, 1):
                inner &= np.roll(shapes, step, axis) == shapes
        image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
        self._shapes = shapes[inner]
        self._pixels = np.asarray(image, np.float32)[inner]

    def error(self, mood: ArrayLike) -> float:
        """Mean absolute difference from the scene in a mood, in units of images."""
        colours = np.array([*in_mood(mood).values()], np.float64)
        own = colours[self._own]
        table = np.rint(own + (colours[self._other] - own) * self._shares)
        return float(np.abs(self._pixels - table[self._shapes]).mean() * 2 / 255)


def in_mood(mood: ArrayLike) -> Mapping[str, Colour]:
    """The colour of each paint in a mood.

    Raises:
        InputError: The mood is not two numbers from 0 to 1.
    """
    values = np.asarray(mood, np.float64)
    if values.shape != (2,) or not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"A mood is an hour and a palette, each from 0 to 1, not {mood!r}.")
    hour, palette = values
    light = np.array(NIGHT_LIGHT) + (1 - np.array(NIGHT_LIGHT)) * hour
    return {paint: _turned(colour, palette, light) for paint, colour in STYLES["dusk"].items()}


def _turned(colour: Colour, palette: float, light: NDArray[np.float64]) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in colour))
    turned = colorsys.hsv_to_rgb((hue + TURN * palette) % 1, saturation, value)
    red, green, blue = np.rint(np.array(turned) * light * 255).astype(int).tolist()
    return red, green, blue


def _drawn_mood(seed: int, split: str, index: int) -> NDArray[np.float64]:
    # The last number keeps this stream apart from that of the scene.
    sequence = np.random.SeedSequence((seed, SPLITS.index(split), index, 1))
    return np.random.default_rng(sequence).random(len(MOODS))
