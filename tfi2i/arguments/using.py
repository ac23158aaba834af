"""The verbs that use what was trained."""

import argparse
from pathlib import Path
from typing import Any

from tfi2i.arguments.shared import add_direction, add_sample_seed, add_set, add_verb


def add_translate(verbs) -> None:
    """`tfi2i translate`."""
    verb = add_verb(
        verbs,
        "translate",
        "translate",
        "translate pictures of any size with a trained system",
        "Results keep the pictures' size, name and sub-folders. Big pictures are done in\n"
        "overlapping tiles. A picture that cannot be read is named, and the others are done.\n\n"
        "With --server a served model does it, and no RUN_OR_TRANSLATOR is named. Its URL is\n"
        "  http://HOST:PORT/v1/models/NAME  or  grpc://HOST:PORT/NAME  (with TLS: https, grpcs)\n"
        "with /versions/NUMBER or /labels/LABEL behind it for a certain version.",
        "  tfi2i translate runs/00003-nicegan-horse2zebra photos/ --out zebras\n"
        "  tfi2i translate runs/00003-nicegan-horse2zebra zebra.png --out horses --direction b2a\n"
        "  tfi2i translate a2b.keras *.jpg --out out --tile 512\n"
        "  tfi2i translate zebra-int8.tflite photos/ --out zebras\n"
        "  tfi2i translate --server http://localhost:8501/v1/models/zebra photos/ --out zebras",
    )
    verb.usage = (
        "%(prog)s RUN_OR_TRANSLATOR IMAGES [IMAGES ...] --out DIR [OPTIONS]\n"
        "       %(prog)s --server URL IMAGES [IMAGES ...] --out DIR [OPTIONS]"
    )
    model = verb.add_argument(
        "model",
        metavar="RUN_OR_TRANSLATOR",
        type=Path,
        help="a run directory, a .keras file of a run's translators/ folder, or a .tflite file that"
        " was exported from a run",
    )
    images = verb.add_argument(
        "images",
        metavar="IMAGES",
        type=Path,
        nargs="+",
        default=[],
        help="picture files, or folders of them",
    )
    _add_server(verb, (model, images))
    verb.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for the results"
    )
    verb.add_argument(
        "--direction",
        choices=("a2b", "b2a"),
        help="from domain a to b or back; only for a run [a2b]",
    )
    verb.add_argument(
        "--tile",
        metavar="N",
        type=int,
        help="side of the tiles in pixels: smaller needs less memory [chosen by the size]",
    )
    _add_values(verb, "--input", "what a .tflite file takes besides pictures")
    verb.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    verb.add_argument(
        "--format", metavar="SUFFIX", help="such as png, for all results [the pictures' own]"
    )


def _add_values(verb: argparse.ArgumentParser, option: str, what: str) -> None:
    """An option for values of inputs by name."""
    verb.add_argument(
        option,
        metavar="NAME=FILE",
        action="append",
        default=[],
        help=f"a .npy file with {what}, such as style=style.npy; may be repeated",
    )


class _Server(argparse.Action):
    """Stores the URL; there is no model then, so that one path is enough."""

    def __init__(self, paths: tuple[argparse.Action, ...], **settings: Any):
        super().__init__(**settings)
        self._paths = paths

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, values)
        for path in self._paths:
            path.required = False


def _add_server(verb: argparse.ArgumentParser, paths: tuple[argparse.Action, ...]) -> None:
    """`--server` and what belongs to it; `paths` are the arguments for a model and pictures."""
    verb.add_argument(
        "--server",
        metavar="URL",
        action=_Server,
        paths=paths,
        help="of a model that TF Serving serves, see above; instead of RUN_OR_TRANSLATOR",
    )
    verb.add_argument(
        "--workers", metavar="N", type=int, help="pictures at the same time, with --server [4]"
    )
    verb.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=float,
        help="for each picture, with --server; all attempts included [60]",
    )


