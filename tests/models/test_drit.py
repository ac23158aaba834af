"""DRIT against the official code's numbers, its updates of contents, and its styles."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import nested
from official_runs import is_of
from three_steps import Official

from tfi2i.benchmark.macs import translation_macs
from tfi2i.models import drit
from tfi2i.models.drit import DRIT
from tfi2i.official import drit as names
from tfi2i.official.weights import export_official, load_official, system_of, to_official
from tfi2i.official.weights import official_tensors as tensors_of
from tfi2i.optimizers import LinearDecay

SLOW_FILES = ("drit_feature_noms_s216_c3",)  # half a minute of a processor
DRAWN = {
    **{"code_a": "c_a", "code_b": "c_b", "eps_a": "eps_a", "eps_b": "eps_b"},
    **{"style": "z_random", "style2": "z_random2"},
    **{"again_a": "c_recon_a", "again_b": "c_recon_b"},
    **{"eps_again_a": "eps_recon_a", "eps_again_b": "eps_recon_b"},
}
TERMS = {
    **{"disA_loss": "d_a", "disA2_loss": "d_random_a", "disB_loss": "d_b"},
    **{"disB2_loss": "d_random_b", "disContent_loss": "d_content"},
    **{"gan_loss_a": "g_adv_a", "gan_loss_b": "g_adv_b"},
    **{"gan_loss_acontent": "g_content_a", "gan_loss_bcontent": "g_content_b"},
    **{"kl_loss_za_a": "g_kl_a", "kl_loss_za_b": "g_kl_b"},
    **{"kl_loss_zc_a": "g_code_a", "kl_loss_zc_b": "g_code_b"},
    **{"l1_recon_A_loss": "g_cycle_a", "l1_recon_B_loss": "g_cycle_b"},
    **{"l1_recon_AA_loss": "g_same_a", "l1_recon_BB_loss": "g_same_b"},
    **{"l1_recon_z_loss_a": "g_style_a", "l1_recon_z_loss_b": "g_style_b"},
    **{"gan2_loss_a": "g_random_a", "gan2_loss_b": "g_random_b"},
    **{"lz_BA": "g_seek_a", "lz_AB": "g_seek_b"},
}


def is_official(path):
    """Whether a file holds a training of the official DRIT."""
    return is_of("drit", path)


@pytest.fixture(scope="module")
def official(official_file):
    official = Official(official_file)
    official.every = 16
    return official


def made(official):
    """The untrained system, whose architecture is that of the file's tensors."""
    arguments = {"image_size": [*official.given("input/real_A").shape[1:3]]}
    state = nested(official.arrays, "state")
    system = DRIT(**names.architecture(state) | arguments, dtype=official.dtype)
    load_official(system, state)
    system.compile(seeking_weight=0 if official.config["opts"]["no_ms"] else 1)
    return system


@pytest.fixture(scope="module")
def system(official):
    return made(official)


def fed(official, system, prefix):
    """Makes a system draw what the official code has drawn."""
    system.drawn = lambda name, shape: official.given(f"{prefix}/noise/{DRAWN[name]}")


def halves(official, key):
    """The images of a domain that are translated, and the other ones."""
    images = official.given(f"input/real_{key}")
    half = len(images) // 2
    return images[:half], images[half:]


