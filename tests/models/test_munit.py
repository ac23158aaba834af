"""MUNIT against the official code's numbers, its styles, and what of it is an argument."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import nested
from official_runs import is_of
from three_steps import Official, Trained

from tfi2i import losses
from tfi2i.benchmark.macs import translation_macs
from tfi2i.layers.layer_normalization import LayerNormalization
from tfi2i.models.munit import MUNIT
from tfi2i.official import munit
from tfi2i.official.weights import export_official, load_official, system_of
from tfi2i.optimizers import StepDecay

KINDS = {"lsgan": "least_squares", "nsgan": "non_saturating"}


def is_official(path):
    """Whether a file holds a training of the official MUNIT."""
    return is_of("munit", path)


@pytest.fixture(scope="module")
def official(official_file):
    return Official(official_file)


@pytest.fixture(scope="module")
def system(official):
    """The untrained system, whose architecture is that of the file's tensors."""
    arguments = {"image_size": [*official.given("input/real_A").shape[1:3]]}
    state = nested(official.arrays, "state")
    system = MUNIT(**munit.architecture(state) | arguments, dtype=official.dtype)
    load_official(system, state)
    return system


@pytest.fixture(scope="module")
def outputs(official, system):
    """Outputs of the untrained networks."""
    real_a, real_b = official.given("input/real_A"), official.given("input/real_B")
    drawn_a, drawn_b = official.given("eval/noise/s_a"), official.given("eval/noise/s_b")
    to_a, to_b = system.network("b2a"), system.network("a2b")
    found = {"gen_a/content": system.enc_content_a(real_a)}
    found["gen_b/content"] = system.enc_content_b(real_b)
    style_a, style_b = (system.style_reader(key)(x) for key, x in (("a", real_a), ("b", real_b)))
    found |= {"gen_a/style": style_a, "gen_b/style": style_b}
    found["gen_a/recon"] = system.dec_a([found["gen_a/content"], style_a])
    found["gen_b/recon"] = system.dec_b([found["gen_b/content"], style_b])
    found |= {"gen_b/x_ab": to_b([real_a, drawn_b]), "gen_a/x_ba": to_a([real_b, drawn_a])}
    found |= {"gen_b/x_ab_ref": to_b([real_a, style_b]), "gen_a/x_ba_ref": to_a([real_b, style_a])}
    for dec, domain, style in ((system.dec_a, "a", drawn_a), (system.dec_b, "b", drawn_b)):
        mlp = keras.Model(dec.inputs[1], dec.get_layer("mlp2").output)
        found[f"gen_{domain}/mlp_s_{domain}"] = mlp(style)
    for domain, disc, real in (("a", system.disc_a, real_a), ("b", system.disc_b, real_b)):
        for i, logits in enumerate(keras.tree.flatten(disc(real))):
            found[f"dis_{domain}/logits{i}"] = logits
        found[f"dis_{domain}/pooled1"] = disc.get_layer("half1")(real)
    return found


@pytest.fixture(scope="module")
def trained(official, system, outputs):
    numbers = official.config["hyperparameters"]
    system.compile(
        learning_rate=numbers["lr"],
        decay_steps=numbers["step_size"],
        decay_factor=numbers["gamma"],
        l2=numbers["weight_decay"],
        gan_loss=KINDS[numbers["dis"]["gan_type"]],
        adv_weight=numbers["gan_w"],
        identity_weight=numbers["recon_x_w"],
        style_weight=numbers["recon_s_w"],
        content_weight=numbers["recon_c_w"],
        cycle_weight=numbers["recon_x_cyc_w"],
    )
    real = official.given("input/real_A"), official.given("input/real_B")

    def step(number):
        drawn = {
            key: [official.given(f"step{number}/noise/{key}_s_{domain}") for domain in "ab"]
            for key in ("dis", "gen")
        }
        terms = system.discriminator_step(*real, *drawn["dis"])
        return terms | system.generator_step(*real, *drawn["gen"])

    return Trained(official, system, step)


# parity


def test_outputs_equal_the_official_ones(official, outputs):
    assert len(outputs) >= 16
    for key, output in outputs.items():
        if official.has(f"eval/{key}"):
            official.close(output, f"eval/{key}")


def test_rectangles_are_translated_as_officially(official, system, outputs):
    joined = {key: tf.concat([*official.given(f"input/real_{key}")], 1)[None] for key in "AB"}
    if not official.has("rect/gen_a/style"):
        pytest.skip("the file has no rectangle")
    style_a, style_b = (system.style_reader(key.lower())(x) for key, x in joined.items())
    official.close(style_a, "rect/gen_a/style")
    official.close(system.enc_content_a(joined["A"]), "rect/gen_a/content")
    official.close(system.network("a2b")([joined["A"], style_b]), "rect/gen_b/x_ab_ref")
    for i, logits in enumerate(keras.tree.flatten(system.disc_a(joined["A"]))):
        official.close(logits, f"rect/dis_a/logits{i}")


