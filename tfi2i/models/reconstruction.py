"""Errors of translations whose truth a batch holds: what `evaluate` of a translator measures."""

from typing import Any

import tensorflow as tf

from tfi2i.networks.ends import in_channels


def names_of(system: Any) -> tuple[str, ...]:
    """`cycle` where there is a way back, else `identity`; `paired` where the truth is known."""
    if system.batch.layout == "labelled":
        return ("cycle",)
    ways = {(way.source, way.target) for way in system.directions}
    back = {(target, source) in ways for source, target in ways}
    names = (("cycle", True in back), ("identity", False in back))
    paired = ("paired",) if system.batch.layout == "paired" else ()
    return (*(name for name, there in names if there), *paired)


def reconstructions(system: Any, batch: dict[str, tf.Tensor]) -> dict[str, Any]:
    """Mean absolute errors by name, in units of images in [-1, 1].

    Args:
        system: Translator of any kind.
        batch: Batch of its layout; images are (N, S, S, 3).

    Returns:
        `cycle`: after there and back. `identity`: of pictures translated into their own domain,
        where there is no way back. `paired`: of translations whose truth the batch holds.
    """
    errors: dict[str, list[Any]] = {name: [] for name in names_of(system)}

    def note(name: str, images, truth) -> None:
        errors[name].append(tf.reduce_mean(tf.abs(images - tf.cast(truth, tf.float32))))

    if system.batch.layout == "labelled":
        label = next(one.name for one in system.conditions if one.kind == "label")
        way = next(way for way in system.directions if way.target is None)
        there = system.through(way, batch["image"], **{label: batch["target_label"]})
        note("cycle", system.through(way, there, **{label: batch["label"]}), batch["image"])
    else:
        ways = {(way.source, way.target): way for way in system.directions}
        for (source, target), way in ways.items():
            there = system.through(way, batch[source])
            if (target, source) in ways:
                note("cycle", system.through(ways[target, source], there), batch[source])
            else:
                own = in_channels(batch[target], system.channels_of(source))
                note("identity", system.through(way, own), batch[target])
            if "paired" in errors:
                note("paired", there, batch[target])
    return {name: tf.add_n(values) / len(values) for name, values in errors.items()}
