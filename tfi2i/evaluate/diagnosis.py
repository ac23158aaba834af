"""Sentences about a training that goes wrong: outputs that collapse, copy or drift, idle losses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfi2i.evaluate.diversity import COPY_DISTANCE
from tfi2i.evaluate.paired import l1
from tfi2i.evaluate.report import Pixels
from tfi2i.losses import undecided
from tfi2i.pictures.channels import shown

CONSTANT_SPREAD = 0.01  # distance between outputs for different inputs

KEEPING_WEIGHTS = ("cycle_weight", "recon_weight", "identity_weight", "nce_weight")
"""Arguments of `compile` that hold an output to its input: too high, they make a copy of it."""

RECONSTRUCTIONS = {"cycle": "cycle_weight", "recon": "recon_weight", "same": "identity_weight"}
"""Losses of distances between pictures in [-1, 1], by a word of their name, and their weights."""

WINDOW = 10  # reports that a loss must stand still in

UNDECIDED_SHARE, WON_SHARE = 0.03, 0.05  # of the undecided value: how close to it, and how low
FALLEN_SHARE, SMALL_DISTANCE = 0.95, 0.1

NEAR_SHARE = 1 / 3  # of the distance between a picture of a and one of b


def collapse_note(real: Pixels, fake: Pixels, numbers: Mapping[str, Any]) -> str | None:
    """Sentence about outputs that are all alike or copies of their inputs; None if neither.

    Args:
        real: Inputs (N, H, W, 3).
        fake: Outputs, in the inputs' order.
        numbers: Arguments of the system's `compile`, for the advice.
    """
    real, fake = shown(real), shown(fake)
    if len(fake) > 1:
        spread, inputs = l1(fake[1:], fake[:-1]), l1(real[1:], real[:-1])
        if spread < CONSTANT_SPREAD < inputs:
            return (
                f"the outputs for different inputs are all alike (they differ by {spread:.3f} of "
                "the range): the generator has collapsed to a constant; go back to an earlier "
                "checkpoint or lower compile.learning_rate"
            )
    distance = l1(fake, real)
    if distance < COPY_DISTANCE:
        return (
            f"the outputs are copies of the inputs (distance {distance:.3f} of the range): the "
            f"translator changes nothing; {_freeing(numbers)}"
        )
    return None


def drift_note(
    reports: Sequence[Mapping[str, Any]],
    direction: str,
    inputs_kid: float,
    numbers: Mapping[str, Any],
) -> str | None:
    """Sentence about outputs on their way back to their inputs; None if they are not.

    Being close to the input proves nothing: a horse in its field should differ little from a zebra
    there. The outputs drift if they were better: since the step of the lowest KID, at least half of
    the gain over the inputs' KID is lost, and so is more than half of the distance from the inputs.

    Args:
        reports: Reports of the run, the newest last; those without KID are passed over.
        direction: Direction of the outputs.
        inputs_kid: KID of the inputs themselves, as if the translator changed nothing.
        numbers: Arguments of the system's `compile`, for the advice.
    """
    kid_name, change_name = f"val_kid_{direction}", f"val_change_{direction}"
    measured = [r for r in reports if None not in (r.get(kid_name), r.get(change_name))]
    if not measured or measured[-1] is not reports[-1]:
        return None
    now, best = measured[-1], min(measured, key=lambda report: report[kid_name])
    gained = inputs_kid - best[kid_name]
    if inputs_kid <= 0 or gained < 0.2 * inputs_kid:  # it has never been better, but for chance
        return None
    if now[kid_name] - best[kid_name] < gained / 2 or now[change_name] >= best[change_name] / 2:
        return None
    return (
        f"the outputs drift back to their inputs: they differ by {now[change_name]:.3f} of the "
        f"range, at step {best['step']} by {best[change_name]:.3f}, and their KID has gone from "
        f"{best[kid_name]:.3f} to {now[kid_name]:.3f}, the inputs' own being {inputs_kid:.3f}; "
        f"go back to the best checkpoint, and {_freeing(numbers)}"
    )


def near_note(
    change: float, kid_now: float, between: float, inputs_kid: float, numbers: Mapping[str, Any]
) -> str | None:
    """Sentence about outputs that have not left their inputs; None if they have.

    A small change may be all that is wanted: it counts only if the outputs are no closer to the
    target domain than their inputs.

    Args:
        change: Mean |output - input|, 0 to 1.
        kid_now: KID of the outputs.
        between: Distance like `change`, of unrelated pictures of the two domains.
        inputs_kid: KID of the inputs themselves.
        numbers: Arguments of the system's `compile`, for the advice.
    """
    if change >= NEAR_SHARE * between or kid_now < 0.8 * inputs_kid:
        return None
    return (
        f"the outputs are nearly their inputs: they differ by {change:.3f} of the range, where "
        f"pictures of the two domains differ by {between:.3f}, and by KID ({kid_now:.3f}) they are "
        f"no closer to the target than the inputs ({inputs_kid:.3f}); if that stays so, "
        f"{_freeing(numbers)}"
    )


def loss_notes(
    reports: Sequence[Mapping[str, Any]],
    discriminators: Mapping[tuple[str, ...], float],
    numbers: Mapping[str, Any],
) -> Iterator[tuple[str, str]]:
    """Names of losses, each with a sentence, that teach the generator nothing for `WINDOW` reports.

    A discriminator's that stays where it cannot tell real from fake, or near 0, where it always
    can; a reconstruction's that is no lower than in the first report.

    Args:
        reports: Reports of the run, the newest last.
        discriminators: `GenerativeModel.discriminator_terms`.
        numbers: Arguments of the system's `compile`.
    """
    window = reports[-WINDOW:]
    if len(window) < WINDOW:
        return
    chance = undecided(numbers.get("gan_loss", "wasserstein"))
    for names, pairs in discriminators.items():
        name, values = " + ".join(names), _sums(window, names)
        if chance and (note := _discriminator_note(name, values, pairs * chance, numbers)):
            yield name, note
    for name in window[-1]:
        key = RECONSTRUCTIONS.get(name.removeprefix("g_").split("_")[0], "")
        first, values = reports[0].get(name), _sums(window, (name,))
        if not (name.startswith("g_") and numbers.get(key) and first and values):
            continue
        if min(values) >= max(FALLEN_SHARE * first, SMALL_DISTANCE):
            note = f"{name} is {values[-1]:.3f}, and was {first:.3f} in the first report: "
            note += f"translations do not keep their content; raise compile.{key} "
            yield name, f"{note}(now {numbers[key]:g}) or lower compile.learning_rate"


def _discriminator_note(
    name: str, values: Sequence[float], least: float, numbers: Mapping[str, Any]
) -> str | None:
    own = "discriminator_learning_rate"
    rate = f"compile.{own if own in numbers else 'learning_rate'}"
    if values and all(abs(value - least) <= UNDECIDED_SHARE * least for value in values):
        return (
            f"{name} has stayed at {values[-1]:.3f} for {WINDOW} reports, and {least:.3f} is what "
            "a discriminator gives that cannot tell real pictures from translated ones: if the "
            f"pictures stay soft, raise {rate}"
        )
    if values and all(value <= WON_SHARE * least for value in values):
        penalties = [key for key in ("r1_weight", "gradient_penalty") if key in numbers]
        return (
            f"{name} has been below {WON_SHARE * least:.3f} for {WINDOW} reports: the "
            "discriminator tells all translated pictures from real ones, and the generator can no "
            f"longer follow; lower {rate}"
            + "".join(f" or raise compile.{key} (now {numbers[key]:g})" for key in penalties)
        )
    return None


def _sums(reports: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[float]:
    """Sum of the losses of each report; nothing if one is missing."""
    rows = [[report.get(name) for name in names] for report in reports]
    return [] if any(None in row for row in rows) else [sum(row) for row in rows]  # type: ignore[arg-type]


def _freeing(numbers: Mapping[str, Any]) -> str:
    """Advice about a translator that keeps too much of its input."""
    named = [name for name in KEEPING_WEIGHTS if numbers.get(name)]
    weights = " or ".join(f"compile.{name} (now {numbers[name]:g})" for name in named)
    return f"lower {weights or 'compile.learning_rate'}"
