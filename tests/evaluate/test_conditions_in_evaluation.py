"""Evaluation of systems with several domains, open conditions or no source, up to the report."""

import argparse
import dataclasses
import json

import numpy as np
import pytest
from rich.progress import Progress
from squares import Squares
from stand_in import DOMAINS

from tfi2i.cli import main
from tfi2i.commands import study
from tfi2i.conditions import Condition
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.evaluate import diversity, evaluation, report, variety
from tfi2i.evaluate.distances import kid
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.pixels import run_over
from tfi2i.runs.run import Run

PAIR = "1920s2dusk2winter"


pytestmark = pytest.mark.usefixtures("known")


def run_of(folder, name):
    """A run with a checkpoint of a system that has learned nothing yet."""
    data = {"source": "seasons", "train_size": 5}
    config = configs.load({"system": name, "data": data, "batches": {"batch_size": 2}})
    system = building.build_system(config)
    run = Run.create(folder, name, "seasons", config.resolved().as_dict(), {})
    run.save_checkpoint(system)
    return run, system, building.build_data(config)


@pytest.fixture(scope="module")
def seasons(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("runs"), "Seasons")


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("runs"), "Painter")


def evaluated(run, monkeypatch, capsys):
    """What the command line writes and prints."""
    bar = Progress(disable=True)
    monkeypatch.setattr(evaluation, "progress_bar", lambda show: bar)
    assert main(["evaluate", str(run.path)]) == 0
    assert bar.finished
    found = json.loads((run.evaluation_dir / "evaluation.json").read_text())
    return found["directions"], (run.evaluation_dir / "report.html").read_text(), capsys


def test_every_direction_of_several_domains_is_measured(seasons, monkeypatch, capsys):
    run, system, _ = seasons
    directions, page, _ = evaluated(run, monkeypatch, capsys)
    printed = capsys.readouterr().out
    assert [*directions] == [way.name for way in system.directions]
    for way in system.directions:
        part, last = directions[way.name], directions[way.name]["checkpoints"]["last"]
        assert (part["source"], part["target"]) == (way.source, way.target)
        assert last["several"] is last["paired"] is None
        assert last["copying"]["l1"] > 0
        pair = way.target is not None
        assert (last["cycle_l1"] is not None) == pair
        assert set(part["trivial"]) == (set(report.TRIVIAL) if pair else set())
        assert set(last["variety"]) == ({"style"} if pair else {"style", "label"})
        many = 1 if pair else len(DOMAINS)
        assert part["n"] == {"translated": 4 * many, "real": 4 * many, "train": 5 * many}
        assert report.direction_words(way.name, part) in page
    for text in ("1920s2dusk to winter", "any by label"):
        assert text in printed
        assert text in page
    assert "12 translations from all domains against 12" in " ".join(page.split())
    for text in ("by style", "by label", "Translation, style 5 of", "Translation, winter of"):
        assert text in page
    assert "L1, best of several" not in page


def test_kid_is_taken_on_one_value_a_picture(seasons, monkeypatch, capsys):
    run, system, data = seasons
    last = evaluated(run, monkeypatch, capsys)[0][PAIR]["checkpoints"]["last"]
    inputs, real = (data.pixels("test", name, 32)[0] for name in ("1920s2dusk", "winter"))
    fakes = run_over(system.predictor(PAIR), inputs, values=system.values_of(PAIR, 4, 0))
    features = Squares().features
    assert last["kid"] == pytest.approx(kid(features(fakes), features(real)), rel=1e-6)
    # A picture under five values: by hand.
    several = [
        run_over(system.predictor(PAIR), inputs, values={"style": style})
        for style in (system.conditions[0].sample(4, seed, "winter") for seed in range(1, 6))
    ]
    spreads = [diversity.spread(features(np.stack(one))) for one in zip(*several, strict=True)]
    assert last["variety"]["style"]["fake"] == pytest.approx(np.mean(spreads), rel=1e-6)
    assert last["variety"]["style"]["real"] == last["diversity"]["real"]
    again = evaluated(run, monkeypatch, capsys)[0][PAIR]["checkpoints"]["last"]
    assert again == last


def test_labels_of_an_open_direction_are_as_many_as_the_domains_have(seasons):
    run, system, data = seasons
    labels = variety.real_labels(system.conditions, data, 12, seed=0)
    assert labels["label"].sum(0).tolist() == [4, 4, 4]
    assert (labels["label"] != data.labels("test")).any()
    others = (Condition("label", "label", (3,), names=("x", "y", "z")),)
    assert variety.real_labels(others, data, 12, seed=0) == {}


def test_an_ignored_style_is_called_so_and_a_label_that_works_is_not(seasons, tmp_path):
    _, system, data = seasons
    run, system, data = run_of(tmp_path, "Seasons")
    kernel = system.generator.get_layer("shift").kernel
    kernel.assign(np.zeros(kernel.shape))
    first = system.generator.get_layer("first").kernel
    first.assign(np.asarray(first) * [[[[1]] * 3 + [[20]] * 3]])  # the label's planes
    run.save_checkpoint(system)
    found = evaluation.evaluate(run, data, show=False)["directions"]["any"]["checkpoints"]["last"]
    assert found["variety"]["style"]["fake"] == pytest.approx(0, abs=1e-9)
    assert found["variety"]["style"]["l1"] == 0
    assert found["variety"]["label"]["fake"] > found["variety"]["label"]["real"] / 10
    said = [note for note in found["notes"] if "ignored" in note]
    assert len(said) == 1
    assert said[0].startswith("the style is ignored: outputs of one picture under several values")
    assert said[0] in (run.evaluation_dir / "report.html").read_text()


