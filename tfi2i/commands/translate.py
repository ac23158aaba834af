"""The verb that uses what was trained: translate."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import add_conditions, add_direction, add_out, add_verb
from tfi2i.errors import InputError

if TYPE_CHECKING:
    from tfi2i.conditions import Condition
    from tfi2i.pictures.folders import Translate
    from tfi2i.runs.run import Run


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
    _add_server(verb, (model, images))
    add_out(verb, "folder for the results", required=True)
    add_direction(verb, "of the run's, such as a2b or b2a; only for a run [its first]")
    verb.add_argument(
        "--tile",
        metavar="N",
        type=int,
        help="side of the tiles in pixels: smaller needs less memory [chosen by the size]",
    )
    add_conditions(verb)
    verb.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
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


def _add_server(verb: argparse.ArgumentParser, paths: tuple[argparse.Action, ...]) -> None:
    """Adds `--server` and its options; `paths` are the arguments for a model and pictures."""
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
    verb.add_argument(
        "--sidecar",
        metavar="FILE",
        type=Path,
        help="with --server, of the SavedModel that is served: says what its inputs besides the"
        " picture are, so that --label and --seed can be used",
    )


def run(arguments: argparse.Namespace) -> int:
    """Translates pictures here or by a server; returns 1 if some could not be."""
    from tfi2i.pictures.folders import translate_files

    if arguments.server is not None:
        return _by_server(arguments)
    for option in ("workers", "deadline", "sidecar"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option} goes with --server URL; leave it out without a server.")
    if arguments.tile is not None and arguments.tile < 1:
        raise InputError(f"--tile {arguments.tile}: a tile's side is a number of pixels above 0.")
    summary = translate_files(
        _picture_translator(arguments),
        arguments.images,
        arguments.out,
        suffix=arguments.format,
        overwrite=arguments.overwrite,
    )
    return 1 if summary.failed else 0


def _by_server(arguments: argparse.Namespace) -> int:
    # Its own log, on stderr, repeats what the error says.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from tfi2i_export.serving.client import ServerTranslator

    from tfi2i.pictures.folders import translate_files

    if arguments.reference is not None:
        raise InputError(
            "--reference is not sent to servers; leave it out, or translate with the run."
        )
    for option in ("direction", "tile"):
        if getattr(arguments, option) is not None:
            raise InputError(
                f"--{option} is decided by the model that the server holds; leave it out with "
                "--server."
            )
    # The first path stands where the model does without a server.
    paths = [path for path in (arguments.model, *arguments.images) if path is not None]
    for path in paths:
        if path.suffix in (".keras", ".tflite") or (path / "config.yaml").is_file():
            raise InputError(
                f"{path} is a model, and the server has its own; name pictures alone with --server."
            )
    given = {} if arguments.deadline is None else {"deadline_seconds": arguments.deadline}
    values = _server_values(arguments)
    with ServerTranslator(arguments.server, values=values, **given) as translator:
        summary = translate_files(
            translator,
            paths,
            arguments.out,
            suffix=arguments.format,
            overwrite=arguments.overwrite,
            workers=4 if arguments.workers is None else arguments.workers,
        )
    return 1 if summary.failed else 0


def _server_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns values by name of what a served model takes besides pictures, as far as is known."""
    from tfi2i_export import sidecar
    from tfi2i_export.inputs import chosen, open_conditions, read_given, told_conditions

    given = read_given(arguments.input, "--input")
    if arguments.sidecar is None:
        for option in ("label", "seed"):
            if getattr(arguments, option) is not None:
                raise InputError(
                    f"--{option} {getattr(arguments, option)}: a server does not tell what its"
                    " inputs mean; add --sidecar FILE, the .json file that was exported with the"
                    " model."
                )
        return given
    inputs = sidecar.read(arguments.sidecar).signatures[0].inputs
    shapes = {one.name: (1, *one.shape[1:]) for one in inputs if one.kind is not None}
    conditions = open_conditions(told_conditions(inputs), shapes, str(arguments.sidecar))
    return chosen(conditions, seed=arguments.seed, given=given, labels=arguments.label)


