"""A run is killed at each of its writes, and the disk is full at each: nothing is lost."""

import contextlib
import errno
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from lamp import STEPS, assert_same, begin, contents, make_known, run_in
from squares import use_squares
from stand_in import register

from tfi2i import files
from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.runs import completion
from tfi2i.runs.run import Run


@pytest.fixture(scope="module", autouse=True)
def known():
    with pytest.MonkeyPatch.context() as patch:
        make_known(patch)
        yield


def watch(patch, seen):
    """Has a function called at each write: before a file is renamed, and behind that."""
    original = files.sync

    def sync(path):
        seen(path)
        original(path)

    patch.setattr(files, "sync", sync)


@pytest.fixture(scope="module")
def killed(known, tmp_path_factory):
    """The run that nobody killed, and copies of what was on the disk at each of its writes."""
    folder = tmp_path_factory.mktemp("whole")
    with copied_at_writes(folder) as copies:
        assert begin(folder) == 0
    return contents(run_in(folder)), copies


@contextlib.contextmanager
def copied_at_writes(folder):
    """Copies of a folder's run, made inside before each file has its name, and of the end."""
    copies = []

    def copy(path):
        # Behind a rename a run is as it is before the next one, but for the temporary file.
        if run_in(folder).is_dir() and not path.is_dir():
            to = folder / f"at_write_{len(copies):02d}"
            shutil.copytree(run_in(folder), run_in(to))
            copies.append((to, path.name))

    with pytest.MonkeyPatch.context() as patch:
        watch(patch, copy)
        yield copies
    copy(Path("the_end"))


def test_killed_at_any_write_and_resumed_a_run_ends_as_if_it_had_not_been(killed, tmp_path, capsys):
    whole, copies = killed
    assert whole["complete"] == STEPS and whole["candidates"] == {1}
    assert len(whole["sheets"]) == STEPS + 1 and whole["left"] == []
    names = {name for _, name in copies}
    assert {".last.tmp.keras", ".best.tmp.keras", ".sample.tmp.keras", "metrics.jsonl"} <= names
    assert {".complete.tmp.json", ".000002.tmp.png", "the_end"} <= names
    finished = resumed(copies, tmp_path, whole, capsys)
    assert finished[-1] and 1 < sum(finished) < len(finished)


def test_killed_once_more_while_it_catches_up(killed, tmp_path, capsys):
    whole, _ = killed
    folder = behind_the_last_checkpoint(killed, tmp_path)
    with copied_at_writes(tmp_path) as copies:
        assert main(["train", "--resume", str(folder)]) == 2
    assert all(resumed(copies, tmp_path / "again", whole, capsys))


def test_what_a_kill_left_is_made_before_a_run_goes_on_with_more_steps(killed, tmp_path):
    folder = behind_the_last_checkpoint(killed, tmp_path)
    sheet = folder / "samples" / "000002.png"
    assert not sheet.exists() and Run(folder).completion.step is None
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        watch(patch, lambda path: seen.append(sheet.exists()))
        settings = ["--set", "compile.total_steps=3", "--set", "fit.sample_steps=3"]
        assert main(["train", "--resume", str(folder), *settings]) == 0
    assert seen.index(True) < len(seen) / 2
    assert Run(folder).completion.step == Run(folder).load_system().step == 3


def test_a_run_of_before_there_was_a_record_catches_up_too(killed, tmp_path, capsys):
    whole, _ = killed
    folder = behind_the_last_checkpoint(killed, tmp_path)
    (folder / completion.NAME).unlink()
    assert Run(folder).network()  # not verified
    assert main(["train", "--resume", str(folder)]) == 2
    assert_same(contents(folder), whole)


def test_a_damaged_translator_is_made_again_by_a_resume(killed, tmp_path):
    whole, copies = killed
    shutil.copytree(run_in(copies[-1][0]), run_in(tmp_path))
    run = Run(run_in(tmp_path))
    run.translator_path("sample").write_bytes(b"no translator")
    sheet = run.sample_path(STEPS).stat().st_mtime_ns
    with pytest.raises(InputError, match="makes it again of the last checkpoint"):
        run.network()
    assert main(["train", "--resume", str(run.path)]) == 2
    assert_same(contents(run.path), whole)
    assert run.sample_path(STEPS).stat().st_mtime_ns == sheet  # of other data it would be another


def behind_the_last_checkpoint(killed, folder):
    """A copy of the run that has its last checkpoint and nothing else of that step."""
    _, copies = killed
    last = [i for i, (_, name) in enumerate(copies) if name == ".last.tmp.keras"][STEPS - 1]
    shutil.copytree(run_in(copies[last + 1][0]), run_in(folder))
    return run_in(folder)


def resumed(copies, folder, whole, capsys):
    """Goes on with each copy of a run, compares it with one that was not killed; those finished."""
    finished = []
    for made, name in copies:
        path = run_in(folder / made.name)
        shutil.copytree(run_in(made), path)
        for file in path.glob("*/[!.]*.keras"):
            completion.verify(file)  # between a file and its record, too
        code = main(["train", "--resume", str(path)])
        said = capsys.readouterr().err
        assert code in (0, 2) and ("has made all its 2 steps" in said) == (code == 2), said
        finished.append(code == 2)
        try:
            assert_same(contents(path), whole)
        except AssertionError as error:
            error.add_note(f"{made.name}: {name}")
            raise
    return finished


