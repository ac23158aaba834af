"""The names and layouts of the official CycleGAN's tensors.

Source: junyanz/pytorch-CycleGAN-and-pix2pix @ c3268ed; for `antialias`
taesungp/contrastive-unpaired-translation @ b3ac297. Layouts are those of `weights`; "conv"
also fits transposed convolutions, whose axes of inputs and outputs are exchanged in both.

A trap: the source names a discriminator after the generator that it judges. `D_A` judges the images
of `G_A`, which translates a -> b: it is our `disc_b`.
"""

import re
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.official.cut import DOWN, UP
from tfi2i.official.tensors import Shapes, Tensors, check_shapes

NETWORKS = ("G_A", "G_B", "D_A", "D_B")
"""The official code's networks, by the names in its checkpoints."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a CycleGAN by official network and name: (our variable, its layout there)."""
    if system.generator == "unet":
        generator = unet_names(system.unet_levels)
    else:
        generator = resnet_names(system.blocks, system.antialias)
    if system.discriminator == "pixel":
        discriminator = PIXEL_NAMES
    else:
        discriminator = patch_names(system.discriminator_depth, system.antialias)
    networks = {
        "G_A": (system.gen_ab, generator),
        "G_B": (system.gen_ba, generator),
        "D_A": (system.disc_b, discriminator),
        "D_B": (system.disc_a, discriminator),
    }
    return {theirs: layers(network, names) for theirs, (network, names) in networks.items()}


def layers(network: Any, names: dict[str, str]) -> Tensors:
    """Tensors that the source keeps of our convolutions and blurs, by its names of these layers."""
    found: Tensors = {}
    for ours, theirs in names.items():
        layer = network.get_layer(ours)
        if ours.endswith("_blur"):
            blur = UP if ours.startswith("up") else DOWN
            found[f"{theirs}.filt"] = (np.tile(blur, (layer.output.shape[-1], 1, 1, 1)), "constant")
        else:
            found[f"{theirs}.weight"] = (layer.kernel, "conv")
            found[f"{theirs}.bias"] = (layer.bias, "same")
    return found


def resnet_names(blocks: int, antialias: bool) -> dict[str, str]:
    """The source's names of the layers of `tfi2i.networks.resnet_generator`."""
    names, at = {"conv0": "model.1"}, 4  # the layer's number in the source's list
    for i in range(2):
        names[f"down{i}"] = f"model.{at}"
        at += 3
        if antialias:
            names[f"down{i}_blur"] = f"model.{at}"
            at += 1
    for i in range(blocks):
        for j in range(2):
            names[f"block{i}_conv{j}"] = f"model.{at}.conv_block.{1 + 4 * j}"
        at += 1
    for i in range(2):
        if antialias:
            names[f"up{i}_blur"] = f"model.{at}"
            at += 1
        names[f"up{i}"] = f"model.{at}"
        at += 3
    return names | {"to_rgb": f"model.{at + 1}"}


def patch_names(depth: int, antialias: bool) -> dict[str, str]:
    """The source's names of the layers of `tfi2i.networks.patch_discriminator`."""
    names, at = {}, 0
    for i in range(depth + 1):
        names[f"conv{i}"] = f"model.{at}"
        at += 2 if i == 0 else 3  # no normalisation after the first
        if antialias and i < depth:
            names[f"conv{i}_blur"] = f"model.{at}"
            at += 1
    return names | {"logits": f"model.{at}"}


def unet_names(levels: int) -> dict[str, str]:
    """The source's names of a U-Net's convolutions, each level's inside the one's above it."""
    names, prefix = {}, "model.model"
    for i in range(levels):
        down, inner = (0, 1) if i == 0 else (1, 3)
        names[f"down{i}"] = f"{prefix}.{down}"
        names[f"up{i}"] = f"{prefix}.{3 if i in (0, levels - 1) else 5}"
        prefix += f".{inner}.model"
    return names


PIXEL_NAMES = {"conv0": "net.0", "conv1": "net.2", "logits": "net.5"}


