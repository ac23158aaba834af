"""TensorFlow Serving: found on this machine, started, waited for and stopped.

    server = find()  # None where there is none; `why_none()` says what to install
    with start(server, {"a2b-saved_model": exports / "a2b-saved_model"}) as running:
        running.rest_url("a2b-saved_model")

The server is either the binary, which listens on all interfaces as it has no flag against that, or
the docker image `IMAGE`, published on 127.0.0.1 alone. Nothing is downloaded.
"""

import contextlib
import dataclasses
import http.client
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow_serving.config import model_server_config_pb2  # type: ignore[import-untyped]

from tfi2i.errors import InputError
from tfi2i.processes import answer_of
from tfi2i.terminal import printable

log = logging.getLogger("tfi2i")

IMAGE = "tensorflow/serving:2.20.0"
BINARY = "tensorflow_model_server"
BATCHING = """\
max_batch_size { value: 8 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 1
allowed_batch_sizes: 2
allowed_batch_sizes: 4
allowed_batch_sizes: 8
"""
"""The server merges up to 8 requests that arrive within 2 ms."""

DOCKER_SECONDS = 20  # for docker's answers; its command line waits long for some dead engines
STOP_SECONDS = 10
POLL_SECONDS = 0.2
STATUS_BYTES = 2**20
STATUS_SECONDS = 5
LOG_LINES = 15

NOT_ITS_ANSWER = (ValueError, LookupError, TypeError, AttributeError)


@dataclasses.dataclass(frozen=True)
class Server:
    """A TensorFlow Serving that this machine can run.

    Attributes:
        program: Path of tensorflow_model_server, or of docker.
        image: Image that docker runs; None: `program` is the server itself.
    """

    program: str
    image: str | None = None

    @property
    def on_loopback_only(self) -> bool:
        return self.image is not None

    def __str__(self) -> str:
        return f"docker image {self.image}" if self.image else self.program


@dataclasses.dataclass(frozen=True)
class Running:
    """A server that answers for all its models."""

    grpc_port: int
    rest_port: int
    process: subprocess.Popen[bytes]
    log_path: Path

    def rest_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.rest_port}/v1/models/{name}"

    def grpc_url(self, name: str) -> str:
        return f"grpc://127.0.0.1:{self.grpc_port}/{name}"

    def last_lines(self) -> list[str]:
        """The lines that the server logged last, made printable."""
        with self.log_path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2**14))
            lines = file.read().decode(errors="replace").splitlines()
        return [printable(line) for line in lines[-LOG_LINES:]]


def find() -> Server | None:
    """The server of this machine: the binary on PATH, else docker with `IMAGE`; never downloads."""
    found = _look()
    return found if isinstance(found, Server) else None


def why_none() -> str:
    """One sentence on what `find` lacks, and what would do; empty if it lacks nothing."""
    found = _look()
    return found if isinstance(found, str) else ""


def _look() -> Server | str:
    if program := shutil.which(BINARY):
        return Server(program)
    docker, pull = shutil.which("docker"), f"`docker pull {IMAGE}`."
    if docker is None:
        return (
            f"TensorFlow Serving is not installed: put {BINARY} on PATH, or install docker and run"
            f" {pull}"
        )
    none = f"There is no {BINARY} on PATH, and docker"
    if not _answers(docker, "version", "--format", "{{.Server.Version}}"):
        return f"{none}'s engine does not answer: start it and run {pull}"
    if not _answers(docker, "image", "inspect", IMAGE):
        return f"{none} has not got the image {IMAGE}: run {pull}"
    return Server(docker, IMAGE)


def _answers(docker: str, *arguments: str) -> bool:
    return answer_of(docker, *arguments, seconds=DOCKER_SECONDS) is not None


@contextlib.contextmanager
def start(
    server: Server,
    models: Mapping[str, Path],
    *,
    grpc_port: int | None = None,
    rest_port: int | None = None,
    batching: bool = False,
    wait_seconds: float = 120.0,
) -> Iterator[Running]:
    """Runs a server and hands it over when every model is available; stops it at the end.

    It is stopped by Ctrl-C and SIGTERM too. A model that fails to load is not tried again.

    Args:
        server: Server by `find`.
        models: Base_path by name, each with version folders, of which the highest is served.
        grpc_port: None or 0: a free one.
        rest_port: None or 0: a free one.
        batching: Merge requests that arrive together, by `BATCHING`.
        wait_seconds: Seconds for all models together.

    Raises:
        InputError: names or paths that the server's configuration cannot hold, a port that is in
            use, or a server that ends or does not serve every model in time; its last lines are
            logged then.
    """
    grpc_port, rest_port = _ports(server, grpc_port, rest_port)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfi2i-serving-")))
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # nobody else handles it
        ):
            # It leaves blocks as Ctrl-C does.
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
            stack.callback(signal.signal, signal.SIGTERM, signal.SIG_DFL)
        container = f"tfi2i-serving-{os.getpid()}-{secrets.token_hex(4)}" if server.image else None
        command = _command(server, models, folder, container, (grpc_port, rest_port), batching)
        log_path = folder / "log.txt"
        with log_path.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # The server logs: the command line silences our TensorFlow by this variable.
                env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
                # Or else the terminal's Ctrl-C would reach the server beside us.
                start_new_session=True,
            )
        stack.callback(_stop, process, server.program, container)
        running = Running(grpc_port, rest_port, process, log_path)
        _wait(running, list(models), wait_seconds)
        yield running


