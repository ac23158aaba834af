"""The names of the official NICE-GAN's tensors (alpc91/NICE-GAN-pytorch @ 1b114f1)."""

import re
from typing import Any

from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Networks,
    Tensors,
    adaptive_arguments,
    check_upsampling,
    layers,
    one_of,
    style_mlp,
    tensors_of,
)

NETWORKS = ("disA", "disB", "gen2A", "gen2B")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("disA", "gen2B"), "b2a": ("disB", "gen2A")}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a NICEGAN by official network and name: (our variable, its layout there)."""
    check_upsampling(system, "subpixel")
    return {
        "disA": _discriminator(system.enc_a, system.heads_a, system.discriminator_depth),
        "disB": _discriminator(system.enc_b, system.heads_b, system.discriminator_depth),
        "gen2A": _generator(system.gen_ba, system),
        "gen2B": _generator(system.gen_ab, system),
    }


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of NICEGAN that official tensors tell; `image_size` only for the full version.

    Raises:
        InputError: The tensors are not numbered as NICE-GAN's are.
    """
    discriminator = one_of(networks, "disA", "disB")
    trunk = (re.fullmatch(r"Dis0_0\.\d+\.weight_orig", name) for name in discriminator)
    width = discriminator["model.1.weight_orig"].shape[0]
    depth = {"discriminator_depth": 6 + sum(map(bool, trunk))}
    return adaptive_arguments(one_of(networks, "gen2B", "gen2A"), width) | depth


def _discriminator(enc: Any, heads: Any, depth: int) -> Tensors:
    attention = enc.get_layer("attention")
    names = {f"trunk{i}": f"Dis0_0.{3 * i + 1}" for i in range(depth - 6)}
    names |= {"local0": "Dis0_1.1", "local_logits": "conv0", "global_logits": "conv1"}
    names |= {"global0": "Dis1_0.1", "global1": "Dis1_0.4", "global2": "Dis1_1.1"}
    return {
        "lamda": (attention.lamda, "same"),
        **tensors_of(attention.mix, "conv1x1"),
        **tensors_of(attention.logit, "fc"),
        **layers(enc, {"conv0": "model.1", "conv1": "model.4"}),
        **layers(heads, names),
    }


def _generator(gen: Any, system: Any) -> Tensors:
    names = {"conv0": "UpBlock0.1", "lin0": "UpBlock0.2", "to_rgb": "UpBlock2.17"}
    for i in range(system.blocks):
        for j in range(2):
            names[f"block{i}_conv{j}"] = f"UpBlock1_{i + 1}.conv{j + 1}"
            names[f"block{i}_norm{j}"] = f"UpBlock1_{i + 1}.norm{j + 1}"
    tensors = style_mlp(gen, system)
    for i, at in enumerate((1, 9)):
        names[f"up{i}_conv"] = f"UpBlock2.{at}"
        names[f"up{i}_lin0"], names[f"up{i}_lin1"] = f"UpBlock2.{at + 1}", f"UpBlock2.{at + 5}"
        subpixel = gen.get_layer(f"up{i}_subpixel")
        tensors[f"UpBlock2.{at + 3}.weight"] = (subpixel.kernel, "shuffle_conv")
        tensors[f"UpBlock2.{at + 3}.bias"] = (subpixel.bias, "shuffle_bias")
    return tensors | layers(gen, names)
