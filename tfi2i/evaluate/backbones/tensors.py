"""The tensors of a file of weights as layers of Keras."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from keras import KerasTensor, layers
from numpy.typing import NDArray

from tfi2i.errors import InputError

Array = NDArray[np.floating]

_EPSILON = 1e-3  # of all batch normalisations in both networks
_COUNTER = ".num_batches_tracked"  # of training batches: the one kind of tensor without a use


class Tensors:
    """The tensors of a PyTorch file by name, each to be used once: they become layers of Keras.

    Widths and kernel sizes are the file's. Batch normalisation is folded into the convolutions.
    """

    def __init__(self, values: Any, path: Path):
        if not isinstance(values, Mapping):
            raise InputError(f"{path} holds no tensors by name.")
        self._left = {k: v for k, v in values.items() if not str(k).endswith(_COUNTER)}
        self._path = path

    def convolution(
        self, x: KerasTensor, convolution: str, normalisation: str, **settings: Any
    ) -> KerasTensor:
        """A convolution, or a depthwise one, with the batch normalisation after it folded in.

        `settings` are those of the Keras layer, whose padding is "same" unless they say otherwise.
        """
        kernel = self._take(f"{convolution}.weight", 4).astype(np.float64)
        gamma, beta, mean, variance = (
            self._take(f"{normalisation}.{part}", 1).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)
        folded = (kernel.T * scale).T
        outputs, inputs, *size = kernel.shape
        settings = {"padding": "same"} | settings
        if inputs == 1 < x.shape[-1]:
            layer = layers.DepthwiseConv2D(size, **settings)
            folded = folded.transpose(2, 3, 0, 1)
        else:
            layer = layers.Conv2D(outputs, size, **settings)
            folded = folded.transpose(2, 3, 1, 0)
        return self._apply(layer, x, folded, beta - mean * scale)

    def dense(self, x: KerasTensor, name: str) -> KerasTensor:
        """A fully connected layer."""
        kernel = self._take(f"{name}.weight", 2)
        return self._apply(layers.Dense(len(kernel)), x, kernel.T, self._take(f"{name}.bias", 1))

    def require_all_used(self) -> None:
        """Raises InputError if the file has tensors that the network has not."""
        if self._left:
            raise InputError(
                f"{self._path} has {len(self._left)} tensors too many, such as "
                f"{str(next(iter(self._left)))[:80]!r}; the weights of another network?"
            )

    def _take(self, name: str, rank: int) -> Array:
        value = self._left.pop(name, None)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim != rank:
            raise InputError(f"{self._path} lacks {name}, a tensor of {rank} dimensions.")
        return value

    def _apply(
        self, layer: layers.Layer, x: KerasTensor, kernel: Array, bias: Array
    ) -> KerasTensor:
        try:
            y = layer(x)
            layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
        except ValueError as error:  # what Keras says to shapes that do not fit
            raise InputError(f"{self._path} does not fit the network: {error}") from error
        return y
