"""The verb that measures exported files: bench."""

import argparse
import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tfi2i.errors import InputError
from tfi2i.runs.run import Run


def bench_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i bench ARTEFACT…`."""
    from tfi2i_export.tflite import bench
    from tfi2i_export.tflite import bench_report as comparison

    files = bench.tflite_files(arguments.artefacts)
    run = Run(arguments.run) if arguments.run else bench.run_of(files[0])
    out = arguments.out or files[0].parent
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder.")
    console = Console()
    with _progress() as progress:
        results = bench.bench(
            files,
            threads=_threads(arguments.threads),
            runs=arguments.runs,
            plain=run,
            size=arguments.size,
            progress=progress,
        )
    console.print(comparison.table(results))
    *_, chart = comparison.write(results, out, runs=arguments.runs)
    console.print(f"Look at {chart}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _threads(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"--threads {text}: give numbers with commas between, as 1,2,4."
        ) from error


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar that is drawn between measurements, by no thread of its own that would disturb them."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("measuring"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("")

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, refresh=True)

        yield tell
