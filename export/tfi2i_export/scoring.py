"""Scores of an artefact beside those of its run, where the run has been evaluated."""

import json
import logging
from collections.abc import Callable
from typing import Any

from tfi2i.data.dataset import Dataset
from tfi2i.pictures.sizes import height_and_width
from tfi2i.runs.run import Run
from tfi2i_export.sidecar import Sidecar

log = logging.getLogger("tfi2i")

Translators = Callable[[tuple[int, int], bool], Any]

_OTHER_FORM = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(RecursionError, StopIteration, OSError),
)


def evaluated(
    run: Run, data: Dataset, translator: Translators, sidecar: Sidecar, aspect: str
) -> dict[str, Any] | None:
    """KID and paired error of an artefact and of its run; None unless that has an evaluation.

    Args:
        run: Run that the artefact is from.
        data: Dataset of the evaluation.
        translator: Function of a size, and of whether there are several sizes: the artefact as a
            function of pixels.
        sidecar: Sidecar of the artefact.
        aspect: Way in which pictures become squares.
    """
    path = run.evaluation_dir / "evaluation.json"
    if not path.is_file():
        return None
    if "baked" in sidecar.recipe or any(one.kind for one in sidecar.signatures[0].inputs):
        return None  # other styles, other scores
    from tfi2i.evaluate import backbones
    from tfi2i.evaluate.measure import Measure

    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        checkpoints = evaluation["directions"][sidecar.direction]["checkpoints"]
        before = next(one for one in checkpoints.values() if one["step"] == sidecar.step)
        settings = evaluation["protocol"]
        way = next(way for way in run.directions if way.name == sidecar.direction)
        if height_and_width(settings["image_size"]) != sidecar.default_size:
            return None
        counts = evaluation["directions"][sidecar.direction]["n"]
        pictures, backbone, seed = counts["translated"], settings["backbone"], settings["seed"]
        kid, error_before = before["kid"], (before["paired"] or {}).get("l1")
    except _OTHER_FORM as error:
        log.warning("%s says nothing of step %d (%s).", path, sidecar.step, type(error).__name__)
        return None
    measure = Measure(
        data,
        backbones.load(backbone),
        image_size=sidecar.default_size,
        aspect=aspect,
        images=pictures,
        seed=seed,
    )
    translate = translator(sidecar.default_size, len(sidecar.signatures) > 1)
    after = measure.score_of(way, lambda pixels, rows: translate(pixels))
    paired = {}
    if error_before is not None and after["paired"]:
        paired = {"l1": after["paired"]["l1"], "l1_before": error_before}
    return {
        "backbone": backbone,
        "pictures": pictures,
        "kid": after["kid"],
        "kid_before": kid,
        **paired,
    }
