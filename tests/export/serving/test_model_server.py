"""Finding, starting and stopping TensorFlow Serving, with fakes of the server and of docker.

The real server is not needed here, and nothing here says that it would do the same.
"""

import logging
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest
from google.protobuf import text_format
from tfi2i_export.serving import server as model_server
from tfi2i_export.serving.server import IMAGE, Server, find, models_config, start, why_none

from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.runs.run import Run

CHECKOUT = Path(__file__).parents[3]
FREE_PORTS = ("--port", "0", "--grpc-port", "0")

# What it does is said by the FAKE variable. Its log is like the real one's: on stderr.
FAKE_SERVER = """\
import http.server, json, os, re, sys, threading
flags = dict(a.lstrip("-").partition("=")[::2] for a in sys.argv[1:])
print("config:", flags["model_config_file"], sorted(flags), file=sys.stderr, flush=True)
config = open(flags["model_config_file"]).read()
found = [json.loads(path) for path in re.findall('base_path: (".*")', config)]
behaviour, asked = os.environ.get("FAKE", ""), {}
if behaviour == "fails":
    sys.exit("F0000 Failed to start server. \\x1b[31mError: no such op")
if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
    sys.exit("it was told to be silent")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.split("/")[-1]
        asked[name] = asked.get(name, 0) + 1
        state = "LOADING" if behaviour == "hangs" or asked[name] < 3 else "AVAILABLE"
        state = "END" if behaviour == "ends" else state
        version = {"version": "1", "state": state, "status": {"error_message": "no such op"}}
        self.answer({"model_version_status": [version]})
        if behaviour == "stops" and state == "AVAILABLE":
            threading.Timer(0.5, os._exit, [3]).start()
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer({"predictions": body["instances"]})
    def answer(self, values):
        content = json.dumps(values, indent=4).encode()
        self.send_response(200)
        self.send_header("Content-Length", len(content))
        self.end_headers()
        self.wfile.write(content)
    def log_message(self, *arguments):
        pass
if not all(os.path.isdir(path) and path.startswith("/") for path in found):
    sys.exit("no base_path " + str(found))
http.server.HTTPServer(("", int(flags["rest_api_port"])), Handler).serve_forever()
"""

# Runs the fake server in place of a container, at the host's paths and ports.
FAKE_DOCKER = """\
import json, os, re, signal, subprocess, sys
log, verb = os.environ["FAKE_DOCKER_LOG"], sys.argv[1]
open(log, "a").write(" ".join(sys.argv[1:]) + "\\n")
if verb == "version":
    sys.exit(os.environ.get("FAKE_ENGINE") == "none")
if verb == "image":
    sys.exit(sys.argv[-1] != os.environ.get("FAKE_IMAGE"))
if verb == "rm":
    os.kill(int(open(log + "." + sys.argv[-1]).read()), signal.SIGKILL)
if verb == "run":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    line = " ".join(sys.argv)
    ports = dict(map(reversed, re.findall(r"--publish=127.0.0.1:(\\d+):(\\d+)", line)))
    server = sys.argv[sys.argv.index(os.environ["FAKE_IMAGE"]) + 1:]
    mounts = re.findall(r'type=bind,"source=((?:[^"]|"")*)",target=([^ ,]*),readonly', line)
    mounts = [(source.replace('""', '"'), target) for source, target in mounts]
    config = dict((target, source) for source, target in mounts)["/config"]
    text = open(config + "/models.config").read()
    for source, target in mounts:
        text = text.replace(json.dumps(target), json.dumps(source, ensure_ascii=False))
    open(config + "/host.config", "w").write(text)
    flags = ["--model_config_file=" + config + "/host.config"]
    flags += ["--rest_api_port=" + ports["8501"], "--port=" + ports["8500"]]
    assert {"--port=8500", "--rest_api_port=8501"} < set(server), server
    child = subprocess.Popen([os.environ["FAKE_SERVER"], *flags])
    name = re.search("--name=(\\\\S+)", line)[1]
    open(log + "." + name, "w").write(str(child.pid))
    sys.exit(child.wait())
"""


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # as the command line sets it
    monkeypatch.setattr(model_server, "POLL_SECONDS", 0.05)
    return folder


