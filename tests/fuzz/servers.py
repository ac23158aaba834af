"""Servers whose replies are changed: the client gives a picture of the right size, or refuses."""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # as `tfi2i translate --server` does

import grpc
import numpy as np
import serving_fake
from serving_fake import FILES, FLOATS, Fake, GrpcFake, listening, signature, url_of
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from tfi2i_export.serving.client import ServerTranslator
from tfi2i_export.serving.wire import parsed

from fuzz.mutations import spoilt, text
from fuzz.outcomes import Target

PIXELS = np.random.default_rng(5).integers(0, 256, (12, 9, 3), np.uint8)
CALLS = ("status", "metadata", "predict")
REQUESTS = {
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "Predict": predict_pb2.PredictRequest,
}
Change = Callable[[bytes], bytes]


class Hostile(NamedTuple):
    """A server to start: its kind, what it holds, and the reply that is changed."""

    kind: str
    fake: Fake
    call: str
    change: Change
    is_exact: bool


def server(kind: str, rng: random.Random, folder: Path) -> Hostile:
    fake, call = Fake(), rng.choice((*CALLS, "predict", "none"))
    fixed = signature("image", "translation", types_pb2.DT_FLOAT, [1, 16, 16, 3])
    fake.signatures = {"f": rng.choice((FILES, FLOATS, fixed))}
    of_files = fake.signatures["f"] is FILES
    if rng.random() < 0.3:
        fake.signatures["g"] = rng.choice((FILES, FLOATS))
    if call == "none":
        break_signature(rng, fake)
    seed = rng.random()

    def change(reply: bytes) -> bytes:
        chance = random.Random(seed)
        if kind == "http" and chance.random() < 0.6:
            return text(chance, json.loads(reply))
        return spoilt(chance, reply)

    return Hostile(kind, fake, call, change, of_files and call == "predict")


def break_signature(rng: random.Random, fake: Fake) -> None:
    """A signature that is well formed and claims something else."""
    sides = (-1, 0, 1, 3, 4, 7, 16, 10**4, 10**9, 2**31, 2**62)
    shape = [rng.choice(sides) for _ in range(rng.choice((0, 1, 4, 4, 5)))]
    kind = rng.choice((types_pb2.DT_FLOAT, types_pb2.DT_UINT8, types_pb2.DT_STRING))
    made = signature(rng.choice(("image", "image_bytes", "x")), "translation", kind, shape)
    if rng.random() < 0.5:
        made.inputs["style"].dtype = types_pb2.DT_FLOAT
        for side in (1, rng.choice(sides)):
            made.inputs["style"].tensor_shape.dim.add(size=side)
    fake.signatures = {"f": made}


@contextlib.contextmanager
def started(made: Hostile) -> Iterator[int]:
    """The port of a server."""
    if made.kind == "http":

        class Handler(serving_fake.rest_handler(made.fake)):
            def handle(self):
                with contextlib.suppress(OSError):  # the client has enough
                    super().handle()

            def answer(self, make):
                call = "predict" if self.command == "POST" else self.path.rpartition("/")[2]
                call = call if call in CALLS else "status"
                if call != made.call:
                    return super().answer(make)
                return super().answer(lambda: made.change(json.dumps(make()).encode()))

        with listening("http", made.fake, handler=Handler) as port:
            yield port
        return
    running = grpc.server(futures.ThreadPoolExecutor(2))
    running.add_generic_rpc_handlers([Raw(made)])
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        yield port
    finally:
        running.stop(None).wait()


class Raw(grpc.GenericRpcHandler):
    """Every call of a server in bytes, one of them changed."""

    def __init__(self, made: Hostile):
        self.made, self.plain = made, GrpcFake(made.fake)

    def service(self, details: Any) -> Any:
        name = details.method.rpartition("/")[2]
        is_changed = name.lower().endswith(self.made.call)

        def answer(request: bytes, context: Any) -> bytes:
            reply = getattr(self.plain, name)(REQUESTS[name].FromString(request), context)
            content = reply.SerializeToString()
            return self.made.change(content) if is_changed else content

        return grpc.unary_unary_rpc_method_handler(answer)


def translated(made: Hostile) -> np.ndarray:
    with started(made) as port:
        url = url_of(made.kind, port)
        with ServerTranslator(url, deadline_seconds=5, attempts=1) as translate:
            return translate(PIXELS)


def is_translated(made: Hostile, found: np.ndarray) -> None:
    assert found.dtype == np.uint8 and found.shape == PIXELS.shape
    if made.is_exact:
        np.testing.assert_array_equal(found, 255 - PIXELS)


URLS = (
    "http://localhost:8501/v1/models/a2b/versions/3",
    "grpcs://[::1]:8500/zebra/labels/canary",
    "https://user:secret@host/v1/models/m:predict",
)


def an_url(rng: random.Random, folder: Path) -> str:
    return spoilt(rng, rng.choice(URLS).encode()).decode(errors="surrogateescape")


def is_address(url: str, found: Any) -> None:
    assert parsed(found.url) == found and "secret" not in found.url


TARGETS = [
    Target("server: REST", lambda r, f: server("http", r, f), translated, is_translated, 20),
    Target("server: gRPC", lambda r, f: server("grpc", r, f), translated, is_translated, 40),
    Target("server: URL", an_url, parsed, is_address, 60),
]
