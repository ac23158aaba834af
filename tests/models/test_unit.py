"""UNIT against the official code's numbers, and what the domains share."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import nested
from official_runs import is_of
from three_steps import Official, Trained

from tfi2i import losses
from tfi2i.benchmark.macs import translation_macs
from tfi2i.errors import InputError
from tfi2i.models.unit import UNIT
from tfi2i.official import unit
from tfi2i.official.weights import export_official, load_official, system_of

KINDS = {"lsgan": "least_squares", "nsgan": "non_saturating"}
NOISE = {
    **{f"{part}_{domain}": f"{part}_n_{domain}" for part in ("dis", "gen") for domain in "ab"},
    **{"again_a": "gen_n_a_recon", "again_b": "gen_n_b_recon"},
}
TERMS = {
    "dis": "d",
    **{"gen_adv": "g_adv", "gen_recon_x": "g_same", "gen_cyc_x": "g_cycle"},
    "gen_recon_kl": "g_kl_code",
}


def is_official(path):
    """Whether a file holds a training of the official UNIT."""
    return is_of("unit", path)


@pytest.fixture(scope="module")
def official(official_file):
    return Official(official_file)


@pytest.fixture(scope="module")
def system(official):
    """The untrained system, whose architecture is that of the file's tensors."""
    arguments = {"image_size": [*official.given("input/real_A").shape[1:3]]}
    state = nested(official.arrays, "state")
    system = UNIT(**unit.architecture(state) | arguments, dtype=official.dtype)
    load_official(system, state)
    return system


@pytest.fixture(scope="module")
def outputs(official, system):
    """Outputs of the untrained networks."""
    real_a, real_b = official.given("input/real_A"), official.given("input/real_B")
    code_a, code_b = system.enc_a(real_a), system.enc_b(real_b)
    found = {"gen_a/h": code_a, "gen_b/h": code_b}
    found |= {"gen_a/recon": system.dec_a(code_a), "gen_b/recon": system.dec_b(code_b)}
    found["gen_b/x_ab"] = system.network("a2b")(real_a)
    found["gen_a/x_ba"] = system.network("b2a")(real_b)
    for domain, disc, real in (("a", system.disc_a, real_a), ("b", system.disc_b, real_b)):
        for i, logits in enumerate(keras.tree.flatten(disc(real))):
            found[f"dis_{domain}/logits{i}"] = logits
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
        kl_weight=numbers["recon_kl_w"],
        cycle_weight=numbers["recon_x_cyc_w"],
        cycle_kl_weight=numbers["recon_kl_cyc_w"],
    )
    real = official.given("input/real_A"), official.given("input/real_B")

    def step(number):
        noise = {
            ours: official.given(f"step{number}/noise/{theirs}") for ours, theirs in NOISE.items()
        }
        terms = system.discriminator_step(*real, noise)
        return terms | system.generator_step(*real, noise)

    return Trained(official, system, step)


# parity


def test_outputs_equal_the_official_ones(official, outputs):
    assert len(outputs) >= 8
    for key, output in outputs.items():
        official.close(output, f"eval/{key}")


def test_rectangles_are_translated_as_officially(official, system, outputs):
    if not official.has("rect/gen_a/h"):
        pytest.skip("the file has no rectangle")
    joined = tf.concat([*official.given("input/real_A")], 1)[None]
    official.close(system.enc_a(joined), "rect/gen_a/h")
    official.close(system.network("a2b")(joined), "rect/gen_b/x_ab")


@pytest.mark.parametrize("kind", KINDS)
def test_the_adversarial_losses_equal_the_official_ones(official, system, outputs, kind):
    for domain, disc, fake in (
        ("a", system.disc_a, outputs["gen_a/x_ba"]),
        ("b", system.disc_b, outputs["gen_b/x_ab"]),
    ):
        on_fake = keras.tree.flatten(disc(fake))
        fooling = losses.over_scales(losses.for_generator, KINDS[kind], on_fake)
        official.close([fooling], f"eval/gan/{kind}_gen_{domain}")


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    names = {f"{theirs}_{x}": f"{ours}_{x}" for theirs, ours in TERMS.items() for x in "ab"}
    names |= {"gen_recon_kl_cyc_aba": "g_kl_again_a", "gen_recon_kl_cyc_bab": "g_kl_again_b"}
    official.check_losses(trained.terms, names)


def test_gradients_of_the_first_step_equal_the_official_ones(trained):
    trained.check_gradients(40)


@pytest.mark.parametrize("step", [1, 3])
def test_every_tensor_moves_as_far_as_the_official_one(trained, step):
    trained.check_changes(step)


@pytest.mark.parametrize("shared", [0, 1])
def test_networks_have_the_published_sizes(shared):
    with tf.Graph().as_default():  # variables of shapes, without memory
        system = UNIT(shared_blocks=shared)
        assert system.enc_a.count_params() + system.dec_a.count_params() == 11_140_483
        assert system.disc_b.count_params() == 8_271_171
        assert system.network().count_params() == 11_140_483
        assert translation_macs(system.network(), 256) == pytest.approx(71.0e9, rel=1e-3)
        both = sum(np.prod(one.shape) for one in system.optimizer_variables()["generator"])
        block = 2 * (3 * 3 * 256 * 256 + 256)
        assert both == 2 * 11_140_483 - 2 * shared * block


def test_the_architecture_is_read_off_official_weights():
    config = {**UNIT.smoke, "halvings": 1, "channels": {"a": 1, "b": 3}, "shared_blocks": 0}
    config["discriminator_scales"] = 2
    networks = export_official(UNIT(**config))
    assert unit.architecture(networks) | {"image_size": 32} == config
    again = system_of(UNIT, networks, "params.pt", {"image_size": 32})
    assert export_official(again).keys() == {*unit.NETWORKS}


# its own


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(2)
    system = UNIT(**UNIT.smoke)
    system.compile()
    return system


def test_the_last_blocks_of_encoders_and_the_first_of_decoders_are_shared(small):
    for kind, place in (("enc", -1), ("dec", 1)):
        of_a, of_b = (
            {id(one) for one in getattr(small, f"{kind}_{domain}").trainable_variables}
            for domain in "ab"
        )
        layer = getattr(small, f"{kind}_a").layers[place]
        assert layer.name.startswith("shared_")
        assert of_a & of_b == {id(one) for one in layer.trainable_variables}
        assert len(of_a & of_b) == 4  # kernels and biases of one block


def test_codes_are_noisy_in_training_alone(small):
    noise = small.noise(3)
    assert {one.shape for one in noise.values()} == {(3, 8, 8, 16)}
    assert len({np.asarray(one).tobytes() for one in noise.values()}) == 6
    np.testing.assert_array_equal(small.noise(3)["again_b"], noise["again_b"])
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(small.network()(image), small.dec_b(small.enc_a(image)))


def test_official_weights_have_nothing_shared(small):
    with pytest.raises(InputError, match="shared_blocks 0 alone, and this system has 1"):
        export_official(small)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 36, "halvings": 3}, "multiple of 8 for halvings=3"),
        ({"discriminator_depth": 4}, "at least 64 for discriminator_depth=4"),
        ({"shared_blocks": 3}, "shared_blocks must be at most blocks=2"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        UNIT(**{**UNIT.smoke, **wrong})
