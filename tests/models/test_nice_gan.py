"""NICE-GAN against the official code's numbers, and what makes its training decoupled."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import channels_last, first_gradients, near, nested, read

from tfi2i.models import NICEGAN, nice_gan
from tfi2i.official.weights import export_official, load_official

HEADS = {"L": "local", "G": "global", "cam": "cam"}


@pytest.fixture(scope="module")
def official():
    return read("nice_s64_ch8_light_ndis6")


def images(official):
    return [tf.constant(official[f"input/real_{domain}"].transpose(0, 2, 3, 1)) for domain in "AB"]


def loaded(official, dtype):
    config = json.loads(str(official["config"]))
    assert config["light"] is True
    system = NICEGAN(
        image_size=config["img_size"],
        width=config["ch"],
        blocks=config["n_res"],
        discriminator_depth=config["n_dis"],
        dtype=dtype,
    )
    load_official(system, nested(official, "state"))
    return system


def test_forward_outputs_equal_the_official_ones(official):
    system = loaded(official, "float32")
    real = dict(zip("AB", images(official), strict=True))
    codes = {}
    for domain, enc, heads in (
        ("A", system.enc_a, system.heads_a),
        ("B", system.enc_b, system.heads_b),
    ):
        code, cam = enc(real[domain], training=False)
        local, whole = heads(code, training=False)
        heat = system.attention(real[domain], "a2b" if domain == "A" else "b2a")[..., None]
        codes[domain] = code
        for name, ours in (
            ("out_local", local),
            ("out_global", whole),
            ("cam_logit", cam),
            ("heatmap", heat),
            ("z", code),
        ):
            key = f"eval/dis{domain}/{name}"
            near(ours, channels_last(official[key]), 1e-4, key)
    fake_b = system.network("a2b")(real["A"])
    outputs = {
        "eval/gen2B/fake_A2B": fake_b,
        "eval/gen2A/fake_B2A": system.network("b2a")(real["B"]),
        "eval/gen2A/fake_A2A": system.gen_ba(codes["A"]),
        "eval/gen2A/fake_A2B2A": system.network("b2a")(fake_b),
    }
    for key, ours in outputs.items():
        near(ours, channels_last(official[key]), 1e-4, key)


def test_activations_inside_the_generator_equal_the_official_ones(official):
    system = loaded(official, "float32")
    layers = {"FC": "style1", "gamma": "gamma", "beta": "beta"}
    gen = system.gen_ab
    taps = {key: gen.get_layer(name).output for key, name in layers.items()}
    taps["UpBlock0"] = gen.get_layer("style_pool").input
    taps |= {f"UpBlock1_{i + 1}": _block_output(gen, i) for i in range(system.blocks)}
    code, _ = system.enc_a(images(official)[0], training=False)
    for key, ours in keras.Model(gen.input, taps)(code).items():
        near(ours, channels_last(official[f"eval/inter_gen2B/{key}"]), 1e-4, key)


def _block_output(gen, i):
    adds = [layer for layer in gen.layers if isinstance(layer, keras.layers.Add)]
    return adds[i].output


def our_term(name):
    """D_camA_fake -> d_cam_a_fake, G_LA -> g_local_a, recon_B -> g_recon_b."""
    if name.startswith(("cycle", "recon")):
        return f"g_{name.lower()}"
    optimizer, head, *kind = name.split("_")
    return "_".join([optimizer.lower(), HEADS[head[:-1]], head[-1].lower(), *kind])


@pytest.fixture(scope="module", params=["float32", "float64"])
def trained(request, official):
    """Three steps, in float32 compiled: the terms of each, and the state after the first."""
    system = loaded(official, request.param)
    system.compile()
    real_a, real_b = (tf.cast(image, request.param) for image in images(official))

    def step():
        terms = system.discriminator_step(real_a, real_b)
        return terms | system.generator_step(real_a, real_b)

    if request.param == "float32":
        step = tf.function(step, autograph=False)
    before = export_official(system)
    terms, after, decayed = [], None, None
    for _ in range(3):
        terms.append({name: float(value) for name, value in step().items()})
        if after is None:
            after = export_official(system)
            decayed = first_gradients(system)
    return request.param, terms, before, after, decayed


def test_every_loss_term_of_three_steps_equals_the_official_one(official, trained):
    dtype, terms, *_ = trained
    compared = 0
    for t in (1, 2, 3):
        tolerance = 1e-7 if dtype == "float64" else {1: 1e-4, 2: 5e-3, 3: 5e-3}[t]
        prefix = f"step{t}/loss/"
        source = f"f64/{prefix}" if dtype == "float64" else prefix
        for key, theirs in official.items():
            if key.startswith(source) and not key.endswith("_printed"):
                name = key.removeprefix(source)
                ours = terms[t - 1][our_term(name)]
                assert abs(ours - theirs) <= tolerance * abs(theirs), (t, name, ours, theirs)
                compared += 1
    assert compared == 66


def test_gradients_and_weights_after_a_step_equal_the_official_ones(official, trained):
    dtype, _, before, after, decayed = trained
    prefix = "f64/step1/check" if dtype == "float64" else "step1/check"
    tight = dtype == "float64"
    for net, tensors in nested(official, prefix).items():
        for name, check in tensors.items():
            old, new = (np.asarray(s[net][name], np.float64) for s in (before, after))
            near(np.linalg.norm(new), check[1], 1e-7 if tight else 1e-4, (net, name, "norm"))
            moved = np.linalg.norm(new - old)
            near(moved, check[2], 1e-6 if tight else 1e-2, (net, name, "norm of the change"))
            if np.isnan(check[4]):
                continue
            gradient = decayed[net][name] - 1e-4 * old  # without weight decay
            near(np.linalg.norm(gradient), check[5], 1e-7 if tight else 1e-2, (net, name, "grad"))
            near(np.abs(gradient).max(), check[6], 1e-7 if tight else 1e-2, (net, name, "grad max"))


def test_whole_tensors_after_a_step_equal_the_official_ones(official, trained):
    dtype, _, before, after, decayed = trained
    gradients = nested(official, "step1/grad")
    for net, tensors in nested(official, "step1/post").items():
        for name, theirs in tensors.items():
            difference = np.abs(after[net][name] - theirs)
            if name in gradients[net]:
                # The first step moves a number by 1e-4 sign(gradient): where the official float32
                # gradient is rounding noise, its sign is too.
                size = np.abs(gradients[net][name] + 1e-4 * before[net][name])
                difference = difference[size > 1e-2 * size.max()]
            assert difference.max() <= 2e-6, (net, name)
    for net, tensors in nested(official, "step1/grad").items():
        for name, theirs in tensors.items():
            gradient = decayed[net][name] - 1e-4 * before[net][name]
            near(gradient, theirs, 1e-2, (dtype, net, name))


@pytest.fixture
def zeros(monkeypatch):
    """Weights that are only counted take a while to draw."""
    monkeypatch.setattr(nice_gan, "kernel_initializer", keras.initializers.Zeros)


@pytest.mark.parametrize("light", [True, False])
def test_parameter_counts_are_the_published_ones(zeros, light):
    system = NICEGAN(light=light)
    assert count(system.enc_a) + count(system.heads_a) == 46_874_433
    assert count(system.enc_a) == 167_489
    assert count(system.gen_ab) == (8_104_640 if light else 276_474_560)


def count(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_four_blocks_have_the_published_size(zeros):
    assert count(NICEGAN(blocks=4).gen_ab) == 5_743_296


def snapshot(*networks):
    return [variable.numpy() for network in networks for variable in network.trainable_variables]


def same(before, after):
    return [np.array_equal(x, y) for x, y in zip(before, after, strict=True)]


def test_a_generator_step_leaves_encoders_alone_and_a_discriminator_step_generators():
    system = NICEGAN(**NICEGAN.smoke)
    system.compile()
    batch = np.random.default_rng(0).uniform(-1, 1, (2, 1, 64, 64, 3)).astype("float32")
    discriminators = (system.enc_a, system.enc_b, system.heads_a, system.heads_b)
    generators = (system.gen_ab, system.gen_ba)

    frozen, moving = snapshot(*generators), snapshot(*discriminators)
    system.discriminator_step(*map(tf.constant, batch))
    assert all(same(frozen, snapshot(*generators)))
    assert not any(same(moving, snapshot(*discriminators)))

    frozen, moving = snapshot(*discriminators), snapshot(*generators)
    system.generator_step(*map(tf.constant, batch))
    assert all(same(frozen, snapshot(*discriminators)))
    assert not any(same(moving, snapshot(*generators)))


def test_at_the_start_attention_is_off_and_its_mix_gets_no_gradient():
    system = NICEGAN(**NICEGAN.smoke)
    attention = system.enc_a.get_layer("attention")
    features = tf.random.stateless_normal((1, 8, 8, 8), (1, 2))
    with tf.GradientTape() as tape:
        code, _ = attention(features)
        loss = tf.reduce_sum(code**2)
    assert float(attention.lamda) == 0
    np.testing.assert_allclose(code, tf.nn.leaky_relu(features, 0.2), rtol=1e-6)
    assert not np.any(tape.gradient(loss, attention.mix.kernel.value))


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 64}, "image_size=64"),
        ({"image_size": 130}, "image_size=130"),
        ({"discriminator_depth": 5}, "discriminator_depth=5"),
        ({"width": 0}, "width=0"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        NICEGAN(**wrong)


def test_the_smallest_images_build():
    NICEGAN(image_size=96, width=4, blocks=1)
    NICEGAN(image_size=48, width=4, blocks=1, discriminator_depth=6)


def test_the_full_version_ties_its_translators_to_the_size():
    system = NICEGAN(image_size=48, width=4, blocks=1, discriminator_depth=6, light=False)
    assert system.network("b2a").input_shape == (None, 48, 48, 3)
    assert NICEGAN(**NICEGAN.smoke).network().input_shape == (None, None, None, 3)
