"""Parts that the lists of several official codes' tensors share."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfi2i.errors import InputError

Tensors = dict[str, tuple[Any, Any]]
"""An official network's tensors by name: (our variable, its layout there)."""

Shapes = dict[str, tuple[int, ...]]


def spectral(layer: Any, name: str, kind: str = "conv") -> Tensors:
    """The tensors of a spectrally normalised layer."""
    tensors = {
        f"{name}.weight_orig": (layer.kernel, kind),
        f"{name}.weight_u": (layer.u, "same"),
        f"{name}.weight_v": (layer.v, "conv_v" if kind == "conv" else "same"),
    }
    return tensors | ({f"{name}.bias": (layer.bias, "same")} if layer.bias is not None else {})


def patch_heads(heads: Iterable[Any]) -> Tensors:
    """The tensors of PatchNCE's heads, in the order of their taps."""
    tensors: Tensors = {}
    for i, head in enumerate(heads):
        for j in range(2):
            dense = head.get_layer(f"dense{j}")
            tensors[f"mlp_{i}.{2 * j}.weight"] = (dense.kernel, "dense")
            tensors[f"mlp_{i}.{2 * j}.bias"] = (dense.bias, "same")
    return tensors


def check_shapes(
    system: str, network: str, tensors: Mapping[str, np.ndarray], shapes: Shapes
) -> None:
    """Raises InputError unless the official tensors of a network have these shapes.

    Before anything is built: a small file must not make a large network.
    """
    for name, shape in shapes.items():
        came = tensors[name].shape if name in tensors else "none"
        if came != shape:
            raise InputError(
                f"tensor {network} {name}: expected the shape {shape} of a {system} as its first "
                f"tensors say, but {came} came."
            )
