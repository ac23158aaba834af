"""What an evaluation measures: one pass over the test pictures for each answer, in bounded memory.

An answer is any function pixels -> pixels: a translator, or one that learns nothing. Features are
kept as moments and as a sample of at most some thousands, one number a picture for the errors.
"""

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.dataset import Dataset
from tfi2i.errors import InputError
from tfi2i.evaluate import diversity, paired
from tfi2i.evaluate.backbones import Backbone
from tfi2i.evaluate.distances import Moments, Sample, fid, kid_interval, kid_subsets
from tfi2i.evaluate.report import Row

Pixels = NDArray[np.uint8]
Answer = Callable[[Pixels], Pixels]

BATCH = 32
FID_PICTURES = 2000  # below so many, FID says more about their number than about the translations
FEW_PICTURES = 50
RIGHT_CONTENT = (
    ", and yet they are closer to the truth: their content is right, and their texture (blur, "
    "noise), to which KID is most sensitive, is not"
)


class PictureSet:
    """Features of pictures that come a few at a time: their moments, and a sample of them."""

    def __init__(self, backbone: Backbone):
        self._backbone = backbone
        self.moments = Moments(backbone.dimensions)
        self.sample = Sample(backbone.dimensions)

    def add(self, pixels: Pixels) -> NDArray[np.float32]:
        """Takes pixels (N, S, S, 3) in and returns their features (N, D)."""
        features = self._backbone.features(pixels)
        self.moments.add(features)
        self.sample.add(features)
        return features


class Gallery:
    """The pictures to show of one direction: the first, the best and the worst; no more in memory.

    The first checkpoint that is measured chooses them; the others add their fakes to the same.
    """

    def __init__(self, first: int = 8, extremes: int = 6):
        self._limit = extremes
        self._first_count = first
        self._first: dict[int, Row] = {}
        self._best: list[tuple[float, int, Row]] = []
        self._worst: list[tuple[float, int, Row]] = []
        self._chosen: dict[int, Row] | None = None

    def offer(self, index: int, row: Row) -> None:
        """Takes a picture in, if it is among the first, best or worst so far, and its fakes."""
        if self._chosen is not None:
            if index in self._chosen:
                self._chosen[index].fakes.update(row.fakes)
            return
        if index < self._first_count:
            self._first[index] = row
        for heap, sign in ((self._best, -1), (self._worst, 1)):
            entry = (sign * row.distance, index, row)
            if len(heap) < self._limit:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)

    def close(self) -> None:
        """Ends the choice; what is offered from now on only adds fakes."""
        extremes = {index: row for _, index, row in (*self._best, *self._worst)}
        self._chosen = self._first | extremes

    @property
    def first(self) -> list[Row]:
        return [self._first[index] for index in sorted(self._first)]

    @property
    def best(self) -> list[Row]:
        """Smallest distance first."""
        return [row for _, _, row in sorted(self._best, key=lambda entry: -entry[0])]

    @property
    def worst(self) -> list[Row]:
        """Largest distance first."""
        return [row for _, _, row in sorted(self._worst, key=lambda entry: -entry[0])]


@dataclass
class _Pass:
    """What is gathered while an answer goes over the test pictures."""

    pictures: PictureSet
    errors: dict[str, list[NDArray[np.floating]]] = field(default_factory=dict)

    def note(self, name: str, values: NDArray[np.floating]) -> None:
        self.errors.setdefault(name, []).append(values)

    def mean(self, name: str) -> float | None:
        if name not in self.errors:
            return None
        return float(np.concatenate(self.errors[name]).mean())


