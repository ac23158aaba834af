"""The names and layouts of the official CUT's and FastCUT's tensors.

Of taesungp/contrastive-unpaired-translation @ b3ac297. Layouts are those of `weights`. The
fixed filters are part of the source's state, so they are listed as constants.
"""

import re
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.official.tensors import Tensors, patch_heads

DOWN = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16
UP = np.outer((1, 3, 3, 1), (1, 3, 3, 1)).astype(np.float32) / 16  # / 64, times 4 for the zeros


NETWORKS = ("G", "F", "D")
"""The official code's networks, by the names in its checkpoints."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a CUT by official network and name: (our variable, its layout there)."""
    return {
        "G": _generator(system.gen_ab, system.blocks, system.antialias),
        "F": patch_heads(system.heads),
        "D": _discriminator(system.disc_b, system.discriminator_depth, system.antialias),
    }


def architecture(networks: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Arguments of CUT that fit official tensors, but for `taps`.

    Raises:
        InputError: if the tensors are of another generator or discriminator, before anything of the
            claimed size is built.
    """
    generator, heads, discriminator = (networks[name] for name in "GFD")
    antialias = "model.7.filt" in generator
    found = [re.fullmatch(r"model\.(\d+)\.conv_block\.1\.weight", name) for name in generator]
    blocks = sorted(int(block[1]) for block in found if block)
    first = 12 if antialias else 10
    if not blocks or blocks != list(range(first, first + len(blocks))):
        raise InputError(
            f"the generator's residual blocks model.{first}, model.{first + 1} ... are not "
            f"numbered without gaps: {', '.join(map(str, blocks[:8])) or 'none'} came."
        )
    if antialias != ("model.2.filt" in discriminator) or antialias != any(
        name.endswith(".filt") and int(name.split(".")[1]) > blocks[-1] for name in generator
    ):
        raise InputError(
            "the tensors are of networks that blur only in part (--no_antialias without "
            "--no_antialias_up, or the reverse), and here all do or none."
        )
    convolutions = sum(value.ndim == 4 and "filt" not in n for n, value in discriminator.items())
    config = {
        "width": int(generator["model.1.weight"].shape[0]),
        "blocks": len(blocks),
        "discriminator_width": int(discriminator["model.0.weight"].shape[0]),
        "discriminator_depth": convolutions - 2,
        "antialias": antialias,
        "features": int(heads["mlp_0.2.weight"].shape[0]),
    }
    _check(config, generator)
    return config


def _check(config: dict[str, Any], generator: dict[str, np.ndarray]) -> None:
    """That every residual block is as wide as the first layer says."""
    channels = 4 * config["width"]
    for name, value in generator.items():
        if "conv_block" in name and name.endswith("weight") and value.shape[:2] != (channels,) * 2:
            raise InputError(
                f"tensor {name}: expected the shape {(channels, channels, 3, 3)} of a CUT with "
                f"width={config['width']}, but {value.shape} came."
            )


def _conv(network: Any, ours: str, theirs: str) -> Tensors:
    layer = network.get_layer(ours)
    return {f"{theirs}.weight": (layer.kernel, "conv"), f"{theirs}.bias": (layer.bias, "same")}


def _filter(values: np.ndarray, channels: int, theirs: str) -> Tensors:
    """Repeats a filter for each channel."""
    return {f"{theirs}.filt": (np.tile(values, (channels, 1, 1, 1)), "constant")}


def _generator(gen: Any, blocks: int, antialias: bool) -> Tensors:
    tensors = _conv(gen, "conv0", "model.1")
    at = 4  # the layer's number in the source
    for i in range(2):
        tensors |= _conv(gen, f"down{i}", f"model.{at}")
        if antialias:
            tensors |= _filter(DOWN, gen.get_layer(f"down{i}").filters, f"model.{at + 3}")
        at += 4 if antialias else 3
    for i in range(blocks):
        for j in range(2):
            theirs = f"model.{at}.conv_block.{1 + 4 * j}"
            tensors |= _conv(gen, f"block{i}_conv{j}", theirs)
        at += 1
    for i in range(2):
        if antialias:
            tensors |= _filter(UP, 2 * gen.get_layer(f"up{i}").filters, f"model.{at}")
            at += 1
        tensors |= _conv(gen, f"up{i}", f"model.{at}")
        at += 3
    return tensors | _conv(gen, "to_rgb", f"model.{at + 1}")


def _discriminator(disc: Any, depth: int, antialias: bool) -> Tensors:
    tensors: Tensors = {}
    at = 0  # the layer's number in the source
    for i in range(depth + 1):
        tensors |= _conv(disc, f"conv{i}", f"model.{at}")
        at += 2 if i == 0 else 3  # the first has no normalisation
        if antialias and i < depth:
            tensors |= _filter(DOWN, disc.get_layer(f"conv{i}").filters, f"model.{at}")
            at += 1
    return tensors | _conv(disc, "logits", f"model.{at}")
