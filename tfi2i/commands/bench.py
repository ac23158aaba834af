"""The verb that measures exported files: bench."""

import argparse
from pathlib import Path

from tfi2i.commands.arguments import add_out, add_verb, whole_numbers
from tfi2i.errors import InputError


def add(verbs) -> None:
    """Adds `tfi2i bench`."""
    verb = add_verb(
        verbs,
        run,
        "bench",
        "time exported .tflite files side by side on this machine",
        "Prints time, size and memory of each file beside its agreement with the run, and writes\n"
        "bench.json and a chart. Files in the exports/ folder of their run are also compared with\n"
        "what the converter makes of it without any rewriting.",
        "  tfi2i bench runs/00003-nicegan-horse2zebra/exports\n"
        "  tfi2i bench zebra-int8.tflite zebra-float32.tflite --threads 1 --runs 100\n"
        "  tfi2i bench zebra-int8.tflite --run runs/00003-nicegan-horse2zebra",
    )
    files = "a .tflite file, or a folder of them"
    verb.add_argument("artefacts", metavar="ARTEFACT", type=Path, nargs="+", help=files)
    verb.add_argument("--threads", metavar="N,N", default="1,2,4", help="of the CPU [1,2,4]")
    verb.add_argument("--runs", metavar="N", type=int, default=30, help="of each file [30]")
    verb.add_argument("--run", metavar="RUN", type=Path, help="what the files were exported from")
    size = "of the pictures for files of any size, such as 256 or HEIGHTxWIDTH [the run's]"
    verb.add_argument("--size", metavar="SIZE", help=size)
    add_out(verb, "[the first file's folder]")


def run(arguments: argparse.Namespace) -> int:
    """Times files, prints the table and writes bench.json and a chart."""
    from rich.progress import TimeRemainingColumn
    from tfi2i_export.tflite import bench
    from tfi2i_export.tflite import bench_report as comparison

    from tfi2i.pictures.sizes import sizes_of
    from tfi2i.runs.run import Run
    from tfi2i.terminal import make_console, progress_bar

    files = bench.tflite_files(arguments.artefacts)
    run = Run(arguments.run) if arguments.run else bench.run_of(files[0])
    out = arguments.out or files[0].parent
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder.")
    size = None
    if arguments.size is not None:
        size, *more = sizes_of("--size", arguments.size)
        if more:
            raise InputError(f"--size {arguments.size}: give one size.")
    threads = whole_numbers("--threads", arguments.threads, "numbers with commas between, as 1,2,4")
    # Drawn between measurements, by no thread of its own that would disturb them.
    with progress_bar(TimeRemainingColumn(), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("measuring")
        results = bench.bench(
            files,
            threads=threads,
            runs=arguments.runs,
            plain=run,
            size=size,
            progress=lambda done, of: bar.update(task, completed=done, total=of, refresh=True),
        )
    make_console().print(comparison.table(results))
    *_, chart = comparison.write(results, out, runs=arguments.runs)
    print(f"Look at {chart}")
    return 0