class Trained:
    """Terms of three steps; gradients and changes of weights of the first, by official names."""

    def __init__(self, official, system):
        (a, other_a), (b, other_b) = halves(official, "A"), halves(official, "B")
        self.before = export_official(system)
        self.terms, self.changes, self.gradients = [], {}, {}
        for step in (1, 2, 3):
            fed(official, system, f"step{step}")
            with pytest.MonkeyPatch.context() as patch:
                for name, optimizer in system.optimizers.items():
                    patch.setattr(optimizer, "apply", self.noting(system, name, optimizer, step))
                terms = system.update(a, b, other_a, other_b)
            self.terms.append({name: float(value) for name, value in terms.items()})
            after = export_official(system)
            self.changes[step] = {
                net: {name: after[net][name] - one for name, one in tensors.items()}
                for net, tensors in self.before.items()
            }

    def noting(self, system, group, optimizer, step):
        """An optimizer's `apply` that notes gradients of the first step, clipped ones clipped."""
        apply = optimizer.apply
        places = {
            id(variable): (net, name, layout)
            for net, tensors in tensors_of(system).items()
            for name, (variable, layout) in tensors.items()
        }

        def noted(gradients, variables):
            if step == 1:
                norm = float(tf.linalg.global_norm(gradients))
                scale = min(drit.CLIPPED / norm, 1) if group == "content" else 1
                for variable, gradient in zip(variables, gradients, strict=True):
                    net, name, layout = places[id(variable)]
                    array = scale * to_official(np.asarray(gradient), layout)
                    self.gradients.setdefault((net, name), []).append(array)
            return apply(gradients, variables)

        return noted


@pytest.fixture(scope="module")
def outputs(official, system):
    """Outputs of the untrained networks."""
    real = {"a": official.given("input/real_A"), "b": official.given("input/real_B")}
    found, styles = {}, {}
    for domain, image in real.items():
        read = getattr(system, f"enc_style_{domain}")(image)
        styles[domain] = keras.tree.flatten(read)[0]
        labels = ("attr",) if system.feature_wise else ("mu", "logvar")
        found |= {
            f"enc_a/{label}_{domain}": one
            for label, one in zip(labels, keras.tree.flatten(read), strict=True)
        }
        code = getattr(system, f"enc_content_{domain}")(image)
        found[f"enc_c/content_{domain}"] = code
        found[f"gen/recon_{domain}"] = getattr(system, f"dec_{domain}")([code, styles[domain]])
        found[f"disContent/logits_{domain}"] = tf.reshape(system.disc_content(code), [-1])
        for end, name in (("", f"disc_{domain}"), ("2", f"disc_random_{domain}")):
            for i, logits in enumerate(keras.tree.flatten(getattr(system, name)(image))):
                found[f"dis{domain.upper()}{end}/logits{i}"] = logits
    for way, source, target in (("ab", "a", "b"), ("ba", "b", "a")):
        network = system.network(f"{source}2{target}")
        drawn = official.given(f"eval/noise/z_{way}")
        found[f"gen/x_{way}_random"] = network([real[source], drawn])
        style = styles[target]
        if not system.feature_wise:
            noise = official.given(f"eval/noise/ref_{way}_eps_{target}")
            style += tf.exp(found[f"enc_a/logvar_{target}"] / 2) * noise
        found[f"gen/x_{way}_ref"] = network([real[source], style])
    return found


@pytest.fixture(scope="module")
def trained(official, system, outputs):
    return Trained(official, system)


# parity


def test_outputs_equal_the_official_ones(official, outputs):
    assert len(outputs) >= 20
    for key, output in outputs.items():
        official.close(output, f"eval/{key}")


def test_rectangles_are_translated_as_officially(official, system, outputs):
    if not official.has("rect/disContent/logits_a"):
        pytest.skip("the file has no rectangle")
    image = official.given("input/real_A")[:1, :212]
    code = system.enc_content_a(image)
    official.close(code, "rect/enc_c/content_a")
    official.close(tf.reshape(system.disc_content(code), [-1]), "rect/disContent/logits_a")
    drawn = official.given("eval/noise/z_ab")[:1]
    official.close(system.network("a2b")([image, drawn]), "rect/gen/x_ab_random")


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    given = {key: one for key, one in TERMS.items() if official.has(f"step1/loss/{key}")}
    assert len(given) == (21 if official.config["opts"]["no_ms"] else 23)
    official.check_losses(trained.terms, given)


