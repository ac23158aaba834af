"""Many connections at once, a third of the requests malformed: no crash, no wrong pixel.

By hand, against the stand-in in a process of its own, it prints the figures:

    python tests/export/serving/test_serving_load.py --requests 2000 --connections 16 --seed 0
"""

import argparse
import base64
import dataclasses
import io
import json
import os
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from PIL import Image
from serving_stand_in import running
from small_files import point_network
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tfi2i_export.graph.fold import fold
from tfi2i_export.saved_model.writing import save

from tfi2i.pictures.tiles import PictureTranslator

CONNECTIONS = 16
SECONDS = 60  # for one request, while others are before it
REFUSALS = {"INVALID_ARGUMENT", "FAILED_PRECONDITION"}
MOST_MB = 200  # that the server may grow by: what it holds is a few pictures of 64 x 64


# Picture files


def written(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def png_of_zeros(width, height, claimed=None):
    """A black PNG file of one bit a pixel; its header may claim another (width, height)."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", *(claimed or (width, height)), 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 9)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def replaced(content, place, values):
    return content[:place] + values + content[place + len(values) :]


def huge_files():
    """Small files that claim to be huge, each in a way of its own."""
    small = np.zeros((32, 32, 3), np.uint8)
    most = 65535
    jpeg, bmp, gif = (written(small, kind) for kind in ("JPEG", "BMP", "GIF"))
    sides = jpeg.index(b"\xff\xc0") + 5  # in the start of the frame
    frame = gif.index(b"\x2c\0\0\0\0")  # at 0, 0
    both = struct.pack("<HH", most, most)
    lossless = struct.pack("<I", 16383 | 16383 << 14)
    canvas = struct.pack("<I", most)[:3] * 2
    webps = {
        "VP8 ": b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383) + bytes(64),
        "VP8L": b"\x2f" + lossless + bytes(64),
        "VP8X": bytes(4) + canvas,
    }
    files = {
        "PNG header of 60000 x 60000": png_of_zeros(32, 32, claimed=(60000, 60000)),
        "PNG file of 12000 x 12000": png_of_zeros(12000, 12000),
        "JPEG header of 65535 x 65535": replaced(jpeg, sides, struct.pack(">HH", most, most)),
        # The first is refused by the decoder already, whose own limit this is.
        "JPEG header of 65500 x 65500": replaced(jpeg, sides, struct.pack(">HH", 65500, 65500)),
        "BMP header of 65535 x 65535": replaced(bmp, 18, struct.pack("<ii", most, most)),
        "BMP header of 65535 x -65535": replaced(bmp, 18, struct.pack("<ii", most, -most)),
        "GIF frame of 65535 x 65535": replaced(replaced(gif, 6, both), frame + 5, both),
    }
    for kind, content in webps.items():
        part = kind.encode() + struct.pack("<I", len(content)) + content
        riff = b"RIFF" + struct.pack("<I", 4 + len(part)) + b"WEBP" + part
        files[f"WebP header ({kind.strip()}) of over 16000 x 16000"] = riff
    return files


def bad_files(random):
    """Files that no server should translate, by what is wrong with them."""
    pixels = random.integers(0, 256, (48, 40, 3), np.uint8)
    cut = {f"truncated {kind}": written(pixels, kind) for kind in ("PNG", "JPEG", "BMP", "GIF")}
    others = {"empty": b"", "text": b"no picture", "noise": random.bytes(4000)}
    others["archive"] = b"PK\x03\x04" + random.bytes(500)
    return huge_files() | {name: file[: len(file) // 3] for name, file in cut.items()} | others


# Requests


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request: what it is, and what its answer has to be, None for a refusal."""

    kind: str
    by_rest: bool
    content: bytes  # a serialised PredictRequest, or a body
    expected: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """Its `code` is that of HTTP or gRPC; levels: of 255, how far a pixel is from Keras'."""

    asked: Asked
    code: str
    seconds: float
    levels: int | None = None

    @property
    def is_right(self):
        if self.asked.expected is None:
            return self.code in REFUSALS or self.code in {"400", "413"}
        return self.levels is not None and self.levels <= 1


def by_grpc(kind, name, value, signature="", expected=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return Asked(kind, False, request.SerializeToString(), expected)


def by_rest(kind, value, signature="serving_default", expected=None):
    body = {"signature_name": signature, "instances": value}
    return Asked(kind, True, json.dumps(body).encode(), expected)


def b64(content):
    return {"b64": base64.b64encode(content).decode("ascii")}


def good_requests(random):
    translate = PictureTranslator(point_network())
    made = []
    for _ in range(16):
        height, width = random.integers(32, 65, 2)
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        expected = translate(pixels)
        made.append(by_grpc("file", "image_bytes", [written(pixels)], expected=expected))
        made.append(by_rest("file", [b64(written(pixels))], expected=expected))
        pixels = pixels[: height // 4 * 4, : width // 4 * 4]
        image, expected = pixels[None].astype(np.float32), translate(pixels)
        made.append(by_grpc("tensor", "image", image, "predict_tensor", expected))
        made.append(by_rest("tensor", image.tolist(), "predict_tensor", expected))
    return made


def bad_requests(random):
    image = np.zeros((1, 32, 32, 3), np.float32)
    file = written(image[0].astype(np.uint8))
    made = []
    for kind, content in bad_files(random).items():
        made.append(by_grpc(kind, "image_bytes", [content]))
        made.append(by_rest(kind, [b64(content)]))
        made.append(by_rest(f"good and {kind}", [b64(file), b64(content)]))
    made.append(by_grpc("wrong dtype", "image", image.astype(np.int32), "predict_tensor"))
    made.append(by_grpc("wrong dtype", "image_bytes", [1.0]))
    made.append(by_rest("wrong dtype", [True]))
    made.append(by_rest("wrong dtype", [[["red"]]], "predict_tensor"))
    made.append(by_grpc("wrong signature", "image_bytes", [file], "translate"))
    made.append(by_rest("wrong signature", [b64(file)], "translate"))
    made.append(by_grpc("wrong input", "picture", [file]))
    made.append(by_rest("wrong input", [{"picture": b64(file)}]))
    for shape in ((32, 32, 3), (1, 1, 32, 32, 3), (1, 32, 32, 2)):
        made.append(by_grpc("wrong shape", "image", np.zeros(shape, np.float32), "predict_tensor"))
    made.append(by_rest("wrong shape", [[[1, 2, 3], [1, 2]]], "predict_tensor"))
    made.append(by_rest("wrong base64", [{"b64": "*"}]))
    made.append(Asked("no JSON", True, b'{"instances": ['))
    made.append(Asked("deep JSON", True, b'{"instances": ' + b"[" * 100_000))
    many = predict_pb2.PredictRequest.FromString(made[0].content)
    many.inputs["image_bytes"].tensor_shape.dim[0].size = 2**40
    made.append(Asked("tensor that claims to be huge", False, many.SerializeToString()))
    return made


def planned(count, seed):
    """Requests in an order that the seed decides; every third is malformed."""
    random = np.random.default_rng(seed)
    good, bad = good_requests(random), bad_requests(random)
    return [
        bad[i // 3 % len(bad)] if i % 3 == 0 else good[random.integers(len(good))]
        for i in random.permutation(count).tolist()
    ]


# Asking


class Connection:
    """One connection for gRPC and one for REST."""

    def __init__(self, server):
        options = [("grpc.use_local_subchannel_pool", 1)]  # else all share one connection
        self._channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options)
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict
        self._session = requests.Session()
        self._session.trust_env = False
        self._url = f"{server.rest_url('model')}:predict"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._channel.close()
        self._session.close()

    def answer(self, asked):
        start = time.perf_counter()
        code, values = (self._by_rest if asked.by_rest else self._by_grpc)(asked)
        seconds = time.perf_counter() - start
        levels = None
        if values is not None and asked.expected is not None:
            levels = int(np.abs(pixels_of(values) - asked.expected.astype(int)).max())
        return Answer(asked, code, seconds, levels)

    def _by_grpc(self, asked):
        request = predict_pb2.PredictRequest.FromString(asked.content)
        try:
            outputs = self._predict(request, timeout=SECONDS).outputs
        except grpc.RpcError as error:
            return error.code().name, None
        tensor = next(iter(outputs.values()))
        return "OK", tensor.string_val[0] if tensor.string_val else tf.make_ndarray(tensor)[0]

    def _by_rest(self, asked):
        try:
            reply = self._session.post(self._url, data=asked.content, timeout=SECONDS)
        except requests.RequestException as error:
            return type(error).__name__, None
        if reply.status_code != 200:
            assert list(reply.json()) == ["error"]
            return str(reply.status_code), None
        value = reply.json()["predictions"][0]
        return "200", base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def pixels_of(answer):
    """A PNG file or floats -> pixels."""
    if not isinstance(answer, bytes):
        return np.rint(answer)
    with Image.open(io.BytesIO(answer)) as image:
        return np.asarray(image)


def memory_mb(process, what="VmRSS"):
    """Of a process now, or with VmHWM at its peak; 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in lines if line.startswith(f"{what}:")]
    return int(found[0]) / 1024 if found else 0.0


@dataclasses.dataclass(frozen=True)
class Load:
    """What became of a load. Memory in MB: with each connection used once, then the peak, then at
    the end."""

    answers: list[Answer]
    seconds: float
    memory: tuple[float, float, float]
    exit_code: int | None


def load(server, asked, connections=CONNECTIONS):
    """Sends requests over connections that take the next one as soon as they have an answer."""
    waiting = iter(asked)
    taking = threading.Lock()

    def work(connection):
        answers = []
        while True:
            with taking:
                following = next(waiting, None)
            if following is None:
                return answers
            answers.append(connection.answer(following))

    good = next(one for one in asked if one.expected is not None)
    made = [Connection(server) for _ in range(connections)]
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda connection: connection.answer(good), made))
        before = memory_mb(server.process)
        start = time.perf_counter()
        answers = [one for several in pool.map(work, made) for one in several]
        seconds = time.perf_counter() - start
    for connection in made:
        connection.__exit__()
    memory = (before, memory_mb(server.process, "VmHWM"), memory_mb(server.process))
    return Load(answers, seconds, memory, server.process.poll())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("served") / "model"
    save(fold(point_network(), side=None), base)
    with running({"model": base}) as started:
        yield started


def test_under_load_good_pictures_are_translated_and_bad_ones_refused(server):
    found = load(server, planned(2000, seed=0))
    assert found.exit_code is None
    assert len(found.answers) == 2000
    wrong = Counter((one.asked.kind, one.code) for one in found.answers if not one.is_right)
    assert wrong == {}
    assert sum(one.asked.expected is None for one in found.answers) == 667
    before, peak, _ = found.memory
    assert peak - before < MOST_MB


@pytest.mark.parametrize("kind", huge_files())
def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_decoded(server, kind):
    before = memory_mb(server.process, "VmHWM")
    with Connection(server) as connection:
        answer = connection.answer(by_grpc(kind, "image_bytes", [huge_files()[kind]]))
    assert answer.code == "INVALID_ARGUMENT"
    assert answer.seconds < 5
    assert memory_mb(server.process, "VmHWM") - before < 100  # the smallest would need 400


POST = b"POST /v1/models/model:predict HTTP/1.1\r\nHost: localhost\r\n"
BROKEN = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
    "no length": (POST + b"\r\n", b"411"),
    "a length below 0": (POST + b"Content-Length: -1\r\n\r\n", b"411"),
    "a huge length": (POST + b"Content-Length: 99999999999\r\n\r\n", b"413"),
    "half a body": (POST + b"Content-Length: 500\r\n\r\n{", b""),
    "a long line": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    "many headers": (POST + b"A: b\r\n" * 200 + b"\r\n", b"431"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_stand_in_survives_what_is_not_http(server, case):
    sent, code = BROKEN[case]
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=SECONDS) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert code in answer.partition(b"\r\n")[0]
    assert bool(answer) == bool(code)
    with Connection(server) as connection:
        assert connection.answer(good_requests(np.random.default_rng(0))[1]).is_right


def test_the_stand_in_survives_what_is_no_message(server):
    path = "/tensorflow.serving.PredictionService/Predict"
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(path)(b"\xff" * 100, timeout=SECONDS)
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(path)(b"", timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND  # an empty message names no model
    with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=SECONDS) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.makefile("rb").read()
    with Connection(server) as connection:
        assert connection.answer(good_requests(np.random.default_rng(0))[0]).is_right


def test_the_plan_of_a_seed_is_always_the_same():
    assert [one.content for one in planned(60, 1)] == [one.content for one in planned(60, 1)]
    assert [one.content for one in planned(60, 1)] != [one.content for one in planned(60, 2)]


def report(found):
    """Prints the figures of a load."""
    good = [one for one in found.answers if one.asked.expected is not None]
    print(f"{len(found.answers)} requests in {found.seconds:.1f} s: ", end="")
    print(f"{len(found.answers) / found.seconds:.0f} a second")
    for wire, is_rest in (("gRPC", False), ("REST", True)):
        for kind in ("file", "tensor"):
            times = [
                1000 * one.seconds
                for one in good
                if one.asked.by_rest == is_rest and one.asked.kind == kind
            ]
            median, late = np.median(times), np.percentile(times, 99)
            print(f"{wire} {kind}: {len(times)}, median {median:.1f} ms, 99 % {late:.1f} ms")
    print(f"levels from Keras: {max(one.levels or 0 for one in good)} at most")
    print("memory: {:.0f} MB before, {:.0f} at the peak, {:.0f} after".format(*found.memory))
    kinds = Counter((one.asked.kind, one.code, one.is_right) for one in found.answers)
    for (kind, code, is_right), count in sorted(kinds.items()):
        print(f"{count:5} {kind}: {code}{'' if is_right else '  <- wrong'}")
    print("alive" if found.exit_code is None else f"ended with {found.exit_code}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "model")
        save(fold(point_network(), side=None), base)
        with running({"model": base}) as server:
            found = load(server, planned(options.requests, options.seed), options.connections)
    report(found)
    return 0 if found.exit_code is None and all(one.is_right for one in found.answers) else 1


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
