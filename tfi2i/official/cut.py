"""The names of the official CUT's and FastCUT's tensors.

Of taesungp/contrastive-unpaired-translation @ b3ac297. The fixed filters are part of the source's
state, so they are listed as constants.
"""

from typing import Any

from tfi2i.official.tensors import (
    Arrays,
    Tensors,
    check_blurs,
    layers,
    patch_arguments,
    patch_heads,
    patch_names,
    resnet_arguments,
    resnet_names,
)

NETWORKS = ("G", "F", "D")
"""The official code's networks, by the names in its checkpoints."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a CUT by official network and name: (our variable, its layout there)."""
    depth, antialias = system.discriminator_depth, system.antialias
    return {
        "G": layers(system.gen_ab, resnet_names(system.blocks, antialias)),
        "F": patch_heads(system.heads),
        "D": layers(system.disc_b, patch_names(depth, antialias)),
    }


def architecture(networks: dict[str, Arrays]) -> dict[str, Any]:
    """Arguments of CUT that official tensors tell, all but `taps`.

    Raises:
        InputError: The tensors are of another generator or discriminator.
    """
    generator, discriminator = resnet_arguments(networks["G"]), patch_arguments(networks["D"])
    check_blurs(generator["antialias"], discriminator["antialias"])
    return generator | discriminator | {"features": networks["F"]["mlp_0.2.weight"].shape[0]}
