"""Parts that the lists of several official codes' tensors share."""

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.layers.convolution import BilinearUp, BlurDown
from tfi2i.layers.layer_normalization import LayerNormalization
from tfi2i.layers.normalization import LIN, AdaLIN, BatchNormalization, InstanceNormalization
from tfi2i.layers.spectral import SpectralConv2D, SpectralDense

Tensors = dict[str, tuple[Any, Any]]
"""An official network's tensors by name: (our variable, its layout there)."""

Arrays = Mapping[str, np.ndarray]

Networks = Mapping[str, Arrays]
"""Arrays of an official checkpoint by network; of a part of one, not all networks are there."""

Arguments = Mapping[str, Any]

NOTHING: Arguments = MappingProxyType({})
"""The arguments of a constructor where none is given."""

DOWN = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16
UP = np.outer((1, 3, 3, 1), (1, 3, 3, 1)).astype(np.float32) / 16  # / 64, times 4 for the zeros


def layers(network: Any, names: Mapping[str, str]) -> Tensors:
    """The tensors of layers of a network, by the source's names of these layers."""
    found: Tensors = {}
    for ours, theirs in names.items():
        found |= tensors_of(network.get_layer(ours), theirs)
    return found


def tensors_of(layer: Any, name: str) -> Tensors:
    """The tensors of a layer: a convolution, a dense layer, a normalisation or a blur."""
    if isinstance(layer, BlurDown | BilinearUp):
        blur = DOWN if isinstance(layer, BlurDown) else UP
        repeated = np.broadcast_to(blur, (layer.output.shape[-1], 1, *blur.shape))
        return {f"{name}.filt": (repeated, "constant")}
    if isinstance(layer, LIN | AdaLIN):
        parts = {part: getattr(layer, part, None) for part in ("rho", "gamma", "beta")}
        return {
            f"{name}.{part}": (variable, "channel" if len(variable.shape) == 1 else "rho")
            for part, variable in parts.items()
            if variable is not None
        }
    if isinstance(layer, LayerNormalization) and layer.epsilon_on == "variance":
        return {f"{name}.weight": (layer.gamma, "plane"), f"{name}.bias": (layer.beta, "plane")}
    if isinstance(layer, LayerNormalization):
        return {f"{name}.gamma": (layer.gamma, "same"), f"{name}.beta": (layer.beta, "same")}
    if isinstance(layer, InstanceNormalization):
        return {f"{name}.weight": (layer.gamma, "same"), f"{name}.bias": (layer.beta, "same")}
    if isinstance(layer, BatchNormalization):
        trained = {"weight": layer.gamma, "bias": layer.beta}
        kept = {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}
        return {f"{name}.{part}": (one, "same") for part, one in (trained | kept).items()}
    kernel = (layer.kernel, "conv" if len(layer.kernel.shape) == 4 else "dense")
    found: Tensors = {f"{name}.weight": kernel}
    if isinstance(layer, SpectralConv2D | SpectralDense):
        v = ("conv_v", layer.kernel_size) if isinstance(layer, SpectralConv2D) else "same"
        found = {f"{name}.weight_orig": kernel, f"{name}.weight_u": (layer.u, "same")}
        found[f"{name}.weight_v"] = (layer.v, v)
    return found if layer.bias is None else found | {f"{name}.bias": (layer.bias, "same")}


def patch_heads(heads: Iterable[Any]) -> Tensors:
    """The tensors of PatchNCE's heads, in the order of their taps."""
    found: Tensors = {}
    for i, head in enumerate(heads):
        found |= layers(head, {"dense0": f"mlp_{i}.0", "dense1": f"mlp_{i}.2"})
    return found


def style_mlp(generator: Any, system: Any) -> Tensors:
    """The tensors of NICE-GAN's and U-GAT-IT's style MLP."""
    names = {"style0": "FC.0", "style1": "FC.2", "gamma": "gamma", "beta": "beta"}
    found = layers(generator, names)
    if not system.light:
        kernel, _ = found["FC.0.weight"]
        found["FC.0.weight"] = (kernel, ("flat_dense", 4 * system.width))
    return found


