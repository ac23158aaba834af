"""The files of export/serving, as far as they can be checked without a server or a cluster."""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from tfi2i_export.serving.server import BATCHING, IMAGE

from tfi2i.cli import parser

SERVING = Path(__file__).parents[3] / "export" / "serving"
README = (SERVING / "README.md").read_text(encoding="utf-8")
# As the server's main.cc has them; a typing error in a flag ends the server.
FLAGS = {
    *("port", "rest_api_port", "rest_api_timeout_in_ms", "monitoring_config_file"),
    *("model_config_file", "model_config_file_poll_wait_seconds"),
    *("allow_version_labels_for_unavailable_models", "enable_batching", "batching_parameters_file"),
}
FIELD = descriptor_pb2.FieldDescriptorProto


def text(name: str) -> str:
    return (SERVING / name).read_text(encoding="utf-8")


def documents(name: str) -> list:
    return list(yaml.safe_load_all(text(name)))


@pytest.fixture(scope="module")
def models():
    """The models of models.config by name."""
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    config = text_format.Parse(text("models.config"), ModelServerConfig())
    return {one.name: one for one in config.model_config_list.config}


@pytest.fixture(scope="module")
def messages():
    """BatchingParameters and MonitoringConfig, which no Python package has.

    Names, numbers and types are those of session_bundle_config.proto and monitoring_config.proto.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="serving.proto", package="t", syntax="proto3", dependency=[wrappers.DESCRIPTOR.name]
    )
    sizes = ["max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"]
    boxed = {"type": FIELD.TYPE_MESSAGE, "type_name": ".google.protobuf.Int64Value"}
    batching = file.message_type.add(name="BatchingParameters")
    for number, name in enumerate(sizes, 1):
        batching.field.add(name=name, number=number, label=FIELD.LABEL_OPTIONAL, **boxed)
    repeated = {"type": FIELD.TYPE_INT64, "label": FIELD.LABEL_REPEATED}
    batching.field.add(name="allowed_batch_sizes", number=6, **repeated)
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=FIELD.TYPE_BOOL, label=FIELD.LABEL_OPTIONAL)
    prometheus.field.add(name="path", number=2, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    inner = {"type": FIELD.TYPE_MESSAGE, "type_name": ".t.PrometheusConfig"}
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(name="prometheus_config", number=1, label=FIELD.LABEL_OPTIONAL, **inner)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name], pool)


@pytest.fixture(scope="module")
def compose():
    [one] = documents("compose.yaml")
    return one["services"]["serving"]


@pytest.fixture(scope="module")
def pod():
    deployment, _ = documents("kubernetes.yaml")
    return deployment["spec"]["template"]["spec"]


@pytest.fixture(params=["compose", "kubernetes"])
def arguments(request, compose, pod):
    """The server's flags with their values."""
    listed = compose["command"] if request.param == "compose" else pod["containers"][0]["args"]
    return dict(one.removeprefix("--").partition("=")[::2] for one in listed)


# text formats


def test_models_config_is_read_and_its_labels_name_versions_that_are_served(models):
    assert len(models) == 2
    for name, one in models.items():
        assert one.base_path == f"/models/{name}" and one.model_platform == "tensorflow"
        wanted = set(one.model_version_policy.specific.versions)
        assert set(one.version_labels.values()) <= wanted
    labels = [dict(one.version_labels) for one in models.values()]
    assert {"stable", "canary"} in [set(one) for one in labels]


def test_batching_parameters_are_read_and_are_those_of_tfi2i_serve(messages):
    found, built_in = (
        text_format.Parse(one, messages["t.BatchingParameters"]())
        for one in (text("batching_parameters.txt"), BATCHING)
    )
    assert found == built_in
    assert list(found.allowed_batch_sizes) == sorted(set(found.allowed_batch_sizes))
    assert found.allowed_batch_sizes[-1] == found.max_batch_size.value


def test_monitoring_config_is_read_and_the_readme_says_where(messages):
    found = text_format.Parse(text("monitoring.config"), messages["t.MonitoringConfig"]())
    assert found.prometheus_config.enable
    assert f"`GET {found.prometheus_config.path}`" in README


# compose and Kubernetes


def test_there_is_one_pinned_image(compose, pod):
    [kserve] = documents("kserve.yaml")
    assert compose["image"] == pod["containers"][0]["image"] == IMAGE
    model = kserve["spec"]["predictor"]["model"]
    assert f"tensorflow/serving:{model['runtimeVersion']}" == IMAGE
    assert model["modelFormat"]["name"] == "tensorflow" and model["protocolVersion"] == "v1"
    version = IMAGE.partition(":")[2]
    assert set(re.findall(r"\b2\.\d+\.\d+\b", README)) == {version}


