"""StarGAN v2 against the official code's numbers, its styles by domain, and its four updates."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import FIXTURES, nested
from official_runs import OfficialRun, Recorder, is_of

from tfi2i.benchmark.macs import translation_macs
from tfi2i.models.stargan_v2 import StarGANv2, chosen, style_generator
from tfi2i.official import stargan_v2
from tfi2i.official.tensors import layers
from tfi2i.official.weights import export_official, from_official, load_official, system_of

UPDATES = ("d_latent", "d_ref", "g_latent", "g_ref")
TERMS = {
    **{"real": "d_real", "fake": "d_fake", "reg": "d_r1"},
    **{"adv": "g_adv", "sty": "g_style", "ds": "g_diversity", "cyc": "g_cycle"},
}
ORDER = [  # of the optimizers' updates in a step
    *("discriminator", "discriminator"),
    *("generator", "mapping", "encoder", "generator"),
]
AVERAGES = {
    "generator": "gen",
    "mapping_network": "mapping",
    "style_encoder": "encoder",
}


def is_official(path):
    """Whether a file holds a training of the official StarGAN v2."""
    return is_of("stargan_v2", path)


@pytest.fixture(scope="module")
def official(official_file):
    return OfficialRun(official_file, "step1/loss/d_latent_reg")


@pytest.fixture(scope="module")
def system(official):
    """The untrained system, whose architecture is that of the file's tensors."""
    state = nested(official.arrays, "state")
    found = stargan_v2.architecture(state)
    assert found["image_size"] == [official.config["img_size"]] * 2
    system = StarGANv2(**found, dtype=official.dtype)
    load_official(system, {name: state[name] for name in stargan_v2.NETWORKS})
    return system


def rows(official, key):
    return tf.one_hot(
        official.arrays[f"input/{key}"],
        official.config["num_domains"],
        1.0,
        0.0,
        dtype=official.dtype,
    )


@pytest.fixture(scope="module")
def outputs(official, system):
    """Outputs of the untrained networks."""
    real, reference = (official.given(f"input/{key}") for key in ("x_src", "x_ref"))
    latents = [official.given(f"draw/eval_z{i}") for i in range(2)]
    own, target = rows(official, "y_src"), rows(official, "y_ref")
    styles, logits = system.encoder(reference), system.disc(real)
    mapped = [system.mapping(one) for one in latents]
    found = {}
    for k in range(official.config["num_domains"]):
        found |= {f"style_encoder/y{k}": styles[:, k], f"discriminator/y{k}": logits[:, k]}
        found |= {f"mapping_network/z{i}_y{k}": one[:, k] for i, one in enumerate(mapped)}
    there = system.gen([real, chosen(styles, target)])
    found["generator/style"] = system.gen([real, official.given("draw/eval_style")])
    found["generator/latent"] = system.gen([real, chosen(mapped[0], target)])
    found["generator/reference"] = there
    found["generator/cycle"] = system.gen([there, chosen(system.encoder(real), own)])
    return found


@pytest.fixture(scope="module")
def trained(official, system, outputs):
    """The terms of each update of three steps, the first step's updates, and its weights after."""
    config = official.config
    system.compile(
        learning_rate=config["lr"],
        mapping_share=config["f_lr"] / config["lr"],
        weight_decay=config["weight_decay"],
        diversity_steps=config["ds_iter"],
        ema_decay=config["ema"],
    )
    for average in system.averages.values():
        average.set_weights([started(weight) for weight in average.get_weights()])
    recorder, terms, weights, step = Recorder(system, len(ORDER)), [], [], 0

    def noting(update):
        def noted(*arguments):
            found = update(*arguments)
            terms[-1].append({name: float(value) for name, value in found.items()})
            return found

        return noted

    system.draw_latents = lambda count, dtype: [
        official.given(f"step{step}/draw/{name}") for name in ("z_trg", "z_trg2")
    ]
    system.discriminator_step = noting(system.discriminator_step)
    system.generator_step = noting(system.generator_step)
    batch = {
        "image": official.given("input/x_src"),
        "label": rows(official, "y_src"),
        "target_label": rows(official, "y_ref"),
        "reference": official.given("input/x_ref"),
        "reference2": official.given("input/x_ref2"),
    }
    after = {}
    for step in range(1, config["total_iters"] + 1):
        terms.append([])
        weights.append(float(system.weight_of_diversity()))
        system.train_step(batch)
        if step in (1, config["total_iters"]):
            after["step1" if step == 1 else "final"] = state_of(system)
    return terms, weights, recorder.updates, after