def resnet_names(blocks: int, antialias: bool) -> dict[str, str]:
    """The sources' names of the layers of `tfi2i.networks.resnet_generator`."""
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


def unet_names(levels: int, batch_norm: bool = False) -> dict[str, str]:
    """The source's names of a U-Net's layers with tensors, each level's inside the one's above."""
    names: dict[str, str] = {}
    prefix = "model.model"
    for i in range(levels):
        down, inner = (0, 1) if i == 0 else (1, 3)
        up = 3 if i in (0, levels - 1) else 5
        names |= {f"down{i}": f"{prefix}.{down}", f"up{i}": f"{prefix}.{up}"}
        if batch_norm and i > 0:
            names[f"up{i}_norm"] = f"{prefix}.{up + 1}"
            if i < levels - 1:
                names[f"down{i}_norm"] = f"{prefix}.2"
        prefix += f".{inner}.model"
    return names


def patch_names(depth: int, antialias: bool, batch_norm: bool = False) -> dict[str, str]:
    """The sources' names of the layers of `tfi2i.networks.patch_discriminator`."""
    names, at = {}, 0
    for i in range(depth + 1):
        names[f"conv{i}"] = f"model.{at}"
        if batch_norm and i > 0:
            names[f"conv{i}_norm"] = f"model.{at + 1}"
        at += 2 if i == 0 else 3  # no normalisation after the first
        if antialias and i < depth:
            names[f"conv{i}_blur"] = f"model.{at}"
            at += 1
    return names | {"logits": f"model.{at}"}


def content_names(prefix: str, halvings: int, blocks: int) -> dict[str, str]:
    """MUNIT's and UNIT's names of the layers of a content encoder."""
    names = {"conv0": f"{prefix}.model.0.conv"}
    names |= {f"down{i}": f"{prefix}.model.{i + 1}.conv" for i in range(halvings)}
    return names | block_names(f"{prefix}.model.{halvings + 1}", range(blocks))


def block_names(prefix: str, blocks: Iterable[int]) -> dict[str, str]:
    """MUNIT's and UNIT's names of the convolutions of residual blocks."""
    return {
        f"block{i}_conv{j}": f"{prefix}.model.{i}.model.{j}.conv" for i in blocks for j in range(2)
    }


def image_of_code_names(halvings: int) -> dict[str, str]:
    """MUNIT's and UNIT's names of the layers at the end of a decoder."""
    names = {"to_rgb": f"dec.model.{2 * halvings + 1}.conv"}
    for i in range(halvings):
        at = f"dec.model.{2 * i + 2}"
        names |= {f"up{i}": f"{at}.conv", f"up{i}_norm": f"{at}.norm"}
    return names


def reflecting_discriminator(disc: Any, depth: int, scales: int) -> Tensors:
    """The tensors of MUNIT's and UNIT's discriminators."""
    found: Tensors = {}
    for i in range(scales):
        names = {f"conv{j}": f"cnns.{i}.{j}.conv" for j in range(depth)}
        found |= layers(disc.get_layer(f"scale{i}"), names | {"logits": f"cnns.{i}.{depth}"})
    return found


# arguments of a system, read off official tensors


def one_of(networks: Networks, *names: str) -> Arrays:
    """The tensors of the first of these networks that is there; without any: none."""
    return next((networks[name] for name in names if name in networks), {})


def numbered(names: Iterable[str], form: str, first: int = 1) -> int:
    """The number of names of a form such as "conv{}.weight".

    Raises:
        InputError: There are none, or their numbers are not `first`, `first` + 1 and so on.
    """
    pattern = re.escape(form).replace(r"\{\}", r"(\d+)")
    matches = (re.fullmatch(pattern, name) for name in names)
    found = sorted({int(match[1]) for match in matches if match})
    if not found or found != list(range(first, first + len(found))):
        raise InputError(
            f"the blocks' {form.format(first)}, {form.format(first + 1)} ... are not numbered "
            f"without gaps: {', '.join(map(str, found[:8])) or 'none'} came."
        )
    return len(found)


