"""ONNX files: a folded translator for programs with ONNX Runtime, OpenVINO or TensorRT.

The file takes and gives pixels 0..255, any number of them, channels last, as a .tflite file does.
Keras writes it by tf2onnx; that and ONNX Runtime, which checks the file, come with tfi2i[onnx].
"""

import dataclasses
import functools
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfi2i.errors import InputError, first_line
from tfi2i.terminal import quiet
from tfi2i_export.graph.keras_graph import packed
from tfi2i_export.inputs import count_of, row
from tfi2i_export.tflite.conversion import Io, with_pixels
from tfi2i_export.tflite.interpreter import INPUT, OUTPUT

PACKAGES = ("onnx", "tf2onnx", "onnxruntime")
AXES = ("batch", "height", "width")
"""The names of free axes of pictures in the file."""


@dataclasses.dataclass(frozen=True)
class OnnxFile:
    """Content of an ONNX file, and the graph of float pixels that it was made from."""

    content: bytes
    graph: keras.Model

    @functools.cached_property
    def _session(self) -> Any:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(self.content, settings, providers)

    def __call__(
        self, pixels: NDArray[np.uint8] | None, **extra: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Pixels (N, H, W, 3), None for a sampler, and values (N, ...) by name -> pixels."""
        dtype = self.graph.inputs[0].dtype
        made = []
        for i in range(count_of(pixels, extra)):
            picture = {} if pixels is None else {INPUT: pixels[i : i + 1].astype(dtype)}
            (answer,) = self._session.run([OUTPUT], {**picture, **row(extra, i)})
            made.append(np.clip(np.rint(answer), 0, 255).astype(np.uint8))
        return np.concatenate(made)


def require_packages() -> None:
    """Makes sure that the optional packages are installed.

    Raises:
        InputError: One is missing.
    """
    missing = [one for one in PACKAGES if importlib.util.find_spec(one) is None]
    if missing:
        raise InputError(
            f"--format onnx needs {', '.join(missing)}: pip install 'tfi2i[onnx]' brings all that"
            " is missing."
        )


def convert(folded: keras.Model, *, io: Io = "float") -> OnnxFile:
    """An ONNX file, image (N, H, W, 3) -> translation (N, H, W, 3), RGB 0..255.

    Inputs besides the picture keep their names, and are float32 (N, ...); a sampler has no others.

    Args:
        folded: Graph by `fold` for any number of pictures; of free size it makes a file of such.
        io: "float": float32 in and out, not rounded; "uint8": rounded.

    Raises:
        InputError: A package is missing, or the model has no expression in ONNX.
    """
    require_packages()
    graph = with_pixels(folded, "uint8" if io == "uint8" else "float32")
    given = [tf.TensorSpec(one.shape, one.dtype, one.name) for one in graph.inputs]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            with quiet():
                graph.export(path, "onnx", verbose=False, input_signature=[packed(given)])
        except Exception as error:  # tf2onnx raises nearly anything for what it does not know
            raise InputError(f"The model does not convert to ONNX: {first_line(error)}") from error
        return OnnxFile(_named(path), graph)


def _named(path: Path) -> bytes:
    """The content of a file, with names for the axes that are free."""
    import onnx

    model = onnx.load(path)
    for tensor in (*model.graph.input, *model.graph.output):
        axes = tensor.type.tensor_type.shape.dim
        for name, axis in zip(AXES, axes, strict=False):
            if not axis.HasField("dim_value"):
                axis.dim_param = name
    onnx.checker.check_model(model)
    return model.SerializeToString()