class Measure:
    """Measures answers on the test pictures of one data set by one backbone.

    `advance` is called with numbers of pictures done; a progress bar may take its place.

    Args:
        data: any source; of paired data the errors against the truth are measured too.
        backbone: what sees the pictures for KID, FID and neighbours.
        image_size: the side at which pictures are translated and compared.
        aspect: as in `Dataset.pictures`.
        images: at most so many test pictures, a random sample; None: all.
        train_images: at most so many training pictures, for the floor and the neighbours.
        seed: of samples and resamples.
        protocol: "default", or "nice-gan" for that code's KID of random subsets.
    """

    def __init__(
        self,
        data: Dataset,
        backbone: Backbone,
        *,
        image_size: int,
        aspect: str = "squash",
        images: int | None = None,
        train_images: int = 2000,
        seed: int = 0,
        protocol: str = "default",
    ):
        self.data = data
        self.image_size = image_size
        self._backbone = backbone
        self._aspect = aspect
        self._limits = {"test": images, "train": train_images}
        self._seed = seed
        self._protocol = protocol
        self.advance: Callable[[int], object] = lambda count: None
        self._real: dict[tuple[str, str], PictureSet] = {}
        self._translated: dict[str, int] = {}
        self._colours: dict[str, Moments] = {}

    def pictures(self, split: str, domain: str) -> Iterator[tuple[Pixels, list[str]]]:
        """The pictures that are measured, a few at a time."""
        return self.data.pictures(
            split,
            domain,
            self.image_size,
            aspect=self._aspect,
            limit=self._limits[split],
            seed=self._seed,
            batch=BATCH,
        )

    def planned(self, split: str, domain: str) -> int:
        """How many there will be, if all can be read."""
        limit, there = self._limits[split], len(self.data.domain(split, domain))
        return there if limit is None else min(limit, there)

    def real(self, split: str, domain: str) -> PictureSet:
        """Features of the real pictures of a split, "train" or "test"; computed once.

        Raises:
            InputError: fewer than two can be read.
        """
        if (split, domain) not in self._real:
            made = PictureSet(self._backbone)
            colours = Moments(3)
            for pixels, _ in self.pictures(split, domain):
                made.add(pixels)
                colours.add(pixels.reshape(-1, 3))
                self.advance(len(pixels))
            if made.moments.count < 2:
                where = self.data.domain(split, domain).where
                raise InputError(
                    f"{where} holds {made.moments.count} pictures that can be read; distributions "
                    "are compared from 2 on, and well from some hundreds on."
                )
            self._real[split, domain] = made
            if split == "train":
                self._colours[domain] = colours
        return self._real[split, domain]

    def score(self, x: PictureSet, y: PictureSet) -> dict[str, float | None]:
        """KID with its 95 % interval (None for few pictures), and FID, of two sets of pictures."""
        if self._protocol == "nice-gan":
            mean, deviation = kid_subsets(x.sample.rows, y.sample.rows, seed=self._seed)
            kid = {"kid": mean, "kid_std": deviation, "kid_low": None, "kid_high": None}
        else:
            mean, *ends = kid_interval(x.sample.rows, y.sample.rows, seed=self._seed)
            low, high = (None if math.isnan(end) else end for end in ends)
            kid = {"kid": mean, "kid_low": low, "kid_high": high}
        return kid | {"fid": fid(x.moments, y.moments)}

    def floor(self, domain: str) -> dict[str, float | None]:
        """The score of real training pictures against real test pictures: as good as it gets."""
        return self.score(self.real("train", domain), self.real("test", domain))

    def counts(self, direction: str) -> dict[str, int]:
        """How many pictures the figures of a direction are taken on, after its first answer."""
        source, target = direction.split("2")
        return {
            "translated": self._translated[source],
            "real": self.real("test", target).moments.count,
            "train": self.real("train", target).moments.count,
        }

    def trivial(self, direction: str) -> dict[str, dict[str, Any]]:
        """Scores of answers that learn nothing: the input itself, and a transfer of colours."""
        target = direction.split("2")[1]
        self.real("train", target)
        colours = self._colours[target]
        deviation = np.sqrt(np.diag(colours.covariance))

        def recolour(pixels: Pixels) -> Pixels:
            return paired.recoloured(pixels, colours.mean, deviation)

        answers: dict[str, Answer] = {
            "identity": lambda pixels: pixels,
            "colour_statistics": recolour,
        }
        return {name: self.score_of(direction, answer) for name, answer in answers.items()}

    def score_of(self, direction: str, answer: Answer) -> dict[str, Any]:
        """KID, FID and paired errors of an answer."""
        return self._scored(direction, self._answered(direction, answer, None, None, ""))

    def translation(
        self, direction: str, answer: Answer, back: Answer | None, gallery: Gallery, which: str
    ) -> dict[str, Any]:
        """All figures of a translator, but for its step.

        Args:
            direction: "a2b" or "b2a".
            answer: the translator.
            back: that of the other direction, for the cycle error; None: there is none.
            gallery: takes the pictures to show.
            which: the checkpoint's name there.
        """
        source, target = direction.split("2")
        found = self._answered(direction, answer, back, gallery, which)
        fake, real = found.pictures.sample.rows, self.real("test", target).sample.rows
        train = self.real("train", target).sample.rows
        copying = found.mean("input") or 0.0
        memorising = {
            name: float(np.median(diversity.nearest(rows, train)))
            for name, rows in (("fake", fake), ("real", real))
        }
        spreads = {"fake": diversity.spread(fake), "real": diversity.spread(real)}
        notes = [
            diversity.copying_note(copying),
            diversity.memorising_note(**memorising),
            diversity.diversity_note(**spreads),
        ]
        return self._scored(direction, found) | {
            "cycle_l1": found.mean("cycle"),
            "copying": {"l1": copying},
            "memorising": memorising,
            "diversity": spreads,
            "notes": [note for note in notes if note],
        }

    def _scored(self, direction: str, found: _Pass) -> dict[str, Any]:
        target = self.real("test", direction.split("2")[1])
        score: dict[str, Any] = self.score(found.pictures, target)
        if "test" not in self.data.paired:
            return score | {"paired": None}
        fake, truth = found.pictures.sample.rows, target.sample.rows
        errors = {
            "l1": found.mean("l1"),
            "psnr_db": found.mean("psnr_db"),
            "ssim": found.mean("ssim"),
            "retrieval_top1": paired.retrieval_top1(fake, truth),
            "retrieval_chance": 1 / len(truth),
        }
        return score | {"paired": errors}

    def _answered(
        self,
        direction: str,
        answer: Answer,
        back: Answer | None,
        gallery: Gallery | None,
        which: str,
    ) -> _Pass:
        """One pass over the test pictures of the source."""
        source, target = direction.split("2")
        real = self.real("test", target)
        found, index = _Pass(PictureSet(self._backbone)), 0
        truths = self.pictures("test", target) if "test" in self.data.paired else None
        for pixels, names in self.pictures("test", source):
            fakes = answer(pixels)
            features = found.pictures.add(fakes)
            found.note("input", _l1_each(fakes, pixels))
            truth = next(truths)[0] if truths else None
            if truth is not None:
                distances = self._note_truth(found, fakes, truth)
            elif gallery is not None:
                distances = diversity.nearest(features, real.sample.rows)
            recos = back(fakes) if back else None
            if recos is not None:
                found.note("cycle", _l1_each(recos, pixels))
            if gallery is not None:
                for i, name in enumerate(names):
                    cycle = None if recos is None else recos[i]
                    own = None if truth is None else truth[i]
                    row = Row(
                        name, float(distances[i]), pixels[i], {which: fakes[i]}, cycle, None, own
                    )
                    gallery.offer(index + i, row)
            index += len(pixels)
            self.advance(len(pixels))
        self._translated[source] = index
        return found

    def _note_truth(self, found: _Pass, fakes: Pixels, truth: Pixels) -> NDArray[np.floating]:
        errors = _l1_each(fakes, truth)
        found.note("l1", errors)
        found.note("psnr_db", paired.psnr(fakes, truth))
        if self.image_size >= paired.WINDOW:
            found.note("ssim", paired.ssim(fakes, truth))
        return errors