# kill -9

# Every training is a process of its own, split off from one that has done the imports.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tfi2i.cli", "tfi2i.training.fit", "tfi2i.models", "stand_in"])


def command(*arguments):
    process = PROCESSES.Process(target=typed, args=(["train", *map(str, arguments)],))
    process.start()
    return process


def typed(words):
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        use_squares(patch)
        sys.exit(main(words))


def reports_of(path):
    return path.read_text().count("\n") if path.exists() else 0


def kill_after(process, metrics, reports, delay):
    """kill -9 once so many reports are there, and a moment later."""
    end = time.monotonic() + 300
    while reports_of(metrics) < reports and process.is_alive() and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(delay)
    assert process.is_alive(), f"ended before it could be killed, with {process.exitcode}"
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_and_resumed_a_process_ends_with_the_same_bits(tmp_path):
    config = tmp_path / "painter.yaml"
    config.write_text(
        "system: Painter\nmodel: {width: 4}\ndata: {source: seasons}\nbatches: {batch_size: 2}\n"
        "compile: {total_steps: 60, ema_decay: 0.9}\nfit: {report_steps: 2, sample_steps: 12,"
        " checkpoint_steps: 4, evaluate_images: 2, sample_images: 1, show: false}\n"
    )
    whole = command(config, "--runs", tmp_path / "whole")
    process = command(config, "--runs", tmp_path / "killed")
    paths = [tmp_path / name / "00001-painter-seasons" for name in ("whole", "killed")]
    chance = random.Random()
    # With or without a checkpoint yet.
    kill_after(process, paths[1] / "metrics.jsonl", chance.randint(1, 8), chance.uniform(0, 0.2))
    step = Run(paths[1]).read_metrics()[-1]["step"]
    process = command("--resume", paths[1])
    for one in (whole, process):
        one.join(300)
        assert one.exitcode == 0
    ours, theirs = contents(paths[1]), contents(paths[0])
    for which in ("last", "best"):
        systems = [Run(path).load_system(which) for path in paths]
        values = [[v.numpy() for v in system.optimizers["g"].variables] for system in systems]
        keras.tree.map_structure(np.testing.assert_array_equal, *values)
    try:
        assert_same(ours, theirs)
    except AssertionError as error:
        error.add_note(f"after a kill at step {step}")
        raise


# the disk is full, and SIGTERM


@pytest.mark.parametrize(
    "name",
    [
        *("last.keras", "sample.keras", "best.keras", "000001.png"),
        *("metrics.jsonl", "log.txt", "tensorboard"),
    ],
)
def test_on_a_full_disk_the_sentence_names_the_file_and_the_way_on(name, tmp_path, capsys):
    path = run_in(tmp_path)

    def fill(file):
        if file.name == f".{Path(name).stem}.tmp{Path(name).suffix}" or file.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        watch(patch, fill)
        if name == "log.txt":
            patch.setattr(logging.StreamHandler, "emit", full_log(logging.StreamHandler.emit))
        if name == "tensorboard":
            patch.setattr(tf.summary, "scalar", full_events)
        assert begin(tmp_path) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert (
        name in said
        and f"No space left on device; make room, and go on by tfi2i train --resume {path}." in said
    )
    assert "Traceback" not in said
    if name == "best.keras":
        assert main(["train", "--resume", str(path)]) == 0


def full_log(emit):
    def full(handler, record):
        if isinstance(handler, logging.FileHandler) and "step 1" in record.getMessage():
            try:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                handler.handleError(record)
        else:
            emit(handler, record)

    return full


def full_events(name, value):
    raise tf.errors.ResourceExhaustedError(None, None, "x.v2; No space left on device\n\tMore")


def test_a_run_that_cannot_be_made_on_a_full_disk_names_the_file(tmp_path, capsys):
    def fill(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        watch(patch, fill)
        assert begin(tmp_path) == 2
    assert "config.yaml: No space left on device); give another folder" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_stopped_says_how_to_go_on(number, code, tmp_path, capsys):
    def stop(path):
        if path.name == ".000001.tmp.png":
            os.kill(os.getpid(), number)
            time.sleep(1)  # until Python's handler comes

    with pytest.MonkeyPatch.context() as patch:
        watch(patch, stop)
        assert begin(tmp_path) == code
    path = run_in(tmp_path)
    assert (
        f"To go on from the last checkpoint: tfi2i train --resume {path}" in capsys.readouterr().err
    )
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert main(["train", "--resume", str(path)]) == 0
    assert Run(path).completion.step == STEPS


def test_sigterm_before_there_is_a_run_ends_with_143(tmp_path, capsys, monkeypatch):
    def stop(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    monkeypatch.setattr("tfi2i.config.building.build_data", stop)
    assert begin(tmp_path) == 143
    assert capsys.readouterr().err.endswith("tfi2i: error: stopped.\n")
