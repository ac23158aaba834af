"""Notes on losses that teach the generator nothing; those on outputs are with the trainings."""

import pytest

from tfi2i.evaluate.diagnosis import WINDOW, loss_notes
from tfi2i.models import ALL

NUMBERS = {"gan_loss": "least_squares", "learning_rate": 1e-4, "cycle_weight": 10.0}
PAIRS = {("d_local",): 2}


def noted(rows, pairs=PAIRS, **numbers):
    return dict(loss_notes(rows, pairs, NUMBERS | numbers))


def of(count=WINDOW, **values):
    return [{"step": step, **values} for step in range(count)]


@pytest.mark.parametrize(
    ("kind", "value"), [("least_squares", 1.0), ("hinge", 4.0), ("non_saturating", 2.7726)]
)
def test_a_discriminator_that_cannot_tell_is_named_with_the_rate(kind, value):
    (note,) = noted(of(d_local=0.99 * value), gan_loss=kind).values()
    assert note.startswith(
        f"d_local has stayed at {0.99 * value:.3f} for 10 reports, and {value:.3f}"
    )
    assert note.endswith("raise compile.learning_rate")
    own = noted(of(d_local=value), gan_loss=kind, discriminator_learning_rate=None)
    assert own["d_local"].endswith("raise compile.discriminator_learning_rate")
    assert noted(of(WINDOW - 1, d_local=value), gan_loss=kind) == {}
    assert noted([*of(1, d_local=0.9 * value), *of(9, d_local=value)], gan_loss=kind) == {}
    assert noted(of(d_local=value), gan_loss="wasserstein") == {}
    assert noted(of(d_local=None), gan_loss=kind) == {}


def test_terms_of_one_discriminator_are_judged_together():
    pairs = {("d_real", "d_fake"): 1}
    assert noted(of(d_real=0.2, d_fake=0.3), pairs).keys() == {"d_real + d_fake"}
    assert noted(of(d_real=0.25, d_fake=0.45), pairs) == {}


def test_a_discriminator_that_has_won_is_named_with_what_holds_it_back():
    note = noted(of(d_local=0.04), r1_weight=1.0)["d_local"]
    assert note.startswith("d_local has been below 0.050 for 10 reports")
    assert note.endswith("lower compile.learning_rate or raise compile.r1_weight (now 1)")
    assert noted(of(d_local=0.2)) == {}


def test_a_reconstruction_that_does_not_fall_is_named_with_its_weight():
    note = noted(of(11, g_cycle=0.5))["g_cycle"]
    assert "0.500, and was 0.500 in the first report" in note
    assert "raise compile.cycle_weight (now 10)" in note
    assert noted([*of(1, g_cycle_a=0.5), *of(g_cycle_a=0.4)]) == {}
    assert noted(of(11, g_cycle=0.05)) == {}  # near enough from the start
    assert noted(of(11, g_cycle=0.5), cycle_weight=0.0) == {}
    assert noted(of(11, g_gan=0.5)) == {}


@pytest.mark.parametrize("name", ALL)
def test_the_groups_are_losses_of_the_system(name):
    groups = ALL[name].discriminator_terms
    assert {one for names in groups for one in names} <= set(ALL[name].loss_names)
    assert groups