def started(weights):
    """Where the file's averages start, in the float32 that it was computed in."""
    return np.float32(0.9) * weights.astype(np.float32)


def state_of(system):
    """All weights, and averages of them, by official net and name."""
    found = dict(export_official(system))
    for net, name in AVERAGES.items():
        live = getattr(system, name)
        setattr(system, name, system.averages[name])
        found[f"{net}_ema"] = export_official(system)[net]
        setattr(system, name, live)
    return found


# parity


def test_outputs_equal_the_official_ones(official, outputs):
    assert len(outputs) >= 14
    for key, output in outputs.items():
        official.close(output, f"eval/{key}")


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    compared = 0
    for step, found in enumerate(trained[0], start=1):
        tolerance = 1e-7 if official.double else (1e-4 if step == 1 else 1e-3)
        for update, ours in zip(UPDATES, found, strict=True):
            for theirs, name in TERMS.items():
                if name in ours:
                    wanted = float(official.wanted(f"step{step}/loss/{update}_{theirs}"))
                    assert ours[name] == pytest.approx(wanted, rel=tolerance), (update, theirs)
                    compared += 1
    assert compared == 14 * official.config["total_iters"]


def test_the_weight_of_the_diversity_falls_as_the_official_one(official, trained):
    for step, weight in enumerate(trained[1], start=1):
        assert weight == pytest.approx(float(official.wanted(f"step{step}/loss/lambda_ds")))


PLACES = {"d_latent": (0, 1), "d_ref": (1, 2), "g_latent": (2, 5), "g_ref": (5, 6)}


@pytest.mark.parametrize("update", UPDATES)
def test_gradients_and_changes_equal_the_official_ones(official, trained, update):
    assert [name for name, *_ in trained[2]] == ORDER
    first, last = PLACES[update]
    compared = changed = 0
    for _, gradients, changes in trained[2][first:last]:
        there = {net: tensors for net, tensors in gradients.items() if tensors}
        compared += official.compare_gradients(there, f"step1/{update}")
        if official.double:
            moved = {net: changes[net] for net in there}
            changed += official.compare_changes(moved, f"step1/{update}")
    assert compared >= 39
    assert changed >= 20 or not official.double


def test_weights_and_averages_after_the_steps_equal_the_official_ones(official, trained):
    if not official.double:
        pytest.skip("Adam's first step moves weights by the signs of gradients, noise included")
    begun = nested(official.arrays, "state")
    for when, state in trained[3].items():
        compared = 0
        for net, tensors in nested(official.arrays, f"f64/{when}/check").items():
            for name, (total, norm, length, most) in tensors.items():
                ours = state[net][name]
                assert ours.sum() == pytest.approx(total, rel=1e-6, abs=1e-6), (when, net, name)
                assert np.sqrt(np.sum(ours**2)) == pytest.approx(norm, rel=1e-7), (net, name)
                begin = begun[net.removesuffix("_ema")][name]
                change = ours - (started(begin) if net.endswith("_ema") else begin)
                assert np.sqrt(np.sum(change**2)) == pytest.approx(length, rel=1e-4), (net, name)
                assert np.abs(change).max() == pytest.approx(most, rel=1e-4), (net, name)
                compared += 1
        assert compared > 200


