"""The names of the official MUNIT's tensors (NVlabs/MUNIT @ a82e222)."""

from typing import Any

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
    """The tensors of a MUNIT by official network and name: (our variable, its layout there)."""
    judge = system.discriminator_depth, system.discriminator_scales
    return {
        "gen_a": _generator(system, system.enc_content_a, system.enc_style_a, system.dec_a),
        "gen_b": _generator(system, system.enc_content_b, system.enc_style_b, system.dec_b),
        "dis_a": reflecting_discriminator(system.disc_a, *judge),
        "dis_b": reflecting_discriminator(system.disc_b, *judge),
    }


def _generator(system: Any, enc_content: Any, enc_style: Any, dec: Any) -> Tensors:
    content = content_names("enc_content", system.halvings, system.blocks)
    style = {"conv0": "enc_style.model.0.conv", "style": "enc_style.model.6"}
    style |= {f"down{i}": f"enc_style.model.{i + 1}.conv" for i in range(4)}
    decoder = block_names("dec.model.0", range(system.blocks))
    decoder |= image_of_code_names(system.halvings)
    decoder |= {f"mlp{i}": f"mlp.model.{i}.fc" for i in range(3)}
    return {**layers(enc_style, style), **layers(enc_content, content), **layers(dec, decoder)}


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of MUNIT that official tensors tell; the `image_size` is not in them.

    Raises:
        InputError: The tensors are not numbered as MUNIT's are.
    """
    generators = {name[-1]: networks[name] for name in ("gen_a", "gen_b") if name in networks}
    arguments = content_arguments(generators, "enc_content")
    one = one_of(networks, "gen_a", "gen_b")
    arguments["style_size"] = one["enc_style.model.6.weight"].shape[0]
    arguments["mlp_width"] = one["mlp.model.0.fc.weight"].shape[0]
    if discriminator := one_of(networks, "dis_a", "dis_b"):
        arguments |= reflecting_arguments(discriminator)
    return arguments
