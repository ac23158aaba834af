"""The verb that measures a run: evaluate."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import add_seed, add_set, add_verb
from tfi2i.errors import InputError

if TYPE_CHECKING:
    from tfi2i.runs.run import Run


def add(verbs) -> None:
    """Adds `tfi2i evaluate`."""
    verb = add_verb(
        verbs,
        run,
        "evaluate",
        "measure a run on its test pictures: is it good, and which checkpoint?",
        "Prints KID and FID beside what they can be compared with: real pictures against real\n"
        "ones, and answers that learn nothing; errors where the truth is known. Writes\n"
        "evaluation/report.html and evaluation.json into the run, for the last and the best\n"
        "checkpoint. Needs no network.",
        "  tfi2i evaluate runs/00003-nicegan-horse2zebra\n"
        "  tfi2i evaluate runs/horse2zebra --set data.source=folders --set data.root=horse2zebra\n"
        "  tfi2i evaluate runs/00003-nicegan-horse2zebra --backbone inception-2015\n"
        "  tfi2i evaluate runs/00003-nicegan-horse2zebra --protocol nice-gan",
    )
    verb.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    backbone = (
        "the network that sees the pictures: efficientnet-lite0 comes along; inception-2015 is"
        " that of published FIDs and is downloaded once [efficientnet-lite0]"
    )
    backbones = ("efficientnet-lite0", "inception-2015")
    verb.add_argument("--backbone", choices=backbones, help=backbone)
    weights = "the backbone's weights, if they cannot be downloaded from here"
    verb.add_argument("--weights", metavar="FILE", type=Path, help=weights)
    protocol = (
        "nice-gan: as the NICE-GAN authors' script resizes and averages, with inception-2015,"
        " to compare with published tables [default]"
    )
    protocols = ("default", "nice-gan")
    verb.add_argument("--protocol", choices=protocols, default="default", help=protocol)
    images = "at most so many test pictures a domain [all]"
    verb.add_argument("--images", metavar="N", type=int, help=images)
    train = "at most so many training pictures a domain, for the floor and to find copies [2000]"
    verb.add_argument("--train-images", metavar="N", type=int, default=2000, help=train)
    add_seed(verb)
    add_set(verb)


def run(arguments: argparse.Namespace) -> int:
    """Measures a run and prints the summary of its report."""
    from tfi2i.evaluate import ruler
    from tfi2i.evaluate.evaluation import evaluate, report_path, summary_table
    from tfi2i.runs.run import Run
    from tfi2i.terminal import make_console

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
    console = make_console()
    console.print(summary_table(evaluation))
    for sentence in evaluation["warnings"]:
        console.print(f"Note: {sentence}", markup=False, highlight=False)
    for direction, found in evaluation["directions"].items():
        for sentence in ruler.words(found):
            console.print(f"{direction}: {sentence}", markup=False, highlight=False)
        for which, figures in found["checkpoints"].items():
            for sentence in figures["notes"]:
                console.print(f"{direction}, {which}: {sentence}", markup=False, highlight=False)
    protocol = evaluation["protocol"]
    print(f"Look at {report_path(run, protocol['name'], protocol['backbone'])}")
    return 0


def pictures_of(run: "Run", overrides: list[str]) -> tuple[Any, str]:
    """Returns the data of a run, and how its pictures become squares."""
    from tfi2i.config import building
    from tfi2i.config import config as configs

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
