"""StarGAN against the official code's numbers, its labels, and its five updates to one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import nested
from official_runs import OfficialRun, Recorder, is_of

from tfi2i.benchmark.macs import translation_macs
from tfi2i.errors import InputError
from tfi2i.models.stargan import CELEBA, StarGAN
from tfi2i.official import stargan
from tfi2i.official.weights import export_official, load_official, system_of

TERMS = {
    **{"D_real": "d_real", "D_fake": "d_fake", "D_cls": "d_class", "D_gp": "d_penalty"},
    **{"G_fake": "g_adv", "G_rec": "g_cycle", "G_cls": "g_class"},
}
DOMAINS = ("day", "dusk", "winter")


def is_official(path):
    """Whether a file holds a training of the official StarGAN on one data set."""
    return is_of("stargan", path)


@pytest.fixture(scope="module")
def official(official_file):
    return OfficialRun(official_file, "step1/loss/D_gp")


@pytest.fixture(scope="module")
def system(official):
    """The untrained system, whose architecture is that of the file's tensors."""
    given = {"image_size": [*official.given("input/x_real").shape[1:3]]}
    given["exclusive"] = official.config["classification"] == "softmax"
    state = nested(official.arrays, "state")
    found = stargan.architecture(state, given) | given
    system = StarGAN(**found, dtype=official.dtype)
    load_official(system, state)
    return system


def label_of(official):
    """The labels (N, K) of the file's pictures."""
    label = official.arrays["input/label"]
    return label if label.ndim == 2 else np.eye(official.config["c_dim"])[label]


@pytest.fixture(scope="module")
def outputs(official, system):
    """Outputs of the untrained networks."""
    image = official.given("input/x_real")
    keys = [key for key in official.arrays if key.startswith("draw/eval_")]
    names = {key: key.removeprefix("draw/eval_").replace("label", "target") for key in keys}
    found = {f"G/{name}": system.gen([image, official.given(key)]) for key, name in names.items()}
    found["D/src"], found["D/cls"] = system.disc(image)
    return found


@pytest.fixture(scope="module")
def trained(official, system, outputs):
    """The terms of each of 15 iterations, and what the updates did."""
    config, label = official.config, label_of(official)
    system.compile(
        learning_rate=config["d_lr"],
        decay_start=40_000,
        gradient_penalty=config["lambda_gp"],
        class_weight=config["lambda_cls"],
        cycle_weight=config["lambda_rec"],
    )
    recorder, terms, iteration = Recorder(system, 6), [], 0

    def noting(step):
        def noted(*arguments):
            nonlocal iteration
            iteration += step.__name__ == "discriminator_step"
            found = step(*arguments)
            terms.append((iteration, {name: float(value) for name, value in found.items()}))
            return found

        return noted

    def draw_between(real, fake, update):
        share = official.given(f"step{iteration}/draw/alpha")
        return share * real + (1 - share) * fake

    system.draw_between = draw_between
    system.discriminator_step = noting(system.discriminator_step)
    system.generator_step = noting(system.generator_step)
    image = official.given("input/x_real")
    for first in range(1, config["num_iters"], config["n_critic"]):
        perms = [official.arrays[f"step{first + i}/draw/perm"] for i in range(config["n_critic"])]
        batch = {
            "image": tf.stack([image] * len(perms)),
            "label": tf.constant(np.stack([label] * len(perms))),
            "target_label": tf.constant(np.stack([label[perm] for perm in perms])),
        }
        system.train_step(batch)
    return terms, recorder.updates


# parity


def test_outputs_equal_the_official_ones(official, outputs):
    assert len(outputs) >= 6
    for key, output in outputs.items():
        official.close(output, f"eval/{key}")


def test_the_losses_of_all_iterations_equal_the_official_ones(official, trained):
    compared = 0
    for iteration, found in trained[0]:
        for theirs, ours in TERMS.items():
            if ours in found:
                wanted = float(official.wanted(f"step{iteration}/loss/{theirs}"))
                loosely = 1e-4 if iteration == 1 else 1e-3
                # Terms are float32 when they are reported, and scores may be near 0.
                tolerance = 1e-7 if official.double else loosely
                assert found[ours] == pytest.approx(wanted, rel=tolerance), (iteration, theirs)
                compared += 1
    iterations, rounds = official.config["num_iters"], official.config["n_critic"]
    assert compared == 4 * iterations + 3 * (iterations // rounds)


UPDATES = {"step1": (0, "discriminator"), "step5": (4, "discriminator"), "step5 ": (5, "generator")}


@pytest.mark.parametrize("update", UPDATES)
def test_gradients_and_changes_equal_the_official_ones(official, trained, update):
    number, group = UPDATES[update]
    name, gradients, changes = trained[1][number]
    assert name == group
    assert official.compare_gradients(gradients, update.strip()) >= 18
    if official.double:
        net = "G" if group == "generator" else "D"
        assert official.compare_changes({net: changes[net]}, update.strip()) >= 10


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, (8_430_528, 44_762_048)),
        ({"image_size": 256}, (8_430_528, 44_884_928)),
        ({"domains": tuple("abcdefgh"), "exclusive": True}, (8_439_936, 44_786_624)),
    ],
    ids=["five attributes", "256", "eight domains"],
)
def test_networks_have_the_published_sizes(settings, counts):
    with tf.Graph().as_default():  # variables of shapes, without memory
        system = StarGAN(**settings)
        assert (system.gen.count_params(), system.disc.count_params()) == counts
        if settings == {}:
            assert translation_macs(system.network(), 128) == pytest.approx(9.96e9, rel=1e-3)