def add_export(verbs) -> None:
    """`tfi2i export`."""
    verb = add_verb(
        verbs,
        "export",
        "export",
        "make a small, fast .tflite file, or a SavedModel, that agrees with the run",
        "Rewrites the network without changing what it computes, quantizes it, and compares it\n"
        "with the run on held-out pictures: an artefact that does not keep what its format\n"
        "promises is not written. A sidecar, NAME.json, says all a program has to know.\n\n"
        "  int8       a quarter of the size, the fastest that looks the same; for CPUs [default]\n"
        "  int8-hq    a little slower and closer; int8-fast the other way round\n"
        "  int8-npu   fixed ranges, for accelerators that know nothing else; loses more\n"
        "  auto       as many int8 convolutions as --target-db allows\n"
        "  float16    half the size, for GPUs; float32: exact\n"
        "  saved_model  a folder that TF Serving serves, a new version in it each time",
        "  tfi2i export runs/00003-nicegan-horse2zebra\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --direction b2a --format int8-hq\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --sizes 256,512 --io uint8 --to app/assets\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --format saved_model --to /models\n"
        "  tfi2i export /models/a2b-saved_model --check",
    )
    verb.add_argument(
        "run", metavar="RUN", type=Path, help="a run directory; with --check also a SavedModel"
    )
    verb.add_argument("--format", metavar="F", default="int8", help="see above [int8]")
    add_direction(verb)
    verb.add_argument("--checkpoint", choices=("last", "best"), default="last", help="[last]")
    verb.add_argument(
        "--io",
        choices=("float", "uint8"),
        default="float",
        help="what the file takes and gives: RGB 0..255 as float32 or as uint8 [float]",
    )
    verb.add_argument(
        "--sizes", metavar="N,N", help="sides of square pictures, one signature each [the run's]"
    )
    verb.add_argument("--dynamic", action="store_true", help="any height and width")
    verb.add_argument(
        "--pad",
        choices=("slice", "mirror"),
        default="slice",
        help="padding as slices, which CPUs take whole, or as one operation for GPUs [slice]",
    )
    verb.add_argument(
        "--signatures",
        choices=("all", "tensor"),
        default="all",
        help="of a saved_model: also picture files, or float images alone, as OpenVINO needs [all]",
    )
    _add_values(verb, "--bake", "an input besides the picture, to be part of the artefact")
    verb.add_argument(
        "--target-db", metavar="DB", type=float, default=43.0, help="PSNR for auto [43]"
    )
    verb.add_argument(
        "--images", metavar="N", type=int, default=24, help="held-out pictures to judge by [24]"
    )
    _add_conditions(verb)
    add_sample_seed(verb)
    add_set(verb)


def _add_conditions(verb: argparse.ArgumentParser) -> None:
    """What may be written and where, and whether anything is."""
    verb.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        help="folder for artefact and sidecar, or android_demo [RUN/exports]",
    )
    verb.add_argument("--accept", action="store_true", help="write it even if it misses its limits")
    verb.add_argument(
        "--force",
        action="store_true",
        help="also formats known to be bad: int8-full, int16x8, int4",
    )
    verb.add_argument(
        "--overwrite", action="store_true", help="replace an artefact of the same name"
    )
    verb.add_argument(
        "--check",
        action="store_true",
        help="export nothing: say whether the SavedModels of RUN can be served",
    )


def add_bench(verbs) -> None:
    """`tfi2i bench`."""
    verb = add_verb(
        verbs,
        "bench",
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
    size = "side of the pictures for files of any size [the run's]"
    verb.add_argument("--size", metavar="N", type=int, help=size)
    verb.add_argument("--out", metavar="DIR", type=Path, help="[the first file's folder]")


def add_serve(verbs) -> None:
    """`tfi2i serve`."""
    verb = add_verb(
        verbs,
        "serve",
        "serve",
        "run TensorFlow Serving for the SavedModels of a run",
        "Starts the server that this machine has: tensorflow_model_server, which listens on all\n"
        "interfaces, or else its docker image, on this machine alone. Nothing is downloaded. The\n"
        "highest version of each model is served; a higher one that is exported while the server\n"
        "runs takes its place. There is no authentication. Ctrl-C stops it.",
        "  tfi2i serve runs/00003-nicegan-horse2zebra\n"
        "  tfi2i serve runs/00003-nicegan-horse2zebra --direction b2a --port 9501\n"
        "  tfi2i serve /models/a2b-saved_model",
    )
    verb.add_argument(
        "models",
        metavar="RUN_OR_FOLDER",
        type=Path,
        help="a run directory, a SavedModel with its versions, or a folder of such",
    )
    verb.add_argument(
        "--direction", choices=("a2b", "b2a"), help="of a run's models only these [both]"
    )
    verb.add_argument("--port", metavar="N", type=int, default=8501, help="of REST [8501]")
    verb.add_argument("--grpc-port", metavar="N", type=int, default=8500, help="of gRPC [8500]")
    verb.add_argument(
        "--batching",
        action="store_true",
        help="answer up to 8 requests together, for GPUs: a broken picture then fails all of them",
    )
