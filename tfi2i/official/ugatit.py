"""The names and layouts of the official U-GAT-IT's tensors (znxlwm/UGATIT-pytorch @ b8c4251).

Layouts are those of `tfi2i.official.weights`.
"""

import re
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.official.tensors import Shapes, Tensors, check_shapes, spectral

NETWORKS = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")
"""The official code's networks, by the names in its checkpoints."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a UGATIT by official network and name: (our variable, its layout there)."""
    return {
        "genA2B": _generator(system.gen_ab, system),
        "genB2A": _generator(system.gen_ba, system),
        "disGA": _discriminator(system.disc_global_a, system.global_depth),
        "disGB": _discriminator(system.disc_global_b, system.global_depth),
        "disLA": _discriminator(system.disc_local_a, system.local_depth),
        "disLB": _discriminator(system.disc_local_b, system.local_depth),
    }


def architecture(networks: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Arguments of UGATIT that fit official tensors; `image_size` only for the full version.

    Raises:
        InputError: if the tensors' shapes contradict each other, before anything of the claimed
            size is built.
    """
    generator = networks["genA2B"]
    width = int(generator["DownBlock.1.weight"].shape[0])
    style_inputs = int(generator["FC.0.weight"].shape[1])
    found = (re.fullmatch(r"UpBlock1_(\d+)\.conv1\.weight", name) for name in generator)
    blocks = sorted({int(block[1]) for block in found if block})
    if not blocks or blocks != list(range(1, len(blocks) + 1)):
        raise InputError(
            "the residual blocks UpBlock1_1, UpBlock1_2 ... are not numbered without gaps: "
            f"{', '.join(map(str, blocks[:8])) or 'none'} came."
        )
    config = {
        "width": width,
        "blocks": len(blocks),
        "light": style_inputs == 4 * width,
        "global_depth": _depth(networks["disGA"]),
        "local_depth": _depth(networks["disLA"]),
    }
    if not config["light"]:
        config["image_size"] = 4 * round((style_inputs / (4 * width)) ** 0.5)
    generator_shapes = _generator_shapes(width, len(blocks))
    for network, shapes in (
        ("genA2B", generator_shapes),
        ("genB2A", generator_shapes),
        ("disGA", _discriminator_shapes(width, config["global_depth"])),
        ("disLA", _discriminator_shapes(width, config["local_depth"])),
    ):
        check_shapes("U-GAT-IT", network, networks[network], shapes)
    return config


def _depth(tensors: dict[str, np.ndarray]) -> int:
    """Layers of a discriminator: its numbered convolutions and the last one."""
    return 1 + sum(bool(re.fullmatch(r"model\.\d+\.weight_orig", name)) for name in tensors)


def _generator_shapes(width: int, blocks: int) -> Shapes:
    k = 4 * width
    square = (k, k, 3, 3)
    shapes: Shapes = {
        "DownBlock.1.weight": (width, 3, 7, 7),
        "DownBlock.9.weight": (k, 2 * width, 3, 3),
        "conv1x1.weight": (k, 2 * k, 1, 1),
        "gamma.weight": (k, k),
        "UpBlock2.2.weight": (2 * width, k, 3, 3),
    }
    for i in range(blocks):
        shapes[f"DownBlock.{12 + i}.conv_block.1.weight"] = square
        shapes[f"UpBlock1_{i + 1}.conv1.weight"] = square
    return shapes


def _discriminator_shapes(width: int, depth: int) -> Shapes:
    channels = [3, *(width * 2**i for i in range(depth - 1))]
    shapes: Shapes = {
        f"model.{3 * i + 1}.weight_orig": (channels[i + 1], channels[i], 4, 4)
        for i in range(depth - 1)
    }
    last = channels[-1]
    return shapes | {
        "conv1x1.weight": (last, 2 * last, 1, 1),
        "conv.weight_orig": (1, last, 4, 4),
    }


def _generator(gen: Any, system: Any) -> Tensors:
    kernels = {"conv0": "DownBlock.1", "down0": "DownBlock.5", "down1": "DownBlock.9"}
    rhos = {}
    for i in range(system.blocks):
        for j in range(2):
            kernels[f"block{i}_conv{j}"] = f"DownBlock.{12 + i}.conv_block.{4 * j + 1}"
            kernels[f"adaptive{i}_conv{j}"] = f"UpBlock1_{i + 1}.conv{j + 1}"
            rhos[f"adaptive{i}_norm{j}"] = f"UpBlock1_{i + 1}.norm{j + 1}"
    kernels |= {"up0": "UpBlock2.2", "up1": "UpBlock2.7", "to_rgb": "UpBlock2.11"}
    cam = gen.get_layer("cam")
    found: Tensors = {
        "gap_fc.weight": (cam.mean_logit.kernel, "dense"),
        "gmp_fc.weight": (cam.max_logit.kernel, "dense"),
        **_mix(cam),
    }
    first = "dense" if system.light else ("flat_dense", 4 * system.width)
    found["FC.0.weight"] = (gen.get_layer("style0").kernel, first)
    for ours, theirs in {"style1": "FC.2", "gamma": "gamma", "beta": "beta"}.items():
        found[f"{theirs}.weight"] = (gen.get_layer(ours).kernel, "dense")
    for ours, theirs in kernels.items():
        found[f"{theirs}.weight"] = (gen.get_layer(ours).kernel, "conv")
    for ours, theirs in rhos.items():
        found[f"{theirs}.rho"] = (gen.get_layer(ours).rho, "channel")
    for i in range(2):
        lin = gen.get_layer(f"up{i}_norm")
        for name in ("rho", "gamma", "beta"):
            found[f"UpBlock2.{5 * i + 3}.{name}"] = (getattr(lin, name), "channel")
    return found


def _discriminator(disc: Any, depth: int) -> Tensors:
    cam = disc.get_layer("cam")
    found = {
        **spectral(cam.mean_logit, "gap_fc", "dense"),
        **spectral(cam.max_logit, "gmp_fc", "dense"),
        **_mix(cam),
        **spectral(disc.get_layer("logits"), "conv"),
    }
    for i in range(depth - 1):
        found |= spectral(disc.get_layer(f"conv{i}"), f"model.{3 * i + 1}")
    return found


def _mix(cam: Any) -> Tensors:
    return {
        "conv1x1.weight": (cam.mix.kernel, "conv"),
        "conv1x1.bias": (cam.mix.bias, "same"),
    }
