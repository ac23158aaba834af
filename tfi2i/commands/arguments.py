"""Options that several verbs have, and what reads their values."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError
from tfi2i.limits import Seed, option

CONFIG_HELP = "a YAML file, or the name of a shipped one such as nice_gan/scenes (see `tfi2i list`)"
SYSTEM_HELP = "such as NICEGAN or CUT"


def add_verb(
    verbs,
    run: Callable[[argparse.Namespace], int],
    name: str,
    summary: str,
    about: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Adds a verb with its description above the options and examples below them.

    Args:
        verbs: Argparse's subparsers.
        run: Parsed arguments -> exit code; it becomes `verb` of the parsed arguments.
        name: Verb as it is typed.
        summary: Line in the list of verbs.
        about: Lines below the summary in the verb's own help.
        examples: Complete commands, a line each.
    """
    verb = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{about}",
        epilog=f"Examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.set_defaults(verb=run)
    return verb


def add_set(verb: argparse.ArgumentParser) -> None:
    """Adds `--set`, for verbs that read a configuration."""
    verb.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="one setting, in YAML, instead of the file's; may be given several times",
    )


def add_seed(verb: argparse.ArgumentParser) -> None:
    """Adds `--seed`, for verbs that draw at random."""
    verb.add_argument(
        "--seed", type=option(Seed), default=0, help="of everything drawn at random [0]"
    )


def add_smoke(verb: argparse.ArgumentParser) -> None:
    """Adds `--smoke`, for verbs that train on the way."""
    verb.add_argument(
        "--smoke", action="store_true", help="tiny versions and a few steps: does everything run?"
    )


def add_runs(verb: argparse.ArgumentParser) -> None:
    """Adds `--runs`, for verbs that make run directories."""
    verb.add_argument(
        "--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs [runs]"
    )


def add_out(verb: argparse.ArgumentParser, about: str, **settings: Any) -> None:
    """Adds `--out`, for verbs that write into a folder."""
    verb.add_argument("--out", metavar="DIR", type=Path, help=about, **settings)


def add_direction(
    verb: argparse.ArgumentParser,
    about: str = "of the run's, such as a2b or b2a; systems such as CUT have one alone [its first]",
) -> None:
    """Adds `--direction`, for verbs that use a run in one direction; the run knows the choices."""
    verb.add_argument("--direction", metavar="NAME", help=about)


def add_values(verb: argparse.ArgumentParser, option: str, about: str) -> None:
    """Adds an option for values of inputs by name."""
    verb.add_argument(
        option,
        metavar="NAME=FILE",
        action="append",
        default=[],
        help=f"a .npy file with {about}, such as style=style.npy, or a picture where it is one; may"
        " be repeated",
    )


def add_conditions(verb: argparse.ArgumentParser) -> None:
    """Adds options for what a network takes besides the picture, the same values for all."""
    verb.add_argument("--label", metavar="NAME", help="of a network that takes one, such as winter")
    add_values(verb, "--input", "an input besides the picture")
    verb.add_argument(
        "--reference",
        metavar="PICTURE",
        type=Path,
        help="a picture whose style the results get, where the system reads styles; or the second"
        " picture of a network that takes one",
    )
    verb.add_argument(
        "--seed", metavar="N", type=int, help="of inputs that are not given, such as a style [0]"
    )


def whole_numbers(option: str, text: str, wanted: str) -> tuple[int, ...]:
    """Returns the numbers of an option such as `--threads 1,2,4`."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} {text}: give {wanted}.") from error
