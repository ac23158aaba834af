"""The verbs that measure."""

from pathlib import Path

from tfi2i.arguments.shared import add_direction, add_sample_seed, add_set, add_verb


def add_evaluate(verbs) -> None:
    """`tfi2i evaluate`."""
    verb = add_verb(
        verbs,
        "evaluate",
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
    verb.add_argument(
        "--backbone",
        choices=("efficientnet-lite0", "inception-2015"),
        help="the network that sees the pictures: efficientnet-lite0 comes along; inception-2015 is"
        " that of published FIDs and is downloaded once [efficientnet-lite0]",
    )
    verb.add_argument(
        "--weights",
        metavar="FILE",
        type=Path,
        help="the backbone's weights, if they cannot be downloaded from here",
    )
    verb.add_argument(
        "--protocol",
        choices=("default", "nice-gan"),
        default="default",
        help="nice-gan: as the NICE-GAN authors' script resizes and averages, with inception-2015,"
        " to compare with published tables [default]",
    )
    verb.add_argument(
        "--images", metavar="N", type=int, help="at most so many test pictures a domain [all]"
    )
    verb.add_argument(
        "--train-images",
        metavar="N",
        type=int,
        default=2000,
        help="at most so many training pictures a domain, for the floor and to find copies [2000]",
    )
    add_sample_seed(verb)
    add_set(verb)


def add_compare(verbs) -> None:
    """`tfi2i compare`."""
    verb = add_verb(
        verbs,
        "compare",
        "compare",
        "measure systems side by side: size, cost, and quality after the same time",
        "Counts parameters and multiplications, times training steps and their memory in rounds\n"
        "that take the systems in turn, trains each for the same minutes on this machine, and\n"
        "measures the last step. Writes comparison.json, comparison.md (a table to paste) and\n"
        "comparison.png. What is measured is kept: the same command goes on where it was stopped.",
        "  tfi2i compare                               all systems on the embedded data: an hour\n"
        "  tfi2i compare nice_gan/scenes my.yaml --minutes 20 --out mine\n"
        "  tfi2i compare nice_gan/horse2zebra my.yaml --no-training\n"
        "  tfi2i compare nice_gan/folders my.yaml --set data.a=photos --set data.b=paintings",
    )
    verb.add_argument(
        "configs",
        metavar="CONFIG",
        nargs="*",
        help="YAML files or names of shipped configurations [all shipped ones for scenes]",
    )
    verb.add_argument(
        "--minutes", metavar="M", type=float, default=6.0, help="of training for each system [6]"
    )
    verb.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("comparison"),
        help="folder to write to, runs included [comparison]",
    )
    verb.add_argument(
        "--reference",
        metavar="CONFIG",
        help="the one whose training step is 1 [nice_gan/scenes if compared, else the first]",
    )
    verb.add_argument(
        "--no-training",
        dest="training",
        action="store_false",
        help="only what can be said without: size, multiplications, memory and time of a step",
    )
    verb.add_argument(
        "--smoke", action="store_true", help="tiny versions and a few steps: does everything run?"
    )
    add_sample_seed(verb)
    add_set(verb)


def add_study(verbs) -> None:
    """`tfi2i study`."""
    verb = add_verb(
        verbs,
        "evaluate",
        "study",
        "make a page that asks people which translations they prefer",
        "The page shows an input and its translations by two or more methods, shuffled and\n"
        "unnamed. It needs no server: participants open index.html, vote, and send back a file.",
        "  tfi2i study runs/00003-nicegan-horse2zebra runs/00004-nicegan-horse2zebra --out study\n"
        "  tfi2i study ours=runs/00003-nicegan-horse2zebra theirs=their_pictures/ --out study",
    )
    verb.add_argument(
        "methods",
        metavar="[NAME=]RUN",
        nargs="+",
        help="a run directory, or a folder of translations with the names of the test pictures;"
        " the first run's test pictures are shown",
    )
    verb.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    add_direction(verb)
    verb.add_argument(
        "--images", metavar="N", type=int, default=40, help="how many questions at most [40]"
    )
    verb.add_argument(
        "--question",
        default="Which translation is the best?",
        help="what participants are asked [Which translation is the best?]",
    )
    verb.add_argument(
        "--title", default="Which picture do you prefer?", help="of the page, seen by participants"
    )
    add_sample_seed(verb)
    add_set(verb)


def add_study_results(verbs) -> None:
    """`tfi2i study-results`."""
    verb = add_verb(
        verbs,
        "evaluate",
        "study-results",
        "count the votes of a study",
        "Prints the share of votes of each method with its 95 % confidence interval.",
        "  tfi2i study-results votes-*.json",
    )
    verb.add_argument(
        "votes", metavar="VOTES.json", type=Path, nargs="+", help="what participants sent back"
    )
