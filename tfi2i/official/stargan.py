"""The names of the official StarGAN's tensors.

Source: yunjey/stargan @ 94dd002. Its running statistics are passed over: it never uses them.
"""

from typing import Any

from tfi2i.models.stargan import CELEBA
from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Networks,
    Tensors,
    check_upsampling,
    layers,
    numbered,
)

NETWORKS = ("G", "D")
"""The official code's networks, by the names in its checkpoints."""

FILES = "{}-{}.ckpt"
"""The form of its files' names: 200000-G.ckpt and 200000-D.ckpt."""

TRANSLATORS = {"any": ("G",)}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a StarGAN by official network and name: (our variable, its layout there)."""
    check_upsampling(system, "transposed")
    discriminator = {f"conv{i}": f"main.{2 * i}" for i in range(system.discriminator_depth)}
    discriminator |= {"scores": "conv1", "logits": "conv2"}
    return {
        "G": layers(system.gen, _generator_names(system.blocks)),
        "D": layers(system.disc, discriminator),
    }


def _generator_names(blocks: int) -> dict[str, str]:
    convolutions = {"conv0": "main.0", "down0": "main.3", "down1": "main.6"}
    norms = {name: f"main.{1 + 3 * i}" for i, name in enumerate(convolutions)}
    for i in range(blocks):
        for j in range(2):
            convolutions[f"block{i}_conv{j}"] = f"main.{9 + i}.main.{3 * j}"
            norms[f"block{i}_conv{j}"] = f"main.{9 + i}.main.{3 * j + 1}"
    for i in range(2):
        convolutions[f"up{i}"] = f"main.{9 + blocks + 3 * i}"
        norms[f"up{i}"] = f"main.{10 + blocks + 3 * i}"
    convolutions["to_rgb"] = f"main.{15 + blocks}"
    return convolutions | {f"{name}_norm": theirs for name, theirs in norms.items()}


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of StarGAN that official tensors tell.

    They tell how many labels there are, not their names: unless `given`, they are the source's five
    attributes or, of another number, label0, label1 and so on.
    """
    generator = networks["G"]
    blocks = numbered(generator, "main.{}.main.0.weight", 9)
    channels = generator[f"main.{15 + blocks}.weight"].shape[0]
    arguments: dict[str, Any] = {
        "width": generator["main.0.weight"].shape[0],
        "blocks": blocks,
        "channels": channels,
    }
    if "domains" not in given:
        count = generator["main.0.weight"].shape[1] - channels
        names = tuple(f"label{i}" for i in range(count))
        arguments["domains"] = CELEBA if count == len(CELEBA) else names
    if discriminator := networks.get("D"):
        depth = sum(name.startswith("main.") and name.endswith(".bias") for name in discriminator)
        arguments["discriminator_width"] = discriminator["main.0.weight"].shape[0]
        arguments["discriminator_depth"] = depth
        if "image_size" not in given:
            sides = discriminator["conv2.weight"].shape[2:]
            arguments["image_size"] = [side * 2**depth for side in sides]
    return arguments