@pytest.fixture
def server(path):
    script(path, "tensorflow_model_server", FAKE_SERVER)
    return find()


@pytest.fixture
def docker(path, tmp_path, monkeypatch):
    """The lines of what a fake docker, which has the image, was asked."""
    script(path, "docker", FAKE_DOCKER)
    lines = tmp_path / "docker.txt"
    fake = script(tmp_path / "fake", "tensorflow_model_server", FAKE_SERVER)
    monkeypatch.setenv("FAKE_DOCKER_LOG", str(lines))
    monkeypatch.setenv("FAKE_IMAGE", IMAGE)
    monkeypatch.setenv("FAKE_SERVER", str(fake))
    return lines


@pytest.fixture
def models(tmp_path):
    """Base paths by name, with no more in them than a fake asks for."""
    found = {}
    for name in ("a2b-saved_model", "b2a-saved_model"):
        found[name] = tmp_path / 'odd "names", ü' / name
        (found[name] / "1").mkdir(parents=True)
    return found


def taken_port() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


# find


def test_the_binary_is_preferred_to_docker(path, docker):
    assert find() == Server(shutil.which("docker"), IMAGE) and not why_none()
    binary = script(path, "tensorflow_model_server", FAKE_SERVER)
    assert find() == Server(str(binary)) and not why_none()
    assert not find().on_loopback_only


def test_without_a_server_it_says_what_to_install(path):
    assert find() is None
    assert "tensorflow_model_server" in why_none() and f"`docker pull {IMAGE}`" in why_none()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [("FAKE_ENGINE", "none", "engine does not answer"), ("FAKE_IMAGE", "x", "has not got the")],
)
def test_docker_needs_its_engine_and_the_image_and_is_never_made_to_pull(
    docker, monkeypatch, variable, value, reason
):
    monkeypatch.setenv(variable, value)
    assert find() is None
    assert reason in why_none() and f"`docker pull {IMAGE}`" in why_none()
    assert {line.split()[0] for line in docker.read_text().splitlines()} <= {"version", "image"}


def test_a_docker_that_hangs_is_none(path, monkeypatch):
    monkeypatch.setattr(model_server, "DOCKER_SECONDS", 0.2)
    script(path, "docker", "import time; time.sleep(60)")
    assert find() is None and "engine does not answer" in why_none()


# start


def test_it_is_handed_over_when_all_models_are_available_and_stopped_afterwards(server, models):
    with start(server, models, batching=True) as running:
        for name in models:
            with urllib.request.urlopen(running.rest_url(name)) as reply:
                assert b'"AVAILABLE"' in reply.read()
        assert running.grpc_url("x") == f"grpc://127.0.0.1:{running.grpc_port}/x"
        assert running.process.poll() is None
        [line] = running.last_lines()
        folder = Path(re.search("config: (.*?)/models.config", line)[1])
        assert {"enable_batching", "batching_parameters_file", "port"} <= set(
            re.findall(r"'(\w+)'", line)
        )
        assert (folder / "batching_parameters.txt").read_text() == model_server.BATCHING
    assert running.process.poll() == -signal.SIGTERM
    assert not folder.exists()


def test_a_server_that_ignores_sigterm_is_killed(path, models, monkeypatch):
    monkeypatch.setattr(model_server, "STOP_SECONDS", 0.2)
    ignoring = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    script(path, "tensorflow_model_server", ignoring + FAKE_SERVER)
    with start(find(), models) as running:
        pass
    assert running.process.poll() == -signal.SIGKILL


