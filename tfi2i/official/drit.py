"""The names of the official DRIT's tensors (HsinYingLee/DRIT @ f19f50a)."""

from collections.abc import Iterable
from typing import Any

from tfi2i.official.tensors import (
    NOTHING,
    Arguments,
    Arrays,
    Networks,
    Tensors,
    check_upsampling,
    layers,
    numbered,
    one_of,
)

NETWORKS = ("disA", "disA2", "disB", "disB2", "disContent", "enc_c", "enc_a", "gen")
"""The official code's networks, by the names in its checkpoints."""

TRANSLATORS = {"a2b": ("enc_c", "gen"), "b2a": ("enc_c", "gen")}
"""The networks that a direction's translator is made of."""


def tensors(system: Any) -> dict[str, Tensors]:
    """The tensors of a DRIT by official network and name: (our variable, its layout there)."""
    check_upsampling(system, "transposed")
    depth = system.content_depth
    of_content = {f"conv{i}": f"model.{i}.model.1" for i in range(depth)}
    of_content |= {"last": f"model.{depth}.model.1", "logits": f"model.{depth + 1}"}
    networks = {
        "disA": _discriminator(system, system.disc_a),
        "disA2": _discriminator(system, system.disc_random_a),
        "disB": _discriminator(system, system.disc_b),
        "disB2": _discriminator(system, system.disc_random_b),
        "disContent": layers(system.disc_content, of_content),
        "enc_c": _shared(system.enc_content_a.get_layer("shared_encoder"), "conv_share"),
        "enc_a": {},
        "gen": {},
    }
    if not system.feature_wise:
        networks["gen"] |= _shared(system.dec_a.get_layer("shared_decoder"), "dec_share")
    for domain in "ab":
        letter = domain.upper()
        names = {"conv0": f"conv{letter}.0.model.1"}
        names |= {f"down{i}": f"conv{letter}.{i + 1}.model.1" for i in range(2)}
        names |= _blocks(f"conv{letter}", range(3, 3 + system.blocks), 3)
        networks["enc_c"] |= layers(getattr(system, f"enc_content_{domain}"), names)
        style = _variational(letter)
        if system.feature_wise:
            layer_names = ("conv0", *(f"down{i}" for i in range(4)))
            style = {name: f"model_{domain}.{3 * i + 1}" for i, name in enumerate(layer_names)}
            style["style"] = f"model_{domain}.16"
        networks["enc_a"] |= layers(getattr(system, f"enc_style_{domain}"), style)
        networks["gen"] |= _decoder(system, getattr(system, f"dec_{domain}"), letter)
    return networks


def _blocks(prefix: str, numbers: Iterable[int], first: int = 0) -> dict[str, str]:
    """Names of the convolutions of residual blocks, of which ours count from 0."""
    return {
        f"block{i - first}_conv{j}": f"{prefix}.{i}.model.{4 * j + 1}"
        for i in numbers
        for j in range(2)
    }


def _shared(block: Any, name: str) -> Tensors:
    return layers(block, {f"shared_conv{j}": f"{name}.0.model.{4 * j + 1}" for j in range(2)})


def _variational(letter: str) -> dict[str, str]:
    conv = f"conv_{letter}"
    names = {"conv0": f"{conv}.1", "mean": f"fc_{letter}.0", "log_variance": f"fcVar_{letter}.0"}
    for i in range(3):
        names[f"block{i}_conv0"] = f"{conv}.{i + 2}.conv.2"
        names[f"block{i}_conv1"] = f"{conv}.{i + 2}.conv.4.1"
        names[f"block{i}_short"] = f"{conv}.{i + 2}.shortcut.1"
    return names


def _decoder(system: Any, dec: Any, letter: str) -> Tensors:
    prefix = f"dec{letter}"
    if system.feature_wise:
        names = {f"mlp{i}": f"mlp{letter}.{2 * i}" for i in range(3)}
        for i in range(system.blocks + 1):
            for j in range(2):
                names[f"block{i}_conv{j}"] = f"{prefix}{i + 1}.conv{j + 1}.0.1"
                names |= {
                    f"block{i}_mix{j}{k}": f"{prefix}{i + 1}.blk{j + 1}.{2 * k}" for k in range(2)
                }
        ends = [f"{prefix}{system.blocks + 2}.{i}" for i in range(3)]
    else:
        names = _blocks(f"{prefix}1", range(system.blocks))
        ends = [f"{prefix}2.0", f"{prefix}3.0", f"{prefix}4.0"]
    for i in range(2):
        names |= {f"up{i}": f"{ends[i]}.model.0", f"up{i}_norm": f"{ends[i]}.model.1"}
    found = layers(dec, names | {"to_rgb": ends[2]})
    kernel, _ = found[f"{ends[2]}.weight"]
    return found | {f"{ends[2]}.weight": (kernel, "conv_of_one")}


def _discriminator(system: Any, disc: Any) -> Tensors:
    found: Tensors = {}
    depth, scales = system.discriminator_depth, system.discriminator_scales
    for i in range(scales):
        prefix = f"Diss.{i}" if scales > 1 else "model"
        names = {f"conv{j}": f"{prefix}.{j}.model.1" for j in range(depth)}
        names["logits"] = f"{prefix}.{depth}"
        found |= layers(disc.get_layer(f"scale{i}"), names)
    return found


def architecture(networks: Networks, given: Arguments = NOTHING) -> dict[str, Any]:
    """Arguments of DRIT that official tensors tell; the `image_size` is not in them.

    Raises:
        InputError: The tensors are not numbered as DRIT's are.
    """
    encoder, decoder = networks["enc_c"], networks["gen"]
    feature_wise = "mlpA.0.weight" in decoder
    width, of_a = encoder["convA.0.model.1.weight"].shape[:2]
    of_b = encoder["convB.0.model.1.weight"].shape[1]
    style = (
        decoder["mlpA.0.weight"].shape[1]
        if feature_wise
        else decoder["decA1.0.model.1.weight"].shape[0] - 4 * width
    )
    arguments = {
        "width": width,
        "blocks": numbered(encoder, "convA.{}.model.5.weight", 3),
        "style_size": style,
        "feature_wise": feature_wise,
        "channels": of_a if of_a == of_b else {"a": of_a, "b": of_b},
    }
    if discriminator := one_of(networks, "disA", "disA2", "disB", "disB2"):
        arguments |= _judging(discriminator)
    if content := networks.get("disContent"):
        arguments["content_depth"] = numbered(content, "model.{}.model.1.weight", 0) - 1
    return arguments


def _judging(discriminator: Arrays) -> dict[str, Any]:
    spectral = any(name.endswith("weight_orig") for name in discriminator)
    weight = "weight_orig" if spectral else "weight"
    several = any(name.startswith("Diss.") for name in discriminator)
    prefix = "Diss.0." if several else "model."
    scales = numbered(discriminator, f"Diss.{{}}.0.model.1.{weight}", 0) if several else 1
    return {
        "discriminator_width": discriminator[f"{prefix}0.model.1.{weight}"].shape[0],
        "discriminator_depth": numbered(discriminator, f"{prefix}{{}}.model.1.{weight}", 0),
        "discriminator_scales": scales,
        "spectral": spectral,
    }
