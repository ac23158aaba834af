"""A stand-in for TensorFlow Serving, for tests alone; it listens on 127.0.0.1.

It speaks the server's gRPC protocol, through the official stubs, and its REST protocol. Models run
in the C++ session that the server loads them into (`server_session`); folders, labels,
warm-up, rules and error codes are those of the server's source. It is not the server: it has no
batching, monitoring, TLS, gzip, request time limit, Classify, Regress or MultiInference; it has
XLA, does not try again to load what failed, nor tell of versions that are being loaded or were
unloaded; Python's JSON parser reads its requests, and their size is bounded. What passes here is
known to hold in TensorFlow's runtime, not in a server's build of it.

By hand, until its standard input ends; the ports are written as a line of JSON:

    python tests/export/serving/serving_stand_in.py --base a2b=RUN/exports/a2b-saved_model
"""

import argparse
import contextlib
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from serving_stand_in_rest import rest_server
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig
from tfi2i_export.saved_model.files import signatures, versions
from tfi2i_export.saved_model.server_session import Session, SessionError
from tfi2i_export.serving.server import Running

from tfi2i.errors import InputError

THREADS = 16
START_SECONDS = 120
LARGEST_BODY = 64 * 2**20  # bytes of a request; the server's own bound is 2 GiB for gRPC alone
LARGEST_TENSOR = 2**24  # elements, whose number a request only claims
LONGEST_MESSAGE = 1024  # characters of a gRPC error
MOST_WARMUP_RECORDS = 1000

UNKNOWN, INVALID_ARGUMENT, NOT_FOUND = 2, 3, 5
FAILED_PRECONDITION, UNIMPLEMENTED, DATA_LOSS = 9, 12, 15
STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}

State = get_model_status_pb2.ModelVersionStatus.State


class Version:
    """One version of a model, loaded on construction; `error` says why where that failed."""

    def __init__(self, folder: Path):
        self.state = State.AVAILABLE
        self.error: SessionError | None = None
        try:
            self.session = Session(folder)
            self.signatures = signatures(folder)
            self._warm_up(folder / "assets.extra" / "tf_serving_warmup_requests")
        except SessionError as error:
            self.state, self.error = State.END, error
        except InputError as error:
            self.state, self.error = State.END, SessionError(INVALID_ARGUMENT, str(error))

    def _warm_up(self, records: Path) -> None:
        if not records.is_file():
            return
        try:
            found = list(tf.data.TFRecordDataset(str(records)).as_numpy_iterator())
            logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in found]
        except (tf.errors.DataLossError, DecodeError) as error:
            raise SessionError(DATA_LOSS, f"{records}: {error}") from error
        if len(found) > MOST_WARMUP_RECORDS:
            raise SessionError(
                INVALID_ARGUMENT, f"Number of warmup records exceeds {MOST_WARMUP_RECORDS}."
            )
        for log in logs:
            if not log.HasField("predict_log"):
                raise SessionError(UNIMPLEMENTED, "The stand-in replays predict_log alone.")
            self.predict(log.predict_log.request)

    def predict(self, request: Any) -> Any:
        """PredictRequest -> PredictResponse; raises SessionError."""
        inputs = {name: array(tensor) for name, tensor in request.inputs.items()}
        outputs = self.session.run(request.model_spec.signature_name, inputs)
        wanted = list(request.output_filter) or list(outputs)
        if len(set(wanted)) < len(wanted):
            raise SessionError(INVALID_ARGUMENT, "duplicate output tensor alias")
        response = predict_pb2.PredictResponse()
        for name in wanted:
            if name not in outputs:
                raise SessionError(
                    INVALID_ARGUMENT, f"output tensor alias not found in signature: {name}"
                )
            fill(response.outputs[name], outputs[name])
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = request.model_spec.signature_name or "serving_default"
        return response


def array(tensor: Any) -> Any:
    """The array, or list of bytes, that a TensorProto of a request holds."""
    sides = [side.size for side in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(sides, default=0) < 0:
        raise SessionError(INVALID_ARGUMENT, "tensor parsing error: its shape is not known")
    count = math.prod(sides)
    if count > LARGEST_TENSOR:
        raise SessionError(INVALID_ARGUMENT, f"tensor parsing error: {count} elements")
    if tensor.dtype == tf.string.as_datatype_enum:
        if len(sides) != 1 or len(tensor.string_val) != count:
            raise SessionError(
                INVALID_ARGUMENT, f"{len(tensor.string_val)} strings in a tensor of shape {sides}"
            )
        return list(tensor.string_val)
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError, OverflowError) as error:
        raise SessionError(INVALID_ARGUMENT, f"tensor parsing error: {error}") from error