def resnet_arguments(generator: Arrays) -> dict[str, Any]:
    """Arguments of CUT and CycleGAN that a ResNet generator's tensors tell."""
    antialias = "model.7.filt" in generator
    first = 12 if antialias else 10
    blocks = numbered(generator, "model.{}.conv_block.1.weight", first)
    check_blurs(antialias, f"model.{first + blocks}.filt" in generator)
    width = generator["model.1.weight"].shape[0]
    return {"width": width, "blocks": blocks, "antialias": antialias}


def unet_arguments(generator: Arrays) -> dict[str, Any]:
    """Arguments of CycleGAN and pix2pix that a U-Net's tensors tell."""
    inner = r"model\.model\.1(\.model\.3)*\.model\.1\.weight"
    return {
        "width": generator["model.model.0.weight"].shape[0],
        "unet_levels": 1 + sum(bool(re.fullmatch(inner, name)) for name in generator),
    }


def patch_arguments(discriminator: Arrays) -> dict[str, Any]:
    """Arguments of CUT and CycleGAN that a patch discriminator's tensors tell."""
    kernels = [name for name, value in discriminator.items() if value.ndim == 4]
    return {
        "discriminator_width": discriminator["model.0.weight"].shape[0],
        "discriminator_depth": sum(name.endswith(".weight") for name in kernels) - 2,
        "antialias": "model.2.filt" in discriminator,
    }


def reflecting_arguments(discriminator: Arrays) -> dict[str, Any]:
    """Arguments of MUNIT and UNIT that a discriminator's tensors tell."""
    return {
        "discriminator_width": discriminator["cnns.0.0.conv.weight"].shape[0],
        "discriminator_depth": numbered(discriminator, "cnns.0.{}.conv.weight", 0),
        "discriminator_scales": numbered(discriminator, "cnns.{}.0.conv.weight", 0),
    }


def content_arguments(generators: Mapping[str, Arrays], encoder: str) -> dict[str, Any]:
    """Arguments of MUNIT and UNIT that tensors of the generators of a and b, or of one, tell.

    Args:
        generators: Tensors by domain.
        encoder: Name of the content encoder in them.
    """
    one = next(iter(generators.values()))
    halvings = numbered(one, f"{encoder}.model.{{}}.conv.weight", 0) - 1
    channels = {
        domain: tensors[f"{encoder}.model.0.conv.weight"].shape[1]
        for domain, tensors in generators.items()
    }
    alike = len(set(channels.values())) == 1
    blocks = f"{encoder}.model.{halvings + 1}.model.{{}}.model.0.conv.weight"
    return {
        "width": one[f"{encoder}.model.0.conv.weight"].shape[0],
        "halvings": halvings,
        "blocks": numbered(one, blocks, 0),
        "channels": next(iter(channels.values())) if alike else channels,
    }


def check_upsampling(system: Any, *official: str | None) -> None:
    """Raises InputError unless a system enlarges its maps as its official code does."""
    if system.upsampling not in official:
        raise InputError(
            f"the official code of {type(system).__name__} has upsampling {official[-1]} alone,"
            f" and this system has {system.upsampling}."
        )


def check_resnet_upsampling(system: Any) -> None:
    """Raises InputError unless a ResNet enlarges its maps as CUT's or CycleGAN's code does."""
    check_upsampling(system, None, "bilinear" if system.antialias else "transposed")


def check_blurs(one: bool, other: bool) -> None:
    """Raises InputError unless both parts of an official code's networks blur, or none does."""
    if one != other:
        raise InputError(
            "the tensors are of networks that blur only in part, and here all are antialiased or "
            "none (in CUT's code, --no_antialias and --no_antialias_up go together)."
        )


def adaptive_arguments(generator: Arrays, width: int) -> dict[str, Any]:
    """Arguments of NICE-GAN and U-GAT-IT that a generator's tensors tell, 4 `width` wide inside."""
    style_inputs = generator["FC.0.weight"].shape[1]
    arguments = {
        "width": width,
        "blocks": numbered(generator, "UpBlock1_{}.conv1.weight"),
        "light": style_inputs == 4 * width,
    }
    if not arguments["light"]:
        arguments["image_size"] = 4 * round(math.sqrt(style_inputs / (4 * width)))
    return arguments
