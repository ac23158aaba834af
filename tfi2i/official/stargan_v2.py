"""The names of the official StarGAN v2's tensors.

Source: clovaai/stargan-v2 @ 875b70a: TAG_nets.ckpt has its four networks, and TAG_nets_ema.ckpt the
averages of three, under the same names. The landmark network of faces is not read.
"""

from typing import Any

import numpy as np

from tfi2i.networks.residual import halvings
from tfi2i.official.tensors import NOTHING, Arguments, Networks, Tensors, layers, numbered

NETWORKS = ("generator", "mapping_network", "style_encoder", "discriminator")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"any": ("generator", "mapping_network")}
"""The networks that a direction's translator is made of."""

UNUSED = r"decode\.\d+\.conv1x1\.weight"
"""Names of shortcuts that the source's translator for faces has and never uses."""

NEIGHBOURS = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a StarGANv2 by official network and name: (our variable, its layout)."""
    names = [layer.name for layer in system.gen.layers]
    generator = layers(system.gen, generator_names(names))
    if system.high_pass is not None:
        generator["hpf.filter"] = (NEIGHBOURS / system.high_pass, "constant")
    last = halvings(system.sides)
    domains = range(len(system.domains))
    mapping = {f"shared{i}": f"shared.{2 * i}" for i in range(4)}
    mapping |= {f"head{k}_{i}": f"unshared.{k}.{2 * i}" for k in domains for i in range(4)}
    encoder = _trunk_names(system.encoder, "shared") | {"whole": f"shared.{last + 2}"}
    encoder |= {f"head{k}": f"unshared.{k}" for k in domains}
    disc = _trunk_names(system.disc, "main") | {"whole": f"main.{last + 2}"}
    return {
        "generator": generator,
        "mapping_network": layers(system.mapping, mapping),
        "style_encoder": layers(system.encoder, encoder),
        "discriminator": layers(system.disc, disc | {"logits": f"main.{last + 4}"}),
    }


def generator_names(ours: list[str]) -> dict[str, str]:
    """The source's names of a translator's layers with tensors, of the names of all its layers."""
    names = {"from_rgb": "from_rgb", "to_rgb_norm": "to_rgb.0", "to_rgb": "to_rgb.2"}
    for name in ours:
        block, _, part = name.partition("_")
        if block.startswith("encode"):
            where, norm = f"encode.{block.removeprefix('encode')}", "norm{}"
        elif block.startswith("decode"):
            where, norm = f"decode.{block.removeprefix('decode')}", "norm{}.fc"
        else:
            continue
        theirs = {f"conv{i}": f"conv{i + 1}" for i in range(2)} | {"short": "conv1x1"}
        suffix = "_style" if norm.endswith("fc") else ""
        theirs |= {f"norm{i}{suffix}": norm.format(i + 1) for i in range(2)}
        if part in theirs:
            names[name] = f"{where}.{theirs[part]}"
    return names


def _trunk_names(network: Any, prefix: str) -> dict[str, str]:
    names = {"from_rgb": f"{prefix}.0"}
    theirs = {"conv0": "conv1", "conv1": "conv2", "short": "conv1x1"}
    for layer in network.layers:
        block, _, part = layer.name.partition("_")
        if block.startswith("block") and part in theirs:
            number = int(block.removeprefix("block")) + 1
            names[layer.name] = f"{prefix}.{number}.{theirs[part]}"
    return names


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of StarGANv2 that official tensors tell.

    They tell how many domains there are, not their names: unless `given`, they are AFHQ's of three,
    else domain0, domain1 and so on. Of pictures that are no square, `image_size` has to be given.
    """
    generator, mapping = networks["generator"], networks["mapping_network"]
    first = generator["from_rgb.weight"]
    widest = [array.shape[0] for name, array in generator.items() if name.endswith("conv2.weight")]
    filtered = generator.get("hpf.filter")
    arguments: dict[str, Any] = {
        "width": first.shape[0],
        "width_limit": max(widest),
        "channels": first.shape[1],
        "style_size": generator["decode.0.norm1.fc.weight"].shape[1],
        "latent_size": mapping["shared.0.weight"].shape[1],
        "mapping_width": mapping["shared.0.weight"].shape[0],
        "high_pass": None if filtered is None else round(float(8 / filtered[1, 1]), 6),
    }
    if "domains" not in given:
        count = numbered(mapping, "unshared.{}.0.weight", 0)
        usual = ("cat", "dog", "wild")
        arguments["domains"] = (
            usual if count == len(usual) else tuple(f"domain{i}" for i in range(count))
        )
    if "image_size" not in given:
        blocks = numbered(generator, "encode.{}.conv1.weight", 0)
        side = 2 ** (blocks + (2 if filtered is None else 1))
        arguments["image_size"] = [side, side]  # of two numbers: no tensor has this size
    return arguments
