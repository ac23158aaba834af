"""What several verbs have in common on the command line."""

import argparse
from pathlib import Path

CONFIG_HELP = "a YAML file, or the name of a shipped one such as nice_gan/scenes (see `tfi2i list`)"
SET_HELP = "one setting, in YAML, instead of the file's; may be given several times"


def add_verb(
    verbs, module: str, name: str, summary: str, about: str, examples: str
) -> argparse.ArgumentParser:
    """A verb with its description above the options and examples below them."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{about}",
        epilog=f"Examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.set_defaults(verb=f"{module}.{name.replace('-', '_')}_verb")
    return verb


def add_set(verb: argparse.ArgumentParser) -> None:
    """`--set`, of verbs that read a configuration."""
    verb.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help=SET_HELP,
    )


def add_sample_seed(verb: argparse.ArgumentParser) -> None:
    """`--seed`, of verbs that draw at random."""
    verb.add_argument("--seed", type=int, default=0, help="of everything drawn at random [0]")


def add_runs(verb: argparse.ArgumentParser) -> None:
    """`--runs`, of verbs that make run directories."""
    verb.add_argument(
        "--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs [runs]"
    )


def add_direction(verb: argparse.ArgumentParser) -> None:
    """`--direction`, of verbs that use a run in one direction."""
    verb.add_argument(
        "--direction",
        choices=("a2b", "b2a"),
        default="a2b",
        help="systems such as CUT have a2b alone [a2b]",
    )
