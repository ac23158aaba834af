"""Measurements of an evaluation: one pass over the test pictures an answer, in bounded memory.

An answer is any function of pixels (none where a direction has no source) and of the rows that they
are among all: a translator with a value of its conditions for each, or one that learns nothing.
Features are kept as moments and as a sample of at most some thousands, one number a picture for the
errors.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.conditions import ANY, Direction
from tfi2i.data.dataset import Dataset
from tfi2i.errors import InputError
from tfi2i.evaluate import diversity, grid, paired, ruler
from tfi2i.evaluate.backbones import Backbone
from tfi2i.evaluate.distances import Moments, Sample, fid, kid, kid_interval, kid_subsets
from tfi2i.evaluate.gallery import Gallery
from tfi2i.evaluate.report import Pixels, Row
from tfi2i.pictures.channels import in_channels, shown
from tfi2i.pictures.sizes import AnySize, height_and_width

Answer = Callable[[Any, slice], Pixels]  # of pixels, or of None where there is no source

BATCH = 32
FID_PICTURES = 2000  # below so many, FID says more about their number than about the translations
FEW_PICTURES = 50
RIGHT_CONTENT = (
    ", and yet they are closer to the truth: their content is right, and their texture (blur, "
    "noise), to which KID is most sensitive, is not"
)


class PictureSet:
    """Features of pictures that come a few at a time: their moments, a sample of them, and errors.

    `colours` are the moments of single pixels, and `total` is the sum of the pictures (S, S, 3),
    where somebody adds them.
    """

    def __init__(self, backbone: Backbone):
        self._backbone = backbone
        self.moments = Moments(backbone.dimensions)
        self.sample, self.coarse = Sample(backbone.dimensions), Sample(backbone.dimensions)
        self.colours: Moments | None = None
        self.total: NDArray[np.float64] | float = 0.0
        self._errors: dict[str, list[NDArray[np.floating]]] = defaultdict(list)

    def add(self, pixels: Pixels) -> NDArray[np.float32]:
        """Takes pixels (N, H, W, C) in and returns their features (N, D)."""
        features = self._backbone.features(shown(pixels))
        self.moments.add(features)
        self.sample.add(features)
        return features

    def add_coarse(self, pixels: Pixels) -> None:
        """Takes in the low frequencies of pixels (N, H, W, C)."""
        self.coarse.add(self._backbone.features(ruler.coarse(shown(pixels))))

    def note(self, name: str, errors: NDArray[np.floating]) -> None:
        """Takes in errors (N,) of some of the pictures."""
        self._errors[name].append(errors)

    def mean(self, name: str) -> float | None:
        """The mean of the errors of a name, if there are any."""
        return float(np.concatenate(self._errors[name]).mean()) if name in self._errors else None

    def note_grid(self, pixels: Pixels) -> None:
        """Takes in what stands out at a grid's periods, if the pictures are large enough."""
        if min(pixels.shape[1:3]) >= grid.SMALLEST:
            self.note("grid", grid.powers(shown(pixels)))

    def grid(self) -> dict[int, float]:
        """Strength of a grid by its period, if it was taken in."""
        found = self._errors.get("grid")
        return grid.strengths(np.concatenate(found)) if found else {}


