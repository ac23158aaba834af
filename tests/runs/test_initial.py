"""Trainings that begin with weights of another run, of a .keras file or of an official model."""

import keras
import numpy as np
import pytest

import tfi2i
from tests.official.torch_writer import state_dict, write_zip
from tfi2i import init_from
from tfi2i.errors import InputError
from tfi2i.official.weights import export_official
from tfi2i.runs.run import Run

SMOKE = tfi2i.CycleGAN.smoke


@pytest.fixture(scope="module")
def old():
    """A system that has been trained, which its average shows."""
    system = tfi2i.CycleGAN(**SMOKE)
    system.compile(ema_decay=0.9)
    system.step_counter.assign(7)
    for variable in system.gen_ab.variables:
        variable.assign(variable + 1)
    return system


@pytest.fixture(scope="module")
def run(old, tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("runs"), "CycleGAN", "old", {}, {}, system=old)
    run.save_translators(old)
    return run


def same(one, other):
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


def test_a_system_begins_with_the_weights_of_a_run_and_counts_from_0(old, run):
    new = tfi2i.CycleGAN(**SMOKE)
    new.compile(ema_decay=0.9)
    for path in (run.path, run.checkpoint_path()):
        seed = int(new.seed.numpy())
        initial = init_from(new, path)
        assert (initial.step, initial.fitting, initial.fresh) == (7, initial.layers, ())
        assert str(initial) == f"{path}: all 26 layers begin with its weights."
        for name in ("gen_ab", "gen_ba", "disc_a", "disc_b"):
            assert same(getattr(new, name), getattr(old, name))
        assert same(new.averages["gen_ab"], old.gen_ab)
        assert new.step == 0 and int(new.seed.numpy()) == seed


def test_a_translator_begins_one_direction(old, run):
    new = tfi2i.CycleGAN(**SMOKE)
    fresh = new.gen_ab.get_weights()
    initial = init_from(new, run.translator_path("b2a"))
    assert same(new.gen_ba, old.gen_ba)
    assert all(map(np.array_equal, new.gen_ab.get_weights(), fresh))
    assert initial.fresh == ("gen_ab (not in it)", "disc_a (not in it)", "disc_b (not in it)")
    assert (initial.step, initial.fitting, initial.unused) == (None, 8, ())
    assert "8 of 26 layers begin with its weights; fresh: gen_ab (not in it)," in str(initial)


def test_layers_that_do_not_fit_are_named(old, run):
    new = tfi2i.CycleGAN(**SMOKE | {"blocks": 2, "discriminator_width": 6})
    initial = init_from(new, run.path)
    fresh = [name.partition(" ")[0] for name in initial.fresh]
    blocks = [f"gen_{way}/block1_conv{i}" for way in ("ab", "ba") for i in (0, 1)]
    assert fresh[:4] == blocks and {name[:5] for name in fresh[4:]} == {"disc_"}
    assert "disc_a/conv0 (kernel is 4x4x3x4 there and 4x4x3x6 here)" in initial.fresh
    assert str(initial).endswith(f" and {len(fresh) - 5} more.")
    assert same(new.gen_ba.get_layer("up0"), old.gen_ba.get_layer("up0"))


def test_layers_that_have_no_place_are_named_too(tmp_path):
    old, new = (tfi2i.CycleGAN(**SMOKE | {"blocks": blocks}) for blocks in (2, 1))
    old.network("a2b").save(tmp_path / "a2b.keras")
    initial = init_from(new, tmp_path / "a2b.keras")
    assert initial.unused == ("gen_ab/block1_conv0", "gen_ab/block1_conv1")
    assert str(initial).endswith("; not used: gen_ab/block1_conv0, gen_ab/block1_conv1.")
    old.gen_ab.save(tmp_path / "gen_ab.keras")
    translator = tfi2i.CUT(**tfi2i.CUT.smoke | {"antialias": False})
    initial = init_from(translator, tmp_path / "gen_ab.keras")
    assert same(translator.gen_ab.get_layer("up1"), old.gen_ab.get_layer("up1"))


def test_an_official_generator_begins_a_direction(old, tmp_path):
    path = write_zip(tmp_path / "latest_net_G.pth", state_dict(export_official(old)["G_A"]))
    new = tfi2i.CycleGAN(**SMOKE | {"discriminator_depth": 2})
    initial = init_from(new, path)
    assert same(new.gen_ab, old.gen_ab) and not same(new.gen_ba, old.gen_ba)
    assert initial.fresh == ("gen_ba (not in it)", "disc_a (not in it)", "disc_b (not in it)")


def test_official_weights_begin_a_system_that_enlarges_in_another_way(tmp_path):
    old = tfi2i.NICEGAN(**tfi2i.NICEGAN.smoke)
    networks = {name: state_dict(one) for name, one in export_official(old).items()}
    path = write_zip(tmp_path / "official.pt", networks)
    new = tfi2i.NICEGAN(**tfi2i.NICEGAN.smoke, upsampling="nearest")
    initial = init_from(new, path)
    assert same(new.enc_a, old.enc_a)
    assert same(new.gen_ab.get_layer("up1_conv"), old.gen_ab.get_layer("up1_conv"))
    assert {name.partition(" ")[0].partition("/")[2] for name in initial.fresh} == {
        "up0_full",
        "up1_full",
    }
    with pytest.raises(InputError, match="official code of NICEGAN has upsampling subpixel alone"):
        export_official(new)


def test_the_encoder_of_a_translator_comes_along(tmp_path):
    one, other = (tfi2i.NICEGAN(**tfi2i.NICEGAN.smoke) for _ in range(2))
    one.network("a2b").save(tmp_path / "a2b.keras")
    init_from(other, tmp_path / "a2b.keras")
    assert same(other.enc_a, one.enc_a) and same(other.gen_ab, one.gen_ab)
    assert not same(other.enc_b, one.enc_b)


def test_nothing_is_changed_where_nothing_fits(old, tmp_path):
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Conv2D(3, 1)(image)).save(tmp_path / "mine.keras")
    before = old.gen_ab.get_weights()
    with pytest.raises(InputError, match=r"mine\.keras: none of its layers fits this CycleGAN"):
        init_from(old, tmp_path / "mine.keras")
    assert all(map(np.array_equal, old.gen_ab.get_weights(), before))
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="is a folder without files such as"):
        init_from(old, tmp_path / "x")
