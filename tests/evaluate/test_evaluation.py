"""`tfi2i evaluate` on a run: what it writes, what it refuses, and that nothing old is lost."""

import json

import pytest
from idle import idle
from PIL import Image
from squares import use_squares

from tfi2i.cli import main, parser
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.evaluate import backbones, evaluation
from tfi2i.runs.run import Run
from tfi2i.training import fit as train

SMALL = ["data.train_size=6", "data.test_size=4", "fit.show=false", "fit.tensorboard=false"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = configs.load("cyclegan/scenes", []).smoke(SMALL)
    system, data = building.build_system(config), building.build_data(config)
    made = Run.create(
        tmp_path_factory.mktemp("runs"), config.system, "scenes", config.resolved().as_dict(), {}
    )
    train.fit(idle(system), data, made, config.batches, **config.fit)
    # A best checkpoint of another step than the last, whichever the few steps found.
    system.step_counter.assign(1)
    for name in ("gen_ab", "gen_ba"):
        kernel = system.inference_network(name).get_layer("to_rgb").kernel
        kernel.assign(-kernel)
    made.save_checkpoint(system, "best")
    return made


def evaluated(run, *arguments):
    assert main(["evaluate", str(run.path), *arguments]) == 0
    return json.loads((run.evaluation_dir / "evaluation.json").read_text())


def test_both_checkpoints_are_measured_beside_floor_and_trivial_answers(run, capsys):
    found = evaluated(run)
    printed = capsys.readouterr().out
    assert "efficientnet-lite0" in printed
    assert "report.html" in printed
    assert found["command"] == f"tfi2i evaluate {run.path}"
    assert found["protocol"]["dimensions"] == 1280
    for direction in ("a2b", "b2a"):
        part = found["directions"][direction]
        assert part["n"] == {"translated": 4, "real": 4, "train": 6}
        assert [figures["step"] for figures in part["checkpoints"].values()] == [4, 1]
        last, best = (part["checkpoints"][which] for which in ("last", "best"))
        for score in (part["floor"], *part["trivial"].values(), last, best):
            assert abs(score["kid"]) < 10
            assert score["fid"] > 0
        for score in (*part["trivial"].values(), last, best):
            assert 0 < score["paired"]["l1"] < 1
            assert 0 <= score["paired"]["retrieval_top1"] <= 1
        assert last["kid"] != best["kid"]
    assert any("FID of 4 against 4" in sentence for sentence in found["warnings"])
    page = (run.evaluation_dir / "report.html").read_text()
    assert f"tfi2i evaluate {run.path}" in page


@pytest.fixture
def quick(monkeypatch):
    """The evaluation with features that cost nothing."""
    use_squares(monkeypatch)


@pytest.fixture(scope="module")
def found(run):
    """What an evaluation of three pictures with such features finds."""
    with pytest.MonkeyPatch.context() as patch:
        use_squares(patch)
        return evaluated(run, "--images", "3")


def test_the_same_evaluation_gives_the_same_figures(quick, run, found):
    assert evaluated(run, "--images", "3")["directions"] == found["directions"]
    assert found["directions"]["a2b"]["n"]["real"] == 3


def test_the_identity_has_the_error_of_the_pictures_themselves(run, found):
    data = building.build_data(configs.load(run.config_path))
    side = found["protocol"]["image_size"]
    real, truth = (data.pixels("test", key, side, limit=3, seed=0)[0] for key in "ab")
    error = abs(real.astype(float) - truth).mean() / 255
    identity = found["directions"]["a2b"]["trivial"]["identity"]
    assert identity["paired"]["l1"] == pytest.approx(error, rel=1e-6)


def test_an_interrupted_evaluation_leaves_the_report_in_place(quick, run, found, monkeypatch):
    before = {path.name: path.read_bytes() for path in run.evaluation_dir.iterdir()}
    assert {"evaluation.json", "report.html"} <= before.keys()

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation.Measure, "translation", stop)
    assert main(["evaluate", str(run.path)]) == 130
    assert {path.name: path.read_bytes() for path in run.evaluation_dir.iterdir()} == before


def test_backbones_and_protocols_have_files_of_their_own(run):
    paths = {
        evaluation.report_path(run, protocol, backbone).name
        for protocol, backbone in (
            ("default", "efficientnet-lite0"),
            ("default", "inception-2015"),
            ("nice-gan", "inception-2015"),
        )
    }
    assert paths == {"report.html", "report-inception-2015.html", "report-nice-gan.html"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "1"], "2 or more"),
        (["--protocol", "nice-gan", "--backbone", "efficientnet-lite0"], "inception-2015"),
        (["--set", "model.width=3"], "takes the run as it is"),
        (["--weights", "nowhere.pth"], "nowhere.pth"),
        (["--set", "data.test_size=1"], "1 pictures"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(run, capsys, arguments, message):
    assert main(["evaluate", str(run.path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_without_pictures_says_how_to_name_some(run, tmp_path, capsys):
    made = Run.create(tmp_path, "CycleGAN", "x", {"system": "CycleGAN"}, {})
    assert main(["evaluate", str(made.path)]) == 2
    assert "--set data.source=folders --set data.root=FOLDER" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_says_so(run, tmp_path):
    made = Run.create(tmp_path, "CycleGAN", "x", run.config, {})
    with pytest.raises(InputError, match="has no checkpoint"):
        evaluation.evaluate(made, building.build_data(configs.load(made.config_path)))


def test_a_study_of_a_run_and_a_folder_is_made_and_counted(run, tmp_path, capsys):
    data = building.build_data(configs.load(run.config_path))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, pixels in zip(data.test["a"].names, data.pixels("test", "b", 64)[0], strict=True):
        Image.fromarray(pixels).save(theirs / name)
    out = tmp_path / "study"
    arguments = ["study", f"ours={run.path}", str(theirs), "--images", "3", "--out", str(out)]
    assert main(arguments) == 0
    assert str(out / "index.html") in capsys.readouterr().out
    assert len(list((out / "pictures").iterdir())) == 9  # three inputs, each with two answers
    (theirs / data.test["a"].names[0]).unlink()
    for path in theirs.iterdir():
        path.rename(path.with_stem(f"other-{path.stem}"))
    assert main([*arguments[:-1], str(tmp_path / "again")]) == 2
    assert "has no translation of" in capsys.readouterr().err

    votes = {
        "schema": 1,
        "study": "f" * 16,
        "methods": ["ours", "theirs"],
        "questions": 3,
        "participant": "0123456789abcdef",
        "finished": "2026-11-21T08:00:00.000Z",
        "votes": [
            {"question": f"p{i}", "chosen": name, "shown": ["theirs", "ours"], "ms": 900}
            for i, name in enumerate(("ours", "ours", "theirs"))
        ],
    }
    (tmp_path / "votes.json").write_text(json.dumps(votes))
    assert main(["study-results", str(tmp_path / "votes.json")]) == 0
    assert "66.7 %" in capsys.readouterr().out


def test_a_study_without_a_run_is_refused(tmp_path, capsys):
    assert main(["study", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "at least one run" in capsys.readouterr().err


def test_the_command_line_knows_the_backbones_and_protocols():
    options = {
        action.dest: action.choices
        for action in parser()._subparsers._group_actions[0].choices["evaluate"]._actions
    }
    assert options["backbone"] == backbones.NAMES
    assert options["protocol"] == backbones.PROTOCOLS
