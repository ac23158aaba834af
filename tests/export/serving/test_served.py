"""Exported SavedModels and the client, as a server and its clients see them.

Against the stand-in always, and against TensorFlow Serving itself where this machine has it.
"""

import base64
import contextlib
import functools
import io
import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from PIL import Image
from serving_stand_in import config_of, running
from small_files import network, point_network, strided
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tfi2i_export.graph.fold import fold
from tfi2i_export.saved_model import warmup
from tfi2i_export.saved_model.writing import save
from tfi2i_export.serving import server as model_server
from tfi2i_export.serving.client import ServerTranslator

from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.tiles import PictureTranslator

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
SECONDS = 60


@dataclass(frozen=True)
class Served:
    """A server and the folders of its models' versions.

    `free` translates by `network`, `points` by `point_network`, `tensors` by the latter without
    picture files, `eights` by `strided(8)` without them, `two` by `network` in version 1 (stable)
    and by `point_network` in 2 (canary).
    """

    running: model_server.Running
    bases: dict[str, Path]

    @property
    def place(self):
        return f"127.0.0.1:{self.running.grpc_port}"

    def get(self, path):
        return self._answer("GET", path, None)

    def post(self, path, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._answer("POST", path, content)

    def _answer(self, method, path, body):
        url = f"http://127.0.0.1:{self.running.rest_port}/v1/models/{path}"
        with requests.Session() as session:
            session.trust_env = False  # no proxy leads to this machine
            reply = session.request(method, url, data=body, timeout=SECONDS)
        return reply.status_code, reply.json()

    def predict(self, inputs, model="free", signature="", options=UNLIMITED, **which):
        """The outputs of a gRPC request as arrays and lists of bytes."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if "version" in which:
            request.model_spec.version.value = which["version"]
        if "label" in which:
            request.model_spec.version_label = which["label"]
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        with grpc.insecure_channel(self.place, options=options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            outputs = stub.Predict(request, timeout=SECONDS).outputs
        return {
            name: list(one.string_val) if one.string_val else tf.make_ndarray(one)
            for name, one in outputs.items()
        }

    def states(self, model):
        """State by version."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        with self._models() as stub:
            found = stub.GetModelStatus(request, timeout=SECONDS).model_version_status
        return {
            one.version: get_model_status_pb2.ModelVersionStatus.State.Name(one.state)
            for one in found
        }

    def reload(self, config):
        request = model_management_pb2.ReloadConfigRequest(config=config)
        with self._models() as stub:
            stub.HandleReloadConfigRequest(request, timeout=SECONDS)

    @contextlib.contextmanager
    def _models(self):
        with grpc.insecure_channel(self.place) as channel:
            yield model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folders of versions, to be copied."""
    folder = tmp_path_factory.mktemp("exported")
    save(fold(network(), side=None), folder / "free")
    save(fold(point_network(), side=None), folder / "points")
    save(fold(point_network(), side=None), folder / "tensors", tensor_only=True)
    save(fold(strided(8), side=None), folder / "eights", tensor_only=True)
    shutil.copytree(folder / "free" / "1", folder / "two" / "1")
    shutil.copytree(folder / "points" / "1", folder / "two" / "2")
    return folder


@pytest.fixture(scope="module", params=["stand-in", "TensorFlow Serving"])
def server(request, exported, tmp_path_factory):
    real = None if request.param == "stand-in" else model_server.find()
    if real is None and request.param != "stand-in":
        pytest.skip(model_server.why_none())
    folder = tmp_path_factory.mktemp("served") / "models"
    shutil.copytree(exported, folder)
    bases = {path.name: path for path in sorted(folder.iterdir())}
    if real is None:
        seen = bases
        starting = running(bases, "--poll-seconds=0.2")
    else:
        seen = {name: Path("/models", name) if real.image else bases[name] for name in bases}
        starting = model_server.start(real, bases)
    with starting as started:
        served = Served(started, bases)
        config = config_of(seen)
        two = next(one for one in config.model_config_list.config if one.name == "two")
        two.model_version_policy.specific.versions.extend([1, 2])
        served.reload(config)
        wait_for(lambda: served.states("two") == {1: "AVAILABLE", 2: "AVAILABLE"})
        # Only what is available can get a label.
        two.version_labels["stable"], two.version_labels["canary"] = 1, 2
        served.reload(config)
        yield served


@pytest.fixture(scope="module")
def other(exported, tmp_path_factory):
    """A second server, of a models.config: the stand-in."""
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(
        f"""model_config_list {{
          config {{ name: "a" base_path: "{exported}/two" model_platform: "tensorflow"
            model_version_policy {{ all {{}} }} version_labels {{ key: "old" value: 1 }} }}
          config {{ name: "points" base_path: "{exported}/free" model_platform: "tensorflow" }}
        }}"""
    )
    with running({}, f"--config={config}", "--early-labels") as started:
        yield started


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def renamed_in(version, target):
    """Copies a version as the export does it: it appears whole."""
    temporary = target.with_name(f".tmp-{target.name}")
    shutil.copytree(version, temporary)
    temporary.rename(target)


def picture(height, width, seed=0):
    """Smooth, as photographs are: (H, W, 3) uint8."""
    random = np.random.default_rng([seed, height, width])
    small = random.integers(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def b64(content):
    return {"b64": base64.b64encode(content).decode("ascii")}


def pixels_of(file):
    content = base64.b64decode(file["b64"]) if isinstance(file, dict) else file
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def assert_translated(answers, pictures, net=network):
    """The answers are what Keras makes of the pictures, within one level."""
    translate = PictureTranslator(net())
    for answer, pixels in zip(answers, pictures, strict=True):
        assert answer.shape == pixels.shape
        assert np.abs(answer - translate(pixels).astype(int)).max() <= 1


# What a server answers


SIZES = [(40, 52), (33, 91), (64, 32), (5, 3)]


def test_files_of_different_sizes_come_back_by_grpc_each_in_its_own(server):
    pictures = [picture(*size) for size in SIZES]
    answer = server.predict({"image_bytes": [png(one) for one in pictures]})
    assert list(answer) == ["image_bytes"]
    assert_translated(map(pixels_of, answer["image_bytes"]), pictures)


@pytest.mark.parametrize("named", [False, True])
def test_files_come_back_by_rest_row_by_row(server, named):
    pictures = [picture(*size) for size in SIZES]
    rows = [b64(png(one)) for one in pictures]
    rows = [{"image_bytes": one} for one in rows] if named else rows
    status, answer = server.post("free:predict", {"instances": rows})
    assert status == 200, answer
    assert_translated(map(pixels_of, answer["predictions"]), pictures)


@pytest.mark.parametrize("named", [False, True])
def test_files_come_back_by_rest_in_columns(server, named):
    pixels = picture(36, 44)
    column = [b64(png(pixels))]
    body = {"inputs": {"image_bytes": column} if named else column}
    status, answer = server.post("free:predict", body | {"signature_name": "serving_default"})
    assert status == 200, answer
    assert_translated(map(pixels_of, answer["outputs"]), [pixels])


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "WEBP"])
def test_other_formats_are_read(server, kind):
    file = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(picture(48, 40)).save(file, kind, **lossless)
    answer = server.predict({"image_bytes": [file.getvalue()]}, model="points")["image_bytes"]
    with Image.open(file) as image:
        read = np.asarray(image.convert("RGB"))
    assert_translated(map(pixels_of, answer), [read], point_network)


def test_tensors_are_translated_by_grpc(server):
    pictures = np.stack([picture(32, 48, seed) for seed in range(3)])
    image = pictures.astype(np.float32)
    answer = server.predict({"image": image}, signature="predict_tensor")["translation"]
    assert_translated(np.rint(answer), pictures)


@pytest.mark.parametrize("columns", [False, True])
def test_tensors_are_translated_by_rest(server, columns):
    pictures = np.stack([picture(32, 36, seed) for seed in range(2)])
    body = {"signature_name": "predict_tensor"}
    body |= {"inputs": pictures.tolist()} if columns else {"instances": pictures.tolist()}
    status, answer = server.post("free:predict", body)
    assert status == 200, answer
    answers = np.rint(answer["outputs" if columns else "predictions"])
    assert_translated(answers, pictures)


def test_a_picture_larger_than_grpcs_default_limit_needs_that_raised(server):
    image = np.stack([picture(640, 640)]).astype(np.float32)
    asked = {"inputs": {"image": image}, "model": "points", "signature": "predict_tensor"}
    with pytest.raises(grpc.RpcError) as caught:
        server.predict(**asked, options=[])
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    answer = server.predict(**asked)["translation"]
    assert_translated(np.rint(answer), image.astype(np.uint8), point_network)


def test_the_metadata_names_both_signatures(server):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "free"
    with grpc.insecure_channel(server.place) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        reply = stub.GetModelMetadata(request, timeout=SECONDS)
    known = get_model_metadata_pb2.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(known)
    status, told = server.get("free/metadata")
    assert status == 200
    assert told["model_spec"]["name"] == "free"
    by_rest = told["metadata"]["signature_def"]["signature_def"]
    for name, source, target in (
        ("serving_default", ("image_bytes", "DT_STRING"), ("image_bytes", "DT_STRING")),
        ("predict_tensor", ("image", "DT_FLOAT"), ("translation", "DT_FLOAT")),
    ):
        one = known.signature_def[name]
        assert (list(one.inputs), list(one.outputs)) == ([source[0]], [target[0]])
        assert by_rest[name]["inputs"][source[0]]["dtype"] == source[1]
        assert by_rest[name]["outputs"][target[0]]["dtype"] == target[1]


def test_the_status_tells_each_version(server):
    assert server.states("two") == {1: "AVAILABLE", 2: "AVAILABLE"}
    status, told = server.get("two")
    assert status == 200
    found = {one["version"]: one["state"] for one in told["model_version_status"]}
    assert found == {"1": "AVAILABLE", "2": "AVAILABLE"}
    status, told = server.get("two/versions/1")
    assert [one["version"] for one in told["model_version_status"]] == ["1"]
    assert server.get("two/versions/9")[0] == 404
    assert server.get("nobody")[0] == 404


@pytest.mark.parametrize(
    ("which", "path", "net"),
    [
        ({"version": 1}, "two/versions/1", network),
        ({"label": "stable"}, "two/labels/stable", network),
        ({"label": "canary"}, "two/labels/canary", point_network),
        ({}, "two", point_network),
    ],
    ids=["number", "stable", "canary", "latest"],
)
def test_a_version_is_found_by_number_by_label_and_as_the_latest(server, which, path, net):
    pixels = picture(32, 40)
    by_grpc = server.predict({"image_bytes": [png(pixels)]}, model="two", **which)["image_bytes"]
    status, by_rest = server.post(f"{path}:predict", {"instances": [b64(png(pixels))]})
    assert status == 200, by_rest
    files = [by_grpc[0], by_rest["predictions"][0]]
    assert_translated(map(pixels_of, files), [pixels, pixels], net)


def test_a_new_version_takes_over_and_one_that_fails_its_warm_up_does_not(server, tmp_path):
    base, pixels = server.bases["points"], picture(32, 40)
    body = {"instances": [b64(png(pixels))]}

    def answer():
        status, told = server.post("points:predict", body)
        assert status == 200, told  # also while versions change
        return pixels_of(told["predictions"][0])

    before = answer()
    assert_translated([before], [pixels], point_network)
    renamed_in(server.bases["free"] / "1", base / "2")
    wait_for(lambda: server.states("points").get(2) == "AVAILABLE")
    wait_for(lambda: not np.array_equal(answer(), before))
    assert_translated([answer()], [pixels], network)
    broken = tmp_path / "broken"
    shutil.copytree(base / "1", broken)
    warmup.write(broken, [("serving_default", {"image_bytes": [b"no picture"]})], model="points")
    renamed_in(broken, base / "3")
    wait_for(lambda: server.states("points").get(3) == "END")
    assert_translated([answer()], [pixels], network)
    shutil.rmtree(base / "3")
    base.joinpath("2").rename(base / ".tmp-2")  # back to version 1
    wait_for(lambda: np.array_equal(answer(), before))


def test_the_stand_in_reads_a_models_config(other):
    served = Served(other, {})
    assert served.states("a") == {1: "AVAILABLE", 2: "AVAILABLE"}
    assert served.states("points") == {1: "AVAILABLE"}
    pixels = picture(32, 40)
    files = served.predict({"image_bytes": [png(pixels)]}, model="a", label="old")
    assert_translated([pixels_of(files["image_bytes"][0])], [pixels])


# What it refuses

FILE = png(picture(32, 32))
IMAGE = np.zeros((1, 32, 32, 3), np.float32)
BY_GRPC = {
    "no such model": ("NOT_FOUND", {"model": "nobody"}),
    "no such version": ("NOT_FOUND", {"model": "two", "version": 9}),
    "no such label": ("INVALID_ARGUMENT", {"model": "two", "label": "beta"}),
    "no such signature": ("FAILED_PRECONDITION", {"signature": "translate"}),
    "no input": ("INVALID_ARGUMENT", {"inputs": {}}),
    "another input": ("INVALID_ARGUMENT", {"inputs": {"image": IMAGE}}),
    "an extra input": ("INVALID_ARGUMENT", {"inputs": {"image_bytes": [FILE], "style": IMAGE}}),
    "numbers for files": ("INVALID_ARGUMENT", {"inputs": {"image_bytes": [1.0]}}),
    "a file without a list": ("INVALID_ARGUMENT", {"inputs": {"image_bytes": FILE}}),
    "an empty file": ("INVALID_ARGUMENT", {"inputs": {"image_bytes": [b""]}}),
    "no picture": ("INVALID_ARGUMENT", {"inputs": {"image_bytes": [b"no picture"]}}),
    "half a picture": ("INVALID_ARGUMENT", {"inputs": {"image_bytes": [FILE[: len(FILE) // 2]]}}),
    "one bad of two": ("INVALID_ARGUMENT", {"inputs": {"image_bytes": [FILE, b"no picture"]}}),
} | {
    name: ("INVALID_ARGUMENT", {"inputs": {"image": image}, "signature": "predict_tensor"})
    for name, image in {
        "no batch": IMAGE[0],
        "two channels": IMAGE[..., :2],
        "float64": IMAGE.astype(np.float64),
        "uint8": IMAGE.astype(np.uint8),
    }.items()
}


@pytest.mark.parametrize("case", BY_GRPC)
def test_a_bad_request_by_grpc_gets_its_code_and_the_server_lives(server, case):
    code, asked = BY_GRPC[case]
    with pytest.raises(grpc.RpcError) as caught:
        server.predict(**({"inputs": {"image_bytes": [FILE]}} | asked))
    assert caught.value.code().name == code, caught.value.details()
    assert len(server.predict({"image_bytes": [FILE]})["image_bytes"]) == 1


ROWS = {"instances": [b64(FILE)]}
TENSOR = {"signature_name": "predict_tensor"}
BY_REST = {
    "no such model": (404, "nobody:predict", ROWS),
    "no such version": (404, "two/versions/9:predict", ROWS),
    "no such label": (400, "two/labels/beta:predict", ROWS),
    "no method": (400, "free", ROWS),
    "no such method": (400, "free:translate", ROWS),
} | {
    name: (400, "free:predict", body)
    for name, body in {
        "no such signature": ROWS | {"signature_name": "translate"},
        "nothing": b"",
        "half of JSON": b"{",
        "a list": b"[1]",
        "no input": {},
        "no instance": {"instances": []},
        "no list": {"instances": b64(FILE)},
        "rows and columns": ROWS | {"inputs": [b64(FILE)]},
        "another input": {"instances": [{"image": b64(FILE)}]},
        "an extra input": {"instances": [{"image_bytes": b64(FILE), "style": 1}]},
        "another column": {"inputs": {"image": [b64(FILE)]}},
        "no base64": {"instances": [{"b64": "***"}]},
        "a text": {"instances": ["text"]},
        "a number": {"instances": [1]},
        "an empty file": {"instances": [b64(b"")]},
        "no picture": {"instances": [b64(b"no picture")]},
        "one bad of two": {"instances": [b64(FILE), b64(b"no picture")]},
        "a file for floats": ROWS | TENSOR,
        "truths for floats": {"instances": [[[[True] * 3]]]} | TENSOR,
        "rows of two lengths": {"instances": [[1], [1, 2]]} | TENSOR,
        "no pixels": {"instances": [1.0]} | TENSOR,
    }.items()
}


@pytest.mark.parametrize("case", BY_REST)
def test_a_bad_request_by_rest_gets_its_code_and_the_server_lives(server, case):
    status, path, body = BY_REST[case]
    found, told = server.post(path, body)
    assert (found, list(told)) == (status, ["error"]), told
    assert server.post("free:predict", ROWS)[0] == 200


# The client


@pytest.fixture(params=["rest", "grpc"])
def url(request, server):
    """The URL of a model."""
    return getattr(server.running, f"{request.param}_url")


@pytest.mark.parametrize(
    ("model", "net"),
    [
        ("free", network),
        ("tensors", point_network),
        ("eights", functools.partial(strided, 8)),  # of whose sides only its refusal tells
        ("two/versions/1", network),
        ("two/labels/canary", point_network),
    ],
)
def test_the_client_translates_pictures_of_any_size(url, model, net):
    pictures = [picture(*size) for size in SIZES]
    with ServerTranslator(url(model)) as translate:
        assert_translated([translate(one) for one in pictures], pictures, net)


def test_the_client_says_what_is_missing(url):
    with pytest.raises(InputError, match="has no such model"):
        ServerTranslator(url("nobody"))
    with pytest.raises(InputError, match="has no such model"):
        ServerTranslator(url("two/versions/9"))
    with pytest.raises(InputError, match="has no such model"):
        ServerTranslator(url("two/labels/beta"))


def test_a_folder_is_translated_on_the_command_line(url, tmp_path, capsys):
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: rows are columns
    Image.fromarray(picture(40, 60)).save(folder / "turned.jpg", exif=exif)
    alpha = np.linspace(0, 255, 36 * 44).reshape(36, 44).astype(np.uint8)
    Image.fromarray(np.dstack([picture(36, 44), alpha])).save(folder / "clear.png")
    (folder / "broken.png").write_bytes(png(picture(32, 32))[:90])
    arguments = [str(folder), "--out", str(out), "--format", "png", "--workers", "3"]
    assert main(["translate", "--server", url("free"), *arguments]) == 1
    shown = capsys.readouterr().err
    assert "broken.png" in shown
    assert "Translated 2 pictures" in shown
    assert sorted(path.name for path in out.iterdir()) == ["clear.png", "turned.png"]
    turned = read_picture(out / "turned.png")
    assert turned.pixels.shape == (60, 40, 3)
    assert_translated([turned.pixels], [read_picture(folder / "turned.jpg").pixels])
    clear = read_picture(out / "clear.png")
    assert np.array_equal(clear.alpha, alpha)
    assert_translated([clear.pixels], [read_picture(folder / "clear.png").pixels])


def test_the_client_shares_its_requests_between_the_servers_of_a_name(server, other, monkeypatch):
    connect = grpc.insecure_channel
    pixels = picture(32, 32)
    # As a name with two addresses would be looked up.
    both = f"ipv4:{server.place},127.0.0.1:{other.grpc_port}"
    monkeypatch.setattr(
        grpc, "insecure_channel", lambda target, *rest, **more: connect(both, *rest, **more)
    )
    with ServerTranslator(other.grpc_url("points")) as translate:
        wait_for(lambda: len({translate(pixels).tobytes() for _ in range(2)}) == 2)
        counts = Counter(translate(pixels).tobytes() for _ in range(10))
    assert sorted(counts.values()) == [5, 5]
