"""The names of the official BicycleGAN's tensors.

Source: junyanz/BicycleGAN @ 40b9d52: `unet_*` with the style at every level, `resnet_*` encoders,
discriminators of two scales that see domain b alone.
"""

import re
from typing import Any

from tfi2i.errors import InputError
from tfi2i.models.bicyclegan import SCALES
from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Networks,
    Tensors,
    check_upsampling,
    layers,
    numbered,
    patch_names,
)

NETWORKS = ("G", "E", "D", "D2")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("G",)}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a BicycleGAN by official network and name: (our variable, its layout)."""
    check_upsampling(system, "transposed")
    return {
        "G": layers(system.gen_ab, _unet_names(system.unet_levels)),
        "E": layers(system.encoder, _encoder_names(system.encoder_blocks)),
        "D": _discriminator(system.disc_encoded, system.discriminator_depth),
        "D2": _discriminator(system.disc_random, system.discriminator_depth),
    }


def _unet_names(levels: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for i in range(levels):
        prefix = "model" + ".submodule" * i
        names |= {f"down{i}": f"{prefix}.down.{min(i, 1)}", f"up{i}": f"{prefix}.up.1"}
    return names


def _encoder_names(blocks: int) -> dict[str, str]:
    names = {"conv0": "conv.0", "mean": "fc.0", "log_variance": "fcVar.0"}
    for i in range(blocks):
        prefix = f"conv.{i + 1}"
        names |= {f"block{i}_conv0": f"{prefix}.conv.2", f"block{i}_conv1": f"{prefix}.conv.5.0"}
        names[f"block{i}_short"] = f"{prefix}.shortcut.1"
    return names


def _discriminator(disc: Any, depth: int) -> Tensors:
    found: Tensors = {}
    for i in range(SCALES):
        names = patch_names(depth, False)
        names = {key: name.replace("model", f"model_{i}") for key, name in names.items()}
        found |= layers(disc.get_layer(f"scale{i}"), names)
    return found


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of BicycleGAN that official tensors tell.

    The `image_size` is not in them. If none is given, it is the least that the U-Net takes: 256 for
    `unet_256`.

    Raises:
        InputError: The tensors are of a translator that takes its style at the first level alone.
    """
    generator = networks["G"]
    first, second = generator["model.down.0.weight"], generator["model.submodule.down.1.weight"]
    width = first.shape[0]
    style_size = second.shape[1] - width
    if style_size < 1:
        raise InputError(
            "the tensors are of a translator that takes its style at the first level alone "
            "(--where_add input), and here it takes it at all."
        )
    of_a, of_b = first.shape[1] - style_size, generator["model.up.1.weight"].shape[1]
    inner = r"model(\.submodule)*\.down\.[01]\.weight"
    arguments = {
        "width": width,
        "unet_levels": sum(bool(re.fullmatch(inner, name)) for name in generator),
        "style_size": style_size,
        "channels": of_a if of_a == of_b else {"a": of_a, "b": of_b},
    }
    if "image_size" not in given:  # of two numbers: no tensor has this size, nor need one
        arguments["image_size"] = [2 ** arguments["unet_levels"]] * 2
    if encoder := networks.get("E"):
        arguments["encoder_width"] = encoder["conv.0.weight"].shape[0]
        arguments["encoder_blocks"] = numbered(encoder, "conv.{}.conv.2.weight")
    for name in ("D", "D2"):
        if discriminator := networks.get(name):
            kernels = [key for key in discriminator if key.startswith("model_0.")]
            kernels = [key for key in kernels if discriminator[key].ndim == 4]
            arguments["discriminator_width"] = discriminator["model_0.0.weight"].shape[0]
            arguments["discriminator_depth"] = len(kernels) - 2
    return arguments
