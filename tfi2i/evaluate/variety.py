"""Variety of the outputs for one picture under several values of a condition.

Letters: N pictures, V values, D features, S side.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.conditions import Condition, Direction
from tfi2i.data.dataset import Dataset
from tfi2i.evaluate import diversity
from tfi2i.evaluate.gallery import Gallery
from tfi2i.evaluate.measure import Answer, Measure, l1_each
from tfi2i.pictures.channels import shown

Values = Mapping[str, NDArray[np.float32]]

PICTURES = 50  # the first ones of the test set, to keep the time short
VALUES = 5


def real_labels(
    conditions: tuple[Condition, ...], data: Dataset, count: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """The test pictures' own labels in another order, for the conditions that are named as they.

    Outputs under them are as many of each label as the pictures of all domains, with which they
    are compared.
    """
    labels = data.labels("test")
    if labels is None:
        return {}
    order = np.random.default_rng(seed).permutation(len(labels))
    named = [one for one in conditions if one.kind == "label" and one.names == data.label_names]
    return {one.name: np.resize(labels[order], (count, *one.shape)) for one in named}


def values_of_one(condition: Condition) -> int:
    """The number of values that a condition takes for one picture."""
    if condition.kind == "label" and condition.exclusive:
        return min(VALUES, condition.shape[0])
    return VALUES


def values_beside(
    condition: Condition, values: Values, seed: int, target: str | None
) -> dict[str, Values]:
    """Values (N, ...) of all conditions by a name, among which this one alone differs.

    Args:
        condition: Condition that takes several values: each label, or samples.
        values: Values of all conditions.
        seed: Seed of the samples.
        target: Domain that samplers draw for.
    """
    old = values[condition.name]
    if condition.kind == "label" and condition.exclusive:
        rows = np.eye(condition.shape[0], dtype=np.float32)
        names = (condition.names or tuple(map(str, range(len(rows)))))[:VALUES]
        several = {name: np.broadcast_to(rows[i], old.shape) for i, name in enumerate(names)}
    else:
        several = {
            f"{condition.name} {i}": condition.sample(len(old), seed + i, target)
            for i in range(1, 1 + VALUES)
        }
    return {name: {**values, condition.name: one} for name, one in several.items()}


def variety(
    measure: Measure,
    way: Direction,
    answers: Mapping[str, Mapping[str, Answer]],
    gallery: Gallery | None,
) -> tuple[dict[str, Any], list[str]]:
    """Distances between outputs for one picture, by condition; of pairs also their errors.

    Returns `variety`, the distances by condition beside those of real pictures, and `several`, the
    mean and the best L1 to the truth of all outputs of a picture, or None where it is not known;
    and sentences about the conditions that outputs hardly depend on.

    Args:
        measure: Pictures and backbone.
        way: Direction of the answers.
        answers: Answers by the condition whose value alone differs, and by the value's name.
        gallery: Gallery that takes the outputs of its first pictures, if any does.
    """
    found: dict[str, list[float]] = defaultdict(list)
    index = 0
    truths = measure.pictures("test", way.target) if measure.has_truth(way) else None
    for pixels, names in measure.inputs(way):
        count = min(len(names), PICTURES - index)
        rows = slice(index, index + count)
        inputs = None if pixels is None else pixels[:count]
        outputs = {
            condition: {name: answer(inputs, rows) for name, answer in several.items()}
            for condition, several in answers.items()
        }
        every = {name: fakes for several in outputs.values() for name, fakes in several.items()}
        for condition, several in outputs.items():
            for fakes in np.stack(list(several.values()), axis=1):  # (V, S, S, 3) each
                spread = diversity.spread(measure.backbone.features(shown(fakes)))
                found[f"features {condition}"].append(spread)
                found[f"l1 {condition}"].append(diversity.mean_l1(fakes))
        if truths is not None:
            truth = next(truths)[0][:count]
            each = np.stack([l1_each(f, truth) for one in outputs.values() for f in one.values()])
            found["l1_mean"].extend(each.mean(0))
            found["l1_best"].extend(each.min(0))
        if gallery is not None:
            for i in range(count):
                gallery.vary(index + i, {name: fakes[i] for name, fakes in every.items()})
        index += count
        measure.advance(count * len(every))
        if index == PICTURES:
            break
    means = {name: float(np.mean(values)) for name, values in found.items()}
    errors = {key: means[key] for key in ("l1_mean", "l1_best") if key in means}
    real = _real(measure, way.target)
    distances = {
        name: {
            "values": len(several),
            "fake": means[f"features {name}"],
            "l1": means[f"l1 {name}"],
            **real,
        }
        for name, several in answers.items()
    }
    notes = (diversity.ignored_note(key, d["fake"], d["real"]) for key, d in distances.items())
    return {"variety": distances, "several": errors or None}, list(filter(None, notes))


def _real(measure: Measure, domain: str | None) -> dict[str, float]:
    """Mean distances between real pictures, of features and of pixels."""
    some = [pixels for pixels, _ in measure.pictures("test", domain, limit=PICTURES)]
    return {
        "real": diversity.spread(measure.real("test", domain).sample.rows),
        "l1_real": diversity.mean_l1(np.concatenate(some)),
    }
