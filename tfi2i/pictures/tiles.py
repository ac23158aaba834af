"""Translates a picture of any size: whole if it is small enough, otherwise in overlapping tiles.

Normalisations that look at a whole image give every tile its own statistics and hence its own
colours. So tiles are translated in two passes: the first takes the statistics over tiles from all
over the picture as if they were one image (`layers.SharedStatistics`), the second translates
overlapping tiles with those statistics and blends them. A network without such layers has no
statistics to share, and the first pass is skipped.

Shape letters: N images, H W space; a picture is uint8 pixels (H, W, 3).
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError
from tfi2i.layers.normalization import SharedStatistics
from tfi2i.networks.strides import multiple_of
from tfi2i.pictures.channels import CHANNELS
from tfi2i.pictures.pixels import (
    Pixels,
    are_pixels,
    eight_bit,
    in_order,
    to_deep_pixels,
    to_image,
    to_pixels,
)

PIXEL_BUDGET = 2**20
"""Pixels that go through the network at once, whole or as a batch of tiles."""
TILE = 512
"""Side of the tiles of a network of free size."""
RECORDED_TILE = 256
"""Side of the first pass' tiles: many small ones see more of the picture than few big ones."""
MINIMUM = 32
"""Pictures are padded to at least this side, so that reflection padding finds something to reflect
behind every stride and variances are over more than one value."""

Values = NDArray[np.float32]
Size = tuple[int, int]
"""Height and width."""

Progress = Callable[[int, int], None]
"""Is told after each piece of work how many are done and how many there are."""


class Tiling(ABC):
    """Pictures of any size for a runtime that takes some sizes; pixels (H, W, 3) -> (H, W, 3).

    Small pictures are padded by reflection and cropped back, big ones become overlapping tiles that
    are blended. A runtime only translates pictures of a size that it takes, in `_run`.

    Args:
        sizes: Sizes (H, W), all that the runtime takes; none: its sides are free.
        multiple: Number of which free sides are multiples; tiles start at multiples of it.
        tile: Side of the tiles where sides are free; pictures larger than one tile are then always
            tiled. Without it, tiles of `TILE` for pictures above `PIXEL_BUDGET`.
        overlap: Pixels that neighbouring tiles share at least, up to half a tile; without it, an
            eighth of the tile's shorter side. Half of them are blended, the rest is cut off,
            because a tile's rim sees padding instead of the picture.
        channels: Channels of the picture that goes in, and of the one that comes out.

    Raises:
        InputError: A number that does not fit the others.
    """

    takes_deep = False
    """Whether pixels of 16 bits are taken as well, without losing depth."""

    def __init__(
        self,
        sizes: Sequence[Size],
        multiple: int,
        *,
        tile: int | None = None,
        overlap: int | None = None,
        channels: tuple[int, int] = (3, 3),
    ):
        self.channels = channels
        if multiple < 1:
            raise InputError(f"multiple must be at least 1, received {multiple}.")
        if not sizes and tile is not None and not is_tile(tile, multiple):
            raise InputError(
                f"tile must be a multiple of {multiple} from {MINIMUM} on, received {tile}."
            )
        side = tile or rounded_up(TILE, multiple)
        self._sizes = sizes
        self._always = tile is not None
        self._multiple = multiple
        self._tile = max(sizes, key=math.prod, default=(side, side))
        half = min(self._tile) // 2
        self._overlap = half // 4 if overlap is None else overlap
        if not 0 <= self._overlap <= half:
            raise InputError(f"overlap must be from 0 to half a tile ({half}), received {overlap}.")
        # Tiles start on the network's grid, where their features are those of the whole picture,
        # moved; unless the grid is too coarse for them to overlap at all.
        shared = rounded_up(self._overlap, multiple)
        on_grid = shared <= half and all(length % multiple == 0 for length in self._tile)
        self._grid = multiple if on_grid else 1

    def __call__(self, pixels: Pixels, progress: Progress | None = None) -> Pixels:
        """Translates pixels (H, W, C); the result has their size.

        Raises:
            InputError: These are no pixels, or the runtime fails on them.
        """
        fitting = eight_bit(pixels) if self.takes_deep else pixels
        if not are_pixels(fitting, 3, self.channels[0]):
            raise InputError(
                f"Expected uint8 pixels of shape (H, W, {self.channels[0]}), received "
                f"{pixels.dtype} of shape {pixels.shape}."
            )
        tell = progress or (lambda done, total: None)
        height, width, _ = pixels.shape
        size = self._whole_size(height, width)
        if size is None:
            size = (
                max(rounded_up(height, self._grid), self._tile[0]),
                max(rounded_up(width, self._grid), self._tile[1]),
            )
            answer = self._tiled(padded(pixels, *size), tell)[:height, :width]
        else:
            answer = self._finished(self._run(padded(pixels, *size))[:height, :width])
            tell(1, 1)
        return np.ascontiguousarray(answer)

    @abstractmethod
    def _run(self, pixels: Pixels) -> Values:
        """Translates pixels (H, W, 3) of a size that the runtime takes, to float32 (H, W, 3)."""

    @abstractmethod
    def _finished(self, values: Values) -> Pixels:
        """Turns what `_run` gives, or a blend of it, into pixels."""

    def _tile_runner(self, pixels: Pixels) -> tuple[Callable[[Pixels], Values], int]:
        """Returns `_run` for the tiles of a picture, and the pieces of work done to get there."""
        return self._run, 0

    def _whole_size(self, height: int, width: int) -> Size | None:
        """The size to pad a picture to that goes through in one piece, or None: use tiles."""
        if self._sizes:
            holding = [size for size in self._sizes if height <= size[0] and width <= size[1]]
            return min(holding, key=math.prod, default=None)
        size = padded_size(height, width, self._multiple)
        in_a_tile = height <= self._tile[0] and width <= self._tile[1]
        fits = in_a_tile if self._always else math.prod(size) <= PIXEL_BUDGET
        return size if fits else None

    def _tiled(self, pixels: Pixels, tell: Progress) -> Pixels:
        """Blends the tiles of a picture of at least one; only one band of it is ever float."""
        height, width = self._tile
        rows, columns = (
            tile_starts(pixels.shape[axis], self._tile[axis], self._overlap, self._grid)
            for axis in (0, 1)
        )
        down = tile_weights(pixels.shape[0], height, rows, self._overlap)
        across = tile_weights(pixels.shape[1], width, columns, self._overlap)
        run, done = self._tile_runner(pixels)
        total = done + len(rows) * len(columns)
        if done:
            tell(done, total)
        shape = (*pixels.shape[:2], self.channels[1])
        band = np.zeros((height, *shape[1:]), np.float32)  # rows[i] on, weighted so far
        result = np.empty(shape, self._finished(band[:1]).dtype)
        for i, top in enumerate(rows):
            for j, left in enumerate(columns):
                answer = run(pixels[top : top + height, left : left + width])
                weight = down[i][:, None, None] * across[j][None, :, None]
                band[:, left : left + width] += answer * weight
                done += 1
                tell(done, total)
            # No later tile reaches the rows above the next band.
            below = rows[i + 1] if i + 1 < len(rows) else pixels.shape[0]
            finished = below - top
            result[top:below] = self._finished(band[:finished])
            band = np.concatenate([band[finished:], np.zeros_like(band[:finished])])
        return result


