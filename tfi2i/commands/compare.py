"""The verb that sets systems side by side: compare."""

import argparse
import shlex
import sys
from pathlib import Path

from tfi2i.commands.arguments import add_out, add_seed, add_set, add_smoke, add_verb


def add(verbs) -> None:
    """Adds `tfi2i compare`."""
    verb = add_verb(
        verbs,
        run,
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
    configs = "YAML files or names of shipped configurations [all shipped ones for scenes]"
    verb.add_argument("configs", metavar="CONFIG", nargs="*", help=configs)
    minutes = "of training for each system [6]"
    verb.add_argument("--minutes", metavar="M", type=float, default=6.0, help=minutes)
    add_out(verb, "folder to write to, runs included [comparison]", default=Path("comparison"))
    reference = "the one whose training step is 1 [nice_gan/scenes if compared, else the first]"
    verb.add_argument("--reference", metavar="CONFIG", help=reference)
    without = "only what can be said without: size, multiplications, memory and time of a step"
    verb.add_argument("--no-training", dest="training", action="store_false", help=without)
    add_smoke(verb)
    add_seed(verb)
    add_set(verb)


def run(arguments: argparse.Namespace) -> int:
    """Compares systems and prints the tables."""
    from tfi2i.benchmark.comparison import compare
    from tfi2i.benchmark.presentation import tables
    from tfi2i.terminal import make_console

    try:
        comparison = compare(
            arguments.configs,
            arguments.out,
            minutes=arguments.minutes,
            overrides=arguments.overrides,
            seed=arguments.seed,
            reference=arguments.reference,
            smoke=arguments.smoke,
            training=arguments.training,
            command=shlex.join(["tfi2i", *arguments.typed]),
        )
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    console = make_console()
    for table in tables(comparison):
        console.print(table)
    look = f"Look at {arguments.out / 'comparison.md'}"
    if arguments.training:
        look += f" and {arguments.out / 'comparison.png'}"
    print(look)
    return 0