def fill(tensor: Any, value: Any) -> None:
    """Puts values into the typed fields of a TensorProto, as the server does."""
    if isinstance(value, list):
        tensor.dtype = tf.string.as_datatype_enum
        tensor.tensor_shape.dim.add().size = len(value)
        tensor.string_val.extend(value)
        return
    tensor.dtype = tf.as_dtype(value.dtype).as_datatype_enum
    for side in value.shape:
        tensor.tensor_shape.dim.add().size = side
    fields = {np.float32: tensor.float_val, np.int64: tensor.int64_val}
    fields |= {np.int32: tensor.int_val, np.uint8: tensor.int_val}
    fields[value.dtype.type].extend(value.ravel().tolist())


class Models:
    """The models of a models.config, their versions and labels.

    Args:
        early_labels: What --allow_version_labels_for_unavailable_models of the server does: labels
            in the first configuration.

    Raises:
        SessionError: The configuration is refused, or a model of it has no version that loads.
    """

    def __init__(self, config: ModelServerConfig, *, early_labels: bool = False):
        self._changing = threading.Lock()
        self._models: dict[str, dict[int, Version]] = {}  # replaced whole: readers take no lock
        self._labels: dict[str, dict[str, int]] = {}
        listed = config.model_config_list.config
        if not early_labels and any(one.version_labels for one in listed):
            raise SessionError(
                FAILED_PRECONDITION,
                "Labels in the first configuration need "
                "--allow_version_labels_for_unavailable_models.",
            )
        self.reload(config)

    def reload(self, config: ModelServerConfig) -> None:
        """Takes over a whole configuration; models that it leaves out are served no longer."""
        listed = list(config.model_config_list.config)
        names = [one.name for one in listed]
        if len(set(names)) < len(names):
            raise SessionError(INVALID_ARGUMENT, "Two models have one name.")
        for one in listed:
            if one.model_platform != "tensorflow":
                raise SessionError(
                    INVALID_ARGUMENT, f"{one.name}: no platform {one.model_platform!r}."
                )
            if not Path(one.base_path).is_absolute() or not Path(one.base_path).is_dir():
                raise SessionError(
                    INVALID_ARGUMENT, f"{one.name}: base_path {one.base_path!r} is no absolute one."
                )
        with self._changing:
            self._config = listed
            self._look()
            for one in listed:
                found = self._models[one.name]
                if not any(version.state == State.AVAILABLE for version in found.values()):
                    reasons = "; ".join(str(version.error) for version in found.values())
                    raise SessionError(
                        UNKNOWN, f"Some models did not become available: {one.name} ({reasons})"
                    )
                for number in one.version_labels.values():
                    if number not in found or found[number].state != State.AVAILABLE:
                        raise SessionError(
                            FAILED_PRECONDITION,
                            f"Request to assign label to version {number} of model {one.name}, "
                            "which is not currently available for inference",
                        )
            self._labels = {one.name: dict(one.version_labels) for one in listed}

    def look(self) -> None:
        """Loads what is new in the models' folders and forgets what is gone or outdated."""
        with self._changing:
            self._look()

    def _look(self) -> None:
        models = {}
        for one in self._config:
            before = self._models.get(one.name, {})
            wanted = _wanted(Path(one.base_path), one.model_version_policy)
            found = {number: before.get(number) or Version(path) for number, path in wanted}
            # An older version answers until a newer one can.
            if not any(version.state == State.AVAILABLE for version in found.values()):
                found = before | found
            models[one.name] = found
        self._models = models

    def _chosen(self, spec: Any) -> tuple[int, Version]:
        available = {
            number: version
            for number, version in self._models.get(spec.name, {}).items()
            if version.state == State.AVAILABLE
        }
        which = spec.WhichOneof("version_choice")
        if which == "version_label":
            number = self._labels.get(spec.name, {}).get(spec.version_label)
            if number is None:
                raise SessionError(
                    INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}"
                )
        else:
            number = spec.version.value if which else max(available, default=0)
        if number not in available:
            wanted = f"Specific({spec.name}, {number})" if which else f"Latest({spec.name})"
            raise SessionError(NOT_FOUND, f"Servable not found for request: {wanted}")
        return number, available[number]

    def inputs(self, spec: Any, signature: str) -> Any:
        """The inputs of a signature, name -> TensorInfo, which JSON is read by."""
        _, version = self._chosen(spec)
        name = signature or "serving_default"
        if name not in version.signatures:
            raise SessionError(
                INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def'
            )
        return version.signatures[name].inputs

    def predict(self, request: Any) -> Any:
        """PredictRequest -> PredictResponse."""
        number, version = self._chosen(request.model_spec)
        response = version.predict(request)
        response.model_spec.version.value = number
        return response

    def metadata(self, request: Any) -> Any:
        """GetModelMetadataRequest -> GetModelMetadataResponse."""
        if not request.metadata_field:
            raise SessionError(INVALID_ARGUMENT, "GetModelMetadataRequest must specify a field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise SessionError(INVALID_ARGUMENT, f"Metadata field {field} is not supported")
        number, version = self._chosen(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = number
        known = get_model_metadata_pb2.SignatureDefMap(signature_def=version.signatures)
        response.metadata["signature_def"].Pack(known)
        return response

    def status(self, request: Any) -> Any:
        """GetModelStatusRequest -> GetModelStatusResponse."""
        spec = request.model_spec
        found = self._models.get(spec.name, {})
        if spec.HasField("version"):
            number = spec.version.value
            found = {number: found[number]} if number in found else {}
            if not found:
                raise SessionError(
                    NOT_FOUND, f"Could not find version {number} of model {spec.name}"
                )
        if not found:
            raise SessionError(NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, version in sorted(found.items(), reverse=True):
            one = response.model_version_status.add(version=number, state=version.state)
            one.status.error_code = version.error.code if version.error else 0
            one.status.error_message = version.error.message if version.error else ""
        return response


def _wanted(base: Path, policy: Any) -> list[tuple[int, Path]]:
    """(number, folder) of the versions that a policy asks for."""
    there = [(int(path.name), path) for path in versions(base)] if base.is_dir() else []
    if policy.HasField("all"):
        return there
    if policy.HasField("specific"):
        return [one for one in there if one[0] in policy.specific.versions]
    return there[-max(policy.latest.num_versions, 1) :]


def _answered(call: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A method of a gRPC service."""

    @functools.wraps(call)
    def method(request: Any, context: Any) -> Any:
        try:
            return call(request)
        except SessionError as error:
            return context.abort(STATUS_CODES[error.code], error.message[:LONGEST_MESSAGE])

    return method


def grpc_server(models: Models, port: int) -> tuple[grpc.Server, int]:
    """A gRPC server and the port it listens on."""

    def reloaded(request: Any) -> Any:
        models.reload(request.config)
        return model_management_pb2.ReloadConfigResponse()

    predictions = prediction_service_pb2_grpc.PredictionServiceServicer()
    predictions.Predict = _answered(models.predict)
    predictions.GetModelMetadata = _answered(models.metadata)
    states = model_service_pb2_grpc.ModelServiceServicer()
    states.GetModelStatus = _answered(models.status)
    states.HandleReloadConfigRequest = _answered(reloaded)
    limits = [("grpc.max_receive_message_length", LARGEST_BODY), ("grpc.so_reuseport", 0)]
    limits.append(("grpc.max_send_message_length", -1))
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=limits)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(predictions, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(states, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


def config_of(models: Mapping[str, Path]) -> ModelServerConfig:
    """The models.config of the newest version of each model, given the folders of versions."""
    config = ModelServerConfig()
    for name, base in models.items():
        config.model_config_list.config.add(
            name=name, base_path=str(Path(base).resolve()), model_platform="tensorflow"
        )
    return config


@contextlib.contextmanager
def running(models: Mapping[str, Path], *flags: str) -> Iterator[Running]:
    """Starts a stand-in in a process of its own, given the folders of versions by name.

    In the tests' own it would know the functions in Python that tests have saved.
    """
    bases = [f"--base={name}={base}" for name, base in models.items()]
    with tempfile.TemporaryDirectory(prefix="serving-stand-in-") as folder:
        log_path = Path(folder, "log.txt")
        with log_path.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, __file__, *bases, *flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},  # spares the import of Keras
            )
        late = threading.Timer(START_SECONDS, process.kill)
        late.start()
        try:
            line = process.stdout.readline()
            late.cancel()
            if not line:
                raise RuntimeError(f"The stand-in does not start: {log_path.read_text()[-2000:]}")
            ports = json.loads(line)
            yield Running(ports["grpc"], ports["rest"], process, log_path)
        finally:
            late.cancel()
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _base(text: str) -> tuple[str, Path]:
    name, _, base = text.rpartition("=")
    return name or Path(base).name, Path(base)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=_base, action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--config", type=Path, help="a models.config, instead of --base")
    parser.add_argument("--port", type=int, default=0, help="for gRPC; 0: any free one")
    parser.add_argument("--rest-port", type=int, default=0)
    parser.add_argument("--poll-seconds", type=float, default=1.0)
    parser.add_argument("--early-labels", action="store_true", help="labels at the start")
    options = parser.parse_args()
    config = config_of(dict(options.base))
    if options.config:
        config = text_format.Parse(options.config.read_text(), ModelServerConfig())
    try:
        models = Models(config, early_labels=options.early_labels)
    except SessionError as error:
        print(f"The stand-in does not start: {error.message}", file=sys.stderr)
        return 1
    server, port = grpc_server(models, options.port)
    rest = rest_server(models, options.rest_port, THREADS, LARGEST_BODY)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(options.poll_seconds):
            models.look()

    poller = threading.Thread(target=poll)
    poller.start()
    print(json.dumps({"grpc": port, "rest": rest.server_port}), flush=True)
    sys.stdin.read()  # ends with the process that started this one, however that ends
    ended.set()
    poller.join()
    rest.shutdown()
    server.stop(1).wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
