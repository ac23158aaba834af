"""The names of the official CUT's and FastCUT's tensors.

Of taesungp/contrastive-unpaired-translation @ b3ac297. The fixed filters are part of the source's
state, so they are listed as constants.
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
    patch_arguments,
    patch_heads,
    patch_names,
    resnet_arguments,
    resnet_names,
)

NETWORKS = ("G", "F", "D")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("G",)}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a CUT by official network and name: (our variable, its layout there)."""
    check_resnet_upsampling(system)
    depth, antialias = system.discriminator_depth, system.antialias
    return {
        "G": layers(system.gen_ab, resnet_names(system.blocks, antialias)),
        "F": patch_heads(system.heads),
        "D": layers(system.disc_b, patch_names(depth, antialias)),
    }


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of CUT that official tensors tell, all but `taps`.

    Raises:
        InputError: The tensors are of another generator or discriminator.
    """
    arguments = resnet_arguments(networks["G"])
    if discriminator := networks.get("D"):
        arguments |= (patch := patch_arguments(discriminator))
        check_blurs(resnet_arguments(networks["G"])["antialias"], patch["antialias"])
    if heads := networks.get("F"):
        arguments["features"] = heads["mlp_0.2.weight"].shape[0]
    return arguments
