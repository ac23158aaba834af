"""Asks a TensorFlow Serving server over gRPC."""

import json
import re
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (  # type: ignore[import-untyped]
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfi2i_export.inputs import Shape
from tfi2i_export.serving.wire import (
    DESCRIPTION_LIMIT,
    LARGEST_MESSAGE,
    Address,
    Failure,
    Image,
    Inputs,
    Wire,
    left_until,
    reading,
)

_SERVICE = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [
                {"service": "tensorflow.serving.ModelService"},
                {"service": "tensorflow.serving.PredictionService", "method": "GetModelMetadata"},
            ],
            "maxResponseMessageBytes": DESCRIPTION_LIMIT,
        }
    ],
}


class GrpcWire(Wire):
    """A connection to each server that the host's name stands for, asked in turn."""

    most_numbers = LARGEST_MESSAGE // 8  # of 4 bytes, with room

    def __init__(self, address: Address):
        options = [
            ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
            ("grpc.service_config", json.dumps(_SERVICE)),
            # Otherwise calls fail for up to two minutes after a server is back.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        target = f"dns:///{address.place}"
        if address.is_secure:
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(target, credentials, options)
        else:
            self._channel = grpc.insecure_channel(target, options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._spec: dict[str, Any] = {"name": address.name}
        if address.version is not None:
            self._spec["version"] = {"value": address.version}
        if address.label is not None:
            self._spec["version_label"] = address.label

    def close(self) -> None:
        self._channel.close()

    def states(self, seconds: float) -> list[tuple[str, str]]:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        reply = _called(self._models.GetModelStatus, request, seconds)
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        with reading("the status of the model"):
            return [
                (name(one.state), one.status.error_message) for one in reply.model_version_status
            ]

    def signatures(self, seconds: float) -> dict[str, Any]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        reply = _called(self._predictions.GetModelMetadata, request, seconds)
        found = get_model_metadata_pb2.SignatureDefMap()
        with reading("the description of the model"):
            if not reply.metadata["signature_def"].Unpack(found):
                raise TypeError
        return dict(found.signature_def)

    def file(
        self, signature: str, inputs: Inputs, output: str, limit: int, seconds: float
    ) -> bytes:
        # gRPC has read the reply before its size can be checked.
        answer = self._predicted(signature, inputs, output, seconds)
        with reading("the translation"):
            if answer.dtype != types_pb2.DT_STRING:
                raise TypeError
            [translation] = answer.string_val
            if len(translation) > limit:
                raise Failure("REPLY", f"{len(translation)} bytes, {limit} would be many")
        return translation

    def image(
        self, signature: str, inputs: Inputs, output: str, shape: Shape, seconds: float
    ) -> Image:
        answer = self._predicted(signature, inputs, output, seconds)
        with reading("the translation"):
            # Before it becomes an array: a shape of a few bytes may claim any memory.
            claimed = tuple(dim.size for dim in answer.tensor_shape.dim)
            if answer.dtype != types_pb2.DT_FLOAT or claimed != shape:
                raise Failure("REPLY", f"a shape of {claimed} instead of {shape}")
            return tf.make_ndarray(answer)

    def _predicted(self, signature: str, inputs: Inputs, output: str, seconds: float) -> Any:
        end = time.monotonic() + seconds
        spec = {**self._spec, "signature_name": signature}
        request = predict_pb2.PredictRequest(model_spec=spec)
        for name, value in inputs.items():
            kind = tf.string if isinstance(value, bytes) else None
            batch = [value] if kind else value
            request.inputs[name].CopyFrom(tf.make_tensor_proto(batch, kind))
        reply = _called(self._predictions.Predict, request, left_until(end))
        if output not in reply.outputs:
            raise Failure("REPLY", f"no output {output}")
        return reply.outputs[output]


def _called(method: Any, request: Any, seconds: float) -> Any:
    try:
        return method(request, timeout=max(seconds, 1e-3))
    except grpc.RpcError as error:
        raise _failure(error.code().name, error.details() or "") from error
    except ValueError as error:  # the channel is closed
        raise Failure("CANCELLED", str(error)) from error


def _failure(code: str, reason: str) -> Failure:
    """With the cases that gRPC has one code for told apart by its words."""
    if code == "UNAVAILABLE" and re.search(r"errors? resolving|DNS resolution|lookup", reason):
        code = "UNKNOWN_HOST"
    elif code == "UNAVAILABLE" and re.search("handshake failed|SSL_ERROR", reason):
        code = "TLS"
    elif code == "RESOURCE_EXHAUSTED" and "CLIENT: Received message" in reason:
        code = "REPLY"
    elif code == "RESOURCE_EXHAUSTED" and "larger than max" in reason:
        code = "TOO_LARGE"
    elif code == "UNIMPLEMENTED":
        code = "REPLY"
    return Failure(code, reason)
