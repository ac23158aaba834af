"""Smaller and faster .tflite files: convolutions with 8-bit weights, chosen by their names.

8-bit activations cost more than 8-bit weights, both cost most next to the picture, and 8-bit
statistics of a normalisation ruin it. So normalisations stay in float, dense layers store 8-bit
weights and compute in float, and a format says how each convolution computes:

    dynamic   8-bit weights; its input is rounded to 8 bits by the range it has in this picture
    weights   8-bit weights, computed in float
    float     neither: as it was trained
    static    8-bit weights; input and output are rounded by ranges that calibration pictures had
    static16  8-bit weights; the same with 16 bits
    dynamic4  like dynamic with 4-bit weights

Letters: N pictures, H rows, W columns.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.terminal import quiet
from tfi2i_export.inputs import count_of, fitted, require_all
from tfi2i_export.tflite.inspection import (
    float_operations,
    inspect,
    operations,
    require_plain,
)
from tfi2i_export.tflite.interpreter import INPUT

FORMATS = ("float32", "float16", "int8", "int8-fast", "int8-hq", "int8-npu", "auto")
FORCED = ("int8-full", "int16x8", "int4")
"""Formats that are offered for comparison only: no phone gains by them, or pictures suffer."""

QUANTISED = ("int8", "int8-fast", "int8-hq", "int8-npu", *FORCED)
"""The formats that `quantize` makes out of a float32 file."""

STAGE = re.compile(r"up(\d*)(_|$)")
"""How the names of convolutions begin that enlarge the picture: `up`, `up1`, `up1_conv`."""

ENOUGH = 8
"""Pictures that static ranges have to be calibrated on at least."""


def arithmetic(format: str, layers: Sequence[str]) -> dict[str, str]:
    """Ways in which each convolution computes in a format, in the words at the top of this module.

    int8-hq spares the first, the last and those of the last stage that enlarges the picture,
    int8-npu all that enlarge it.

    Args:
        format: One of `QUANTISED`.
        layers: Convolutions from the input to the output; `STAGE` tells which ones enlarge.

    Raises:
        InputError: Another format, or no layers.
    """
    if format not in QUANTISED:
        raise InputError(f"{format!r} is not a quantised format; use {', '.join(QUANTISED)}.")
    if not layers:
        raise InputError("There are no convolutions to quantise.")
    enlarging = {layer: found[1] for layer in layers if (found := STAGE.match(layer))}
    in_stage = [layer for layer in enlarging if enlarging[layer] == [*enlarging.values()][-1]]
    most = {"int8-npu": "static", "int8-full": "static", "int16x8": "static16", "int4": "dynamic4"}
    chosen = dict.fromkeys(layers, most.get(format, "dynamic"))
    chosen |= {
        "int8": {layers[-1]: "float"},
        "int8-hq": dict.fromkeys([layers[0], *in_stage, layers[-1]], "float"),
        "int8-npu": dict.fromkeys([*enlarging, layers[-1]], "weights"),
    }.get(format, {})
    return chosen


def quantize(
    model: bytes,
    format: str,
    *,
    layers: Sequence[str],
    in_float: frozenset[str] = frozenset(),
    calibration: NDArray[np.uint8] | None = None,
    inputs: Mapping[str, NDArray[np.float32]] | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """A float32 .tflite file with 8-bit weights, and the recipe for its sidecar.

    The recipe's "quantizer" is litert-quantizer's own, which its `load_quantization_recipe` takes;
    "float_operations" are the numbers of those that an accelerator without float cannot run.

    Args:
        model: File by `conversion.convert`, without `half`.
        format: One of `QUANTISED`.
        layers: Names of all its convolutions, from the input to the output.
        in_float: Convolutions that stay in float, in addition to the format's own.
        calibration: Pixels (N, H, W, 3) of the file's size, of the source domain; for the formats
            int8-npu, int8-full and int16x8. None: a sampler's.
        inputs: Values (N, ...) of the file's extra inputs by name, for each of those pictures.

    Raises:
        InputError: The names are not those of the file, or pictures are missing or do not fit.
    """
    from litert_quantizer.quantizer import Quantizer  # type: ignore[import-untyped]

    unknown = sorted(in_float - set(layers))
    if unknown:
        raise InputError(f"There is no convolution {unknown[0]!r}; choose of {', '.join(layers)}.")
    chosen = arithmetic(format, layers) | dict.fromkeys(in_float, "float")
    scopes = _scopes(model, layers)
    quantizer = Quantizer(model)
    _fill(quantizer, scopes, chosen, format)
    ranges = None
    if quantizer.need_calibration:
        ranges = _calibrated(quantizer, model, calibration, inputs or {})
    silent = {"enable_progress_bar": False, "enable_progress_report": False}
    with quiet():
        made = _with_differing_scales(bytes(quantizer.quantize(ranges, **silent).quantized_model))
    require_plain(inspect(made))
    recipe: dict[str, Any] = {
        "quantizer": quantizer.get_quantization_recipe(),
        "float_operations": float_operations(made),
    }
    if ranges is not None and calibration is not None:
        recipe["calibration_pictures"] = len(calibration)
    return made, recipe


def _with_differing_scales(model: bytes) -> bytes:
    """The file with no kernel whose channels have one scale: one of them is moved by a last bit.

    TensorFlow Lite up to 2.16 takes a kernel of equal scales for one of a single scale, which it
    reads where a scale a channel is not written: its convolution answers 0. The identity, as which
    attention begins, is such a kernel.
    """
    buffer = bytearray(model)
    read = schema.Model.GetRootAs(buffer)
    for graph in map(read.Subgraphs, range(read.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            quantization = tensor.Quantization()
            if quantization is None or quantization.ScaleLength() < 2:
                continue
            scales = quantization.ScaleAsNumpy()  # in the buffer
            if (scales == scales[0]).all():
                scales[0] = np.nextafter(scales[0], np.float32(np.inf))
    return bytes(buffer)


def auto(
    convert_with: Callable[[frozenset[str]], bytes],
    convs: Sequence[str],
    psnr: Callable[[bytes], float],
    target_db: float,
) -> tuple[bytes, frozenset[str]]:
    """The file with the fewest convolutions in float that reaches a PSNR, found greedily.

    Each convolution's gain is measured alone; then as many are taken, the largest gain first, as it
    needs. For n convolutions that is at most n + log2(n) + 3 files.

    Args:
        convert_with: Function that makes a file in which these convolutions stay in float.
        convs: Names to choose from.
        psnr: Agreement of a file in dB.
        target_db: PSNR in dB that it has to reach.

    Returns:
        The file, and the convolutions that stay in float.

    Raises:
        InputError: No choice reaches the target, or none that is smaller than float16 would be.
    """

    def tried(chosen: Sequence[str]) -> tuple[bytes, float]:
        model = convert_with(frozenset(chosen))
        return model, psnr(model)

    model, found = tried(())
    smallest = len(model)
    if found >= target_db:
        return model, frozenset()
    gains = {conv: tried([conv])[1] for conv in convs}
    ranked = sorted(convs, key=lambda conv: -gains[conv])
    model, found = tried(ranked)
    largest = len(model)
    if not found >= target_db:
        raise InputError(
            f"With all convolutions in float it reaches {found:.1f} dB, not the {target_db:g} dB "
            "that auto looks for; export float16."
        )
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        candidate, found = tried(ranked[:middle])
        if found >= target_db:
            model, enough = candidate, middle
        else:
            too_few = middle
    if len(model) > smallest + (largest - smallest) / 3:  # 2 bytes a weight instead of 1, not of 4
        raise InputError(
            f"auto takes {enough} convolutions in float for {target_db:g} dB, and the file is "
            "larger than one of float16; export float16."
        )
    return model, frozenset(ranked[:enough])


def _scopes(model: bytes, layers: Sequence[str]) -> dict[str, list[str]]:
    """For each convolution what litert-quantizer knows it by: once for every signature."""
    scopes: dict[str, list[str]] = {layer: [] for layer in layers}
    unpacked: set[str] = set()
    for operation in operations(model):
        if operation.kind == "DEQUANTIZE":
            unpacked |= {output.name for output in operation.outputs}
        if operation.kind != "CONV_2D":
            continue
        weights = operation.inputs[1]
        # Keras appends a number to the name of a layer that is called again.
        named = [x for x in layers if re.search(rf"(^|/){re.escape(x)}(_\d+)?/", weights.name)]
        if len(named) != 1:
            raise InputError(
                f"The convolution {weights.name} is {len(named)} of the layers named; give the "
                "name of every convolution."
            )
        if weights.type != "FLOAT32" or weights.name in unpacked:
            raise InputError(
                f"The weights of {named[0]} are smaller than float32 already; give a file of "
                "float32."
            )
        scopes[named[0]].append("".join(f"{output.name};" for output in operation.outputs))
    missing = [layer for layer, found in scopes.items() if not found]
    if missing:
        raise InputError(f"The model has no convolution {missing[0]!r}.")
    return scopes


def _fill(
    quantizer: Any, scopes: Mapping[str, Sequence[str]], chosen: Mapping[str, str], format: str
) -> None:
    """Writes the recipe; of two entries for one operation the later one holds."""
    from litert_quantizer.qtyping import TFLOperationName as Name  # type: ignore[import-untyped]

    update = quantizer.update_quantization_recipe
    ways: dict[str, Callable[..., None]] = {
        "float": lambda *which: update(*which, algorithm_key="no_quantize"),
        "weights": lambda *which: quantizer.add_weight_only_config(*which, 8),
        "dynamic": lambda *which: quantizer.add_dynamic_config(*which, 8),
        "dynamic4": lambda *which: quantizer.add_dynamic_config(*which, 4),
        "static": lambda *which: quantizer.add_static_config(*which, 8, 8),
        "static16": lambda *which: quantizer.add_static_config(*which, 16, 8),
    }
    if format == "int8-full":
        ways["static"](".*", Name.ALL_SUPPORTED)
        for border in (Name.INPUT, Name.OUTPUT):  # which keep the type that apps rely on
            ways["float"](".*", border)
    else:
        ways["weights"](".*", Name.FULLY_CONNECTED)
    for layer, how in chosen.items():
        for scope in scopes[layer]:
            ways[how](f"^{re.escape(scope)}$", Name.CONV_2D)


def _calibrated(
    quantizer: Any,
    model: bytes,
    pictures: NDArray[np.uint8] | None,
    inputs: Mapping[str, NDArray[np.float32]],
) -> Any:
    """The ranges of all maps over the pictures."""
    from litert_quantizer.calibrator import CalibrationMode  # type: ignore[import-untyped]

    signatures = inspect(model).signatures
    taken = next(iter(signatures.values()))[0]
    if INPUT not in taken:
        pictures = None
    elif pictures is None or pictures.ndim != 4 or pictures.dtype != np.uint8:
        given = "none" if pictures is None else f"{pictures.dtype} {pictures.shape}"
        raise InputError(f"Static ranges take uint8 pictures (N, H, W, 3); received {given}.")
    count = count_of(pictures, inputs)
    if count < ENOUGH:
        raise InputError(f"Static ranges take {ENOUGH} pictures or more, received {count}.")
    if pictures is not None and (
        len(signatures) != 1 or taken[INPUT].shape[1:] != pictures.shape[1:]
    ):
        raise InputError(
            f"Static ranges take a file for one size and pictures of that size; it takes "
            f"{', '.join(str(inputs[INPUT].shape) for inputs, _ in signatures.values())}, and the "
            f"pictures are {pictures.shape}."
        )
    shapes = {name: (1, *one.shape[1:]) for name, one in taken.items() if name != INPUT}
    extra = fitted(inputs, shapes, "The file", count)
    require_all(extra, shapes, "The file")
    if pictures is not None:
        extra = {INPUT: pictures.astype(taken[INPUT].dtype), **extra}
    # A file for several pictures gets the same one several times: ranges are those of one.
    batch = next(iter(taken.values())).shape[0]
    fed = [{k: v[[i] * batch] for k, v in extra.items()} for i in range(count)]
    with quiet():
        return quantizer.calibrate(
            {next(iter(signatures)): fed},
            num_threads=os.cpu_count() or 1,
            mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
        )
