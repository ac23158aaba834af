"""The names of the official pix2pix' tensors.

Source: junyanz/pytorch-CycleGAN-and-pix2pix @ c3268ed.
"""

from typing import Any

from tfi2i.errors import InputError
from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Networks,
    Tensors,
    check_upsampling,
    layers,
    patch_arguments,
    patch_names,
    unet_arguments,
    unet_names,
)

NETWORKS = ("G", "D")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("G",)}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a pix2pix by official network and name: (our variable, its layout there)."""
    check_upsampling(system, "transposed")
    batch_norm, depth = system.norm == "batch", system.discriminator_depth
    return {
        "G": layers(system.gen_ab, unet_names(system.unet_levels, batch_norm)),
        "D": layers(system.disc, patch_names(depth, False, batch_norm)),
    }


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of pix2pix that official tensors tell.

    The `image_size` is not in them. If none is given, it is the least that the U-Net takes: 256 for
    `unet_256`.

    Raises:
        InputError: The tensors are of a ResNet or a PixelGAN.
    """
    generator, discriminator = networks["G"], networks.get("D", {})
    if "model.model.0.weight" not in generator or "net.0.weight" in discriminator:
        raise InputError(
            "the tensors are of another generator than a U-Net or of a PixelGAN, which are "
            "CycleGAN's here; choose a checkpoint of pix2pix as it is by default."
        )
    first, last = generator["model.model.0.weight"], generator["model.model.3.weight"]
    of_a, of_b = first.shape[1], last.shape[1]
    arguments = unet_arguments(generator) | {
        "norm": "instance" if "model.model.0.bias" in generator else "batch",
        "channels": of_a if of_a == of_b else {"a": of_a, "b": of_b},
    }
    if "image_size" not in given:  # of two numbers: no tensor has this size, nor need one
        arguments["image_size"] = [2 ** arguments["unet_levels"]] * 2
    if not discriminator:
        return arguments
    patch = patch_arguments(discriminator)
    del patch["antialias"]
    return arguments | patch