def test_a_translator_for_faces_equals_the_official_one_with_masks_and_without():
    official = OfficialRun(FIXTURES / "stargan_v2_highpass_s64.npz", "eval/generator/masked")
    config, state = official.config, nested(official.arrays, "state")["generator"]
    image, style = official.given("input/x"), official.given("draw/style")
    masks = [official.given(f"draw/mask{i}") for i in range(2)]
    keras.config.set_dtype_policy("float64")
    try:
        network = style_generator(
            *(3, (config["base"], config["cap"]), config["style_dim"], "gen"),
            high_pass=config["w_hpf"],
            masked_size=masks[0].shape[1:3],
        )
        plain = style_generator(
            3, (config["base"], config["cap"]), config["style_dim"], "gen", high_pass=1.0
        )
    finally:
        keras.config.set_dtype_policy("float32")
    names = stargan_v2.generator_names([layer.name for layer in network.layers])
    for name, (variable, layout) in layers(network, names).items():
        variable.assign(from_official(state.pop(name), layout))
    assert {*state} == {"hpf.filter", "decode.4.conv1x1.weight"}
    plain.set_weights(network.get_weights())
    official.close(plain([image, style]), "eval/generator/unmasked")
    official.double = False  # TensorFlow resizes in float32
    official.close(network([image, style, *masks]), "eval/generator/masked", 1e-5)


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, (33_892_995, 3_259_072, 20_949_760, 20_852_803)),
        ({"domains": ("f", "m")}, (33_892_995, 2_438_272, 20_916_928, 20_852_290)),
        (
            {"domains": ("f", "m"), "image_size": 128},
            (33_632_003, 2_438_272, 20_799_744, 20_735_106),
        ),
        # The source also has 172,032 numbers of shortcuts there that nothing uses.
        (
            {"domains": ("f", "m"), "high_pass": 1.0},
            (43_467_395 - 172_032, 2_438_272, 20_916_928, 20_852_290),
        ),
    ],
    ids=["256", "two domains", "128", "faces"],
)
def test_networks_have_the_published_sizes(settings, counts):
    with tf.Graph().as_default():  # variables of shapes, without memory
        system = StarGANv2(**settings)
        networks = (system.gen, system.mapping, system.encoder, system.disc)
        assert tuple(network.count_params() for network in networks) == counts
        if settings == {}:
            assert translation_macs(system.network(), 256) == pytest.approx(48.6e9, rel=1e-2)


@pytest.mark.parametrize("high_pass", [None, 2.0])
def test_the_architecture_is_read_off_official_weights(high_pass):
    config = {**StarGANv2.smoke, "domains": ("domain0", "domain1"), "high_pass": high_pass}
    networks = export_official(StarGANv2(**config))
    assert stargan_v2.architecture(networks) == {
        **config,
        "channels": 3,
        "image_size": [32, 32],
    }
    generator = networks["generator"]
    unused = "decode.2.conv1x1.weight"
    assert (unused in generator) is (high_pass is None)
    if high_pass:
        generator[unused] = np.zeros((4, 8, 1, 1), np.float32)  # the source has it all the same
    made = system_of(StarGANv2, networks, "nets.ckpt", {})
    assert export_official(made).keys() == {*stargan_v2.NETWORKS}


# its own


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(2)
    system = StarGANv2(**StarGANv2.smoke)
    system.compile(diversity_weight=2.0, total_steps=10, ema_decay=None)
    return system


def test_styles_are_those_of_a_domain_and_come_from_a_picture(small):
    one, same, other = (small.draw_styles(3, 1, name) for name in ("cat", "cat", "dog"))
    np.testing.assert_array_equal(one, same)
    assert one.shape == (3, 8) and np.abs(one - other).max() > 0
    (condition,) = small.conditions_of("cat2dog")
    assert (condition.name, condition.shape, condition.distribution) == ("style", (8,), None)
    np.testing.assert_array_equal(condition.sample(3, 1, "dog"), other)
    picture = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    style = condition.encoder("dog")(picture)
    np.testing.assert_array_equal(style, small.encoder(picture)[:, 1])


def test_a_label_chooses_the_mapping_networks_head(small):
    names = [condition.name for condition in small.conditions_of("any")]
    assert names == ["latent", "label"]
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    latent = rng.normal(size=(1, 4)).astype("float32")
    found = small.network("any")([image, latent, np.float32([[0, 0, 1]])])
    style = np.asarray(small.mapping(latent))[:, 2]
    np.testing.assert_allclose(found, small.network("cat2wild")([image, style]), atol=1e-6)


def test_translations_are_cut_off_to_what_pictures_hold(small):
    network = small.network("cat2dog")
    small.gen.get_layer("to_rgb").bias.assign([5.0, -5.0, 0.0])
    try:
        made = np.asarray(network([np.zeros((1, 32, 32, 3)), np.zeros((1, 8))]))
    finally:
        small.gen.get_layer("to_rgb").bias.assign([0.0, 0.0, 0.0])
    assert made[..., 0].min() == 1 and made[..., 1].max() == -1


def test_the_weight_of_the_diversity_follows_from_the_step_and_ends_at_0(small):
    found = []
    for step in (0, 5, 10, 12):
        small.step_counter.assign(step)
        found.append(float(small.weight_of_diversity()))
    small.step_counter.assign(0)
    assert found == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"domains": ("cat",)}, "two or more different names"),
        ({"image_size": 28}, "at least 32 for its halvings"),
        ({"image_size": 100}, "multiple of 16 for the 4 halvings"),
        ({"high_pass": 0}, "high_pass must be"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        StarGANv2(**{**StarGANv2.smoke, **wrong})
