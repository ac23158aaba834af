"""The names and layouts of the official SinCUT's tensors.

Of taesungp/contrastive-unpaired-translation @ b3ac297. The fixed blur filters are part of the
source's state, so they are listed as constants.
"""

import re
from typing import Any

import numpy as np

from tfi2i.models.arguments import keywords_of
from tfi2i.models.sincut import SinCUT
from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Networks,
    Tensors,
    numbered,
    patch_heads,
    tensors_of,
)

NETWORKS = ("G", "F", "D")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("G",)}
"""The networks that a direction's translator is made of."""

USUAL_SIDE = keywords_of(SinCUT.__init__)["image_size"].default

BLUR = np.outer((1, 3, 3, 1), (1, 3, 3, 1)).astype(np.float32) / 64


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a SinCUT by official network and name: (our variable, its layout there)."""
    return {
        "G": _generator(system.gen_ab),
        "F": patch_heads(system.heads),
        "D": _discriminator(system.disc_b),
    }


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of SinCUT that official tensors tell, all but `taps`.

    Without the discriminator the image size is not in them: it is the given one, or the usual.

    Raises:
        InputError: The tensors are not numbered as SinCUT's are.
    """
    arguments: dict[str, Any] = {}
    side = given.get("image_size", USUAL_SIDE)
    if discriminator := networks.get("D"):
        side = 4 * 2 ** numbered(discriminator, "convs.{}.conv1.0.weight")
        channels = discriminator["convs.0.0.weight"].shape[0]
        width = max(1, -(-channels * side // 256))
        arguments = {"image_size": side, "discriminator_width": width}
    if heads := networks.get("F"):
        arguments["features"] = heads["mlp_0.2.weight"].shape[0]
    channels = networks["G"]["encoder.convs.1.0.weight"].shape[0]
    return arguments | {"width": max(1, round(channels * side / 512))}


def _conv(network: Any, ours: str, theirs: str, at: int = 0) -> Tensors:
    """A convolution, `at` of the source's list; its bias belongs to the activation after it."""
    layer = network.get_layer(ours)
    found: Tensors = {f"{theirs}.{at}.weight": (layer.kernel, "conv")}
    if layer.use_bias:
        found[f"{theirs}.{at + 1}.bias"] = (layer.bias, "channel")
    return found


def _residual_block(network: Any, ours: str, theirs: str) -> Tensors:
    first = _conv(network, f"{ours}_conv0", f"{theirs}.conv1")
    return first | _conv(network, f"{ours}_conv1", f"{theirs}.conv2")


def _down_block(network: Any, ours: str, theirs: str) -> Tensors:
    return {
        **_conv(network, f"{ours}_conv0", f"{theirs}.conv1"),
        f"{theirs}.conv2.0.kernel": (BLUR, "constant"),
        **_conv(network, f"{ours}_conv1", f"{theirs}.conv2", 1),
        f"{theirs}.skip.0.kernel": (BLUR, "constant"),
        **_conv(network, f"{ours}_skip", f"{theirs}.skip", 1),
    }


def _generator(gen: Any) -> Tensors:
    found = _conv(gen, "from_rgb", "encoder.convs.1") | _down_block(gen, "down", "encoder.convs.2")
    for i in range(3):
        found |= _residual_block(gen, f"block{i}", f"encoder.convs.{3 + i}")
        found |= _residual_block(gen, f"block{3 + i}", f"decoder.convs.{i}")
    noise = gen.get_layer("up_noise")
    return {
        **found,
        "decoder.convs.3.conv.weight": (gen.get_layer("up").kernel, "modulated_conv"),
        "decoder.convs.3.conv.blur.kernel": (4 * BLUR, "constant"),
        "decoder.convs.3.noise.weight": (noise.strength, "same"),
        "decoder.convs.3.activate.bias": (noise.bias, "channel"),
        **_conv(gen, "to_rgb", "decoder.convs.4"),
    }


def _discriminator(disc: Any) -> Tensors:
    found = _conv(disc, "from_rgb", "convs.0")
    depth = sum(bool(re.fullmatch(r"down\d+", layer.name)) for layer in disc.layers)
    for i in range(depth):
        found |= _down_block(disc, f"down{i}", f"convs.{i + 1}")
    dense = disc.get_layer("dense")
    return {
        **found,
        **_conv(disc, "last", "final_conv"),
        **tensors_of(dense, "final_linear.0"),
        **tensors_of(disc.get_layer("logits"), "final_linear.1"),
        "final_linear.0.weight": (dense.kernel, ("flat_dense", disc.get_layer("last").filters)),
    }