def _l1_each(x: Pixels, y: Pixels) -> NDArray[np.floating]:
    """Mean |x - y| / 255 of each picture of (N, S, S, 3)."""
    return np.abs(x.astype(np.float32) - y).mean((1, 2, 3)) / 255


def warnings(direction: str, found: dict[str, Any]) -> list[str]:
    """What a reader of a direction's figures has to know first, a sentence each."""
    source, target = direction.split("2")
    n, trivial = found["n"], found["trivial"]
    fewest = min(n["translated"], n["real"])
    said = []
    if fewest < FID_PICTURES:
        said.append(
            f"{direction}: FID of {n['translated']} against {n['real']} pictures says little: "
            f"below {FID_PICTURES:,} it is biased upwards, and can only be compared with FIDs of "
            "the same numbers; look at KID, which has no such bias."
        )
    if fewest < FEW_PICTURES:
        said.append(
            f"{direction}: {fewest} pictures are few, so the intervals of KID are wide; "
            "differences smaller than them mean nothing."
        )
    checkpoints: dict[str, list[str]] = {}
    for which, figures in found["checkpoints"].items():
        if figures["kid"] < trivial["identity"]["kid"]:
            continue
        right = figures["paired"] and figures["paired"]["l1"] < min(
            answer["paired"]["l1"] for answer in trivial.values()
        )
        checkpoints.setdefault(RIGHT_CONTENT if right else "", []).append(which)
    for ending, names in checkpoints.items():
        said.append(
            f"{direction}, {' and '.join(names)}: by KID the translations are no closer to the "
            f"pictures of {target} than the pictures of {source} are before translation{ending}."
        )
    return said
