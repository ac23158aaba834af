"""configs/search.py: who goes on to the next rung, the table, and trainings that stop and go on."""

import sys

import pytest
from script import loaded

from tfi2i.errors import InputError
from tfi2i.runs.run import Run


@pytest.fixture(scope="module")
def script():
    return loaded("configs/search.py")


def test_the_better_half_by_both_figures_and_the_reference_go_on(script):
    reports = {
        "shipped": [{"val_kid": 0.9, "val_l1": 0.9}],
        "sharp": [{"val_kid": 0.1, "val_l1": 0.3}, {"val_kid": 0.3, "val_l1": 0.3}],
        "near": [{"val_kid": 0.3, "val_l1": 0.1}],
        "worse": [{"val_kid": 0.5, "val_l1": 0.5}],
        "worst": [{"val_kid": 0.8, "val_l1": 0.8}],
    }
    kept = script.better_half(list(reports), reports)
    assert kept == ["shipped", "sharp", "near", "worse"]
    for names, kept in (
        (["shipped", "sharp", "worst"], ["shipped", "sharp", "worst"]),
        (["worst", "shipped", "near", "sharp"], ["worst", "near", "sharp"]),
    ):
        no_pairs = {name: [{"val_kid": one["val_kid"]} for one in reports[name]] for name in names}
        assert script.better_half(names, no_pairs) == kept


def test_candidates_stop_at_rungs_and_all_figures_stand_in_the_table(script, tmp_path, monkeypatch):
    trained = []

    def train(config, settings, folder, step):
        trained.append((folder.name, step))
        assert {"compile.total_steps=9", "fit.checkpoint_steps=3"} <= set(settings)
        assert f"fit.seed={folder.name[-1]}" in settings
        quality = {"as": 4, "a": 1, "b": 2, "c": 3}[folder.name.split("-")[0]]
        return {"step": step, "val_kid": quality / step, "val_l1": quality / 100}

    monkeypatch.setattr(script, "train", train)
    candidates = {"as it is": [], "a": ["fit.report_steps=3"], "b": [], "c": []}
    table = script.search("x", candidates, tmp_path, [3, 6, 9], [0, 5])
    at = {step: {name[:-2] for name, when in trained if when == step} for step in (3, 6, 9)}
    assert at == {
        3: {"as-it-is", "a", "b", "c"},
        6: {"as-it-is", "a", "b"},
        9: {"as-it-is", "a", "b"},
    }
    assert [report["val_kid"] for report in table["b"][6]] == [2 / 6, 2 / 6]
    text = (tmp_path / "search.md").read_text()
    assert (
        "| a | `fit.report_steps=3` | KID x 1000 333 (333 to 333); L1 0.010 (0.010 to 0.010) |"
        in text
    )
    assert text.count("\n") == 4 + 4


@pytest.mark.parametrize(
    "text", ["{}", "a: []", "a: []\nb: x=1", "a: []\nb: [{x: 1}]", "a b: []\na+b: []"]
)
def test_a_file_that_names_no_candidates_is_refused(script, text, tmp_path, monkeypatch, capsys):
    (tmp_path / "c.yaml").write_text(text)
    arguments = ["search.py", "nice_gan/scenes", str(tmp_path / "c.yaml"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert script.main() == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'c.yaml'}: ")


@pytest.mark.slow
def test_a_training_stops_at_a_rung_goes_on_and_fails_in_words(script, tmp_path):
    small = [
        *("model.image_size=32", "model.width=4", "model.blocks=1", "model.discriminator_width=4"),
        *(
            "data.train_size=8",
            "data.test_size=4",
            "compile.decay_start=null",
            "fit.evaluate_images=2",
        ),
        *("fit.report_steps=2", "fit.sample_steps=2", "fit.checkpoint_steps=2"),
        "compile.total_steps=10000",
    ]
    first = script.train("cyclegan/scenes", small, tmp_path / "a", 2)
    (path,) = (tmp_path / "a").glob("0*")
    reached = Run(path).completion.step
    assert first["step"] == 2 <= reached < 10000
    assert script.train("cyclegan/scenes", small, tmp_path / "a", 2) == first
    later = script.train("cyclegan/scenes", small, tmp_path / "a", reached + 2)
    assert later["step"] == reached + 2
    assert len(list((tmp_path / "a").glob("0*"))) == 1
    with pytest.raises(InputError, match="b: the training failed: .*width"):
        script.train("cyclegan/scenes", ["model.width=0"], tmp_path / "b", 2)
