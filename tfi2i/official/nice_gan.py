"""The names and layouts of the official NICE-GAN's tensors (alpc91/NICE-GAN-pytorch @ 1b114f1).

Layouts are those of `tfi2i.official.weights`.
"""

import re
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.official.tensors import Tensors, check_shapes, spectral

NETWORKS = ("disA", "disB", "gen2A", "gen2B")
"""The official code's networks, by the names in its checkpoints."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a NICEGAN by official network and name: (our variable, its layout there)."""
    return {
        "disA": _discriminator(system.enc_a, system.heads_a, system.discriminator_depth),
        "disB": _discriminator(system.enc_b, system.heads_b, system.discriminator_depth),
        "gen2A": _generator(system.gen_ba, system.blocks, system.light, system.width),
        "gen2B": _generator(system.gen_ab, system.blocks, system.light, system.width),
    }


def architecture(networks: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Arguments of NICEGAN that fit official tensors; `image_size` only for the full version.

    Raises:
        InputError: if the tensors' shapes contradict each other, before anything of the claimed
            size is built.
    """
    generator, discriminator = networks["gen2B"], networks["disA"]
    width = int(discriminator["model.1.weight_orig"].shape[0])
    style_inputs = int(generator["FC.0.weight"].shape[1])
    found = [re.fullmatch(r"UpBlock1_(\d+)\.conv1\.weight", name) for name in generator]
    blocks = {int(block[1]) for block in found if block}
    if blocks != set(range(1, len(blocks) + 1)):
        raise InputError(
            f"the residual blocks UpBlock1_1, UpBlock1_2 ... are not numbered without gaps: "
            f"{', '.join(map(str, sorted(blocks)[:8]))} came."
        )
    trunk = [name for name in discriminator if re.fullmatch(r"Dis0_0\.\d+\.weight_orig", name)]
    config = {
        "width": width,
        "blocks": len(blocks),
        "light": style_inputs == 4 * width,
        "discriminator_depth": 6 + len(trunk),
    }
    if not config["light"]:
        config["image_size"] = 4 * round((style_inputs / (4 * width)) ** 0.5)
    last = width * 2 ** (config["discriminator_depth"] - 2)
    check_shapes(
        "NICE-GAN",
        "disA",
        discriminator,
        {"model.1.weight_orig": (width, 3, 4, 4), "Dis1_1.1.weight_orig": (last, last // 2, 4, 4)},
    )
    square = (4 * width, 4 * width, 3, 3)
    check_shapes(
        "NICE-GAN",
        "gen2B",
        generator,
        {
            "UpBlock0.1.weight": (4 * width, 2 * width, 3, 3),
            "gamma.weight": (4 * width, 4 * width),
            **{f"UpBlock1_{i + 1}.conv1.weight": square for i in range(config["blocks"])},
        },
    )
    return config


def _discriminator(enc: Any, heads: Any, depth: int) -> Tensors:
    attention = enc.get_layer("attention")
    names = {f"trunk{i}": f"Dis0_0.{3 * i + 1}" for i in range(depth - 6)}
    names |= {"local0": "Dis0_1.1", "local_logits": "conv0", "global_logits": "conv1"}
    names |= {"global0": "Dis1_0.1", "global1": "Dis1_0.4", "global2": "Dis1_1.1"}
    tensors = {
        "lamda": (attention.lamda, "same"),
        "conv1x1.weight": (attention.mix.kernel, "conv"),
        "conv1x1.bias": (attention.mix.bias, "same"),
        **spectral(attention.logit, "fc", "dense"),
        **spectral(enc.get_layer("conv0"), "model.1"),
        **spectral(enc.get_layer("conv1"), "model.4"),
    }
    for ours, theirs in names.items():
        tensors |= spectral(heads.get_layer(ours), theirs)
    return tensors


def _generator(gen: Any, blocks: int, light: bool, width: int) -> Tensors:
    first = "dense" if light else ("flat_dense", 4 * width)
    tensors = {
        "UpBlock0.1.weight": (gen.get_layer("conv0").kernel, "conv"),
        "UpBlock0.1.bias": (gen.get_layer("conv0").bias, "same"),
        "FC.0.weight": (gen.get_layer("style0").kernel, first),
        "FC.2.weight": (gen.get_layer("style1").kernel, "dense"),
        "gamma.weight": (gen.get_layer("gamma").kernel, "dense"),
        "beta.weight": (gen.get_layer("beta").kernel, "dense"),
        "UpBlock2.17.weight": (gen.get_layer("to_rgb").kernel, "conv"),
    }
    for i in range(blocks):
        for j in range(2):
            name = f"UpBlock1_{i + 1}"
            kernel = gen.get_layer(f"block{i}_conv{j}").kernel
            tensors[f"{name}.conv{j + 1}.weight"] = (kernel, "conv")
            tensors[f"{name}.norm{j + 1}.rho"] = (gen.get_layer(f"block{i}_norm{j}").rho, "rho")
    for i, at in enumerate((1, 9)):
        subpixel = gen.get_layer(f"up{i}_subpixel")
        tensors[f"UpBlock2.{at}.weight"] = (gen.get_layer(f"up{i}_conv").kernel, "conv")
        tensors[f"UpBlock2.{at + 3}.weight"] = (subpixel.kernel, "shuffle_conv")
        tensors[f"UpBlock2.{at + 3}.bias"] = (subpixel.bias, "shuffle_bias")
    lins = {"lin0": "UpBlock0.2", "up0_lin0": "UpBlock2.2", "up0_lin1": "UpBlock2.6"}
    lins |= {"up1_lin0": "UpBlock2.10", "up1_lin1": "UpBlock2.14"}
    for ours, theirs in lins.items():
        lin = gen.get_layer(ours)
        tensors[f"{theirs}.rho"] = (lin.rho, "rho")
        tensors[f"{theirs}.gamma"] = (lin.gamma, "channel")
        tensors[f"{theirs}.beta"] = (lin.beta, "channel")
    return tensors
