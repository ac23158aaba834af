"""U-GAT-IT against the official code's numbers, its attention, and the clipping of its rho."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import channels_last, first_gradients, near, nested, read

from tfi2i.errors import InputError
from tfi2i.models.ugatit import UGATIT, ClassActivationMap, discriminator, generator
from tfi2i.official import ugatit
from tfi2i.official.weights import export_official, load_official, system_of


@pytest.fixture(scope="module")
def official():
    return read("ugatit_s96_ch4_full")


def images(official, dtype="float32"):
    return [
        tf.constant(official[f"input/real_{domain}"].transpose(0, 2, 3, 1), dtype)
        for domain in "AB"
    ]


def loaded(official, dtype):
    config = json.loads(str(official["config"]))
    system = UGATIT(
        image_size=config["img_size"],
        width=config["ch"],
        blocks=config["n_res"],
        light=config["light"],
        dtype=dtype,
    )
    load_official(system, nested(official, "state"))
    return system


# parity, forward


@pytest.fixture(scope="module")
def evaluated(official):
    return loaded(official, "float32")


def test_translations_and_heat_maps_equal_the_official_ones(official, evaluated):
    real_a, real_b = images(official)
    for key, image, direction in (
        ("genA2B/fake_A2B", real_a, "a2b"),
        ("genB2A/fake_B2A", real_b, "b2a"),
    ):
        gen = evaluated.gen_ab if direction == "a2b" else evaluated.gen_ba
        outputs = {
            "": evaluated.network(direction)(image),
            "_cam_logit": gen(image, training=False)[1],
            "_heatmap": evaluated.attention(image, direction)[..., None],
        }
        for name, ours in outputs.items():
            near(ours, channels_last(official[f"eval/{key}{name}"]), 1e-4, key + name)


def test_logits_equal_the_official_ones(official, evaluated):
    for domain, image in zip("AB", images(official), strict=True):
        for letter, scope in (("G", "global"), ("L", "local")):
            disc = getattr(evaluated, f"disc_{scope}_{domain.lower()}")
            taps = [*disc.outputs, disc.get_layer("attention").output]
            logits, cam_logits, attended = keras.Model(disc.input, taps)(image, training=False)
            heat = tf.reduce_sum(attended, -1, keepdims=True)
            for name, ours in (("out", logits), ("cam_logit", cam_logits), ("heatmap", heat)):
                key = f"eval/dis{letter}{domain}/{name}"
                near(ours, channels_last(official[key]), 1e-4, key)


def test_activations_inside_the_generator_equal_the_official_ones(official, evaluated):
    gen = evaluated.gen_ab
    layers = {"DownBlock": "block1", "FC": "style1", "UpBlock1_2": "adaptive1"}
    layers |= {"gamma": "gamma", "beta": "beta"}
    taps = {key: gen.get_layer(name).output for key, name in layers.items()}
    for key, ours in keras.Model(gen.input, taps)(images(official)[0]).items():
        near(ours, channels_last(official[f"eval/inter_genA2B/{key}"]), 1e-4, key)


# parity, training


@pytest.fixture(scope="module")
def trained(official):
    """Three float64 steps: the terms of each, the states before and after the first, gradients."""
    system = loaded(official, "float64")
    system.compile()
    real_a, real_b = images(official, "float64")

    @tf.function(autograph=False)
    def step():
        terms = system.discriminator_step(real_a, real_b)
        return terms | system.generator_step(real_a, real_b)

    before = export_official(system)
    terms, after, gradients = [], None, None
    for _ in range(3):
        terms.append({name: float(value) for name, value in step().items()})
        if after is None:
            after = export_official(system)
            gradients = {
                net: {name: value - 1e-4 * before[net][name] for name, value in tensors.items()}
                for net, tensors in first_gradients(system).items()
            }
    return terms, before, after, gradients


def our_term(name):
    """D_GAcam_real -> d_cam_global_a_real, identity_A -> g_same_a, camB_source -> ..."""
    if name.startswith("cam"):
        kind = "source" if name.endswith("_source") else "own"
        return f"g_aux_{name[3].lower()}_{kind}"
    first, second, *kind = name.split("_")
    if first in ("cycle", "identity"):
        return f"g_{'cycle' if first == 'cycle' else 'same'}_{second.lower()}"
    scope = {"G": "global", "L": "local"}[second[0]]
    head = f"cam_{scope}" if second.endswith("cam") else scope
    return "_".join([first.lower(), head, second[1].lower(), *kind])


def test_every_loss_term_of_three_steps_equals_the_official_one(official, trained):
    for t, terms in enumerate(trained[0], start=1):
        prefix = f"f64/step{t}/loss/"
        theirs = {
            our_term(key.removeprefix(prefix)): float(value)
            for key, value in official.items()
            if key.startswith(prefix)
        }
        assert len(theirs) == 32
        # The learning rate is a float32 number, which the smallest terms show from step 2 on.
        assert terms == pytest.approx(theirs, rel=1e-7, abs=1e-11)


def test_gradients_and_weights_after_a_step_equal_the_official_ones(official, trained):
    _, before, after, gradients = trained
    for net, tensors in nested(official, "f64/step1/check").items():
        assert set(tensors) == set(after[net])
        for name, check in tensors.items():
            old, new = before[net][name], after[net][name]
            near(np.linalg.norm(new), check[1], 1e-7, (net, name, "norm"))
            near(np.linalg.norm(new - old), check[2], 1e-6, (net, name, "norm of the change"))
            near(np.abs(new - old).max(), check[3], 1e-6, (net, name, "largest change"))
            assert np.isnan(check[4]) == (name not in gradients[net])
            if name in gradients[net]:
                near(np.linalg.norm(gradients[net][name]), check[5], 1e-7, (net, name, "gradient"))
    for net, tensors in nested(official, "step1/grad").items():
        for name, theirs in tensors.items():  # these are in float32
            near(gradients[net][name], theirs, 1e-2, (net, name))


def test_a_step_reports_the_sums_of_its_terms():
    system = UGATIT(**UGATIT.smoke)
    system.compile()
    terms = {f"d_{head}_a_real": 1.0 for head in ("local", "global", "cam_local", "cam_global")}
    terms = {name: tf.constant(value) for name, value in terms.items()}
    system.discriminator_step = lambda *_: terms
    system.generator_step = lambda *_: {
        f"{name}_a": tf.constant(2.0) for name in system.loss_names if name.startswith("g_")
    }
    image = tf.zeros((1, 32, 32, 3))
    losses = system.train_step({"a": image, "b": image})
    assert float(losses["d_local"]) == 1
    assert float(losses["d_cam"]) == 2
    assert float(losses["g_aux"]) == 2


def test_rho_stays_between_0_and_1():
    system = UGATIT(**UGATIT.smoke)
    system.compile(learning_rate=0.3)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 1, 32, 32, 3)).astype("float32")
    system.generator_step(*map(tf.constant, images))
    rhos = [v.numpy() for v in system.gen_ab.trainable_variables if v.name == "rho"]
    assert len(rhos) == 4
    every = np.concatenate(rhos)
    assert every.min() == 0
    assert every.max() == 1


# the architecture


def test_attention_weighs_by_raw_weights_and_judges_by_normalised_ones():
    features = tf.random.stateless_normal((2, 3, 3, 4), (1, 2))
    plain, spectral = ClassActivationMap(), ClassActivationMap(spectral=True)
    for layer in (plain, spectral):
        layer(features)
    for name in ("mean_logit", "max_logit", "mix"):
        getattr(spectral, name).kernel.assign(3 * getattr(plain, name).kernel)
    spectral.mix.kernel.assign(plain.mix.kernel / 3)
    spectral.mix.bias.assign(plain.mix.bias)
    for _ in range(3):  # power iterations
        attended, logits = spectral(features, training=True)
    raw, raw_logits = plain(features)
    np.testing.assert_allclose(attended, raw, rtol=1e-4, atol=1e-5)
    norms = [np.linalg.norm(c.kernel) for c in (plain.mean_logit, plain.max_logit)]
    np.testing.assert_allclose(logits, raw_logits / norms, rtol=1e-4)


def count(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_parameter_counts_are_those_of_the_source():
    assert count(generator((None, None), 64, 4, True, "light")) == 10_589_888
    assert count(discriminator((256, 256), 64, 7, "global")) == 53_130_176
    assert count(discriminator((256, 256), 64, 5, "local")) == 3_290_560
    # At 256 x 256 only the first layer of the style MLP has more weights than at 32 x 32.
    more = (64 * 64 - 8 * 8) * 256 * 256
    assert count(generator((32, 32), 64, 4, False, "full")) + more == 278_959_808


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 92}, "image_size=92"),
        ({"image_size": 130}, "image_size=130"),
        ({"global_depth": 2}, "global_depth=2"),
        ({"local_depth": 9}, "local_depth=9"),
        ({"width": 0}, "width=0"),
        ({"blocks": 0}, "blocks=0"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        UGATIT(**wrong)


@pytest.mark.parametrize(("size", "depth"), [(96, 7), (12, 4)])
def test_the_smallest_images_build(size, depth):
    disc = discriminator((size, size), 2, depth, "smallest")
    assert disc.output_shape == [(None, 1, 1, 1), (None, 2)]


def test_the_full_version_ties_its_translators_to_the_size():
    full = UGATIT(**{**UGATIT.smoke, "light": False})
    assert full.network("b2a").input_shape == (None, 32, 32, 3)
    assert UGATIT(**UGATIT.smoke).network().input_shape == (None, None, None, 3)


# the source's weights


@pytest.mark.parametrize("light", [True, False])
def test_the_architecture_is_read_off_official_tensors(light):
    arguments = {**UGATIT.smoke, "blocks": 2, "light": light}
    found = ugatit.architecture(export_official(UGATIT(**arguments)))
    if light:
        arguments.pop("image_size")
    assert found == arguments


def test_tensors_that_contradict_each_other_are_refused(official):
    networks = nested(official, "state")
    networks["disLA"]["model.7.weight_orig"] = np.zeros((16, 9, 4, 4), np.float32)
    with pytest.raises(InputError, match=r"disLA model\.7\.weight_orig"):
        system_of(UGATIT, networks, "params.pt", {})
    del networks["genA2B"]["UpBlock1_1.conv1.weight"]
    with pytest.raises(InputError, match="without gaps: 2 came"):
        ugatit.architecture(networks)