@dataclass
class Measure:
    """Measures answers on the test pictures of one data set by one backbone.

    Attributes:
        data: Dataset of any source; of paired data the errors against the truth are measured too.
        backbone: Network that sees the pictures for KID, FID and neighbours.
        image_size: Size at which pictures are translated and compared.
        aspect: Aspect as in `Dataset.pictures`.
        images: Largest number of test pictures, a random sample; None: all.
        train_images: Largest number of training pictures, for the floor and the neighbours.
        seed: Seed of samples and resamples.
        protocol: "default", or "nice-gan" for that code's KID of random subsets.
        advance: Function called with numbers of pictures done; a progress bar may take its place.
    """

    data: Dataset
    backbone: Backbone
    _: KW_ONLY
    image_size: AnySize
    aspect: str = "squash"
    images: int | None = None
    train_images: int = 2000
    seed: int = 0
    protocol: str = "default"
    advance: Callable[[int], object] = lambda count: None
    _real: dict[tuple[str, str], PictureSet] = field(default_factory=dict, init=False)
    _translated: dict[str, int] = field(default_factory=dict, init=False)

    def _limit(self, split: str) -> int | None:
        return self.images if split == "test" else self.train_images

    def pictures(
        self, split: str, domain: str | None, limit: int | None = None
    ) -> Iterator[tuple[Pixels, list[str]]]:
        """The pictures that are measured, or fewer, a few at a time; None: those of all domains."""
        return self.data.pictures(
            split,
            domain or ANY,
            self.image_size,
            aspect=self.aspect,
            limit=limit or self._limit(split),
            seed=self.seed,
            batch=BATCH,
        )

    def planned(self, split: str, domain: str | None) -> int:
        """Number of pictures that there will be, if all can be read."""
        there = len(self.data.domain(split, domain or ANY))
        return min(self._limit(split) or there, there)

    def has_truth(self, way: Direction) -> bool:
        """Whether the true translation of each test picture is known."""
        return "test" in self.data.paired and self.has_trivial(way)

    def has_trivial(self, way: Direction) -> bool:
        """Whether answers that learn nothing say something.

        In a mixture of domains an input may belong to the target already, and without a source
        there is no input.
        """
        return way.source in self.data.test and way.target in self.data.test

    def real(self, split: str, domain: str | None) -> PictureSet:
        """Features of the real pictures of a split, "train" or "test"; computed once.

        Raises:
            InputError: fewer than two can be read.
        """
        domain = domain or ANY
        if (split, domain) not in self._real:
            found = PictureSet(self.backbone)
            for pixels, _ in self.pictures(split, domain):
                found.add(pixels)
                if split == "test":
                    found.note_grid(pixels)
                    found.add_coarse(pixels)
                channels = pixels.shape[-1]
                found.colours = found.colours or Moments(channels)
                found.colours.add(pixels.reshape(-1, channels))
                found.total = found.total + pixels.sum(0, dtype=np.float64)
                self.advance(len(pixels))
            if found.moments.count < 2:
                where = self.data.domain(split, domain).where
                raise InputError(
                    f"{where} holds {found.moments.count} pictures that can be read; distributions "
                    "are compared from 2 on, and well from some hundreds on."
                )
            self._real[split, domain] = found
        return self._real[split, domain]

    def score(self, x: PictureSet, y: PictureSet) -> dict[str, float | None]:
        """KID with its 95 % interval (None for few pictures), and FID, of two sets of pictures."""
        if self.protocol == "nice-gan":
            mean, deviation = kid_subsets(x.sample.rows, y.sample.rows, seed=self.seed)
            found = {"kid": mean, "kid_std": deviation, "kid_low": None, "kid_high": None}
        else:
            mean, *ends = kid_interval(x.sample.rows, y.sample.rows, seed=self.seed)
            low, high = (None if math.isnan(end) else end for end in ends)
            found = {"kid": mean, "kid_low": low, "kid_high": high}
        if min(len(x.coarse.rows), len(y.coarse.rows)) > 1:
            found["kid_coarse"] = kid(x.coarse.rows, y.coarse.rows)
        return found | {"fid": fid(x.moments, y.moments)}

    def floor(self, domain: str | None) -> dict[str, float | None]:
        """The score of real training pictures against real test pictures: as good as it gets."""
        return self.score(self.real("train", domain), self.real("test", domain))

    def on_ruler(self, domain: str | None) -> ruler.Ruler:
        """KID of training pictures after blur and noise against real test pictures.

        Training pictures as in the floor: a test picture and its own blur would be nearer to each
        other than two pictures are.
        """
        samples = defaultdict[Any, Sample](lambda: Sample(self.backbone.dimensions))
        for pixels, _ in self.pictures("train", domain, ruler.PICTURES):
            for kind, deviation, changed in ruler.marks(shown(pixels), self.seed):
                samples[kind, deviation].add(self.backbone.features(changed))
            self.advance(len(pixels))
        test = self.real("test", domain).sample.rows
        return {
            kind: {f"{one:g}": kid(samples[kind, one].rows, test) for one in deviations}
            for kind, deviations in ruler.MARKS.items()
        }

    def counts(self, way: Direction) -> dict[str, int]:
        """Numbers of pictures behind a direction's figures, after its first answer."""
        return {
            "translated": self._translated[way.name],
            "real": self.real("test", way.target).moments.count,
            "train": self.real("train", way.target).moments.count,
        }

    def trivial(self, way: Direction) -> dict[str, dict[str, Any]]:
        """Scores of answers that learn nothing: input, transfer of colours, mean picture."""
        if not self.has_trivial(way):
            return {}
        train = self.real("train", way.target)
        assert train.colours is not None  # `real` has added them
        mean, deviation = train.colours.mean, np.sqrt(np.diag(train.colours.covariance))
        picture = np.rint(train.total / train.moments.count).astype(np.uint8)
        answers: dict[str, Answer] = {
            "identity": lambda pixels, rows: in_channels(pixels, len(mean)),
            "colour_statistics": lambda pixels, rows: paired.recoloured(
                in_channels(pixels, len(mean)), mean, deviation
            ),
            "mean_image": lambda pixels, rows: np.repeat(picture[None], len(pixels), 0),
        }
        return {
            name: self.score_of(way, answer, coarse=name == "identity")
            for name, answer in answers.items()
        }

    def score_of(self, way: Direction, answer: Answer, coarse: bool = True) -> dict[str, Any]:
        """KID, that of coarse pictures if wanted, FID and paired errors of an answer."""
        return self._scored(way, self._answered(way, answer, coarse=coarse))

    def translation(
        self, way: Direction, answer: Answer, back: Answer | None, gallery: Gallery, which: str
    ) -> dict[str, Any]:
        """All figures of a translator, but for its step and its variety.

        Args:
            way: Direction of the answer.
            answer: Translator, or sampler.
            back: Translator of the way back, for the cycle error; None: there is none.
            gallery: Gallery that takes the pictures to show.
            which: Name of the checkpoint there.
        """
        found = self._answered(way, answer, back, gallery, which)
        fake, real = found.sample.rows, self.real("test", way.target).sample.rows
        train = self.real("train", way.target).sample.rows
        copying = found.mean("input")
        memorising = {
            name: float(np.median(diversity.nearest(rows, train)))
            for name, rows in (("fake", fake), ("real", real))
        }
        spreads = {"fake": diversity.spread(fake), "real": diversity.spread(real)}
        grids = {"fake": found.grid(), "real": self.real("test", way.target).grid()}
        notes = [
            None if copying is None else diversity.copying_note(copying),
            diversity.memorising_note(**memorising),
            diversity.diversity_note(**spreads),
            grid.grid_note(**grids),
        ]
        return self._scored(way, found) | {
            "cycle_l1": found.mean("cycle"),
            "copying": None if copying is None else {"l1": copying},
            "memorising": memorising,
            "diversity": spreads,
            "grid": {
                str(period): {name: grids[name][period] for name in grids}
                for period in grids["fake"]
            },
            "notes": list(filter(None, notes)),
        }

    def _scored(self, way: Direction, found: PictureSet) -> dict[str, Any]:
        target = self.real("test", way.target)
        score: dict[str, Any] = self.score(found, target) | {"paired": None}
        if self.has_truth(way):
            truth = target.sample.rows
            score["paired"] = {
                **{name: found.mean(name) for name in ("l1", "psnr_db", "ssim")},
                "retrieval_top1": paired.retrieval_top1(found.sample.rows, truth),
                "retrieval_chance": 1 / len(truth),
            }
        return score

    def inputs(self, way: Direction) -> Iterator[tuple[Pixels | None, list[str]]]:
        """The pictures that go in and their names, a few at a time; only names without a source."""
        if way.source is not None:
            yield from self.pictures("test", way.source)
            return
        count = self.planned("test", way.target)
        for start in range(0, count, BATCH):
            yield None, [f"{way} {i + 1}" for i in range(start, min(start + BATCH, count))]

    def _answered(
        self,
        way: Direction,
        answer: Answer,
        back: Answer | None = None,
        gallery: Gallery | None = None,
        which: str = "",
        coarse: bool = True,
    ) -> PictureSet:
        """One pass over the test pictures of the source, which gathers features and errors."""
        others = self.real("test", way.target).sample.rows
        found, index = PictureSet(self.backbone), 0
        truths = self.pictures("test", way.target) if self.has_truth(way) else None
        for pixels, names in self.inputs(way):
            rows = slice(index, index + len(names))
            fakes = answer(pixels, rows)
            features = found.add(fakes)
            if coarse:
                found.add_coarse(fakes)
            if pixels is not None:
                found.note("input", l1_each(shown(fakes), shown(pixels)))
            recos = back(fakes, rows) if back else None
            if recos is not None and pixels is not None:
                found.note("cycle", l1_each(recos, pixels))
            truth = next(truths)[0] if truths else None
            if truth is not None:
                distances: NDArray[np.floating] = l1_each(fakes, truth)
                found.note("l1", distances)
                found.note("psnr_db", paired.psnr(fakes, truth))
                if min(height_and_width(self.image_size)) >= paired.WINDOW:
                    found.note("ssim", paired.ssim(fakes, truth))
            elif gallery is not None:
                distances = diversity.nearest(features, others)
            if gallery is not None:
                found.note_grid(fakes)
                for i, name in enumerate(names):
                    real, cycle, own = (x if x is None else x[i] for x in (pixels, recos, truth))
                    row = Row(name, float(distances[i]), real, {which: fakes[i]}, cycle, None, own)
                    gallery.offer(index + i, row)
            index += len(names)
            self.advance(len(names))
        self._translated[way.name] = index
        return found


