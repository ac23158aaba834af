"""The verb that uses what was trained: translate."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import add_conditions, add_direction, add_out, add_verb
from tfi2i.commands.networks import of_server, opened
from tfi2i.errors import InputError
from tfi2i.limits import MEGAPIXELS, MOST_MEGAPIXELS, Megapixels, option

if TYPE_CHECKING:
    from tfi2i.commands.networks import Opened
    from tfi2i.pictures.folders import Translate


def add(verbs) -> None:
    """Adds `tfi2i translate`."""
    verb = add_verb(
        verbs,
        run,
        "translate",
        "translate pictures of any size with a trained system",
        "Results keep the pictures' size, name and sub-folders. Big pictures are done in\n"
        "overlapping tiles. A picture that cannot be read is named, and the others are done.\n\n"
        "Some networks take a label, a style or a latent code besides. All pictures get the same:\n"
        "what --label, --input or --reference say, the rest is sampled by --seed.\n\n"
        "With --server a served model does it, and no RUN_OR_TRANSLATOR is named. Its URL is\n"
        "  http://HOST:PORT/v1/models/NAME  or  grpc://HOST:PORT/NAME  (with TLS: https, grpcs)\n"
        "with /versions/NUMBER or /labels/LABEL behind it for a certain version.",
        "  tfi2i translate runs/00003-nicegan-horse2zebra photos/ --out zebras\n"
        "  tfi2i translate runs/00003-nicegan-horse2zebra zebra.png --out horses --direction b2a\n"
        "  tfi2i translate a2b.keras *.jpg --out out --tile 512\n"
        "  tfi2i translate zebra-int8.tflite photos/ --out zebras\n"
        "  tfi2i translate a2b.keras photos/ --out winter --label winter --seed 3\n"
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
        help="a run directory, a .keras file of a run's translators/ folder, or a .tflite file or"
        " SavedModel that was exported from a run",
    )
    images = verb.add_argument(
        "images",
        metavar="IMAGES",
        type=Path,
        nargs="+",
        default=[],
        help="picture files, or folders of them",
    )
    add_server(verb, (model, images))
    verb.add_argument(
        "--workers", metavar="N", type=int, help="pictures at the same time, with --server [4]"
    )
    add_out(verb, "folder for the results", required=True)
    add_direction(verb, "of the run's, such as a2b or b2a; only for a run [its first]")
    verb.add_argument(
        "--tile",
        metavar="N",
        type=int,
        help="side of the tiles in pixels: smaller needs less memory [chosen by the size]",
    )
    add_conditions(verb)
    _add_results(verb)


def _add_results(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    verb.add_argument(
        "--frames",
        action="store_true",
        help="translate all frames of animations and pages of TIFF files, each to a picture"
        " NAME-0001 and so on [the first]",
    )
    verb.add_argument(
        "--megapixels",
        metavar="N",
        type=option(Megapixels),
        default=MEGAPIXELS,
        help="millions of pixels of the largest picture that is decoded, up to"
        f" {MOST_MEGAPIXELS} [{MEGAPIXELS}]",
    )
    verb.add_argument(
        "--format", metavar="SUFFIX", help="such as png, for all results [the pictures' own]"
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


def add_server(verb: argparse.ArgumentParser, paths: tuple[argparse.Action, ...]) -> None:
    """Adds `--server` and its options; `paths` are the arguments for a model and pictures."""
    verb.add_argument(
        "--server",
        metavar="URL",
        action=_Server,
        paths=paths,
        help=f"of a model that TF Serving serves, see above; instead of {paths[0].metavar}",
    )
    verb.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=float,
        help="for each picture, with --server; all attempts included [60]",
    )
    verb.add_argument(
        "--sidecar",
        metavar="FILE",
        type=Path,
        help="with --server, of the SavedModel that is served: says what its inputs besides the"
        " picture are, so that --label, --seed and --reference can be used",
    )


def refuse_server_options(arguments: argparse.Namespace, *more: str) -> None:
    """Refuses without `--server` what goes with it."""
    for name in (*more, "deadline", "sidecar"):
        if getattr(arguments, name) is not None:
            raise InputError(f"--{name} goes with --server URL; leave it out without a server.")


def deadline(arguments: argparse.Namespace) -> dict[str, Any]:
    """The client's argument of that name, if one was asked for."""
    return {} if arguments.deadline is None else {"deadline_seconds": arguments.deadline}


def run(arguments: argparse.Namespace) -> int:
    """Translates pictures here or by a server; returns 1 if some could not be."""
    from tfi2i.pictures.folders import translate_files

    if arguments.server is not None:
        return _by_server(arguments)
    refuse_server_options(arguments, "workers")
    if arguments.tile is not None and arguments.tile < 1:
        raise InputError(f"--tile {arguments.tile}: a tile's side is a number of pixels above 0.")
    known = opened(arguments)
    summary = translate_files(
        _picture_translator(arguments, known),
        arguments.images,
        arguments.out,
        suffix=arguments.format,
        overwrite=arguments.overwrite,
        value_range=known.value_range,
        target_range=known.target_range,
        frames=arguments.frames,
        megapixels=arguments.megapixels,
    )
    return 1 if summary.failed else 0


def _by_server(arguments: argparse.Namespace) -> int:
    # Its own log, on stderr, repeats what the error says.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from tfi2i_export.serving.client import ServerTranslator

    from tfi2i.pictures.depth import SIXTEEN_BITS
    from tfi2i.pictures.folders import translate_files

    for name in ("direction", "tile"):
        if getattr(arguments, name) is not None:
            raise InputError(
                f"--{name} is decided by the model that the server holds; leave it out with "
                "--server."
            )
    # The first path stands where the model does without a server.
    paths = [path for path in (arguments.model, *arguments.images) if path is not None]
    for path in paths:
        if path.suffix in (".keras", ".tflite") or (path / "config.yaml").is_file():
            raise InputError(
                f"{path} is a model, and the server has its own; name pictures alone with --server."
            )
    known = of_server(arguments)
    values, by_tensor = known.values(arguments), known.value_range is not None
    with ServerTranslator(
        arguments.server, values=values, by_tensor=by_tensor, **deadline(arguments)
    ) as translator:
        summary = translate_files(
            translator,
            paths,
            arguments.out,
            suffix=arguments.format,
            overwrite=arguments.overwrite,
            workers=4 if arguments.workers is None else arguments.workers,
            value_range=known.value_range,
            target_range=SIXTEEN_BITS,
            frames=arguments.frames,
            megapixels=arguments.megapixels,
        )
    return 1 if summary.failed else 0


def _picture_translator(arguments: argparse.Namespace, known: "Opened") -> "Translate":
    """Pixels (H, W, 3) -> the same, by a run, a .keras or .tflite file, or a SavedModel."""
    from tfi2i_export import artefacts
    from tfi2i_export.inputs import NOTHING_TO_TRANSLATE, takes_picture

    from tfi2i.pictures.tiles import PictureTranslator

    if known.network is not None and not takes_picture(known.network):
        raise InputError(f"{known.where} {NOTHING_TO_TRANSLATE}")
    values = known.values(arguments)
    about: dict[str, Any] = {"values": values, "tile": arguments.tile}
    about["deep"] = known.target_range is not None
    if known.network is None:
        return artefacts.picture_translator(known.where, **about)
    return PictureTranslator(known.network, **about)