def _stop(process: subprocess.Popen[bytes], program: str, container: str | None) -> None:
    try:
        if container is None:
            process.terminate()
        else:  # which outlives docker's command line, and whose first process may ignore SIGTERM
            _answers(program, "rm", "--force", container)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:  # also at a second Ctrl-C
        if process.poll() is None:
            process.kill()
            process.wait()


def _ports(server: Server, *wanted: int | None) -> tuple[int, int]:
    """Both ports, free ones for None and 0; all are tried, as two servers may share a gRPC port."""
    grpc_port, rest_port = wanted
    if grpc_port and grpc_port == rest_port:
        raise InputError(f"Port {grpc_port} cannot be that of gRPC and of REST: give two ports.")
    found = []
    with contextlib.ExitStack() as open_together:
        for port in wanted:
            bound = open_together.enter_context(socket.socket())
            if sys.platform != "win32":  # where it would let a port be shared
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind(("127.0.0.1" if server.on_loopback_only else "", port or 0))
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or "ports are 1 to 65535"
                message = f"Port {port} cannot be used ({reason}); give another one."
                raise InputError(message) from error
            found.append(bound.getsockname()[1])
    return found[0], found[1]


def _command(
    server: Server,
    models: Mapping[str, Path],
    folder: Path,
    container: str | None,
    ports: tuple[int, int],
    batching: bool,
) -> list[str]:
    """Command to run; the files that it names are written to `folder`."""
    paths = {name: path.resolve() for name, path in models.items()}
    in_container = {name: Path("/models", name) for name in models}
    config = models_config(paths)  # which checks them, docker or not
    if container:
        config = models_config(in_container)
    (folder / "models.config").write_text(config, encoding="utf-8")
    (folder / "batching_parameters.txt").write_text(BATCHING, encoding="utf-8")
    seen = Path("/config") if container else folder
    flags = [f"--model_config_file={seen}/models.config"]
    flags += ["--max_num_load_retries=0"]  # by default five, a minute apart
    if batching:
        flags += ["--enable_batching", f"--batching_parameters_file={seen}/batching_parameters.txt"]
    if container is None or server.image is None:
        return [server.program, f"--port={ports[0]}", f"--rest_api_port={ports[1]}", *flags]
    mounts = {folder: Path("/config")} | {paths[name]: in_container[name] for name in paths}
    return [
        *(server.program, "run", "--rm", "--pull=never", f"--name={container}"),
        *(f"--publish=127.0.0.1:{ports[0]}:8500", f"--publish=127.0.0.1:{ports[1]}:8501"),
        *(f"--mount={_mount(source, target)}" for source, target in mounts.items()),
        # The image's own entry point is a shell that names one model.
        *(f"--entrypoint={BINARY}", server.image, "--port=8500", "--rest_api_port=8501", *flags),
    ]


def _mount(source: Path, target: Path) -> str:
    """A read-only folder for docker, whose option is a line of CSV."""
    quoted = str(source).replace('"', '""')
    return f'type=bind,"source={quoted}",target={target.as_posix()},readonly'


def models_config(models: Mapping[str, Path]) -> str:
    """The server's models.config, of absolute base_paths by name.

    Raises:
        InputError: without models, or with a name or path that it cannot hold.
    """
    if not models:
        raise InputError("There is no model to serve.")
    config = model_server_config_pb2.ModelServerConfig()
    for name, path in models.items():
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise InputError(
                f"{path}: {name!r} cannot be a model's name in URLs; rename the folder to letters,"
                " digits, '-', '_' and '.'."
            )
        if not str(path).isprintable():
            raise InputError(f"{path}: the server needs a path without control characters.")
        config.model_config_list.config.add(
            name=name, base_path=path.as_posix(), model_platform="tensorflow"
        )
    return text_format.MessageToString(config, as_utf8=True)


def _wait(running: Running, names: Sequence[str], seconds: float) -> None:
    """Returns when each model has an available version."""
    end = time.monotonic() + seconds
    for name in names:
        while not _available(running, name):
            if (code := running.process.poll()) is not None:
                raise _failure(running, f"ended with code {code} before it served {name}")
            if time.monotonic() > end:
                raise _failure(running, f"did not serve {name} within {seconds:.0f} s")
            time.sleep(POLL_SECONDS)


def _available(running: Running, name: str) -> bool:
    """Whether a model has an available version; not while the server does not answer as it does.

    The answer's code is 200 also while a model loads.
    """
    # Without the proxies of the environment, which do not lead to this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(running.rest_url(name), timeout=STATUS_SECONDS) as reply:
            versions = json.loads(reply.read(STATUS_BYTES))["model_version_status"]
        states = {one["state"] for one in versions}
        reasons = "; ".join(str(one.get("status", {}).get("error_message")) for one in versions)
    except (OSError, http.client.HTTPException, RecursionError, *NOT_ITS_ANSWER):
        return False
    if states == {"END"}:
        reason = printable(" ".join(reasons.split()), 300)
        raise _failure(running, f"could not load {name} ({reason})")
    return "AVAILABLE" in states


def _failure(running: Running, what: str) -> InputError:
    lines = running.last_lines()
    for line in lines:
        log.error("%s", line)
    above = "its last lines stand above" if lines else "it logged nothing"
    return InputError(f"TensorFlow Serving {what}; {above}.")
