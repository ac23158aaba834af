"""The names and layouts of the official SinCUT's tensors.

Of taesungp/contrastive-unpaired-translation @ b3ac297. Layouts are those of `weights`. The
fixed blur filters are part of the source's state, so they are listed as constants.
"""

import re
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.models.sincut import discriminator_channels, generator_channels
from tfi2i.official.tensors import Tensors, patch_heads

BLUR = np.outer((1, 3, 3, 1), (1, 3, 3, 1)).astype(np.float32) / 64


NETWORKS = ("G", "F", "D")
"""The official code's networks, by the names in its checkpoints."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a SinCUT by official network and name: (our variable, its layout there)."""
    return {
        "G": _generator(system.gen_ab),
        "F": patch_heads(system.heads),
        "D": _discriminator(system.disc_b),
    }


def architecture(networks: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Arguments of SinCUT that fit official tensors; `taps` cannot be told from them.

    Raises:
        InputError: if the tensors contradict each other, before anything is built.
    """
    config = _of_shapes(networks)
    sides = [config["image_size"] >> i for i in range(_blocks(networks["D"]) + 1)]
    _check_channels(
        networks,
        [generator_channels(config["width"], side) for side in sides[:2]],
        [discriminator_channels(config["discriminator_width"], side) for side in sides],
    )
    return config


def _of_shapes(networks: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Arguments of SinCUT that fit official tensors, but for `taps`; `check_channels` must follow.

    Raises:
        InputError: if the tensors are not numbered as SinCUT's are.
    """
    side = 4 * 2 ** _blocks(networks["D"])
    channels = networks["G"]["encoder.convs.1.0.weight"].shape[0]
    discriminator_channels = networks["D"]["convs.0.0.weight"].shape[0]
    return {
        "image_size": side,
        "width": max(1, round(channels * side / 512)),
        "discriminator_width": max(1, -(-discriminator_channels * side // 256)),
        "features": int(networks["F"]["mlp_0.2.weight"].shape[0]),
    }


def _blocks(discriminator: dict[str, np.ndarray]) -> int:
    """Number of times that a discriminator halves its image, by the names of its tensors.

    Raises:
        InputError: if they are not numbered without gaps.
    """
    found = [re.fullmatch(r"convs\.(\d+)\.conv1\.0\.weight", name) for name in discriminator]
    numbers = {int(block[1]) for block in found if block}
    if numbers != set(range(1, len(numbers) + 1)) or not 1 <= len(numbers) <= 10:
        raise InputError(
            "the discriminator's blocks convs.1, convs.2 ... must be 1 to 10, numbered without "
            f"gaps; {', '.join(map(str, sorted(numbers)[:12])) or 'none'} came."
        )
    return len(numbers)


def _check_channels(
    networks: dict[str, dict[str, np.ndarray]], generator: list[int], discriminator: list[int]
) -> None:
    """Compares the channels of an architecture with the tensors', before it is built.

    Args:
        networks: Official tensors by network and name.
        generator: Channels of the generator at full and at half size.
        discriminator: Channels of the discriminator at every size, the largest first.

    Raises:
        InputError: if they differ: the tensors would make it larger than themselves.
    """
    expected = {
        ("G", "encoder.convs.1.0.weight"): (generator[0], 3, 1, 1),
        ("G", "encoder.convs.2.conv2.1.weight"): (generator[1], generator[0], 3, 3),
        ("D", "convs.0.0.weight"): (discriminator[0], 3, 1, 1),
    }
    for i in range(1, len(discriminator)):
        shape = (discriminator[i], discriminator[i - 1], 3, 3)
        expected["D", f"convs.{i}.conv2.1.weight"] = shape
    for (network, name), shape in expected.items():
        came = networks[network][name].shape if name in networks[network] else "none"
        if came != shape:
            raise InputError(
                f"{network} {name}: expected the shape {shape} of a SinCUT for its first "
                f"convolutions, but {came} came."
            )


def _conv(layer: Any, name: str) -> Tensors:
    """A convolution, then an activation that has the bias."""
    return {
        f"{name}.0.weight": (layer.kernel, "conv"),
        f"{name}.1.bias": (layer.bias, "channel"),
    }


def _residual_block(network: Any, ours: str, theirs: str) -> Tensors:
    tensors: Tensors = {}
    for i in range(2):
        tensors |= _conv(network.get_layer(f"{ours}_conv{i}"), f"{theirs}.conv{i + 1}")
    return tensors


def _down_block(network: Any, ours: str, theirs: str) -> Tensors:
    second = network.get_layer(f"{ours}_conv1")
    return {
        **_conv(network.get_layer(f"{ours}_conv0"), f"{theirs}.conv1"),
        f"{theirs}.conv2.0.kernel": (BLUR, "constant"),
        f"{theirs}.conv2.1.weight": (second.kernel, "conv"),
        f"{theirs}.conv2.2.bias": (second.bias, "channel"),
        f"{theirs}.skip.0.kernel": (BLUR, "constant"),
        f"{theirs}.skip.1.weight": (network.get_layer(f"{ours}_skip").kernel, "conv"),
    }


def _generator(gen: Any) -> Tensors:
    tensors = _conv(gen.get_layer("from_rgb"), "encoder.convs.1")
    tensors |= _down_block(gen, "down", "encoder.convs.2")
    for i in range(3):
        tensors |= _residual_block(gen, f"block{i}", f"encoder.convs.{3 + i}")
        tensors |= _residual_block(gen, f"block{3 + i}", f"decoder.convs.{i}")
    noise = gen.get_layer("up_noise")
    return {
        **tensors,
        "decoder.convs.3.conv.weight": (gen.get_layer("up").kernel, "modulated_conv"),
        "decoder.convs.3.conv.blur.kernel": (4 * BLUR, "constant"),
        "decoder.convs.3.noise.weight": (noise.strength, "same"),
        "decoder.convs.3.activate.bias": (noise.bias, "channel"),
        **_conv(gen.get_layer("to_rgb"), "decoder.convs.4"),
    }


def _discriminator(disc: Any) -> Tensors:
    tensors = _conv(disc.get_layer("from_rgb"), "convs.0")
    depth = sum(bool(re.fullmatch(r"down\d+", layer.name)) for layer in disc.layers)
    for i in range(depth):
        tensors |= _down_block(disc, f"down{i}", f"convs.{i + 1}")
    tensors |= _conv(disc.get_layer("last"), "final_conv")
    dense, logits = disc.get_layer("dense"), disc.get_layer("logits")
    channels = disc.get_layer("last").filters
    return {
        **tensors,
        "final_linear.0.weight": (dense.kernel, ("flat_dense", channels)),
        "final_linear.0.bias": (dense.bias, "same"),
        "final_linear.1.weight": (logits.kernel, "dense"),
        "final_linear.1.bias": (logits.bias, "same"),
    }