def test_docker_publishes_on_loopback_alone_and_its_container_is_removed(docker, models):
    with start(find(), models, rest_port=0) as running:
        with urllib.request.urlopen(running.rest_url("b2a-saved_model")) as reply:
            assert b'"AVAILABLE"' in reply.read()
        run = docker.read_text().splitlines()[-1]
        name = re.search("--name=(tfi2i-serving-[^ ]*)", run)[1]
        assert f"--publish=127.0.0.1:{running.grpc_port}:8500" in run and "--pull=never" in run
        assert run.count("--publish=") == 2 and run.count(",readonly") == 3
    assert docker.read_text().splitlines()[-1] == f"rm --force {name}"
    assert running.process.poll() is not None
    with pytest.raises(OSError):
        urllib.request.urlopen(running.rest_url("b2a-saved_model"))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("fails", "ended with code 1 before it served a2b-saved_model; its last lines"),
        ("hangs", "did not serve a2b-saved_model within 1 s"),
        ("ends", r"could not load a2b-saved_model \(no such op\)"),
    ],
)
def test_a_server_that_does_not_get_there_is_stopped_and_its_log_shown(
    server, models, monkeypatch, caplog, behaviour, reason
):
    monkeypatch.setenv("FAKE", behaviour)
    caplog.set_level(logging.ERROR, "tfi2i")
    begun = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: begun.append(popen(*a, **k)) or begun[-1]
    )
    with pytest.raises(InputError, match=reason), start(server, models, wait_seconds=1):
        pass
    assert begun[0].poll() is not None
    assert caplog.messages[0].startswith("config: ")
    if behaviour == "fails":
        assert caplog.messages[-1] == "F0000 Failed to start server. \\x1b[31mError: no such op"


def test_a_stranger_on_the_port_is_not_taken_for_the_server(server, models, monkeypatch):
    with taken_port() as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("FAKE", "fails")
        monkeypatch.setattr(model_server, "_ports", lambda *ports: (port, port))
        monkeypatch.setattr(model_server, "STATUS_SECONDS", 0.5)
        with pytest.raises(InputError, match="ended with code 1"), start(server, models):
            pass


def test_ports_are_checked_before_the_server_starts(server, models):
    # Of gRPC's port the server itself would not notice.
    with taken_port() as listener:
        port = listener.getsockname()[1]
        for ports in ({"grpc_port": port}, {"rest_port": port}):
            with pytest.raises(InputError, match=f"Port {port} cannot be used"):
                start(server, models, **ports).__enter__()
    for ports, reason in (((70000, 1), "1 to 65535"), ((-1, 1), "1 to 65535"), ((5, 5), "two")):
        with pytest.raises(InputError, match=reason):
            start(server, models, grpc_port=ports[0], rest_port=ports[1]).__enter__()


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_ctrl_c_and_sigterm_stop_the_server(server, models, number, raised):
    with pytest.raises(raised), start(server, models) as running:
        signal.raise_signal(number)
        time.sleep(5)
    assert running.process.poll() == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_docker_gets_no_path_with_control_characters(docker, tmp_path):
    with pytest.raises(InputError, match="control characters"):
        start(find(), {"a": tmp_path / "b\n"}).__enter__()


# models.config


def test_the_configuration_is_what_the_official_parser_reads(models):
    from tensorflow_serving.config import model_server_config_pb2

    config = text_format.Parse(models_config(models), model_server_config_pb2.ModelServerConfig())
    found = config.model_config_list.config
    assert {one.name: one.base_path for one in found} == {
        name: str(path) for name, path in models.items()
    }
    assert {one.model_platform for one in found} == {"tensorflow"}


def test_what_a_configuration_cannot_hold_is_refused():
    for name in ("a/b", "a:b", "", ".", "a b", "ä", "a\n", "-a"):
        with pytest.raises(InputError, match="rename the folder"):
            models_config({name: Path("/models/x")})
    for path in ("/a\nb", "/a\udcff"):
        with pytest.raises(InputError, match="control characters"):
            models_config({"a": Path(path)})
    with pytest.raises(InputError, match="no model to serve"):
        models_config({})


# tfi2i serve


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """A SavedModel with picture files in and out."""
    import tensorflow as tf

    class Echo(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def files(self, image_bytes):
            return {"image_bytes": tf.identity(image_bytes)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="image")])
        def tensors(self, image):
            return {"translation": tf.identity(image)}

    folder = tmp_path_factory.mktemp("models")
    module = Echo()
    for name, function in (("files", module.files), ("tensors", module.tensors)):
        tf.saved_model.save(module, folder / name, {"serving_default": function})
    return folder


