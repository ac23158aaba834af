"""The verbs that ask people which translations they prefer: study and study-results."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tfi2i.commands.arguments import add_direction, add_out, add_seed, add_set, add_verb
from tfi2i.commands.evaluate import pictures_of
from tfi2i.errors import InputError
from tfi2i.limits import Count, option

if TYPE_CHECKING:
    from tfi2i.conditions import Direction
    from tfi2i.data.domains import Pixels


def add(verbs) -> None:
    """Adds `tfi2i study` and `tfi2i study-results`."""
    verb = add_verb(
        verbs,
        run,
        "study",
        "make a page that asks people which translations they prefer",
        "The page shows an input and its translations by two or more methods, shuffled and\n"
        "unnamed. It needs no server: participants open index.html, vote, and send back a file.",
        "  tfi2i study runs/00003-nicegan-horse2zebra runs/00004-nicegan-horse2zebra --out study\n"
        "  tfi2i study ours=runs/00003-nicegan-horse2zebra theirs=their_pictures/ --out study",
    )
    methods = (
        "a run directory, or a folder of translations with the names of the test pictures;"
        " the first run's test pictures are shown"
    )
    verb.add_argument("methods", metavar="[NAME=]RUN", nargs="+", help=methods)
    add_out(verb, "a new folder", required=True)
    add_direction(verb)
    images = "how many questions at most [40]"
    verb.add_argument("--images", metavar="N", type=option(Count), default=40, help=images)
    question = "Which translation is the best?"
    asked = f"what participants are asked [{question}]"
    verb.add_argument("--question", default=question, help=asked)
    title = "of the page, seen by participants"
    verb.add_argument("--title", default="Which picture do you prefer?", help=title)
    add_seed(verb)
    add_set(verb)
    verb = add_verb(
        verbs,
        _run_results,
        "study-results",
        "count the votes of a study",
        "Prints the share of votes of each method with its 95 % confidence interval.",
        "  tfi2i study-results votes-*.json",
    )
    votes = "what participants sent back"
    verb.add_argument("votes", metavar="VOTES.json", type=Path, nargs="+", help=votes)


def run(arguments: argparse.Namespace) -> int:
    """Makes the page of a study."""
    from tfi2i.config import config as configs
    from tfi2i.evaluate.study import make_study
    from tfi2i.runs.run import Run

    named = [_named(text) for text in arguments.methods]
    runs = [Run(path) for _, path in named if (path / "config.yaml").is_file()]
    if not runs:
        raise InputError(
            "study needs at least one run directory, whose test pictures are translated; the other "
            "methods may be folders of pictures."
        )
    way = runs[0].check_direction(arguments.direction)
    for run in runs[1:]:
        run.check_direction(way.name)
    if way.source is None:
        raise InputError(
            f"{runs[0].path}: no picture goes into {way}, so there is nothing to compare by."
        )
    data, aspect = pictures_of(runs[0], arguments.overrides)
    side = configs.load(runs[0].config_path).resolved().model["image_size"]
    seed, texts = arguments.seed, {"question": arguments.question, "title": arguments.title}
    inputs, names = data.pixels(
        "test", way.source, side, aspect=aspect, limit=arguments.images, seed=seed
    )
    methods = [(name, _translated(path, way, inputs, names, aspect, seed)) for name, path in named]
    made = make_study(methods, inputs, names, arguments.out, seed=seed, **texts)
    print(
        f"Open {made} in a browser, or give others the folder {made.parent}; each participant "
        "sends back a file.\nCount them: tfi2i study-results VOTES.json..."
    )
    return 0


def _named(text: str) -> tuple[str, Path]:
    """Splits NAME=PATH; a PATH alone names itself."""
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        return name, Path(path)
    return Path(text).resolve().name, Path(text)


def _translated(
    path: Path, way: "Direction", inputs: "Pixels", names: list[str], aspect: str, seed: int
) -> "Pixels":
    """Returns a method's translations: a run makes them, a folder has them by name.

    Values of conditions are sampled by the seed, for all runs alike.
    """
    import numpy as np

    from tfi2i.conditions import values_of
    from tfi2i.data.resize import scaled_to
    from tfi2i.pictures.channels import in_channels, shown
    from tfi2i.pictures.files import read_picture
    from tfi2i.pictures.listing import picture_paths
    from tfi2i.pictures.pixels import in_order, run_over
    from tfi2i.runs.run import Run

    if (path / "config.yaml").is_file():
        import tensorflow as tf

        run = Run(path)
        values = values_of(run.conditions(way.name), len(inputs), seed=seed, target=way.target)
        network = run.network(way.name)
        given = in_channels(inputs, network.inputs[0].shape[-1])
        return shown(run_over(tf.function(in_order(network)), given, values=values))
    there = {found.stem: found for found in picture_paths(path)}
    missing = [name for name in names if Path(name).stem not in there]
    if missing:
        raise InputError(
            f"{path}: has no translation of {missing[0]} ({len(missing)} of {len(names)} are "
            "missing); a folder must hold a picture of the same name for every input."
        )
    pictures = [read_picture(there[Path(name).stem]).pixels for name in names]
    return np.stack([scaled_to(pixels, inputs.shape[1:3], aspect) for pixels in pictures])


def _run_results(arguments: argparse.Namespace) -> int:
    """Prints the preferences that participants sent back."""
    from tfi2i.evaluate.study import preferences, read_votes, results_text

    votes = read_votes(arguments.votes)
    print(results_text(votes, preferences(votes)))
    return 0
