"""Training: what a run holds afterwards, and why it stops."""

import inspect
import logging
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from idle import idle
from PIL import Image

from tfi2i.conditions import Direction
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.evaluate import backbones
from tfi2i.evaluate.diagnosis import KEEPING_WEIGHTS, collapse_note, drift_note, near_note
from tfi2i.evaluate.distances import kid
from tfi2i.evaluate.paired import l1
from tfi2i.models import ALL
from tfi2i.pictures.pixels import to_image, to_pixels
from tfi2i.runs.run import Run
from tfi2i.training import fit as train
from tfi2i.training import reports as callbacks
from tfi2i.training import samples
from tfi2i.training.fit import Segment, segments
from tfi2i.training.validation import Validation

TINY = [
    *("model.image_size=48", "data.train_size=6", "data.test_size=3", "batches.load_size=50"),
    *("fit.sample_images=2", "fit.evaluate_images=3", "fit.show=false"),
]


def tiny(*overrides):
    return configs.load("cyclegan/scenes", []).smoke([*TINY, *overrides])


def start(parent, config):
    """A run, its system and its data, as the command line makes them."""
    system, data = building.build_system(config), building.build_data(config)
    run = Run.create(parent, config.system, config.data_name, config.resolved().as_dict(), {})
    return system, data, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = tiny("compile.total_steps=5", "fit.report_steps=2")
    system, data, run = start(tmp_path_factory.mktemp("runs"), config)
    train.fit(system, data, run, config.batches, **config.fit)
    return system, run


def test_a_run_reports_every_loss_and_the_waiting_and_the_error(trained):
    system, run = trained
    reports = run.read_metrics()
    assert [report["step"] for report in reports] == [2, 4, 5]
    for report in reports:
        assert set(system.loss_names) < set(report)
        assert report["images"] == report["step"] * 2
        assert 0 <= report["waiting_share"] <= 1
        for name, optimizer in system.optimizers.items():
            rate = optimizer._learning_rate(report["step"])  # of the next update
            assert report[f"learning_rate_{name}"] == pytest.approx(float(rate), rel=1e-6)
        for name in ("val_l1", "val_kid"):
            mean = (report[f"{name}_a2b"] + report[f"{name}_b2a"]) / 2
            assert report[name] == pytest.approx(mean, rel=1e-6)


def test_the_validation_figures_are_those_of_the_saved_translators(trained):
    system, run = trained
    data = building.build_data(tiny())
    real = {
        key: next(data.pictures("validation", key, system.image_size, limit=3))[0] for key in "ab"
    }
    fake = to_pixels(np.asarray(run.network("a2b")(to_image(real["a"]))))
    last = run.read_metrics()[-1]
    assert last["val_l1_a2b"] == pytest.approx(l1(fake, real["b"]), abs=2e-4)
    features = backbones.load().features
    assert last["val_kid_a2b"] == pytest.approx(kid(features(fake), features(real["b"])), rel=1e-2)


def test_without_held_out_pictures_the_best_is_chosen_on_training_pictures(tmp_path):
    config = tiny("fit.tensorboard=false")
    system, data, run = start(tmp_path, config)
    data = replace(data, validation={}, paired=frozenset())
    train.fit(idle(system), data, run, config.batches, **config.fit)
    report = run.read_metrics()[-1]
    assert "val_kid" in report
    assert "val_l1" not in report
    real = {key: next(data.pictures("train", key, system.image_size, limit=3))[0] for key in "ab"}
    fake = to_pixels(np.asarray(run.network("b2a")(to_image(real["b"]))))
    features = backbones.load().features
    assert report["val_kid_b2a"] == pytest.approx(
        kid(features(fake), features(real["a"])), rel=1e-2
    )


def test_kid_can_be_switched_off_and_then_there_is_no_best(tmp_path):
    config = tiny("fit.tensorboard=false", "fit.evaluate_steps=0")
    system, data, run = start(tmp_path, config)
    train.fit(idle(system), data, run, config.batches, **config.fit)
    assert not [key for report in run.read_metrics() for key in report if key.startswith("val_")]
    assert run.checkpoint_path("last").is_file()
    assert not run.checkpoint_path("best").exists()


def test_a_run_holds_samples_checkpoints_translators_and_tensorboard(trained):
    system, run = trained
    for step in (0, 2, 4, 5):
        with Image.open(run.sample_path(step)) as sheet:
            assert sheet.size[0] > 2 * 48
    assert run.load_system("last").step == 5
    best = min(run.read_metrics(), key=lambda report: report["val_kid"])["step"]
    assert run.load_system("best").step == best
    events = [e for path in run.tensorboard_dir.iterdir() for e in events_of(path)]
    assert {(5, "g_cycle_a"), (5, "val_l1"), (5, "samples")} <= set(events)


def events_of(path):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            yield event.step, value.tag


def test_a_finished_run_says_how_to_go_on(trained):
    system, run = trained
    with pytest.raises(InputError, match=r"step 5 already; raise compile.total_steps \(now 5\)"):
        train.fit(system, building.build_data(tiny()), run, {})