@pytest.mark.parametrize("kind", KINDS)
def test_the_adversarial_losses_equal_the_official_ones(official, system, outputs, kind):
    for domain, disc, fake in (
        ("a", system.disc_a, outputs["gen_a/x_ba"]),
        ("b", system.disc_b, outputs["gen_b/x_ab"]),
    ):
        real = official.given(f"input/real_{domain.upper()}")
        on_real, on_fake = (keras.tree.flatten(disc(x)) for x in (real, fake))
        judged = losses.over_scales(losses.on_real, KINDS[kind], on_real)
        judged += losses.over_scales(losses.on_fake, KINDS[kind], on_fake)
        fooling = losses.over_scales(losses.for_generator, KINDS[kind], on_fake)
        official.close([judged], f"eval/gan/{kind}_dis_{domain}")
        official.close([fooling], f"eval/gan/{kind}_gen_{domain}")


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    names = {"recon_x": "same", "recon_s": "style", "recon_c": "content", "cycrecon_x": "cycle"}
    names = {f"gen_{theirs}": f"g_{ours}" for theirs, ours in {"adv": "adv", **names}.items()}
    names["dis"] = "d"
    own = trained.terms[0]
    given = {f"{theirs}_{x}": f"{ours}_{x}" for theirs, ours in names.items() for x in "ab"}
    official.check_losses(trained.terms, {key: one for key, one in given.items() if own[one]})


def test_gradients_of_the_first_step_equal_the_official_ones(trained):
    trained.check_gradients(50)


@pytest.mark.parametrize("step", [1, 3])
def test_every_tensor_moves_as_far_as_the_official_one(trained, step):
    trained.check_changes(step)


def test_the_rate_falls_as_in_the_official_code(official):
    rate = StepDecay(1.0, 3, 0.5)
    wanted = official.arrays["lr/step_size3_gamma0.5"]
    np.testing.assert_allclose([float(rate(i)) for i in range(len(wanted))], wanted, rtol=1e-6)


def test_layer_normalisation_divides_by_the_deviation_as_officially(official):
    x, gamma, beta, wanted = (
        official.arrays[f"layer/ln_{key}"] for key in ("x", "gamma", "beta", "y")
    )
    layer = LayerNormalization("deviation", dtype="float64")
    image = tf.constant(x.transpose(0, 2, 3, 1))
    layer(image)
    layer.set_weights([gamma, beta])
    for training in (False, True):
        np.testing.assert_allclose(layer(image, training=training), wanted.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(("channels", "more"), [(3, 0), ({"a": 1, "b": 3}, -2 * 49 * 64)])
def test_networks_have_the_published_sizes(channels, more):
    with tf.Graph().as_default():  # variables of shapes, without memory
        system = MUNIT(channels=channels)
        assert system.enc_content_a.count_params() == 5_385_856 + more
        assert system.enc_style_a.count_params() == 2_764_936 + more
        assert system.dec_b.count_params() == 5_754_627 + 1_120_768
        assert system.disc_b.count_params() == 8_271_171
        if channels == 3:
            assert system.network().count_params() == 12_261_251
            assert translation_macs(system.network(), 256) == pytest.approx(71.0e9, rel=1e-3)


def test_the_architecture_is_read_off_official_weights():
    config = {**MUNIT.smoke, "halvings": 1, "channels": {"a": 1, "b": 3}, "style_size": 5}
    config["discriminator_scales"] = 2
    networks = export_official(MUNIT(**config))
    assert munit.architecture(networks) | {"image_size": 32} == config
    again = system_of(MUNIT, networks, "params.pt", {"image_size": 32})
    assert export_official(again).keys() == {*munit.NETWORKS}


# its own


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(2)
    system = MUNIT(**MUNIT.smoke)
    system.compile()
    return system


def pictures(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 32, 32, 3)).astype("float32")


def test_styles_are_drawn_or_read_off_a_picture_of_the_target(small):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for way in ("a2b", "b2a"):
        one, same, other = (small.translate(pixels, way, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert np.abs(one.astype(int) - other).max() > 0
    (condition,) = small.conditions_of("b2a")
    assert (condition.name, condition.shape, condition.distribution) == ("style", (8,), "normal")
    for domain in "ab":
        encoder = getattr(small, f"enc_style_{domain}")
        np.testing.assert_array_equal(condition.encoder(domain)(pictures(2)), encoder(pictures(2)))


def test_the_two_updates_draw_their_own_styles(small):
    drawn = [*small.drawn_styles(3, 0), *small.drawn_styles(3, 2)]
    assert {one.shape for one in drawn} == {(3, 8)}
    assert len({np.asarray(one).tobytes() for one in drawn}) == 4
    np.testing.assert_array_equal(small.drawn_styles(3, 2)[0], drawn[2])


def test_without_its_weight_the_cycle_is_left_out(small, monkeypatch):
    image, style = tf.constant(pictures(1)), tf.zeros((1, 8))
    given = image, image, style, style
    assert float(small.generator_step(*given)["g_cycle_a"]) == 0
    monkeypatch.setattr(small, "cycle_weight", 10.0)
    assert float(small.generator_step(*given)["g_cycle_a"]) > 0


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 36, "halvings": 3}, "multiple of 8 for halvings=3"),
        ({"discriminator_depth": 4}, "at least 64 for discriminator_depth=4"),
        ({"image_size": 8}, "at least 16 for halvings=2"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        MUNIT(**{**MUNIT.smoke, **wrong})


def test_wasserstein_is_refused(small):
    with pytest.raises(ValueError, match="gan_loss='wasserstein'"):
        MUNIT(**MUNIT.smoke).compile(gan_loss="wasserstein")