def test_both_gradients_of_the_first_step_equal_the_official_ones(official, trained):
    prefix = "f64/step1/check" if official.double else "step1/check"
    checked = 0
    for net, tensors in nested(official.arrays, prefix).items():
        for name, numbers in tensors.items():
            if f"{net}/{name}" in official.noise:
                continue
            for i, ours in enumerate(trained.gradients[net, name]):
                wanted = numbers[4 + 3 * i : 7 + 3 * i]
                sizes = np.sqrt(np.sum(ours**2)), np.abs(ours).max()
                limits = ("sizes of gradients", 1e-7, 1e-2, (net, name, i))
                official.near(sizes[:1], wanted[1:2], *limits)
                official.near(sizes[1:], wanted[2:3], *limits)
                checked += 1
    assert checked > 100
    twice = {net for (net, _), several in trained.gradients.items() if len(several) == 2}
    assert twice == {"enc_c", "gen"}


@pytest.mark.parametrize("step", [1, 3])
def test_every_tensor_moves_as_far_as_the_official_one(official, trained, step):
    if not official.double:
        pytest.skip("Adam's first step moves weights by the signs of gradients, noise included")
    for net, tensors in nested(official.arrays, f"f64/step{step}/check").items():
        for name, numbers in tensors.items():
            change, limits = trained.changes[step][net][name], ("changes", 1e-6, 1e-6, (net, name))
            official.near([np.sqrt(np.sum(change**2))], numbers[2:3], *limits)
            official.near([np.abs(change).max()], numbers[3:4], *limits)


def test_the_content_discriminator_is_updated_three_times_a_step(official):
    if "f64/diter3/full/loss/disA_loss" not in official.arrays:
        pytest.skip("the file has no such step")
    system = made(official)
    codes, terms = [], []
    draws = {f"code{i}_{x}": f"diter3/content{i + 1}/noise/c_{x}" for i in range(2) for x in "ab"}
    draws |= {ours: f"diter3/full/noise/{theirs}" for ours, theirs in DRAWN.items()}
    system.drawn = lambda name, shape: official.given(draws[name])
    step = system.content_step
    system.content_step = lambda *given: (
        codes.append(float((one := step(*given))["d_content"])) or one
    )
    system.finish_step = lambda found: terms.append(found) or {}
    order = [slice(None, None, -1), slice(None), slice(None)]  # as the official run had them
    both = {key: official.given(f"input/real_{key.upper()}") for key in "ab"}
    system.train_step({key: tf.stack([one[part] for part in order]) for key, one in both.items()})
    for i, place in enumerate(("content1", "content2", "full")):
        wanted = float(official.arrays[f"f64/diter3/{place}/loss/disContent_loss"])
        assert codes[i] == pytest.approx(wanted, rel=1e-7)
    for theirs, ours in TERMS.items():
        if (key := f"f64/diter3/full/loss/{theirs}") in official.arrays:
            assert float(terms[0][ours]) == pytest.approx(float(official.arrays[key]), rel=1e-7)


def test_the_rate_falls_as_in_the_official_code(official):
    system = DRIT(**DRIT.smoke)
    system.compile(total_steps=30, decay_start=12, epoch_steps=3)
    for name, times in (("generator", 2), ("style_encoder", 1), ("content", 3)):
        rate = system.optimizers[name]._learning_rate
        assert isinstance(rate, LinearDecay)
        found = [float(rate(3 * times * epoch + i)) for epoch in range(10) for i in (0, times)]
        wanted = np.repeat(official.arrays["lr/n_ep10_decay4"], 2)
        np.testing.assert_allclose(found, wanted * (0.4 if name == "content" else 1), rtol=1e-5)