def test_the_flags_are_known_and_name_files_that_are_here(arguments, models):
    assert set(arguments) <= FLAGS
    assert (arguments["port"], arguments["rest_api_port"]) == ("8500", "8501")
    named = [Path(value) for name, value in arguments.items() if name.endswith("_file")]
    assert named and all(path.parent == Path("/config") for path in named)
    assert all((SERVING / path.name).is_file() for path in named)
    if any(one.version_labels for one in models.values()):
        assert arguments["allow_version_labels_for_unavailable_models"] == "true"


def test_the_lines_for_batching_are_off_and_would_be_right(compose):
    off = re.findall(r"^ *# - --(\w+)=?(.*)$", text("compose.yaml"), re.MULTILINE)
    path = "/config/batching_parameters.txt"
    assert off == [("enable_batching", ""), ("batching_parameters_file", path)]
    assert not [one for one in compose["command"] if "batching" in one]


def test_compose_and_kubernetes_start_the_same_server(compose, pod):
    container = pod["containers"][0]
    assert compose["command"] == container["args"]
    assert compose["entrypoint"] == container["command"] == ["tensorflow_model_server"]


def test_compose_is_on_loopback_alone_and_may_write_nothing(compose, models):
    assert sorted(compose["ports"]) == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    mounts = dict(one.removesuffix(":ro").split(":") for one in compose["volumes"])
    assert all(one.endswith(":ro") for one in compose["volumes"]) and compose["read_only"]
    assert mounts == {"./models": "/models", ".": "/config"}
    assert {str(Path(one.base_path).parent) for one in models.values()} == {mounts["./models"]}
    assert re.fullmatch(r"\d+g", compose["mem_limit"])


def test_the_probes_ask_for_every_model(compose, pod, models):
    wanted = ["bash", "/config/ready.sh", *models]
    assert compose["healthcheck"]["test"] == ["CMD", *wanted]
    container = pod["containers"][0]
    assert container["readinessProbe"]["exec"]["command"] == wanted
    assert (SERVING / "ready.sh").is_file()
    # Longer than the server's own five attempts, a minute apart.
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > 300


def test_kubernetes_mounts_what_the_flags_and_the_readme_name(pod, models):
    container = pod["containers"][0]
    mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert {one["name"] for one in mounts.values()} == set(volumes)
    assert mounts["/models"]["readOnly"] and mounts["/config"]["readOnly"]
    claim = volumes[mounts["/models"]["name"]]["persistentVolumeClaim"]["claimName"]
    assert f"`{claim}`" in README
    config = volumes[mounts["/config"]["name"]]["configMap"]["name"]
    [command] = re.findall(r"kubectl create configmap .*", README)
    assert command.split()[3] == config
    given = set(re.findall(r"--from-file=(\S+)", command))
    used = " ".join(container["args"] + container["readinessProbe"]["exec"]["command"])
    assert given == set(re.findall(r"/config/(\S+)", used))
    [kserve] = documents("kserve.yaml")
    assert kserve["metadata"]["name"] in models
    uri = kserve["spec"]["predictor"]["model"]["storageUri"]
    assert uri == f"pvc://{claim}/{kserve['metadata']['name']}"


def test_the_service_is_headless_and_finds_the_pods(pod):
    deployment, service = documents("kubernetes.yaml")
    spec = deployment["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == spec["selector"]["matchLabels"] == labels
    ports = {one["name"]: one["containerPort"] for one in pod["containers"][0]["ports"]}
    assert {one["targetPort"]: one["port"] for one in service["spec"]["ports"]} == ports
    assert f"dns:///{service['metadata']['name']}:{ports['grpc']}" in README


# ready.sh


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_ready_reads_the_status_of_every_model():
    states = {"new": ["LOADING"], "old": ["AVAILABLE", "LOADING"], "gone": ["END"]}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.removeprefix("/v1/models/")
            versions = [{"version": "1", "state": state} for state in states.get(name, ())]
            body = json.dumps({"model_version_status": versions}, indent=1).encode()
            self.send_response(200 if versions else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    def ready(*names: str) -> bool:
        command = ["bash", str(SERVING / "ready.sh"), *names]
        env = os.environ | {"REST_PORT": str(server.server_port)}
        return not subprocess.run(command, env=env, capture_output=True, timeout=20).returncode

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            assert ready("old") and ready("old", "old")
            assert not ready("new") and not ready("gone") and not ready("unknown")
            assert not ready("old", "new") and not ready("new", "old")
        finally:
            server.shutdown()
            thread.join()
    assert not ready("old"), "nobody answers"


# README


def test_every_file_is_in_the_readme_and_every_command_can_be_typed():
    listed = set(re.findall(r"^\| `(\S+)` \|", README, re.MULTILINE))
    assert listed == {path.name for path in SERVING.iterdir()} - {"README.md"}
    commands = re.findall(r"^ *tfi2i (.+)$", README, re.MULTILINE)
    assert {one.split()[0] for one in commands} == {"export", "serve", "translate"}
    for command in commands:
        parser().parse_args(command.split())
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    compile(code, "README.md", "exec")