def architecture(networks: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Arguments of CycleGAN that fit official tensors; a U-Net's `image_size` is not in them.

    Raises:
        InputError: if the tensors' shapes contradict each other, before anything of the claimed
            size is built.
    """
    generator, generator_shapes = _generator(networks["G_A"])
    discriminator, discriminator_shapes = _discriminator(networks["D_A"])
    for name in ("G_A", "G_B"):
        check_shapes("CycleGAN", name, networks[name], generator_shapes)
    for name in ("D_A", "D_B"):
        check_shapes("CycleGAN", name, networks[name], discriminator_shapes)
    if generator.get("antialias", False) != discriminator.get("antialias", False):
        raise InputError(
            "the generators and the discriminators are not both antialiased; a CycleGAN has blurs "
            "in all of its networks or in none."
        )
    return generator | discriminator


def _generator(tensors: dict[str, np.ndarray]) -> tuple[dict[str, Any], Shapes]:
    """A generator's arguments, and the shapes that its convolutions have by them."""
    if "model.model.0.weight" in tensors:
        width = int(tensors["model.model.0.weight"].shape[0])
        inner = r"model\.model\.1(\.model\.3)*\.model\.1\.weight"
        levels = 1 + sum(bool(re.fullmatch(inner, name)) for name in tensors)
        config = {"generator": "unet", "width": width, "unet_levels": levels}
        return config, _unet_shapes(width, levels)
    width = int(tensors["model.1.weight"].shape[0])
    antialias = "model.8" in _convolution_names(tensors)
    first = 12 if antialias else 10
    found = (re.fullmatch(r"model\.(\d+)\.conv_block\.1\.weight", name) for name in tensors)
    indices = sorted({int(block[1]) for block in found if block})
    blocks = len(indices)
    if indices != list(range(first, first + blocks)):
        raise InputError(
            f"the residual blocks model.{first}, model.{first + 1} ... are not numbered without "
            f"gaps: {', '.join(map(str, indices[:8]))} came."
        )
    config = {"generator": "resnet", "width": width, "blocks": blocks, "antialias": antialias}
    return config, _resnet_shapes(width, blocks, antialias)


def _resnet_shapes(width: int, blocks: int, antialias: bool) -> Shapes:
    names = resnet_names(blocks, antialias)
    shapes: Shapes = {
        "conv0": (width, 3, 7, 7),
        "down0": (2 * width, width, 3, 3),
        "down1": (4 * width, 2 * width, 3, 3),
        # A transposed convolution has its inputs first.
        "up0": (2 * width, 4 * width, 3, 3) if antialias else (4 * width, 2 * width, 3, 3),
        "up1": (width, 2 * width, 3, 3) if antialias else (2 * width, width, 3, 3),
        "to_rgb": (3, width, 7, 7),
    }
    return {
        f"{theirs}.weight": shapes.get(ours, (4 * width, 4 * width, 3, 3))
        for ours, theirs in names.items()
        if not ours.endswith("_blur")
    }


def _unet_shapes(width: int, levels: int) -> Shapes:
    names = unet_names(levels)
    shapes: Shapes = {}
    channels = [3, *(width * min(2**i, 8) for i in range(levels))]
    for i in range(levels):
        outer, inner = channels[i], channels[i + 1]
        shapes[f"{names[f'down{i}']}.weight"] = (inner, outer, 4, 4)
        joined = inner if i == levels - 1 else 2 * inner  # with the skip
        shapes[f"{names[f'up{i}']}.weight"] = (joined, outer, 4, 4)
    return shapes


def _discriminator(tensors: dict[str, np.ndarray]) -> tuple[dict[str, Any], Shapes]:
    """A discriminator's arguments, and the shapes that its convolutions have by them."""
    if "net.0.weight" in tensors:
        width = int(tensors["net.0.weight"].shape[0])
        shapes: Shapes = {
            "net.0.weight": (width, 3, 1, 1),
            "net.2.weight": (2 * width, width, 1, 1),
            "net.5.weight": (1, 2 * width, 1, 1),
        }
        return {"discriminator": "pixel", "discriminator_width": width}, shapes
    width = int(tensors["model.0.weight"].shape[0])
    found = _convolution_names(tensors)
    antialias, depth = "model.3" in found, len(found) - 2
    channels = [3, *(width * min(2**i, 8) for i in range(depth + 1)), 1]
    names = patch_names(depth, antialias)
    kept = [theirs for ours, theirs in names.items() if not ours.endswith("_blur")]
    shapes = {f"{name}.weight": (channels[i + 1], channels[i], 4, 4) for i, name in enumerate(kept)}
    return {
        "discriminator": "patch",
        "discriminator_width": width,
        "discriminator_depth": depth,
        "antialias": antialias,
    }, shapes


def _convolution_names(tensors: dict[str, np.ndarray]) -> set[str]:
    """Where kernels are; a batch normalisation has weights too."""
    return {
        name.removesuffix(".weight")
        for name, value in tensors.items()
        if name.endswith(".weight") and value.ndim == 4
    }
