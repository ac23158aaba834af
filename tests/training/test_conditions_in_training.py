"""Training of systems with several domains, open conditions or no source: what their runs hold."""

import numpy as np
import pytest
from PIL import Image
from squares import Squares
from stand_in import DOMAINS

from tfi2i.cli import main
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.evaluate.distances import kid
from tfi2i.evaluate.paired import l1
from tfi2i.pictures import sheets
from tfi2i.pictures.pixels import in_order, run_over
from tfi2i.runs.run import Run
from tfi2i.training import samples
from tfi2i.training.fit import fit

QUICK = ["fit.show=false", "fit.tensorboard=false", "fit.evaluate_images=3"]
ROW = 4 * 32 + 4  # a picture of a sheet, and the gap below it


pytestmark = pytest.mark.usefixtures("known")


def config_of(system, *overrides):
    values = {"system": system, "data": {"source": "seasons"}, "batches": {"batch_size": 2}}
    return configs.load(values).smoke([*QUICK, *overrides])


def start(folder, system, *overrides):
    config = config_of(system, *overrides)
    made, data = building.build_system(config), building.build_data(config)
    run = Run.create(folder, config.system, config.data_name, config.resolved().as_dict(), {})
    return made, data, run, config


@pytest.fixture(scope="module", params=["Seasons", "Painter"])
def trained(request, tmp_path_factory):
    system, data, run, config = start(tmp_path_factory.mktemp("runs"), request.param)
    fit(system, data, run, config.batches, **config.fit)
    return system, data, run


def judged(data, system):
    pixels = {
        name: data.pixels("train", name, system.image_size, limit=3)[0] for name in data.train
    }
    return samples.TestImages(pixels, paired=False)


def test_reports_have_figures_of_every_direction_by_its_name(trained):
    system, data, run = trained
    names = [way.name for way in system.directions]
    with_source = [way.name for way in system.directions if way.source]
    reports = run.read_metrics()
    assert [report["step"] for report in reports] == [2, 4]
    for report in reports:
        assert np.isfinite(report["g_l1"])
        assert {f"val_kid_{name}" for name in names} <= set(report)
        assert report["val_kid"] == pytest.approx(np.mean([report[f"val_kid_{n}"] for n in names]))
        changes = [key for key in report if key.startswith("val_change_")]
        assert changes == [f"val_change_{name}" for name in with_source]
        assert "val_l1" not in report


def test_validation_compares_the_direction_with_its_target(trained):
    system, data, run = trained
    images = judged(data, system)
    features = Squares().features
    fakes = images.translations(system)
    last = run.read_metrics()[-1]
    for way in system.directions:
        real = np.concatenate(
            [rows for name, rows in images.pixels.items() if way.target in (name, None, "any")]
        )
        value = kid(features(fakes[way.name]), features(real))
        assert last[f"val_kid_{way}"] == pytest.approx(value, abs=2e-6)
        if way.source in DOMAINS:
            change = l1(fakes[way.name], images.pixels[way.source])
            assert last[f"val_change_{way}"] == pytest.approx(change, rel=1e-6)


def test_a_sheet_shows_pictures_under_several_values_that_are_the_same_at_every_step(trained):
    system, data, run = trained
    pixels = {name: data.pixels("test", name, 32, limit=2, seed=None)[0] for name in data.test}
    images = samples.TestImages(pixels, paired=False)
    first, again, other = (images.translations(system, seed) for seed in (0, 0, 1))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != other[name]).any()
    sheet = samples.sample_sheet(system, images, first)
    pairs = sum(way.source in DOMAINS for way in system.directions)
    # Of a pair: real, three fakes and the way back; of the open direction there is none.
    rows = 5 * pairs + 4 if pairs else 3
    columns = 2 if pairs else 6
    assert sheet.shape[0] == 4 + rows * ROW
    labels = sheet.shape[1] - columns * ROW - 4
    assert sheets.LABEL_WIDTH <= labels < 2 * sheets.LABEL_WIDTH  # room for the longest label
    for step in (0, 2, 4):
        with Image.open(run.sample_path(step)) as saved:
            assert saved.size == sheet.shape[1::-1]
    with Image.open(run.sample_path(4)) as saved:
        np.testing.assert_array_equal(np.asarray(saved), sheet)


def test_pictures_of_all_domains_come_by_turns():
    pixels = {name: np.full((2, 1, 1, 3), i, np.uint8) for i, name in enumerate(DOMAINS)}
    images = samples.TestImages(pixels, paired=False)
    assert images.of("any")[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert images.of(None)[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_checkpoints_and_networks_are_those_of_the_system(trained):
    system, data, run = trained
    assert run.directions == system.directions
    assert run.load_system("last").step == 4
    best = min(run.read_metrics(), key=lambda report: report["val_kid"])["step"]
    assert run.load_system("best").step == best
    files = {path.stem for path in (run.path / "translators").glob("*.keras")}
    assert files == {way.name for way in system.directions}
    for way in system.directions:
        network, conditions = run.network(way.name), run.conditions(way.name)
        assert [one.name for one in conditions] == [
            one.name for one in system.conditions_of(way.name)
        ]
        pixels = None if way.source is None else data.pixels("test", way.source, 32)[0]
        values = system.values_of(way.name, 4 if pixels is None else len(pixels), 1)
        made = run_over(in_order(network), pixels, values=values)
        expected = run_over(system.predictor(way.name), pixels, values=values)
        np.testing.assert_allclose(made.astype(int), expected, atol=1)


def test_a_resumed_training_ends_as_one_that_was_not_interrupted(trained, tmp_path):
    system, data, whole = trained
    name = type(system).__name__
    half, data, run, config = start(tmp_path, name, "compile.total_steps=2")
    fit(half, data, run, config.batches, **config.fit)
    again, full = run.load_system(), config_of(name)
    building.recompile(again, full)
    fit(again, data, run, full.batches, **full.fit)
    for ours, theirs in zip(again.variables, system.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), ours.path)
    with Image.open(run.sample_path(4)) as ours, Image.open(whole.sample_path(4)) as theirs:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_losses_that_are_not_finite_stop_it(trained, tmp_path):
    name = type(trained[0]).__name__
    system, data, run, config = start(tmp_path, name)
    system.compile(learning_rate=float("nan"), total_steps=4)
    with pytest.raises(InputError, match="training diverged at step 2: g_l1 is nan"):
        fit(system, data, run, config.batches, **config.fit)


@pytest.mark.parametrize("domains", ["[day, winter, 1920s2dusk]", "[day, winter]"])
def test_labels_that_are_not_the_datas_are_refused_before_there_is_a_run(tmp_path, capsys, domains):
    path = tmp_path / "seasons.yaml"
    settings = "data: {source: seasons}\nbatches: {batch_size: 2}\n"
    path.write_text(f"system: Seasons\nmodel: {{domains: {domains}}}\n{settings}")
    assert main(["train", str(path), "--runs", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert "but those of seasons are day, 1920s2dusk and winter; name the same ones" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
