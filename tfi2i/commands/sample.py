"""The verb that makes pictures of none: sample."""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import add_conditions, add_direction, add_out, add_verb
from tfi2i.commands.networks import Opened, compiled, of_server, opened
from tfi2i.commands.translate import add_server, deadline, refuse_server_options
from tfi2i.errors import InputError
from tfi2i.limits import Count, outside

if TYPE_CHECKING:
    from tfi2i.pictures.tiles import Pixels

AT_ONCE = 8  # pictures in memory


def add(verbs) -> None:
    """Adds `tfi2i sample`."""
    verb = add_verb(
        verbs,
        run,
        "sample",
        "make pictures with a sampler, from noise and labels alone",
        "A sampler takes no picture. --label, --input and --reference say what the pictures are\n"
        "of, and the rest is sampled by --seed, for each picture anew. They are numbered, from\n"
        "0001 on.\n\n"
        "With --server a served model makes them, and no RUN_OR_SAMPLER is named; its URL is as\n"
        "for tfi2i translate.",
        "  tfi2i sample runs/00003-dcgan-faces --count 16 --out faces\n"
        "  tfi2i sample sample-int8.tflite --count 4 --out winter --label winter --seed 3\n"
        "  tfi2i sample --server grpc://localhost:8500/sample --out faces --sidecar 1.json",
    )
    verb.usage = (
        "%(prog)s RUN_OR_SAMPLER --out DIR [OPTIONS]\n"
        "       %(prog)s --server URL --out DIR [OPTIONS]"
    )
    model = verb.add_argument(
        "model",
        metavar="RUN_OR_SAMPLER",
        type=Path,
        help="a run directory, a .keras file of a run's translators/ folder, or a .tflite file or"
        " SavedModel that was exported from a run",
    )
    add_server(verb, (model,))
    verb.add_argument("--count", metavar="N", type=int, default=16, help="number of pictures [16]")
    add_out(verb, "folder for the pictures", required=True)
    add_direction(verb, "of the run's; only for a run [its first]")
    add_conditions(verb)
    verb.add_argument("--overwrite", action="store_true", help="replace pictures of these names")
    verb.add_argument("--format", metavar="SUFFIX", default="png", help="such as jpg [png]")


def run(arguments: argparse.Namespace) -> int:
    """Makes pictures here or by a server."""
    from tfi2i.pictures.files import writable_suffix, write_picture
    from tfi2i.terminal import progress_bar

    count, out = arguments.count, arguments.out
    suffix = writable_suffix(arguments.format)
    if outside(Count, count):
        raise InputError(f"--count {count}: give a number of pictures from 1 on, up to 1,000,000.")
    paths = [out / f"{i + 1:04d}{suffix}" for i in range(count)]
    if out.exists() and not out.is_dir():
        raise InputError(f"The output folder {out} is a file; name a folder.")
    taken = next((path for path in paths if path.exists()), None)
    if taken is not None and not arguments.overwrite:
        raise InputError(f"{taken} is there already; add --overwrite, or name another folder.")
    with _sampler(arguments) as (known, sample), progress_bar(transient=True) as bar:
        values = known.values(arguments, count)
        out.mkdir(parents=True, exist_ok=True)
        for i in bar.track(range(0, count, AT_ONCE), description=""):
            pixels = sample(**{name: value[i : i + AT_ONCE] for name, value in values.items()})
            for path, one in zip(paths[i : i + AT_ONCE], pixels, strict=True):
                write_picture(path, one)
    print(f"{count} pictures are in {out}.")
    return 0


@contextmanager
def _sampler(arguments: argparse.Namespace) -> "Iterator[tuple[Opened, Callable[..., Pixels]]]":
    """A sampler's conditions, and a function of values (N, ...) by name -> pixels (N, H, W, 3)."""
    from tfi2i_export import artefacts
    from tfi2i_export.inputs import NOTHING_TO_SAMPLE, open_conditions, takes_picture

    from tfi2i.pictures.pixels import run_over

    if arguments.server is not None:
        from tfi2i_export.serving.client import ServerSampler

        if arguments.model is not None or arguments.direction is not None:
            what = "RUN_OR_SAMPLER" if arguments.model is not None else "--direction"
            raise InputError(f"The server has a model of its own; leave {what} out with --server.")
        known = of_server(arguments)
        with ServerSampler(arguments.server, **deadline(arguments)) as served:
            if known.conditions is None:
                conditions = open_conditions((), served.extra, arguments.server)
                known = dataclasses.replace(known, conditions=conditions)
            yield known, served.sample
        return
    refuse_server_options(arguments)
    known = opened(arguments)
    network: Any = known.network
    if network is None:
        yield known, artefacts.sampler(arguments.model)
    elif takes_picture(network):
        raise InputError(f"{known.where} {NOTHING_TO_SAMPLE}")
    else:
        predict = compiled(network)
        yield known, lambda **values: run_over(predict, None, values=values)
