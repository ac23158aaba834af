"""The embedded data set: outdoor scenes, drawn in styles that agree to the pixel.

A scene is a list of shapes in the unit square; a style only chooses the paint. So a translation
between any two of them can be measured against the truth although training sees no pairs. Style a
is a summer day, style b a dusk poster.

Shortcuts lose on purpose, by the colours (`scene_paints`) and by what is light: the sky outshines
the ground in a and the ground outshines the sky in b. The horizon lies anywhere between 28 and 72 %
of the height.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from tfi2i.data.domains import Pixels, require_at_least
from tfi2i.data.sources.scene_paints import STYLES, Colour
from tfi2i.errors import InputError

Point = tuple[float, float]

SPLITS = (
    "train_a",
    "train_b",
    "test",
    "train_winter",
    "train_neon",
)  # the position seeds the split's stream: only append
SMALLEST, LARGEST = 32, 1024
SUPERSAMPLING = 4
HORIZON = (0.28, 0.72)

# Objects as polygons in units of their size, x to the right and y downwards from the foot point.
Parts = tuple[tuple[str, tuple[Point, ...]], ...]
HOUSE: Parts = (
    ("path", ((-0.12, 0), (0.12, 0), (0.3, 0.45), (-0.15, 0.45))),
    ("wall", ((-0.5, -0.55), (0.5, -0.55), (0.5, 0), (-0.5, 0))),
    ("door", ((-0.13, -0.34), (0.13, -0.34), (0.13, 0), (-0.13, 0))),
    ("window", ((-0.4, -0.42), (-0.22, -0.42), (-0.22, -0.2), (-0.4, -0.2))),
    ("window", ((0.22, -0.42), (0.4, -0.42), (0.4, -0.2), (0.22, -0.2))),
    ("roof_shade", ((-0.65, -0.49), (-0.18, -1.09), (0.18, -1.09), (0.65, -0.49))),
    ("roof", ((-0.56, -0.58), (-0.16, -1.01), (0.16, -1.01), (0.56, -0.58))),
)
BALLOON: Parts = (
    ("balloon", ((-0.85, 0.5), (0.85, 0.5), (0, 1.75))),
    ("basket", ((-0.3, 1.5), (0.3, 1.5), (0.3, 2.05), (-0.3, 2.05))),
)
TRUNK = ("trunk", ((-0.08, -0.4), (0.08, -0.4), (0.08, 0.0), (-0.08, 0.0)))
FIR: Parts = (
    TRUNK,
    ("crown_shade", ((-0.36, -0.22), (0, -1), (0.36, -0.22))),
    ("crown", ((-0.22, -0.3), (-0.015, -0.84), (0.11, -0.3))),
)


class Shape(NamedTuple):
    """A filled polygon, or the ellipse in the box of two points; x right, y down, unit square.

    Its colour is that of `paint`, mixed by `share` with that of `towards`.
    """

    paint: str
    points: tuple[Point, ...]
    towards: str | None = None
    share: float = 0.0


class Scene(NamedTuple):
    """Contents of a scene: the horizon (0 is the top, 1 the bottom), the shapes back to front."""

    horizon: float
    shapes: tuple[Shape, ...]


def draw(seed: int, split: str, index: int, image_size: int) -> tuple[Pixels, Pixels]:
    """Scene `index` of a split as pixels (S, S, 3) in style a and, aligned exactly, in style b.

    The same arguments give the same bytes with the same Pillow; the three splits share no scene.

    Raises:
        InputError: an unknown split, a negative seed or index, or a size outside 32..1024.
    """
    scene = compose(seed, split, index)
    return paint(scene, STYLES["day"], image_size), paint(scene, STYLES["dusk"], image_size)


def paint(scene: Scene, colours: Mapping[str, Colour], image_size: int) -> Pixels:
    """A scene as pixels (S, S, 3) in the colours of each paint.

    Raises:
        InputError: A size outside 32..1024.
    """
    if not SMALLEST <= image_size <= LARGEST:
        raise InputError(
            f"image_size of scenes is {image_size}; choose from {SMALLEST} to {LARGEST}."
        )
    side = image_size * SUPERSAMPLING
    canvas = Image.new("RGB", (side, side), colours["sky_low"])
    pen = ImageDraw.Draw(canvas)
    for shape in scene.shapes:
        points = [(x * side, y * side) for x, y in shape.points]
        outline = pen.ellipse if len(points) == 2 else pen.polygon
        outline(points, fill=tint(shape, colours))
    return np.asarray(canvas.reduce(SUPERSAMPLING), np.uint8)


def compose(seed: int, split: str, index: int) -> Scene:
    """Scene `index` of a split, the same for every image size.

    Raises:
        InputError: an unknown split, or a negative seed or index.
    """
    if split not in SPLITS:
        raise InputError(f"split of scenes is {split!r}; choose from {', '.join(SPLITS)}.")
    require_at_least("scenes", seed=(seed, 0), index=(index, 0))
    rng = np.random.default_rng(np.random.SeedSequence((seed, SPLITS.index(split), index)))
    horizon = rng.uniform(*HORIZON)
    return Scene(horizon, (*_sky(rng, horizon), *_mountains(rng, horizon), *_ground(rng, horizon)))


def _sky(rng: np.random.Generator, horizon: float) -> list[Shape]:
    shapes = _bands("sky_high", "sky_low", 0.0, horizon + 0.03, lambda y: (0.0, 1.0))
    left = rng.random() < 0.5  # the sun and the balloon keep to different halves
    radius = rng.uniform(0.06, 0.09)
    x = rng.uniform(0.12, 0.42)
    y = rng.uniform(radius + 0.02, max(radius + 0.03, horizon * 0.5))
    x = x if left else 1.0 - x
    shapes += [_disc("sun", x, y, radius * 1.45, 1.0, "sky_low", 0.6), _disc("sun", x, y, radius)]
    for _ in range(rng.integers(1, 4)):
        shapes += _cloud(rng, horizon)
    if rng.random() < 0.6:
        x = rng.uniform(0.12, 0.42)
        radius = rng.uniform(0.07, 0.1)
        y = rng.uniform(radius + 0.01, max(radius + 0.02, horizon * 0.45))
        x = 1.0 - x if left else x
        shapes += _assemble(BALLOON, x, y, radius)
        shapes += [_disc("balloon", x, y, radius), _disc("balloon_stripe", x, y, radius * 0.4, 2.4)]
    return shapes


def _cloud(rng: np.random.Generator, horizon: float) -> list[Shape]:
    width = rng.uniform(0.26, 0.46)
    x, y = rng.uniform(0.05, 0.95), rng.uniform(0.06, max(0.1, horizon * 0.65))
    puffs = [(-0.3, 0.02, 0.2), (0.3, 0.02, 0.18), (-0.05, -0.06, rng.uniform(0.22, 0.3))]
    return [
        _disc(paint, x + shift * width, y + (lift + sink) * width, radius * width, 0.7)
        for paint, sink in (("cloud_shade", 0.05), ("cloud", 0.0))
        for shift, lift, radius in puffs
    ]


def _mountains(rng: np.random.Generator, horizon: float) -> list[Shape]:
    shapes = []
    count = int(rng.integers(2, 4))
    foot = horizon + 0.02
    for place in rng.permutation(count):
        x = (place + rng.uniform(0.2, 0.8)) / count
        height = max(0.11, rng.uniform(0.25, 0.75) * horizon)
        left, right = x - height * rng.uniform(0.7, 1.1), x + height * rng.uniform(0.7, 1.1)
        top = horizon - height
        middle = x + rng.uniform(-0.1, 0.15) * height
        for paint, start in (("mountain", left), ("mountain_shade", middle)):
            shapes.append(Shape(paint, ((start, foot), (x, top), (right, foot))))
        # The snow's outer corners lie on the slopes, its lower edge is a zigzag between them.
        edge = [(right, 0.3, 0.3), (right, 0.12, 0.23), (x, 0.0, 0.33)]
        edge += [(left, 0.12, 0.23), (left, 0.3, 0.3)]
        cap = [(x + (foot_x - x) * out, top + height * down) for foot_x, out, down in edge]
        shapes.append(Shape("snow", ((x, top), *cap)))
    return shapes


def _ground(rng: np.random.Generator, horizon: float) -> list[Shape]:
    depth = 1.0 - horizon
    # Mostly in one order: were both as likely, an unpaired learner could not tell them apart.
    far, near = ("meadow", "corn") if rng.random() < 0.85 else ("corn", "meadow")
    shapes = _field(rng, far, horizon, 0.012)
    shapes += _field(rng, near, horizon + depth * rng.uniform(0.3, 0.65), 0.06)
    lake = (
        rng.uniform(0.1, 0.9),
        horizon + depth * rng.uniform(0.3, 0.75),
        rng.uniform(0.26, 0.44),
        depth * rng.uniform(0.15, 0.23),
    )
    shapes += _lake(*lake)
    taken = [lake]
    standing: list[tuple[float, list[Shape]]] = []
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform(0.13, 0.2)
        if spot := _free_spot(rng, taken, horizon + size * 0.6, size * 0.65, size * 0.5):
            standing.append((spot[1], _assemble(HOUSE, *spot, size)))
    for _ in range(rng.integers(2, 6)):
        size = rng.uniform(0.16, 0.26)
        if spot := _free_spot(rng, taken, horizon + 0.06, size * 0.4, 0.05):
            standing.append((spot[1], _tree(*spot, size, bool(rng.random() < 0.4))))
    for _, parts in sorted(standing, key=lambda item: item[0]):
        shapes += parts
    return shapes


def _field(rng: np.random.Generator, paint: str, top: float, swing: float) -> list[Shape]:
    """A field from a rolling edge, with a hedge along it, down to the bottom of the picture."""
    phase, waves = rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 1.1)

    def edge(drop: float) -> tuple[Point, ...]:
        xs = (step / 24 for step in range(25))
        return tuple((x, top + drop + swing * math.sin(phase + math.tau * waves * x)) for x in xs)

    def strip(name: str, start: float, end: float) -> Shape:
        return Shape(name, edge(start) + edge(end)[::-1])

    shapes = [strip(paint, 0.0, 2.0), strip("hedge", -0.012, 0.016)]
    # Stripes widen towards the viewer and are few: texture enough to show the slope.
    start = 0.07
    while top + start < 1.1:
        shapes.append(strip(f"{paint}_stripe", start, start * 1.3))
        start *= 1.75
    return shapes


def _lake(x: float, y: float, half_width: float, half_height: float) -> list[Shape]:
    def extent(at: float) -> tuple[float, float]:
        reach = half_width * math.sqrt(max(0.0, 1.0 - ((at - y) / half_height) ** 2))
        return x - reach, x + reach

    rim = 0.022
    shore = (
        (x - half_width - rim, y - half_height - rim),
        (x + half_width + rim, y + half_height + rim),
    )
    return [
        Shape("shore", shore),
        *_bands("lake_far", "lake_near", y - half_height, y + half_height, extent),
    ]


def _assemble(parts: Parts, x: float, base: float, size: float) -> list[Shape]:
    """The polygons of an object whose foot stands at (x, base), `size` being its unit of length."""
    return [
        Shape(paint, tuple((x + size * right, base + size * down) for right, down in points))
        for paint, points in parts
    ]


def _tree(x: float, base: float, size: float, fir: bool) -> list[Shape]:
    """A tree of height `size`. The dark rim keeps a crown apart from a field of its own colour."""
    if fir:
        return _assemble(FIR, x, base, size)
    radius = size * 0.36
    y = base - size + radius
    return [
        *_assemble((TRUNK,), x, base, size),
        _disc("crown_shade", x, y, radius),
        _disc("crown", x - radius * 0.1, y - radius * 0.1, radius * 0.72),
    ]


def _free_spot(
    rng: np.random.Generator,
    taken: list[tuple[float, float, float, float]],
    highest: float,
    half_width: float,
    half_height: float,
) -> Point | None:
    """A foot point whose ellipse is clear of those taken, which it joins; None where it is crowded.

    Both are ellipses on the ground: `taken` holds x, y, half width, half height.
    """
    for _ in range(20):
        x, y = rng.uniform(0.08, 0.92), rng.uniform(highest, 0.96)
        apart = [
            math.hypot((x - other_x) / (reach + half_width), (y - other_y) / (rise + half_height))
            for other_x, other_y, reach, rise in taken
        ]
        if min(apart, default=math.inf) > 1:
            taken.append((x, y, half_width, half_height))
            return x, y
    return None


def _bands(
    paint: str, towards: str, top: float, bottom: float, extent: Callable[[float], Point]
) -> list[Shape]:
    """Slices of a gradient from top to bottom; `extent` is the left and right end at a height."""
    count = 20
    bands = []
    for step in range(count):
        y, lower = (top + (bottom - top) * at / count for at in (step, step + 1))
        (left, right), (lower_left, lower_right) = extent(y), extent(lower)
        corners = ((left, y), (right, y), (lower_right, lower), (lower_left, lower))
        bands.append(Shape(paint, corners, towards, step / (count - 1)))
    return bands


def _disc(paint: str, x: float, y: float, radius: float, flat: float = 1.0, *mixed: Any) -> Shape:
    """A disc, or an ellipse `flat` times as high as it is wide; `mixed` as in `Shape`."""
    corners = ((x - radius, y - radius * flat), (x + radius, y + radius * flat))
    return Shape(paint, corners, *mixed)


def tint(shape: Shape, colours: Mapping[str, Colour]) -> tuple[int, ...]:
    """The colour of a shape, given that of each paint."""
    paints = shape.paint, shape.towards or shape.paint
    own, other = (np.array(colours[paint]) for paint in paints)
    return tuple(np.rint(own + (other - own) * shape.share).astype(int).tolist())
