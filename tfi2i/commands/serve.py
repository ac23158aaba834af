"""The verb that runs a server: serve."""

import argparse
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tfi2i.commands.arguments import add_direction, add_verb
from tfi2i.errors import InputError

if TYPE_CHECKING:
    from tfi2i_export.serving.server import Running, Server

log = logging.getLogger("tfi2i")

CURL = """\
  (printf '{{"instances": [{{"b64": "'; base64 < photo.jpg | tr -d '\\n'; printf '"}}]}}') |
    curl --silent --data @- {url}:predict |
    grep -o '"b64": *"[^"]*' | cut -d '"' -f 4 | base64 -d > translated.png"""


def add(verbs) -> None:
    """Adds `tfi2i serve`."""
    verb = add_verb(
        verbs,
        run,
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
    add_direction(verb, "of a run's models only these, such as a2b [all]")
    verb.add_argument("--port", metavar="N", type=int, default=8501, help="of REST [8501]")
    verb.add_argument("--grpc-port", metavar="N", type=int, default=8500, help="of gRPC [8500]")
    verb.add_argument(
        "--batching",
        action="store_true",
        help="answer up to 8 requests together, for GPUs: a broken picture then fails all of them",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves models until Ctrl-C; returns 1 when the server ends by itself."""
    from tfi2i_export.serving import server as model_server

    models = _models(arguments.models, arguments.direction)
    inputs = {name: _inputs(path) for name, path in models.items()}
    server = model_server.find()
    if server is None:
        raise InputError(model_server.why_none())
    log.info("Starting %s for %s ...", server, ", ".join(models))
    with model_server.start(
        server,
        models,
        grpc_port=arguments.grpc_port,
        rest_port=arguments.port,
        batching=arguments.batching,
    ) as running:
        print(_how_to_ask(server, running, inputs), flush=True)
        code = running.process.wait()
        for line in running.last_lines():
            log.error("%s", line)
        log.error("TensorFlow Serving ended by itself, with code %d.", code)
    return 1


def _models(path: Path, direction: str | None) -> dict[str, Path]:
    """Returns name -> base_path of the models in a run's exports/ or a folder, or of one model."""
    from tfi2i_export.saved_model.files import versions

    from tfi2i.runs.run import Run

    is_run = (path / "config.yaml").is_file()
    if direction is not None and not is_run:
        raise InputError(f"--direction {direction}: {path} is no run; leave --direction out.")
    if not is_run and versions(path):
        return {path.resolve().name: path}
    if not path.is_dir():
        raise InputError(f"{path}: is not a folder; give a run or a SavedModel's folder.")
    parent = Run(path).exports_dir if is_run else path
    if (parent / "saved_model.pb").is_file():
        raise InputError(
            f"{path}: is one version of a SavedModel; give {path.resolve().parent}, whose"
            " numbered folders are its versions."
        )
    start = f"{direction}-" if direction else ""  # `Choice.name_of` begins with the direction
    found = sorted(parent.glob("*"))
    models = {one.name: one for one in found if one.name.startswith(start) and versions(one)}
    if models:
        return models
    if not is_run:
        raise InputError(
            f"{path}: holds no SavedModel, which is a folder with numbered folders for its"
            " versions; `tfi2i export RUN --format saved_model` makes one."
        )
    Run(path).check_direction(direction)
    more = f" --direction {shlex.quote(direction)}" if direction else ""
    raise InputError(
        f"{path}: has no SavedModel{f' for {direction}' if direction else ''};"
        f" `tfi2i export {shlex.quote(str(path))} --format saved_model{more}` makes one."
    )


def _inputs(base_path: Path) -> set[str]:
    """Returns what the version to be served takes by `serving_default`."""
    from tfi2i_export.saved_model.files import signatures, versions

    signature = signatures(versions(base_path)[-1]).get("serving_default")
    return set() if signature is None else set(signature.inputs)


def _how_to_ask(server: "Server", running: "Running", inputs: dict[str, set[str]]) -> str:
    """Returns the text that is printed once the server answers."""
    here, everywhere = "this machine alone (127.0.0.1)", "all network interfaces of this machine"
    lines = [
        f"Serving on {here if server.on_loopback_only else everywhere}, without authentication:"
        f" REST on port {running.rest_port}, gRPC on port {running.grpc_port}. Ctrl-C stops it."
    ]
    for name, taken in inputs.items():
        rest = running.rest_url(name)
        lines += ["", name]
        ask = "  tfi2i translate --server {} PICTURES --out translated"
        if taken and not {"image", "image_bytes"} & taken:
            ask = "  tfi2i sample --server {} --sidecar FILE --out samples"
        lines += [ask.format(url) for url in (rest, running.grpc_url(name))]
        lines.append(
            CURL.format(url=rest) if taken == {"image_bytes"} else f"  curl {rest}/metadata"
        )
    return "\n".join(lines)