def test_steps_that_do_not_fit_are_refused(trained):
    system, run = trained
    with pytest.raises(InputError, match="checkpoint_steps=15 with report_steps=10"):
        train.fit(system, None, run, report_steps=10, sample_steps=10, checkpoint_steps=15)
    with pytest.raises(InputError, match="evaluate_steps=15 with checkpoint_steps=10"):
        train.fit(
            system,
            None,
            run,
            report_steps=10,
            sample_steps=10,
            checkpoint_steps=10,
            evaluate_steps=15,
        )
    with pytest.raises(InputError, match="evaluate_images of fit is 1; .*KID needs 2"):
        train.fit(system, None, run, evaluate_images=1)


@pytest.mark.parametrize(
    ("begin", "total", "every", "parts"),
    [
        (0, 6, 2, [(0, 2, 3)]),
        (0, 5, 2, [(0, 2, 2), (4, 1, 1)]),
        (3, 10, 4, [(3, 1, 1), (4, 4, 1), (8, 2, 1)]),
        (0, 3, 10, [(0, 3, 1)]),
        (7, 7, 2, []),
    ],
)
def test_segments_end_at_multiples_and_at_the_end(begin, total, every, parts):
    assert segments(begin, total, every) == [Segment(*part) for part in parts]


def test_losses_that_are_no_numbers_stop_the_run_and_name_all_that_helps(tmp_path):
    config = tiny("compile.total_steps=8", "compile.ema_decay=null", "fit.tensorboard=false")
    system, data, run = start(tmp_path, config)

    class Poison(keras.callbacks.Callback):
        """What a diverging training does to the weights, at a known step."""

        def on_train_batch_begin(self, batch, logs=None):
            if system.step == 4:
                kernel = system.gen_ab.get_layer("conv0").kernel
                kernel.assign(kernel * float("nan"))

    original = system.fit
    system.fit = lambda *args, callbacks, **kw: original(
        *args, callbacks=[*callbacks, Poison()], **kw
    )
    with pytest.raises(InputError) as caught:
        train.fit(system, data, run, config.batches, **config.fit)
    message = str(caught.value)
    assert "diverged at step 5" in message
    assert "g_cycle_a is nan" in message
    assert str(run.checkpoint_path("last")) in message
    assert run.load_system("last").step == 4
    assert all(np.isfinite(w).all() for w in run.load_system("last").get_weights())


def test_collapse_and_copies_are_called_by_their_names():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    other = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert collapse_note(real, other, {}) is None
    assert "collapsed to a constant" in collapse_note(real, other[:1].repeat(3, 0), {})
    assert "copies of the inputs" in collapse_note(real, real, {})
    assert collapse_note(real[:1], other[:1], {}) is None


@pytest.mark.parametrize(
    ("numbers", "advice"),
    [
        (
            {"cycle_weight": 10.0, "recon_weight": 10, "adv_weight": 1},
            "lower compile.cycle_weight (now 10) or compile.recon_weight (now 10)",
        ),
        (
            {"cycle_weight": 10.0, "identity_weight": 0.0, "learning_rate": 1e-4},
            "lower compile.cycle_weight (now 10)",
        ),
        ({"nce_weight": 2.5, "gan_weight": 1.0}, "lower compile.nce_weight (now 2.5)"),
        ({"gan_weight": 1.0}, "lower compile.learning_rate"),
    ],
)
def test_the_advice_against_copies_names_what_the_system_has(numbers, advice):
    real = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert collapse_note(real, real, numbers).endswith(f"; {advice}")


def test_the_advised_weights_are_those_of_systems():
    known = [inspect.signature(system.compile).parameters for system in ALL.values()]
    assert set(KEEPING_WEIGHTS) <= set().union(*known)


@pytest.fixture(scope="module")
def mixtures():
    """Reports of translators a -> b that keep a share of the input, by that share; the KID of 1."""
    data = building.build_data(configs.load("nice_gan/scenes", []))
    pixels = {key: data.pixels("validation", key, 48, limit=24)[0] for key in "ab"}
    features = backbones.load().features
    real = {key: features(rows) for key, rows in pixels.items()}
    reports = {}
    for share in (0, 0.25, 0.75, 1):
        mixed = (1 - share) * pixels["b"] + share * pixels["a"]  # the scenes are pairs
        fake = np.round(mixed).astype(np.uint8)
        figures = {"val_kid_a2b": kid(features(fake), real["b"])}
        reports[share] = figures | {"val_change_a2b": l1(fake, pixels["a"])}
    return reports, kid(real["a"], real["b"])


@pytest.mark.parametrize(
    ("shares", "drifts"),
    [
        ((0.75, 0.25, 0, 0.75), True),
        ((0.25, 1), True),
        ((0, 0.25), False),  # worse, and not half way back
        ((1, 0.75, 0.25, 0), False),  # learns
        ((1, 1), False),  # has never been anything else
        ((0,), False),
    ],
)
def test_outputs_that_come_to_show_their_inputs_again_drift(mixtures, shares, drifts):
    reports, inputs_kid = mixtures
    run = [reports[share] | {"step": 10 * (i + 1)} for i, share in enumerate(shares)]
    note = drift_note(run, "a2b", inputs_kid, {"nce_weight": 10.0})
    assert (note is not None) == drifts
    if note:
        best = 10 * (shares.index(min(shares)) + 1)
        assert "drift back to their inputs" in note and f"at step {best} by" in note
        assert note.endswith("lower compile.nce_weight (now 10)")