@pytest.fixture
def run(tmp_path, small_model):
    run = Run.create(tmp_path / "my runs", "NICEGAN", "x", {"system": "NICEGAN"}, {})
    shutil.copytree(small_model / "files", run.exports_dir / "a2b-saved_model" / "2")
    shutil.copytree(small_model / "tensors", run.exports_dir / "b2a-saved_model-tensor" / "1")
    (run.exports_dir / "a2b-int8.tflite").touch()
    (run.exports_dir / "notes").mkdir()
    return run


def failure(capsys, *arguments: object) -> str:
    assert main(["serve", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("tfi2i: error: ")
    return printed.err


def test_serve_without_a_server_says_what_to_install(path, run, capsys):
    assert f"`docker pull {IMAGE}`" in failure(capsys, run.path)


def test_serve_says_how_models_are_made_where_there_are_none(server, run, tmp_path, capsys):
    shutil.rmtree(run.exports_dir / "b2a-saved_model-tensor")
    said = failure(capsys, run.path, "--direction", "b2a")
    assert shlex.split(re.search("`(.*)`", said)[1])[:3] == ["tfi2i", "export", str(run.path)]
    assert said.endswith("--format saved_model --direction b2a` makes one.\n")
    shutil.rmtree(run.exports_dir)
    assert "--format saved_model` makes one." in failure(capsys, run.path)
    assert "holds no SavedModel" in failure(capsys, tmp_path)
    assert "is not a folder" in failure(capsys, tmp_path / "nothing")


def test_serve_refuses_what_is_no_base_path(server, run, capsys, small_model):
    base = run.exports_dir / "a2b-saved_model"
    assert f"give {base}, whose" in failure(capsys, base / "2")
    assert "leave --direction out" in failure(capsys, base, "--direction", "a2b")
    (base / "2" / "saved_model.pb").write_bytes(b"\xff")
    assert "saved_model.pb is damaged" in failure(capsys, run.path)


def test_serve_ends_with_1_when_the_server_ends(server, run, capsys, monkeypatch):
    monkeypatch.setenv("FAKE", "stops")
    assert main(["serve", str(run.path), "--direction", "a2b", *FREE_PORTS]) == 1
    printed = capsys.readouterr()
    assert "a2b-saved_model" in printed.out and "b2a" not in printed.out
    assert printed.err.endswith("TensorFlow Serving ended by itself, with code 3.\n")


def test_serve_prints_commands_that_work_and_stops_at_sigterm(server, run, tmp_path):
    """In a process of its own, as for a user; only the server in it is a fake."""
    command = [sys.executable, "-m", "tfi2i.cli", "serve", str(run.path), *FREE_PORTS]
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'export'}"},
    )
    try:
        lines = []
        while "b2a-saved_model-tensor/metadata" not in "".join(lines[-1:]):
            lines.append(process.stdout.readline())
            assert lines[-1], "it ended"
        text = "".join(lines)
        assert "on all network interfaces" in lines[0] and "without authentication" in lines[0]
        rest = re.search(r"--server (http:\S+/v1/models/a2b-saved_model) PICTURES", text)[1]
        assert re.search(r"--server grpc://127.0.0.1:\d+/b2a-saved_model-tensor PICTURES", text)
        photo = os.urandom(200_000)  # more than an argument of a command may have
        (tmp_path / "photo.jpg").write_bytes(photo)
        [curl] = re.findall(r"^  \(printf.*?translated.png$", text, re.DOTALL | re.MULTILINE)
        subprocess.run(
            ["/bin/bash", "-c", textwrap.dedent(curl)],
            cwd=tmp_path,
            check=True,
            env={"PATH": "/usr/bin:/bin"},
        )
        assert (tmp_path / "translated.png").read_bytes() == photo
    finally:
        process.terminate()
        process.stdout.close()
    assert process.wait(20) == 128 + signal.SIGTERM
    with pytest.raises(OSError):
        urllib.request.urlopen(rest)