@pytest.mark.parametrize("feature_wise", [False, True])
def test_networks_have_the_published_sizes(feature_wise):
    with tf.Graph().as_default():  # variables of shapes, without memory
        system = DRIT(feature_wise=feature_wise)

        def count(*networks):
            variables = {id(one): one for net in networks for one in net.trainable_variables}
            return sum(np.prod(one.shape) for one in variables.values())

        assert count(system.enc_content_a, system.enc_content_b) == 9_018_112
        styles, decoders = (5_529_872, 17_146_374) if feature_wise else (2_688_160, 9_564_710)
        assert count(system.enc_style_a, system.enc_style_b) == styles
        assert count(system.dec_a, system.dec_b) == decoders
        assert count(system.disc_a) == count(system.disc_random_b) == 8_271_171
        assert count(system.disc_content) == 10_683_649
        assert count(system.network()) == (13_672_323 if feature_wise else 10_471_571)
        billions = 40.6 if feature_wise else 32.4
        assert translation_macs(system.network(), 216) == pytest.approx(billions * 1e9, rel=2e-3)


@pytest.mark.parametrize(
    "more",
    [
        {"channels": {"a": 1, "b": 3}, "style_size": 5, "discriminator_scales": 2},
        {"feature_wise": True, "spectral": True, "discriminator_scales": 1},
    ],
)
def test_the_architecture_is_read_off_official_weights(more):
    config = {"channels": 3, "style_size": 8, "feature_wise": False, "spectral": False}
    config = {**DRIT.smoke, **config, **more}
    networks = export_official(DRIT(**config))
    assert names.architecture(networks) | {"image_size": 32} == config
    again = system_of(DRIT, networks, "params.pt", {"image_size": 32})
    assert export_official(again).keys() == {*names.NETWORKS}


# its own


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(2)
    system = DRIT(**DRIT.smoke)
    system.compile()
    return system


def pictures(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 32, 32, 3)).astype("float32")


def test_styles_are_drawn_or_read_off_a_picture_of_the_target(small):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    one, same, other = (small.translate(pixels, "b2a", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one.astype(int) - other).max() > 0
    (condition,) = small.conditions_of("b2a")
    assert (condition.name, condition.shape, condition.distribution) == ("style", (8,), "normal")
    mean, _ = small.enc_style_a(pictures(2))
    np.testing.assert_array_equal(condition.encoder("a")(pictures(2)), mean)


@pytest.mark.parametrize(("count", "half"), [(1, 1), (2, 1), (5, 3)])
def test_a_batch_is_halved(small, count, half, monkeypatch):
    seen = []

    def update(*images):
        seen.extend(images)
        return dict.fromkeys(small.loss_names, tf.constant(0.0))

    monkeypatch.setattr(small, "update", update)
    a, b = (np.stack([pictures(count, seed + i) for i in range(3)]) for seed in (0, 3))
    small.train_step({"a": tf.constant(a), "b": tf.constant(b)})
    assert [len(found) for found in seen] == [half] * 4
    for place, batch in ((0, a), (1, b)):
        np.testing.assert_array_equal(seen[place], batch[-1][:half])
        np.testing.assert_array_equal(seen[place + 2], batch[-1][-half:])


def test_domains_share_the_last_block_of_contents_and_the_first_of_decoders(small):
    for first, second in (
        (small.enc_content_a, small.enc_content_b),
        (small.dec_a, small.dec_b),
    ):
        shared = {id(v) for v in first.variables} & {id(v) for v in second.variables}
        assert len(shared) == 4
    system = DRIT(**DRIT.smoke, feature_wise=True)
    assert not {id(v) for v in system.dec_a.variables} & {id(v) for v in system.dec_b.variables}


def test_every_draw_of_a_step_is_its_own(small):
    drawn = [np.asarray(small.drawn(name, (2, 3))) for name in drit.DRAWS]
    assert len(drawn) == 14 and len({one.tobytes() for one in drawn}) == 14


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 42}, "multiple of 4"),
        ({"discriminator_depth": 4}, "at least 64 for discriminator_depth=4"),
        ({"content_depth": 1}, "at least 44 for content_depth=1"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        DRIT(**{**DRIT.smoke, **wrong})