def test_where_the_truth_is_known_several_values_have_a_mean_and_a_best_error(seasons):
    run, system, data = seasons
    data = dataclasses.replace(data, paired=frozenset({"test"}))
    directions = evaluation.evaluate(run, data, show=False)["directions"]
    last = directions[PAIR]["checkpoints"]["last"]
    inputs, truth = (data.pixels("test", name, 32)[0] for name in ("1920s2dusk", "winter"))
    errors = []
    for seed in range(1, 6):
        style = system.conditions[0].sample(4, seed, "winter")
        fakes = run_over(system.predictor(PAIR), inputs, values={"style": style}).astype(float)
        errors.append(np.abs(fakes - truth).mean((1, 2, 3)) / 255)
    best = np.min(errors, axis=0).mean()
    assert last["several"]["l1_mean"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert last["several"]["l1_best"] == pytest.approx(best, rel=1e-5)
    assert last["paired"]["l1"] > best
    assert directions["any"]["checkpoints"]["last"]["several"] is None
    page = (run.evaluation_dir / "report.html").read_text()
    assert "L1, best of several" in page
    assert f"<small>mean {np.mean(errors):.3f}</small>" in page


def test_a_sampler_has_no_input_to_copy_and_no_trivial_answer(painter, monkeypatch, capsys):
    run, system, data = painter
    directions, page, _ = evaluated(run, monkeypatch, capsys)
    printed = capsys.readouterr().out
    [part] = directions.values()
    assert (part["source"], part["target"], part["trivial"]) == (None, "any", {})
    assert part["n"] == {"translated": 12, "real": 12, "train": 15}
    last = part["checkpoints"]["last"]
    assert last["copying"] is last["cycle_l1"] is last["paired"] is None
    assert set(last["variety"]) == {"latent", "label"}
    values = system.values_of(
        None, 12, 0, given=variety.real_labels(system.conditions, data, 12, 0)
    )
    features = Squares().features
    fakes, real = (
        run_over(system.predictor(), None, values=values),
        data.pixels("test", "any", 32)[0],
    )
    assert last["kid"] == pytest.approx(kid(features(fakes), features(real)), rel=1e-6)
    assert "12 sampled, 12 real, 15 training" in printed
    text = " ".join(page.split())
    for words in ("12 samples against 12", "Sample, last of sample 1", "Sample, latent 1 of"):
        assert words in text, words
    for words in ("Input", "Copying", "Translation, ", "the input itself", "None"):
        assert words not in text, words


def study_of(run, folder, direction):
    return argparse.Namespace(
        methods=[f"one={run.path}", f"two={run.path}"],
        direction=direction,
        overrides=[],
        images=2,
        seed=3,
        out=folder / "study",
        question="Which?",
        title="Study",
    )


def test_a_study_shows_translations_under_sampled_values(seasons, tmp_path):
    run, system, data = seasons
    run.save_translators(system)
    assert study.run(study_of(run, tmp_path, PAIR)) == 0
    shown = [read_picture(one).pixels for one in (tmp_path / "study" / "pictures").iterdir()]
    inputs, _ = data.pixels("test", "1920s2dusk", 32, limit=2, seed=3)
    values = system.values_of(PAIR, 2, 3)
    for pixels in run_over(system.predictor(PAIR), inputs, values=values).astype(int):
        assert sum(np.abs(one - pixels).max() <= 1 for one in shown) == 2


def test_a_study_of_a_sampler_has_nothing_to_compare_by(painter, tmp_path):
    with pytest.raises(InputError, match="no picture goes into sample"):
        study.run(study_of(painter[0], tmp_path, "sample"))


def test_evaluations_of_before_directions_said_their_domains_are_read():
    assert report.ends("b2a", {"floor": {}}) == ("b", "a")
    assert report.direction_words("a2b", {}) == "a to b"


def test_the_mean_distance_of_pairs_is_that_of_all_pairs():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 3), np.uint8)
    pairs = [
        np.abs(pixels[i].astype(float) - pixels[j]).mean() / 255 for i in range(4) for j in range(i)
    ]
    assert diversity.mean_l1(pixels) == pytest.approx(np.mean(pairs))


def test_values_differ_in_one_condition_alone():
    label = Condition("label", "label", (7,), names=tuple("abcdefg"))
    marks = Condition("marks", "label", (3,), names=("x", "y", "z"), exclusive=False)
    style = Condition("style", "style", (2,))
    values = {one.name: one.sample(2, 0) for one in (label, marks, style)}
    for one, names in ((label, "abcde"), (marks, None), (style, None)):
        several = variety.values_beside(one, values, 0, None)
        assert len(several) == variety.values_of_one(one) == 5
        assert [*several] == list(names or [f"{one.name} {i}" for i in range(1, 6)])
        for changed in several.values():
            assert changed[one.name].shape == values[one.name].shape
            assert all(changed[key] is values[key] for key in values if key != one.name)