def report(step, kid_, change):
    return {"step": step, "val_kid_b2a": kid_, "val_change_b2a": change}


@pytest.mark.parametrize(
    "reports",
    [
        [report(1, 0.02, 0.3), report(2, 0.15, 0.4)],  # breaks down to something else
        [report(1, 0.02, 0.3), report(2, 0.03, 0.1)],  # does the same with smaller changes
        [report(1, 0.09, 0.3), report(2, 0.11, 0.1)],  # has hardly ever been better
        [report(1, 0.02, 0.3), report(2, 0.1, 0.1), report(3, None, 0.1)],  # was not finite
        [report(1, 0.02, 0.3), report(2, 0.1, 0.1), {"step": 3, "g_cycle": 1.0}],
        [{"step": 1}],
        [],
    ],
)
def test_other_courses_are_no_drift(reports):
    assert drift_note(reports, "b2a", 0.1, {}) is None


def test_domains_that_are_alike_cannot_be_drifted_between():
    reports = [report(1, -0.02, 0.3), report(2, 0.01, 0.01)]
    assert drift_note(reports, "b2a", -0.001, {}) is None


@pytest.mark.parametrize(("share", "near"), [(1, True), (0.75, True), (0.25, False), (0, False)])
def test_outputs_that_stay_with_their_inputs_are_said_to(mixtures, share, near):
    reports, inputs_kid = mixtures
    change, kid_now = reports[share]["val_change_a2b"], reports[share]["val_kid_a2b"]
    note = near_note(change, kid_now, 0.36, inputs_kid, {"nce_weight": 10.0})
    assert (note is not None) == near
    if note:
        assert "nearly their inputs" in note
        assert note.endswith("lower compile.nce_weight (now 10)")


def test_small_changes_that_reach_the_target_are_as_wanted():
    assert near_note(0.05, 0.02, 0.3, 0.1, {}) is None  # a horse becomes a zebra in its field
    assert near_note(0.05, 0.09, 0.3, 0.1, {}) is not None


class KeepsB:
    """Translates a to its negative and b to itself."""

    directions = (Direction("a2b", "a", "b"), Direction("b2a", "b", "a"))
    step = total_steps = 20

    def values_of(self, direction, count, seed):
        return {}

    def predictor(self, direction):
        return (lambda image: -image) if direction == "a2b" else (lambda image: image)

    def get_compile_config(self):
        return {"cycle_weight": 10.0}


def test_a_drift_is_noted_in_the_log(tmp_path, caplog):
    run = Run.create(tmp_path, "NICEGAN", "scenes", {}, {})
    run.append_metrics(report(10, -9.0, 1.0))  # once far better, and far from the inputs
    reports = callbacks.Reports(run, 1, tensorboard=False, show=False)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
    pixels[1] //= 2
    images = samples.TestImages({"a": pixels[0], "b": pixels[1]}, paired=False)
    validation = Validation(reports, images, every=10)
    validation.set_model(KeepsB())
    with caplog.at_level(logging.WARNING, "tfi2i"):
        validation.on_epoch_end(0)
    assert "step 20, b2a: the outputs drift back to their inputs" in caplog.text
    assert "a2b" not in caplog.text
    changes = [l1(255 - pixels[0], pixels[0]), 0]
    assert reports.extra["val_change_a2b"] == pytest.approx(changes[0])
    assert reports.extra["val_change"] == pytest.approx(np.mean(changes))


def test_a_collapsed_system_is_noted_in_the_log(tmp_path, caplog):
    config = tiny("compile.total_steps=4", "compile.ema_decay=null", "compile.learning_rate=1e-30")
    system, data, run = start(tmp_path, config)
    kernel = system.gen_ab.get_layer("to_rgb").kernel
    kernel.assign(0 * kernel)  # grey, whatever comes in
    with caplog.at_level(logging.WARNING, "tfi2i"):
        train.fit(idle(system), data, run, config.batches, **config.fit)
    assert "step 2, a2b: the outputs for different inputs are all alike" in caplog.text
    assert "b2a: the outputs" not in caplog.text


def test_a_picture_that_breaks_in_training_gives_its_own_sentence(tmp_path):
    config = tiny("compile.total_steps=6", "fit.tensorboard=false", "batches.cache_mb=0")
    system, data, run = start(tmp_path, config)
    domain = data.train["a"]
    reads = []

    def fail(index, side=None):
        reads.append(index)
        raise InputError("train_a: the disk is gone.")

    original = data.batches

    def batches(*spec, **arguments):
        dataset = original(*spec, **arguments)
        object.__setattr__(domain, "read_or_none", fail)
        return dataset

    object.__setattr__(data, "batches", batches)
    with pytest.raises(InputError, match="the disk is gone"):
        train.fit(idle(system), data, run, config.batches, **config.fit)
    assert reads
