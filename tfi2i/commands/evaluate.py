"""The verbs that judge translations: evaluate, study and study-results."""

import argparse
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.data.resize import scaled_to_square
from tfi2i.errors import InputError
from tfi2i.pictures.files import picture_paths, read_picture
from tfi2i.pictures.pixels import run_over
from tfi2i.runs.run import Run


def evaluate_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i evaluate RUN`."""
    from tfi2i.evaluate.evaluation import evaluate, report_path, summary_table

    run = Run(arguments.run)
    data, aspect = pictures_of(run, arguments.overrides)
    evaluation = evaluate(
        run,
        data,
        aspect=aspect,
        backbone=arguments.backbone,
        weights=arguments.weights,
        protocol=arguments.protocol,
        images=arguments.images,
        train_images=arguments.train_images,
        seed=arguments.seed,
        command=shlex.join(["tfi2i", *arguments.typed]),
    )
    console = Console()
    console.print(summary_table(evaluation))
    for sentence in evaluation["warnings"]:
        console.print(f"Note: {sentence}", markup=False, highlight=False)
    for direction, found in evaluation["directions"].items():
        for which, figures in found["checkpoints"].items():
            for sentence in figures["notes"]:
                console.print(f"{direction}, {which}: {sentence}", markup=False, highlight=False)
    protocol = evaluation["protocol"]
    path = report_path(run, protocol["name"], protocol["backbone"])
    console.print(f"Look at {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def pictures_of(run: Run, overrides: list[str]) -> tuple[Any, str]:
    """The data of a run and how its pictures become squares."""
    for override in overrides:
        if override.partition(".")[0] not in ("data", "batches"):
            raise InputError(
                f"--set {override}: this takes the run as it is; only data.… and "
                "batches.aspect, which say what pictures to look at, can be set."
            )
    config = configs.load(run.config_path, overrides)
    if not config.data:
        raise InputError(
            f"{run.path}: was not trained here and knows no pictures; name some with "
            "--set data.source=folders --set data.root=FOLDER (see `tfi2i list`)."
        )
    return building.build_data(config), config.resolved().batches["aspect"]


def study_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i study RUN…`."""
    from tfi2i.evaluate.study import make_study

    named = [_named(text) for text in arguments.methods]
    runs = [Run(path) for _, path in named if (path / "config.yaml").is_file()]
    if not runs:
        raise InputError(
            "study needs at least one run directory, whose test pictures are translated; the other "
            "methods may be folders of pictures."
        )
    for run in runs:
        run.check_direction(arguments.direction)
    source = arguments.direction[0]
    data, aspect = pictures_of(runs[0], arguments.overrides)
    side = configs.load(runs[0].config_path).resolved().model["image_size"]
    inputs, names = data.gathered(
        "test", source, side, aspect=aspect, limit=arguments.images, seed=arguments.seed
    )
    methods = [
        (name, _translated(path, arguments.direction, inputs, names, aspect))
        for name, path in named
    ]
    made = make_study(
        methods,
        inputs,
        names,
        arguments.out,
        question=arguments.question,
        title=arguments.title,
        seed=arguments.seed,
    )
    print(
        f"Open {made} in a browser, or give others the folder {made.parent}; each participant "
        "sends back a file.\nCount them: tfi2i study-results VOTES.json..."
    )
    return 0


def _named(text: str) -> tuple[str, Path]:
    """NAME=PATH, or a PATH that names itself."""
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        return name, Path(path)
    return Path(text).resolve().name, Path(text)


def _translated(
    path: Path, direction: Any, inputs: NDArray[np.uint8], names: list[str], aspect: str
) -> NDArray[np.uint8]:
    """A method's translations of the inputs: a run makes them, a folder has them by name."""
    if (path / "config.yaml").is_file():
        import tensorflow as tf

        return run_over(tf.function(Run(path).translator(direction)), inputs)
    there = {found.stem: found for found in picture_paths(path)}
    missing = [name for name in names if Path(name).stem not in there]
    if missing:
        raise InputError(
            f"{path}: has no translation of {missing[0]} ({len(missing)} of {len(names)} are "
            "missing); a folder must hold a picture of the same name for every input."
        )
    pictures = [read_picture(there[Path(name).stem]).pixels for name in names]
    return np.stack([scaled_to_square(pixels, inputs.shape[1], aspect) for pixels in pictures])


def study_results_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i study-results VOTES.json…`."""
    from tfi2i.evaluate.study import preferences, read_votes, results_text

    votes = read_votes(arguments.votes)
    print(results_text(votes, preferences(votes)))
    return 0
