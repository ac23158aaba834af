"""The names of the official U-GAT-IT's tensors (znxlwm/UGATIT-pytorch @ b8c4251)."""

import re
from typing import Any

from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Arrays,
    Networks,
    Tensors,
    adaptive_arguments,
    check_upsampling,
    layers,
    one_of,
    style_mlp,
    tensors_of,
)

NETWORKS = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("genA2B",), "b2a": ("genB2A",)}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a UGATIT by official network and name: (our variable, its layout there)."""
    check_upsampling(system, "nearest")
    return {
        "genA2B": _generator(system.gen_ab, system),
        "genB2A": _generator(system.gen_ba, system),
        "disGA": _discriminator(system.disc_global_a, system.global_depth),
        "disGB": _discriminator(system.disc_global_b, system.global_depth),
        "disLA": _discriminator(system.disc_local_a, system.local_depth),
        "disLB": _discriminator(system.disc_local_b, system.local_depth),
    }


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of UGATIT that official tensors tell; `image_size` only for the full version.

    Raises:
        InputError: The tensors are not numbered as U-GAT-IT's are.
    """
    generator = one_of(networks, "genA2B", "genB2A")
    arguments = adaptive_arguments(generator, generator["DownBlock.1.weight"].shape[0])
    for key, names in (("global_depth", ("disGA", "disGB")), ("local_depth", ("disLA", "disLB"))):
        if discriminator := one_of(networks, *names):
            arguments[key] = _depth(discriminator)
    return arguments


def _depth(tensors: Arrays) -> int:
    """Layers of a discriminator: its numbered convolutions and the last one."""
    return 1 + sum(bool(re.fullmatch(r"model\.\d+\.weight_orig", name)) for name in tensors)


def _generator(gen: Any, system: Any) -> Tensors:
    names = {"conv0": "DownBlock.1", "down0": "DownBlock.5", "down1": "DownBlock.9"}
    for i in range(system.blocks):
        for j in range(2):
            names[f"block{i}_conv{j}"] = f"DownBlock.{12 + i}.conv_block.{4 * j + 1}"
            names[f"adaptive{i}_conv{j}"] = f"UpBlock1_{i + 1}.conv{j + 1}"
            names[f"adaptive{i}_norm{j}"] = f"UpBlock1_{i + 1}.norm{j + 1}"
    names |= {"up0": "UpBlock2.2", "up1": "UpBlock2.7", "to_rgb": "UpBlock2.11"}
    names |= {"up0_norm": "UpBlock2.3", "up1_norm": "UpBlock2.8"}
    return {**layers(gen, names), **style_mlp(gen, system), **_attention(gen)}


def _discriminator(disc: Any, depth: int) -> Tensors:
    names = {f"conv{i}": f"model.{3 * i + 1}" for i in range(depth - 1)} | {"logits": "conv"}
    return {**layers(disc, names), **_attention(disc)}


def _attention(network: Any) -> Tensors:
    cam = network.get_layer("cam")
    return {
        **tensors_of(cam.mean_logit, "gap_fc"),
        **tensors_of(cam.max_logit, "gmp_fc"),
        **tensors_of(cam.mix, "conv1x1"),
    }