class PictureTranslator(Tiling):
    """Calls a network on pictures of any size; pixels (H, W, 3) -> (H, W, 3).

    Keep one for many pictures: it traces the network at most three times, whatever their sizes.

    Attributes:
        values: Values (1, ...) of the inputs besides the picture by name; may be exchanged between
            calls.

    Args:
        translator: Functional model, float32 (N, H, W, 3) in [-1, 1] and conditions -> image, of
            free or of fixed size (H and W may differ).
        values: Values (...) or (1, ...) of all its inputs besides the picture, by name.
        tile: Side of the tiles, only for networks of free size; see `Tiling`.
        overlap: Pixels that neighbouring tiles share at least; see `Tiling`.
        multiple: Number of which free sides are multiples; the network's shapes tell it, unless
            given.
        deep: True for pixels of 16 bits as results.

    Raises:
        InputError: An argument does not fit the network.
    """

    takes_deep = True

    def __init__(
        self,
        translator: keras.Model,
        *,
        values: Mapping[str, ArrayLike] | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        multiple: int | None = None,
        deep: bool = False,
    ):
        self._to_pixels: Callable[[Values], Any] = to_deep_pixels if deep else to_pixels
        fixed = _fixed_size(translator)
        self.values = _fitting(translator, values or {})
        if fixed is not None and tile is not None and fixed != (tile, tile):
            raise InputError(
                f"The translator only takes {fixed[0]} x {fixed[1]} pixels, so tiles of {tile} are "
                "not possible; leave the tile size out."
            )
        multiple = multiple_of(translator) if multiple is None else multiple
        channels = translator.inputs[0].shape[-1], translator.outputs[0].shape[-1]
        sizes = [fixed] if fixed else []
        super().__init__(sizes, multiple, tile=tile, overlap=overlap, channels=channels)
        self._inputs = [
            tf.TensorSpec((None, *tensor.shape[1:]), tf.float32) for tensor in translator.inputs
        ]
        self._whole, self._record, self._replay = _traced(translator, self._inputs)

    def __call__(self, pixels: Pixels, progress: Progress | None = None) -> Pixels:
        """Translates pixels (H, W, 3); the result has their shape.

        Raises:
            InputError: These are no pixels, or the network's answer is no image of that size.
        """
        try:
            return super().__call__(pixels, progress)
        except tf.errors.ResourceExhaustedError as error:
            height, width, _ = pixels.shape
            raise InputError(
                f"A picture of {height} x {width} does not fit into memory; translate it in tiles "
                f"smaller than {min(self._tile)}."
            ) from error

    def _run(self, pixels: Pixels, statistics: list[tf.Tensor] | None = None) -> Values:
        given = [tf.constant(to_image(pixels)[None]), *self.values.values()]
        whole = statistics is None
        answer = self._whole(*given) if whole else self._replay(given, statistics)
        return _checked(answer, (*given[0].shape[:3], self.channels[1]))[0]

    def _finished(self, values: Values) -> Pixels:
        return self._to_pixels(values)

    def _tile_runner(self, pixels: Pixels) -> tuple[Callable[[Pixels], Values], int]:
        """Takes the statistics of the whole picture, which counts as a piece of work."""
        return functools.partial(self._run, statistics=self._statistics(pixels)), 1

    def _statistics(self, pixels: Pixels) -> list[tf.Tensor]:
        """Statistics of normalisations from tiles all over the picture, as the budget allows."""
        free = rounded_up(RECORDED_TILE, self._multiple)
        tile = self._tile if self._sizes else (min(free, self._tile[0]), min(free, self._tile[1]))
        if not self._record.get_concrete_function(*self._inputs).structured_outputs:
            return []
        counts = [math.ceil(pixels.shape[axis] / tile[axis]) for axis in (0, 1)]
        budget = max(1, PIXEL_BUDGET // math.prod(tile))
        if math.prod(counts) > budget:  # thin out rows and columns alike
            shrink = math.sqrt(budget / math.prod(counts))
            rows = min(max(1, round(counts[0] * shrink)), budget)
            counts = [rows, min(counts[1], budget // rows)]
        height, width = tile
        tops, lefts = (spread(pixels.shape[i], tile[i], counts[i], self._grid) for i in (0, 1))
        chosen = [pixels[top : top + height, x : x + width] for top in tops for x in lefts]
        values = [np.repeat(value, len(chosen), 0) for value in self.values.values()]
        return self._record(tf.constant(to_image(np.stack(chosen))), *values)


def rounded_up(length: int, multiple: int) -> int:
    """Returns the next multiple from `length` on."""
    return -(-length // multiple) * multiple


def is_tile(side: int, multiple: int) -> bool:
    """Whether tiles may have this side."""
    return side >= MINIMUM and side % multiple == 0


def padded_size(height: int, width: int, multiple: int) -> Size:
    """Returns the (H, W) up to which a picture is padded that goes through in one piece."""
    smallest = rounded_up(MINIMUM, multiple)
    return max(rounded_up(height, multiple), smallest), max(rounded_up(width, multiple), smallest)


def padded(pixels: Pixels, height: int, width: int) -> Pixels:
    """Pixels (H, W, 3) reflected below and to the right, as often as it takes, up to a size."""
    grow = [(0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)]
    return np.pad(pixels, grow, mode="reflect") if any(map(any, grow)) else pixels


def spread(length: int, tile: int, count: int, grid: int = 1) -> list[int]:
    """`count` starts of tiles along an axis, evenly from its start to its end, on a grid.

    length - tile, and hence the last start, must be on the grid.
    """
    last = (length - tile) // grid
    if count == 1:
        return [last // 2 * grid]
    # Rounded down, never to the nearest: so no gap is more than a grid step above the average.
    return [i * last // (count - 1) * grid for i in range(count)]


def tile_starts(length: int, tile: int, overlap: int, grid: int = 1) -> list[int]:
    """Starts of the fewest tiles that cover an axis and overlap by at least `overlap`.

    tile and length - tile must be on the grid, overlap rounded up to it less than tile.
    """
    if length <= tile:
        return [0]
    overlap = rounded_up(overlap, grid)
    return spread(length, tile, math.ceil((length - overlap) / (tile - overlap)), grid)


def tile_weights(length: int, tile: int, starts: list[int], overlap: int) -> list[Values]:
    """For each tile its weights along an axis, (tile,); at every pixel they sum to 1.

    From each tile to the next a raised-cosine step, half an overlap wide, in the middle of what
    the two share. A tile's weight is the difference of the steps at its two ends, so the sum is 1
    however many tiles meet.
    """
    ramp = max(1.0, overlap / 2)
    # Pixel centres; at overlap 0 the ramp of 1 is a hard cut between two of them.
    centres = np.arange(length) + 0.5
    steps = [np.ones(length)]
    for start, following in zip(starts, starts[1:], strict=False):
        middle = (following + start + tile) / 2
        along = np.clip((centres - middle) / ramp + 0.5, 0, 1)
        steps.append((1 - np.cos(np.pi * along)) / 2)
    steps.append(np.zeros(length))
    return [
        (steps[i] - steps[i + 1])[start : start + tile].astype(np.float32)
        for i, start in enumerate(starts)
    ]


def _traced(translator: keras.Model, inputs: list[tf.TensorSpec]) -> tuple[Any, Any, Any]:
    """Three functions: images -> images; tiles -> statistics; (tiles, statistics) -> images.

    Each takes the conditions behind the images.

    Graphs even for a single picture: called eagerly, a functional model keeps every activation to
    the end, four times the memory, and it is not faster. The free sides stay free in the
    signatures, so a picture of another size is no reason to trace again.
    """
    network = in_order(translator)

    @tf.function(input_signature=inputs)
    def whole(*given):
        return network(*given, training=False)

    @tf.function(input_signature=inputs)
    def record(*given):
        with SharedStatistics.record() as statistics:
            network(*given, training=False)
        return statistics.values

    @tf.function(reduce_retracing=True)
    def replay(given, values):
        with SharedStatistics.replay(values):
            return network(*given, training=False)

    return whole, record, replay


def _fixed_size(translator: keras.Model) -> tuple[int, int] | None:
    """The only (H, W) a translator takes, or None if it takes any.

    Raises:
        InputError: It is no image -> image network, or one side or the batch alone is fixed.
    """
    if not isinstance(translator, keras.Model) or not translator.inputs:
        raise InputError(f"A translator is a functional keras.Model, not {type(translator)}.")
    shapes = [tuple(tensor.shape) for tensor in translator.inputs]
    outputs = [tuple(tensor.shape) for tensor in translator.outputs]
    ends = [(len(shape), shape[-1]) for shape in (shapes[0], *outputs)]
    if len(ends) != 2 or any(rank != 4 or last not in CHANNELS for rank, last in ends):
        raise InputError(
            f"A translator maps one image (N, H, W, 3) to one; {translator.name} takes {shapes} "
            f"and gives {outputs}."
        )
    batch, height, width, _ = shapes[0]
    if batch is not None or (height is None) != (width is None):
        raise InputError(
            f"{translator.name} takes images of shape {shapes[0]}; the number of images must be "
            "free, and height and width both free or both fixed."
        )
    return None if height is None else (height, width)


def _fitting(translator: keras.Model, values: Mapping[str, ArrayLike]) -> dict[str, Values]:
    """Values (1, ...) of the inputs besides the picture, in the network's order."""
    fitting = {}
    for tensor in translator.inputs[1:]:
        name, shape = tensor.name, tuple(tensor.shape[1:])
        value = np.asarray(values.get(name, ()), np.float32)
        if name not in values or value.shape not in (shape, (1, *shape)):
            came = f"its value has the shape {value.shape}" if name in values else "none came"
            raise InputError(
                f"{translator.name} also takes {name} of the shape {shape}, and {came}."
            )
        fitting[name] = value.reshape(1, *shape)
    return fitting


def _checked(answer: tf.Tensor, shape: tuple[int, ...]) -> Values:
    """The network's answer as an array, if it is an image of the expected shape."""
    # A model of one output in a list gives a list.
    image = np.asarray(tf.nest.flatten(answer)[0], np.float32)
    if image.shape != tuple(shape):
        raise InputError(
            f"The translator made {image.shape} of {tuple(shape)}; it must keep the size, so its "
            "stride may not divide the picture's: give it as `multiple`."
        )
    if not np.isfinite(image).all():
        raise InputError("The translator gave NaN or infinite values; its weights are broken.")
    return image