def _picture_translator(arguments: argparse.Namespace) -> "Translate":
    """Pixels (H, W, 3) -> the same, by a run, a .keras or .tflite file, or a SavedModel."""
    from tfi2i_export import artefacts
    from tfi2i_export.inputs import chosen, open_conditions, read_given, shapes_of

    from tfi2i.pictures.tiles import PictureTranslator
    from tfi2i.runs.keras_files import load_translator, read_conditions
    from tfi2i.runs.run import Run

    path, tile, direction = arguments.model, arguments.tile, arguments.direction
    given = read_given(arguments.input, "--input")
    sampling = {"seed": arguments.seed, "labels": arguments.label}
    is_artefact = artefacts.is_artefact(path)
    if is_artefact or path.is_file():
        _require_run(path, direction, arguments.reference)
    if is_artefact:
        values = chosen(artefacts.conditions_of(path), given=given, **sampling)
        return artefacts.picture_translator(path, values=values, tile=tile)
    run = None if path.is_file() else Run(path)
    if run is None:
        network, known = load_translator(path), read_conditions(path)
    else:
        network, known = run.network(direction), run.conditions(direction)
    if known and len(known) == len(network.inputs):
        raise InputError(f"{path}: makes pictures of none, so there is nothing to translate.")
    conditions = open_conditions(known, shapes_of(network), str(path))
    if run is not None and arguments.reference is not None:
        given |= _encoded(run, arguments, conditions, given)
    values = chosen(conditions, given=given, **sampling)
    return PictureTranslator(network, values=values, tile=tile)


def _require_run(path: Path, direction: str | None, reference: Path | None) -> None:
    """Refuses for a file what only a run can do."""
    if direction is not None:
        raise InputError(
            f"--direction {direction}: {path} has one direction only; leave --direction out."
        )
    if reference is not None:
        raise InputError(
            f"--reference {reference}: {path} cannot read a picture's style; translate with the"
            " run it is from."
        )


def _encoded(
    run: "Run",
    arguments: argparse.Namespace,
    conditions: "Sequence[Condition]",
    given: dict[str, Any],
) -> dict[str, Any]:
    """Returns by name the value that a run's system reads from a reference picture."""
    import numpy as np

    from tfi2i.data.resize import scaled_to_square
    from tfi2i.pictures.files import read_picture
    from tfi2i.pictures.pixels import to_image

    reference = arguments.reference
    pixels = read_picture(reference).pixels
    target = _target(run, arguments, conditions, given)
    system = run.load_system()
    encoders = {
        one.name: encoder
        for one in system.conditions_of(arguments.direction)
        if (encoder := one.encoder(target)) is not None
    }
    if not encoders:
        raise InputError(
            f"--reference {reference}: {run.path} has nothing that reads a picture's style; leave"
            " --reference out."
        )
    name, encoder = next(iter(encoders.items()))
    if name in given:
        raise InputError(f"{name!r} is given twice, by --input and by --reference; leave one out.")
    side = encoder.inputs[0].shape[1] or system.image_size
    aspect = (run.config.get("batches") or {}).get("aspect", "squash")  # as in training
    image = to_image(scaled_to_square(pixels, side, aspect))[None]
    return {name: np.asarray(encoder(image, training=False))[0]}


def _target(
    run: "Run",
    arguments: argparse.Namespace,
    conditions: "Sequence[Condition]",
    given: dict[str, Any],
) -> str | None:
    """Returns the domain of the translations, which a label chooses where the direction is open."""
    from tfi2i.conditions import values_of

    way = run.check_direction(arguments.direction)
    label = next((one for one in conditions if one.kind == "label" and one.names), None)
    if way.target is not None or label is None or not label.exclusive:
        return way.target
    given = {name: value for name, value in given.items() if name == label.name}
    seed, labels = arguments.seed or 0, arguments.label
    row = values_of([label], 1, seed=seed, given=given, labels=labels)[label.name][0]
    return label.names[int(row.argmax())]
