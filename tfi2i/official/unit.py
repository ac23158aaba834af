"""The names of the official UNIT's tensors (NVlabs/MUNIT @ a82e222, its UNIT trainer)."""

from typing import Any

from tfi2i.errors import InputError
from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Networks,
    Tensors,
    block_names,
    content_arguments,
    content_names,
    image_of_code_names,
    layers,
    one_of,
    reflecting_arguments,
    reflecting_discriminator,
)

NETWORKS = ("gen_a", "gen_b", "dis_a", "dis_b")
"""The official code's networks, by the names in its trainer."""

PARTS = ("gen", "dis")
"""Files of a checkpoint, gen_NUMBER.pt and dis_NUMBER.pt, of which each has both domains'."""

TRANSLATORS = {"a2b": ("gen_a", "gen_b"), "b2a": ("gen_b", "gen_a")}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a UNIT by official network and name: (our variable, its layout there).

    Raises:
        InputError: The domains share blocks, which those of the official code don't.
    """
    if system.shared_blocks:
        raise InputError(
            "the official code of UNIT has shared_blocks 0 alone, and this system has "
            f"{system.shared_blocks}."
        )
    judge = system.discriminator_depth, system.discriminator_scales
    return {
        "gen_a": _generator(system, system.enc_a, system.dec_a),
        "gen_b": _generator(system, system.enc_b, system.dec_b),
        "dis_a": reflecting_discriminator(system.disc_a, *judge),
        "dis_b": reflecting_discriminator(system.disc_b, *judge),
    }


def _generator(system: Any, enc: Any, dec: Any) -> Tensors:
    decoder = block_names("dec.model.0", range(system.blocks))
    decoder |= image_of_code_names(system.halvings)
    return {
        **layers(enc, content_names("enc", system.halvings, system.blocks)),
        **layers(dec, decoder),
    }


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of UNIT that official tensors tell; the `image_size` is not in them.

    Raises:
        InputError: The tensors are not numbered as UNIT's are.
    """
    generators = {name[-1]: networks[name] for name in ("gen_a", "gen_b") if name in networks}
    arguments = content_arguments(generators, "enc") | {"shared_blocks": 0}
    if discriminator := one_of(networks, "dis_a", "dis_b"):
        arguments |= reflecting_arguments(discriminator)
    return arguments
