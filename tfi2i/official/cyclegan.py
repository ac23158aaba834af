"""The names of the official CycleGAN's tensors.

Source: junyanz/pytorch-CycleGAN-and-pix2pix @ c3268ed; for `antialias`
taesungp/contrastive-unpaired-translation @ b3ac297.

A trap: the source names a discriminator after the generator that it judges. `D_A` judges the images
of `G_A`, which translates a -> b: it is our `disc_b`.
"""

from typing import Any

from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Networks,
    Tensors,
    check_blurs,
    check_resnet_upsampling,
    layers,
    one_of,
    patch_arguments,
    patch_names,
    resnet_arguments,
    resnet_names,
    unet_arguments,
    unet_names,
)

NETWORKS = ("G_A", "G_B", "D_A", "D_B")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("G_A",), "b2a": ("G_B",)}
"""The networks that a direction's translator is made of."""

PIXEL_NAMES = {"conv0": "net.0", "conv1": "net.2", "logits": "net.5"}


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a CycleGAN by official network and name: (our variable, its layout there)."""
    check_resnet_upsampling(system)
    generator, discriminator = unet_names(system.unet_levels), PIXEL_NAMES
    if system.generator == "resnet":
        generator = resnet_names(system.blocks, system.antialias)
    if system.discriminator == "patch":
        discriminator = patch_names(system.discriminator_depth, system.antialias)
    return {
        "G_A": layers(system.gen_ab, generator),
        "G_B": layers(system.gen_ba, generator),
        "D_A": layers(system.disc_b, discriminator),
        "D_B": layers(system.disc_a, discriminator),
    }


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of CycleGAN that official tensors tell; a U-Net's `image_size` is not in them.

    Raises:
        InputError: The tensors are of another generator or discriminator.
    """
    generator, discriminator = one_of(networks, "G_A", "G_B"), one_of(networks, "D_A", "D_B")
    if "model.model.0.weight" in generator:
        arguments: dict[str, Any] = {"generator": "unet", **unet_arguments(generator)}
    else:
        arguments = {"generator": "resnet", **resnet_arguments(generator)}
    if not discriminator:
        return arguments
    if "net.0.weight" in discriminator:
        width = discriminator["net.0.weight"].shape[0]
        return arguments | {"discriminator": "pixel", "discriminator_width": width}
    patch = patch_arguments(discriminator)
    check_blurs(arguments.get("antialias", False), patch["antialias"])
    return arguments | {"discriminator": "patch", **patch}
