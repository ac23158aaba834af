"""The command line: it answers at once, wires the verbs, and ends bad input with one sentence."""

import importlib
import logging
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfi2i.cli import main
from tfi2i.commands import demo
from tfi2i.commands import list as listing
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.official import checkpoints, weights
from tfi2i.runs.run import Run
from tfi2i.training import fit as train

CHECKOUT = Path(__file__).parents[2]
VERBS = (
    *("list", "demo", "train", "translate", "sample", "check-data", "import"),
    *("evaluate", "study", "study-results", "export", "bench", "serve", "compare"),
)
SMALL = ("--set", "data.train_size=2", "--set", "data.test_size=2")


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )


def failure(capsys, *arguments: object, code: int = 2) -> str:
    """The only line that a failing command prints."""
    assert main([str(a) for a in arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1, printed
    assert printed.err.startswith("tfi2i: error: ")
    return printed.err.removeprefix("tfi2i: error: ").strip()


def picture(path: Path, seed: int = 0, side: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def fitted(monkeypatch):
    """Replaces the training by a record of what it was called with."""
    calls = []

    def fit(system, data, run, batches=None, **numbers):
        calls.append((system, data, run, batches, numbers))

    monkeypatch.setattr(train, "fit", _with_signature_of(train.fit, fit))
    monkeypatch.setattr(train, "catch_up", lambda *arguments, **settings: None)
    return calls


def _with_signature_of(real, replacement):
    """Configurations are checked against the signature, so the replacement has to have it."""
    import functools

    return functools.wraps(real)(replacement)


def translators(path: Path) -> Run:
    """A run whose translators invert (a2b) and keep (b2a)."""
    run = Run.create(path, "NICEGAN", "scenes", {"system": "NICEGAN"}, {})
    for direction, factor in (("a2b", -1.0), ("b2a", 1.0)):
        image = keras.Input((None, None, 3))
        layer = keras.layers.Conv2D(3, 1, use_bias=False, name="paint")
        model = keras.Model(image, layer(image))
        layer.kernel.assign(factor * np.eye(3)[None, None])
        model.save(run.translator_path(direction))
    return run


# help


def test_help_answers_within_half_a_second_without_tensorflow():
    code = (
        "import sys, tfi2i, tfi2i.cli\n"
        "try:\n    tfi2i.cli.main(['train', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'tensorflow_datasets', 'numpy', 'PIL', 'rich', 'yaml'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = python(code)
        seconds.append(time.perf_counter() - started)
        assert "loaded: []" in done.stdout, done.stderr
    assert min(seconds) < 0.5


def test_importing_the_light_modules_does_not_load_tensorflow():
    done = python(
        "import sys, tfi2i, tfi2i.cli, tfi2i.runs.run\n"
        "import tfi2i.config.config, tfi2i.config.signatures\n"
        "assert tfi2i.InputError and tfi2i.Config and tfi2i.Run\n"
        "print([m for m in ('tensorflow', 'keras', 'tensorflow_datasets') if m in sys.modules])"
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(capsys, verb):
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"Examples:\n  tfi2i {verb}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_public_names_are_there():
    import tfi2i

    assert all(getattr(tfi2i, name) is not None for name in tfi2i.__all__)
    assert set(tfi2i.__all__) <= set(dir(tfi2i))
    assert tfi2i.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'NiceGan'"):
        tfi2i.NiceGan  # noqa: B018


# exit codes


def test_without_a_verb_the_help_is_shown_and_the_code_is_2(capsys):
    assert main([]) == 2
    assert "Begin here:" in capsys.readouterr().err


def test_what_cannot_be_parsed_ends_with_2(capsys):
    for arguments in (["trian"], ["list", "--sett"], ["translate", "run"], ["demo", "--seed", "x"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "option", "value", "wanted"),
    [
        ("demo", "--seed", -1, "a whole number from 0 to 4,294,967,295, but -1 came"),
        ("evaluate", "--seed", 2**70, f"a whole number from 0 to 4,294,967,295, but {2**70} came"),
        ("study", "--images", 0, "a whole number from 1 to 1,000,000, but 0 came"),
        ("translate", "--megapixels", 179, "a whole number from 1 to 178, but 179 came"),
    ],
)
def test_numbers_of_options_have_ranges(capsys, verb, option, value, wanted):
    with pytest.raises(SystemExit) as caught:
        main([verb, "run", "x.png", "--out", "out", option, str(value)])
    assert caught.value.code == 2
    assert f"error: argument {option}: takes {wanted}\n" in capsys.readouterr().err


def test_list_shows_the_ranges_of_numbers(capsys):
    assert main(["list", "CycleGAN"]) == 0
    printed = capsys.readouterr().out
    assert "  learning_rate: 0.0002  (a number above 0 and up to 1)\n" in printed
    assert "  pool_size: 50  (a whole number from 0 to 1,000)\n" in printed
    assert "  seed: 0  (a whole number from 0 to 4,294,967,295)\n" in printed
    assert "  ema_decay: null  (a number above 0 and below 1 or null)\n" in printed


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (InputError("name\x1b[31m: is bad."), 2, "tfi2i: error: name\\x1b[31m: is bad."),
        (KeyboardInterrupt(), 130, "tfi2i: error: stopped."),
        (OSError(28, "No space left on device", "x.png"), 1,
         "tfi2i: error: x.png: No space left on device."),
    ],
)  # fmt: skip
def test_what_goes_wrong_decides_the_code(monkeypatch, capsys, raised, code, line):
    def fail(arguments):
        raise raised

    monkeypatch.setattr(listing, "run", fail)
    assert main(["list"]) == code
    assert capsys.readouterr().err == f"{line}\n"


def wrapped():
    error = RuntimeError("Exception encountered when calling Conv2D.call().")
    error.__cause__ = tf.errors.ResourceExhaustedError(None, None, "failed to allocate")
    return error


@pytest.mark.parametrize(
    "raised",
    [
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        wrapped(),
    ],
    ids=repr,
)
def test_too_little_memory_ends_in_a_sentence_that_says_what_to_change(monkeypatch, capsys, raised):
    def fail(arguments):
        raise raised

    for verb, wanted in {
        "train": "--set batches.batch_size=1",
        "translate": "--tile 256",
        "evaluate": "by --images",
        "export": "by --sizes",
    }.items():
        monkeypatch.setattr(importlib.import_module(f"tfi2i.commands.{verb}"), "run", fail)
        more = ["x.png", "--out", "out"] if verb == "translate" else []
        error = failure(capsys, verb, "runs/none", *more)
        assert error.startswith("the memory is not enough; ")
        assert wanted in error


def test_log_lines_come_once_whatever_handlers_libraries_add(monkeypatch, capsys):
    monkeypatch.setattr(
        listing, "run", lambda arguments: logging.getLogger("tfi2i").info("told") or 0
    )
    library = logging.StreamHandler(sys.stderr)
    logging.root.addHandler(library)
    try:
        assert main(["list"]) == 0
    finally:
        logging.root.removeHandler(library)
    assert capsys.readouterr().err == "told\n"
    assert logging.getLogger("tfi2i").propagate


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(listing, "run", lambda arguments: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_has_enough_is_no_error():
    code = (
        "import sys; from tfi2i import cli\nfrom tfi2i.commands import list as listing\n"
        "listing.run = lambda a: [print('x' * 99) for _ in range(9999)] and 0\n"
        "sys.exit(cli.main(['list']))"
    )
    command = f'TF_CPP_MIN_LOG_LEVEL=2 "{sys.executable}" -c "$1" | head -1'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, "-", code],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "x" * 99 + "\n", "")


# list


def test_list_shows_systems_and_configurations(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "NICEGAN" in text
    for name in configs.shipped():
        assert f"  {name} " in text


def test_list_of_a_system_shows_every_setting_with_its_meaning(capsys):
    assert main(["list", "NICEGAN"]) == 0
    text = capsys.readouterr().out
    for source in ("scenes", "folders", "tfds"):
        for table in configs.schema("NICEGAN", source).values():
            for setting in table.values():
                assert setting.name == "source" or f"  {setting.name}: " in text
                assert setting.doc, f"{setting.name} has no line in Args"
    assert "  nice_gan/scenes: NICE-GAN" in text


def test_list_of_an_unknown_system_suggests_one(capsys):
    assert failure(capsys, "list", "NICEGEN") == (
        "There is no system 'NICEGEN'; did you mean `NICEGAN`?"
    )


# train


def test_a_dry_run_prints_everything_and_writes_nothing(tmp_path, capsys):
    command = ["train", "nice_gan/scenes", "--smoke", "-n", "--runs", str(tmp_path / "runs")]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert configs.dump(configs.load("nice_gan/scenes").smoke().resolved()) in text
    assert f"# run: {tmp_path / 'runs' / '00001-nicegan-scenes'}" in text
    assert "the translator" in text and "gen_ab" in text
    assert not list(tmp_path.iterdir())
    printed = tmp_path / "printed.yaml"
    printed.write_text(text)
    assert configs.load(printed).system == "NICEGAN"


def test_train_records_the_run_before_it_begins(tmp_path, capsys, fitted):
    command = ["train", "cyclegan/scenes", "--smoke", "--runs", str(tmp_path)]
    assert main([*command, "--set", "fit.seed=7", "--set", "model.blocks=2"]) == 0
    [(system, data, run, batches, numbers)] = fitted
    assert run.path == tmp_path / "00001-cyclegan-scenes"
    assert run.config == configs.load(run.config_path).resolved().as_dict()
    assert run.config["model"]["width"] == system.width == 4
    assert run.config["model"]["blocks"] == system.blocks == 2, "--set wins over --smoke"
    assert run.config["fit"]["seed"] == numbers["seed"] == 7
    assert batches == configs.load("cyclegan/scenes").smoke().batches and data.name == "scenes"
    assert run.environment["data"]["train_a"]["count"] == configs.SMOKE_DATA["train_size"]
    assert {"versions", "commit", "platform", "devices"} <= run.environment.keys()
    assert f"INFO run: {run.path}" in run.log_path.read_text()
    assert str(run.path) in capsys.readouterr().err


def test_train_makes_no_run_for_what_cannot_be_trained(tmp_path, capsys, fitted):
    smoke = ("train", "cyclegan/scenes", "--smoke", "--runs", tmp_path)
    assert "'cut'" in failure(capsys, *smoke, "--set", "batches.aspect=cut")
    assert "-1" in failure(capsys, *smoke, "--set", "data.seed=-1")
    wrong = failure(capsys, *smoke, "--set", "model.image_size=65")
    assert "cyclegan/scenes.yaml: section `model`: " in wrong and "65" in wrong
    folders = ("train", "nice_gan/folders", "--smoke", "--runs", tmp_path)
    assert "needs `root`" in failure(capsys, *folders)
    assert not list(tmp_path.iterdir()) and not fitted


def test_train_needs_a_configuration_or_a_run(capsys, tmp_path):
    assert "needs a CONFIG such as nice_gan/scenes" in failure(capsys, "train")
    both = failure(capsys, "train", "nice_gan/scenes", "--resume", tmp_path)
    assert "leave out CONFIG" in both


def begun(tmp_path: Path, *overrides: str, checkpoint: bool = True) -> Run:
    """A smoke run that was stopped at step 2 of 4."""
    config = configs.load("cyclegan/scenes", overrides).smoke()
    system = building.build_system(config)
    run = Run.create(tmp_path, "CycleGAN", "scenes", config.resolved().as_dict(), {})
    system.step_counter.assign(2)
    if checkpoint:
        run.save_checkpoint(system)
    return run


def test_resume_goes_on_from_the_checkpoint_with_more_steps(tmp_path, fitted):
    run = begun(tmp_path)
    overrides = ["--set", "compile.total_steps=8", "--set", "fit.report_steps=1"]
    assert main(["train", "--resume", str(run.path), *overrides]) == 0
    [(system, _, same, _, numbers)] = fitted
    assert (system.step, system.total_steps) == (2, 8)
    assert same.path == run.path and numbers["report_steps"] == 1
    assert Run(run.path).config["compile"]["total_steps"] == 8


def test_resume_refuses_what_it_cannot_do(tmp_path, capsys, fitted):
    run = begun(tmp_path)
    resume = ("train", "--resume", run.path)
    assert "begin a new run" in failure(capsys, *resume, "--set", "model.width=8")
    assert "begin a new run" in failure(capsys, *resume, "--set", "data.seed=8")
    average = failure(capsys, *resume, "--set", "compile.ema_decay=null")
    assert "compile.ema_decay would change what the run has trained" in average
    assert "averages.gen_ab" in average
    pool = failure(capsys, *resume, "--set", "compile.pool_size=3")
    assert "compile.pool_size would change" in pool and "pools.a" in pool
    assert "`compile.learning_rate` takes a number above 0 and up to 1, but -1 came" in failure(
        capsys, *resume, "--set", "compile.learning_rate=-1"
    )
    assert "--set compile.total_steps=4." in failure(
        capsys, *resume, "--set", "compile.total_steps=2"
    )
    with run.lock():
        assert "is being written by process" in failure(capsys, *resume)
    assert not fitted
    assert "changes" not in run.config and run.config["compile"]["ema_decay"] == 0.995
    assert "is not a run" in failure(capsys, "train", "--resume", CHECKOUT)


def rates(system) -> set[float]:
    return {round(rate, 9) for rate in system.optimizer.rates().values()}


def test_resume_changes_numbers_of_training_and_keeps_them_with_their_step(tmp_path, fitted):
    run = begun(tmp_path)
    trained = run.load_system()
    slot = trained.optimizers["generator"].variables[2]
    slot.assign(slot + 1)
    trained.pools["a"].held.assign(1)
    run.save_checkpoint(trained)
    resume = ["train", "--resume", str(run.path)]
    numbers = ["--set", "compile.learning_rate=1e-5", "--set", "compile.cycle_weight=3"]
    assert main([*resume, *numbers]) == 0
    assert run.changes == [
        {"step": 2, "setting": f"compile.{name}", "before": before, "after": after}
        for name, before, after in (("learning_rate", 4e-4, 1e-5), ("cycle_weight", 10.0, 3.0))
    ]
    assert "step 2: compile.learning_rate is now 1e-05, 0.0004 before" in run.log_path.read_text()
    # The checkpoint has the old numbers, as after a kill before the next one.
    assert main(resume) == 0
    for system, *_ in fitted:
        assert rates(system) == {1e-5} and system.cycle_weight == 3 and system.step == 2
        assert int(system.pools["a"].held.numpy()) == 1
        kept = system.optimizers["generator"].variables[2]
        np.testing.assert_array_equal(kept, slot)
    assert len(run.changes) == 2
    run.save_checkpoint(fitted[0][0])
    assert main([*resume, "--set", "compile.cycle_weight=10"]) == 0
    system = fitted[-1][0]
    assert rates(system) == {1e-5} and system.cycle_weight == 10
    assert [one["setting"].partition(".")[2] for one in run.changes[2:]] == ["cycle_weight"]


def test_a_rate_that_is_set_on_resume_replaces_what_callbacks_did(tmp_path, fitted):
    run = begun(tmp_path)
    system = run.load_system()
    system.optimizer.learning_rate = 0.25
    run.save_checkpoint(system)
    resume = ["train", "--resume", str(run.path), "--set"]
    assert main([*resume, "compile.cycle_weight=3"]) == 0 and rates(fitted[-1][0]) == {0.25}
    assert main([*resume, "compile.learning_rate=0.125"]) == 0 and rates(fitted[-1][0]) == {0.125}


# train --init


def test_init_begins_a_new_run_with_the_weights_of_another(tmp_path, capsys, fitted):
    old = begun(tmp_path)
    new = ("train", "cyclegan/scenes", "--smoke", "--runs", tmp_path, "--init", old.path)
    more = ("--set", "data.seed=9", "--set", "fit.seed=3")
    assert main([*map(str, new), *more, "--dry-run"]) == 0
    assert "# " + str(old.path) + ": all 26 layers begin" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 1
    assert main([*map(str, new), *more]) == 0
    [(system, _, run, *_)] = fitted
    assert system.step == 0 and run.path.name == "00002-cyclegan-scenes"
    weights_of = old.load_system().gen_ba.get_weights()
    assert all(map(np.array_equal, system.gen_ba.get_weights(), weights_of))
    assert run.environment["init"] == {
        **{"from": str(old.path.resolve()), "step": 2},
        **{"layers": 26, "fitting": 26, "fresh": [], "unused": []},
    }
    assert "all 26 layers begin with its weights" in run.log_path.read_text()
    # A kill before the first checkpoint: it begins with these weights again.
    assert main(["train", "--resume", str(run.path)]) == 0
    again = fitted[-1][0]
    assert again.step == 0 and int(again.seed.numpy()) == int(system.seed.numpy())
    assert all(map(np.array_equal, again.gen_ba.get_weights(), weights_of))


def test_init_with_nothing_that_fits_makes_nothing(tmp_path, capsys, fitted):
    old = begun(tmp_path / "old")
    new = ("train", "cyclegan/scenes", "--smoke", "--runs", tmp_path / "new")
    assert "is not a .keras file" in failure(capsys, *new, "--init", old.translator_path())
    wide = ("--set", "model.width=6", "--set", "model.discriminator_width=6")
    refused = failure(capsys, *new, *wide, "--init", old.path)
    assert "none of its layers fits this CycleGAN" in refused
    assert "gen_ab/conv0 (kernel is 7x7x3x4 there and 7x7x3x6 here)" in refused
    assert "cannot be read" in failure(capsys, *new, "--init", tmp_path / "nothing")
    assert "leave out CONFIG, --init" in failure(
        capsys, "train", "--resume", old.path, "--init", old.path
    )
    assert not (tmp_path / "new").exists() and not fitted


def test_resume_without_a_checkpoint_begins_again_with_the_same_weights(tmp_path, fitted):
    run = begun(tmp_path, checkpoint=False)
    assert main(["train", "--resume", str(run.path)]) == 0
    [(system, *_)] = fitted
    first = building.build_system(configs.load(run.config_path))
    assert system.step == 0
    for a, b in zip(system.gen_ab.get_weights(), first.gen_ab.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_stopping_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def fit(system, data, run, batches=None, **numbers):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", _with_signature_of(train.fit, fit))
    monkeypatch.setattr(train, "catch_up", lambda *arguments, **settings: None)
    command = ["train", "cyclegan/scenes", "--smoke", "--runs", str(tmp_path)]
    assert main(command) == 130
    err = capsys.readouterr().err
    assert f"tfi2i train --resume {tmp_path / '00001-cyclegan-scenes'}" in err


# translate


def test_translate_uses_the_direction_of_a_run_or_a_translator_file(tmp_path, capsys):
    run = translators(tmp_path / "runs")
    photo = picture(tmp_path / "photos" / "one.png")
    pixels = np.asarray(Image.open(photo)).astype(int)

    def result(name: str, *arguments: object) -> np.ndarray:
        command = ["translate", *map(str, arguments), str(photo), "--out", str(tmp_path / name)]
        assert main(command) == 0
        return np.asarray(Image.open(tmp_path / name / "one.png")).astype(int)

    np.testing.assert_allclose(result("a2b", run.path), 255 - pixels, atol=1)
    np.testing.assert_allclose(result("b2a", run.path, "--direction", "b2a"), pixels, atol=1)
    np.testing.assert_allclose(result("file", run.translator_path("b2a")), pixels, atol=1)
    np.testing.assert_allclose(result("tile", run.path, "--tile", "32"), 255 - pixels, atol=1)
    capsys.readouterr()
    again = ("translate", run.path, photo, "--out", tmp_path / "a2b")
    assert "--overwrite" in failure(capsys, *again)
    assert main([*map(str, again), "--overwrite"]) == 0


def test_translate_refuses_what_it_cannot_use(tmp_path, capsys):
    run = translators(tmp_path / "runs")
    photo, out = picture(tmp_path / "one.png"), ("--out", tmp_path / "out")
    file = run.translator_path("a2b")
    assert "one direction only" in failure(
        capsys, "translate", file, photo, *out, "--direction", "b2a"
    )
    assert "there is no such run directory" in failure(
        capsys, "translate", tmp_path / "nothing", photo, *out
    )
    assert "is not a .keras file" in failure(capsys, "translate", photo, photo, *out)
    assert "--tile 0" in failure(capsys, "translate", run.path, photo, *out, "--tile", "0")
    assert not (tmp_path / "out").exists()


# check-data


def test_check_data_ends_with_0_or_1(tmp_path, capsys):
    assert main(["check-data", "nice_gan/scenes", *SMALL]) == 0
    assert "No problems found." in capsys.readouterr().out
    pictures = {"trainA/a": 1, "trainB/b": 2, "testA/a": 1, "testB/b": 4}
    for name, seed in (pictures | {"trainA/c": 5, "trainB/d": 6}).items():
        picture(tmp_path / f"{name}.png", seed)
    assert main(["check-data", str(tmp_path)]) == 1
    assert "Problems (1)" in capsys.readouterr().out
    (tmp_path / "testA" / "a.png").unlink()
    picture(tmp_path / "testA" / "other.png", 3)
    options = (f"data.a={tmp_path}/trainA", f"data.b={tmp_path}/trainB")
    options += (f"data.test_a={tmp_path}/testA", f"data.test_b={tmp_path}/testB")
    sets = [word for option in options for word in ("--set", option)]
    assert main(["check-data", "--set", "data.source=folders", *sets]) == 0


def test_check_data_refuses_what_train_refuses_and_no_run_is_made(tmp_path, capsys, fitted):
    for i, name in enumerate(("trainA/a", "trainA/b", "trainB/c", "testA/d", "testB/e")):
        picture(tmp_path / "data" / f"{name}.png", i)
    few = "trainB needs 2 pictures or more that can be read"
    assert main(["check-data", str(tmp_path / "data")]) == 1
    out = capsys.readouterr().out
    assert few in out and "No problems" not in out
    folders = ("train", "nice_gan/folders", "--smoke", "--set", f"data.root={tmp_path / 'data'}")
    folders += ("--runs", tmp_path / "runs")
    assert few in failure(capsys, *folders)
    assert few not in failure(capsys, *folders, "--set", "fit.report_steps=0")
    assert not (tmp_path / "runs").exists() and not fitted


def test_a_range_of_values_is_kept_as_the_numbers_that_were_found(tmp_path, capsys, fitted):
    for name in ("trainA/a", "trainA/b", "trainB/c", "trainB/d", "testA/e", "testB/f"):
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.linspace(100, 4000, 64 * 64).reshape(64, 64).astype(np.uint16)
        Image.fromarray(values + ord(name[-1])).save(path)
    command = ["train", "nice_gan/folders", "--smoke", "--runs", str(tmp_path / "runs")]
    command += ["--set", f"data.root={tmp_path / 'data'}"]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "trainA: its 2 pictures of more than 8 bits hold values" in said
    assert "data.value_range" in fitted[0][2].log_path.read_text()
    assert main([*command, "--set", "data.value_range={a: auto}", "--set", "data.swap=true"]) == 0
    run = fitted[1][2]
    a = (100 + ord("a"), 4000 + ord("b"))
    assert run.config["data"]["value_range"] == {"a": [*map(float, a)]}
    assert run.value_range("b") == a and run.value_range("a") is None, "they are exchanged"
    assert fitted[1][1].train["b"].value_range == a


def test_check_data_says_where_training_distorts_pictures(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name in ("trainA/0", "trainA/1", "trainA/2", "trainB/3", "trainB/4", "trainB/5"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 96, 3), np.uint8)).save(path)
    assert main(["check-data", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert (
        "Notes (2)" in text and "train a: batches.aspect squashes pictures such as 32 x 96" in text
    )
    for setting in ("batches.aspect=crop", "model.image_size=[96, 288]"):
        assert main(["check-data", str(tmp_path), "--set", setting]) == 0
        assert "squash" not in capsys.readouterr().out


def test_check_data_needs_data(capsys, tmp_path):
    assert "needs a configuration, a folder" in failure(capsys, "check-data")
    assert "has no folder trainA" in failure(capsys, "check-data", tmp_path)


# import


def test_import_makes_a_run_to_use_and_to_train_on(tmp_path, capsys, monkeypatch, fitted):
    from tfi2i.models import ALL

    def read_checkpoint(system_name, path, *, direction):
        system = ALL[system_name]
        return SimpleNamespace(system=lambda model: system(**system.smoke | model), fresh=())

    monkeypatch.setattr(checkpoints, "read_checkpoint", read_checkpoint)
    command = ["import", "CycleGAN", "h2z_params.pt", "--runs", str(tmp_path)]
    assert main([*command, "--set", "model.blocks=2"]) == 0
    run = Run(tmp_path / "00001-cyclegan-h2z-params")
    assert run.config["model"]["blocks"] == 2 and run.config["model"]["width"] == 4
    assert run.network("b2a").count_params() > 0
    capsys.readouterr()
    mine = tmp_path / "runs" / "mine"
    assert main(["import", "CycleGAN", "h2z_params.pt", str(mine)]) == 0
    assert Run(mine).network("a2b").count_params() > 0
    assert Run(mine).completion.step == 0
    capsys.readouterr()
    assert "exists already" in failure(capsys, "import", "CycleGAN", "h2z_params.pt", str(mine))
    resume = ("train", "--resume", run.path)
    assert "has no section `data`" in failure(capsys, *resume)
    assert main([*map(str, resume), "--set", "data.source=scenes", *SMALL]) == 0
    assert fitted[0][0].step == 0 and Run(run.path).config["data"]["source"] == "scenes"


def test_a_folder_of_networks_is_imported_and_translates_the_same(tmp_path):
    from tests.official.torch_writer import state_dict, write_zip
    from tfi2i.models import CycleGAN

    folder = tmp_path / "horse2zebra"
    folder.mkdir()
    system = CycleGAN(**CycleGAN.smoke)
    for network, tensors in weights.export_official(system).items():
        write_zip(folder / f"100_net_{network}.pth", state_dict(tensors))
    size = ("--set", f"model.image_size={CycleGAN.smoke['image_size']}")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 40, 3)).astype("float32")
    wanted = np.asarray(system.network("a2b")(image))
    for path, name in (
        (folder, "00001-cyclegan-horse2zebra"),
        (folder / "100_net_D_B.pth", "00002-cyclegan-horse2zebra-100"),
    ):
        runs = tmp_path / "runs"
        assert main(["import", "CycleGAN", str(path), "--runs", str(runs), *size]) == 0
        np.testing.assert_array_equal(Run(runs / name).network("a2b")(image), wanted)


def test_a_lone_generator_is_imported_in_the_direction_that_is_named(tmp_path, capsys):
    from tests.official.torch_writer import state_dict, write_zip
    from tfi2i.models import CycleGAN

    system = CycleGAN(**CycleGAN.smoke)
    tensors = weights.export_official(system)["G_A"]
    path = write_zip(tmp_path / "latest_net_G.pth", state_dict(tensors))
    size = ("--set", f"model.image_size={CycleGAN.smoke['image_size']}")
    command = ["import", "CycleGAN", str(path), str(tmp_path / "run"), *size]
    assert main([*command, "--direction", "b2a"]) == 0
    assert "holds G_B; G_A, D_A, D_B are not in it and fresh." in capsys.readouterr().err
    run = Run(tmp_path / "run")
    assert run.environment["fresh"] == ["G_A", "D_A", "D_B"]
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 40, 3)).astype("float32")
    np.testing.assert_array_equal(run.network("b2a")(image), system.network("a2b")(image))
    refused = failure(capsys, "import", "CUT", path, "--direction", "b2a")
    assert refused == "CUT has no direction 'b2a'; choose a2b."


def test_a_folder_without_networks_is_no_import(capsys, tmp_path):
    refused = failure(capsys, "import", "CycleGAN", tmp_path, "--runs", tmp_path / "runs")
    assert "a folder without files such as latest_net_G_A.pth" in refused
    assert not (tmp_path / "runs").exists()


def test_import_takes_only_the_architecture(capsys):
    refused = failure(capsys, "import", "NICEGAN", "x.pt", "--set", "fit.seed=1")
    assert "only model.… can be set here" in refused


# demo


def test_demo_is_called_with_folder_and_seed(monkeypatch):
    calls = []

    def run(arguments):
        calls.append((arguments.out, arguments.seed, arguments.smoke))
        return 0

    monkeypatch.setattr(demo, "run", run)
    assert main(["demo"]) == main(["demo", "--out", "x", "--seed", "3", "--smoke"]) == 0
    assert calls == [(Path("demo"), 0, False), (Path("x"), 3, True)]
