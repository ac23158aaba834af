"""The verb that sets systems side by side: compare."""

import argparse
import shlex
import sys

from rich.console import Console


def compare_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i compare CONFIG…`."""
    from tfi2i.benchmark.comparison import compare
    from tfi2i.benchmark.presentation import tables

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
    console = Console()
    for table in tables(comparison):
        console.print(table)
    look = f"Look at {arguments.out / 'comparison.md'}"
    if arguments.training:
        look += f" and {arguments.out / 'comparison.png'}"
    console.print(look, markup=False, highlight=False, soft_wrap=True)
    return 0