def l1_each(x: Pixels, y: Pixels) -> NDArray[np.floating]:
    """Mean |x - y| / 255 (N,) of each picture of pixels (N, H, W, C)."""
    return np.abs(x.astype(np.float32) - y).mean((1, 2, 3)) / 255


def warnings(way: Direction, found: dict[str, Any]) -> list[str]:
    """Sentences that a reader of a direction's figures has to know first."""
    n, trivial = found["n"], found["trivial"]
    fewest = min(n["translated"], n["real"])
    sentences = []
    if fewest < FID_PICTURES:
        sentences.append(
            f"{way}: FID of {n['translated']} against {n['real']} pictures says little: "
            f"below {FID_PICTURES:,} it is biased upwards, and can only be compared with FIDs of "
            "the same numbers; look at KID, which has no such bias."
        )
    if fewest < FEW_PICTURES:
        sentences.append(
            f"{way}: {fewest} pictures are few, so the intervals of KID are wide; "
            "differences smaller than them mean nothing."
        )
    useless: dict[str, list[str]] = defaultdict(list)  # checkpoints by the end of their sentence
    for which, figures in found["checkpoints"].items() if trivial else ():
        if figures["kid"] >= trivial["identity"]["kid"]:
            useless[RIGHT_CONTENT if _has_content(figures, trivial) else ""].append(which)
    for ending, names in useless.items():
        sentences.append(
            f"{way}, {' and '.join(names)}: by KID the translations are no closer to the "
            f"pictures of {way.target} than the pictures of {way.source} are before translation"
            f"{ending}."
        )
    return sentences


def _has_content(figures: dict[str, Any], trivial: dict[str, dict[str, Any]]) -> bool:
    """Whether translations are closer to the truth than all that learns nothing, and differ."""
    if not figures["paired"] or diversity.diversity_note(**figures["diversity"]):
        return False
    return figures["paired"]["l1"] < min(answer["paired"]["l1"] for answer in trivial.values())