def test_the_architecture_is_read_off_official_weights():
    networks = export_official(StarGAN(**StarGAN.smoke))
    config = {**StarGAN.smoke, "channels": 3, "domains": CELEBA, "image_size": [32, 32]}
    assert stargan.architecture(networks) == config
    assert stargan.architecture({"G": networks["G"]}, {"domains": CELEBA}) == {
        key: config[key] for key in ("width", "blocks", "channels")
    }
    assert export_official(system_of(StarGAN, networks, "params.pth", {})).keys() == {"G", "D"}
    named = {"domains": DOMAINS, "exclusive": True}
    with pytest.raises(InputError, match=r"G main.0.weight is \[4,8,7,7\], \[4,6,7,7\] is wanted"):
        system_of(StarGAN, networks, "params.pth", named)
    other = export_official(StarGAN(**StarGAN.smoke, **named))
    assert stargan.architecture(other)["domains"] == ("label0", "label1", "label2")


# its own


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(2)
    system = StarGAN(**StarGAN.smoke, domains=DOMAINS, exclusive=True)
    system.compile()
    return system


def batch(seed=0):
    rng = np.random.default_rng(seed)
    label = np.eye(3, dtype="float32")[rng.integers(3, size=(5, 2))]
    images = rng.uniform(-1, 1, (5, 2, 32, 32, 3)).astype("float32")
    arrays = {"image": images, "label": label, "target_label": label[:, ::-1].copy()}
    return {key: tf.constant(one) for key, one in arrays.items()}


def test_a_label_acts_and_a_direction_has_its_own(small):
    assert [way.name for way in small.directions][-2:] == ["winter2dusk", "any"]
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    dusk, winter = (small.translate(pixels, "any", labels=name) for name in DOMAINS[1:])
    assert np.abs(dusk.astype(int) - winter).max() > 0
    np.testing.assert_array_equal(small.translate(pixels, "day2winter"), winter)
    np.testing.assert_array_equal(small.translate(pixels, "dusk2winter"), winter)
    with pytest.raises(InputError, match="no label 'summer'; choose from day, dusk, winter"):
        small.translate(pixels, "any", labels="summer")


def test_attributes_have_one_direction_and_any_number_of_them_holds():
    system = StarGAN(**StarGAN.smoke)
    assert [way.name for way in StarGAN.directions_of({})] == ["any"]
    [condition] = system.conditions_of()
    assert (condition.names, condition.exclusive) == (CELEBA, False)
    assert condition.value_of_labels("Male,Young").tolist() == [0, 0, 0, 1, 1]
    pixels = np.zeros((32, 32, 3), np.uint8)
    assert system.translate(pixels, labels="Male,Young").shape == pixels.shape


def test_classes_exclude_each_other_and_attributes_are_summed(small):
    logits = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]], np.float32)
    label = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = -np.log(shares[label == 1]).mean()
    assert float(small.class_loss(logits, tf.constant(label))) == pytest.approx(wanted, rel=1e-5)
    each = np.log1p(np.exp(logits)) - label * logits
    small.exclusive = False
    try:
        found = float(small.class_loss(logits, tf.constant(label)))
    finally:
        small.exclusive = True
    assert found == pytest.approx(each.sum(1).mean(), rel=1e-5)


def test_a_graph_makes_the_updates_that_single_steps_make(small):
    state = [*small.variables, *(v for one in small.optimizers.values() for v in one.variables)]
    before = [np.array(one) for one in state]
    found = []
    for step in (small.train_step, tf.function(small.train_step)):
        for variable, value in zip(state, before, strict=True):
            variable.assign(value)
        losses = {name: float(value) for name, value in step(batch()).items()}
        found.append((losses, [np.array(v) for v in small.trainable_variables]))
        assert int(small.optimizers["discriminator"].iterations) == 5
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-3)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=3e-4)  # three steps of Adam


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"domains": ("day",), "exclusive": True}, "two or more different names"),
        ({"image_size": 30}, "multiple of 4 and at least 8 for discriminator_depth=3"),
        ({"channels": {"day": 1, "dusk": 3}}, "channels must be"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        StarGAN(**{**StarGAN.smoke, **wrong})
