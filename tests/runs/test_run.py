"""A run directory: nothing overwritten, nothing half-written, one writer."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from fuzz.disks import Disk

from tfi2i.conditions import BOTH_WAYS
from tfi2i.errors import InputError
from tfi2i.files import append, replacing
from tfi2i.runs.keras_files import load_translator, read_ranges
from tfi2i.runs.run import Run

CONFIG = {"system": "NICEGAN", "compile": {"learning_rate": 1e-5, "total_steps": 10}}
CHECKOUT = Path(__file__).parents[2]


def new_run(parent: Path, data: str = "scenes") -> Run:
    return Run.create(parent, "NICEGAN", data, CONFIG, {"versions": {"python": "3"}})


def translator() -> keras.Model:
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.Conv2D(3, 1, name="paint")(image))


def python(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )


# creating and opening


def test_a_run_is_numbered_named_and_complete_when_it_appears(tmp_path):
    first = new_run(tmp_path / "runs", "cycle_gan/horse2zebra")
    second = new_run(tmp_path / "runs")
    assert first.name == "00001-nicegan-cycle-gan-horse2zebra"
    assert second.name == "00002-nicegan-scenes"
    assert second.config == CONFIG
    assert second.environment == {"versions": {"python": "3"}}
    assert sorted(p.name for p in second.path.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "environment.json",
        "evaluation",
        "exports",
        "samples",
        "translators",
    ]


def test_changes_are_kept_with_the_settings(tmp_path):
    run = new_run(tmp_path)
    assert run.changes == []
    change = {"step": 7, "setting": "compile.learning_rate", "before": 0.5, "after": 0.25}
    run.replace_config(CONFIG, [change])
    assert run.changes == [change] and run.config == CONFIG | {"changes": [change]}
    run.config_path.write_text("system: NICEGAN\nchanges: [7]\n")
    with pytest.raises(InputError, match="`changes` is no list of step, setting"):
        _ = run.changes


def test_the_number_goes_on_after_the_largest_even_if_runs_were_deleted(tmp_path):
    (tmp_path / "00041-unit-maps").mkdir()
    (tmp_path / "not-a-run").mkdir()
    assert new_run(tmp_path).name.startswith("00042-")


def test_a_number_that_a_killed_process_claimed_is_skipped(tmp_path):
    (tmp_path / ".00001").mkdir()
    assert new_run(tmp_path).name.startswith("00002-")


def test_creating_at_once_gives_every_run_its_own_number(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        runs = list(pool.map(lambda i: new_run(tmp_path, f"data{i % 3}"), range(48)))
    numbers = sorted(int(run.name.split("-")[0]) for run in runs)
    assert numbers == list(range(1, 49))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["../../etc", "ä ö", "", "a/b\x00c", "x" * 300])
def test_a_strange_data_name_stays_a_plain_folder_name(tmp_path, name):
    run = new_run(tmp_path, name)
    assert run.path.parent == tmp_path
    assert run.name.isascii() and len(run.name) < 80


def test_a_parent_that_cannot_hold_runs_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file: a run cannot be created there .*--runs"):
        new_run(tmp_path / "file")


def test_opening_what_is_no_run_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match="nothing: there is no such run directory"):
        Run(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"config\.yaml and environment\.json missing, which"):
        Run(tmp_path)
    new_run(tmp_path)
    with pytest.raises(InputError, match="did you mean .*00001-nicegan-scenes"):
        Run(tmp_path)
    (tmp_path / "00001-nicegan-scenes" / "environment.json").unlink()
    with pytest.raises(InputError, match=r"is not a run: environment\.json missing"):
        Run(tmp_path / "00001-nicegan-scenes")


def test_replaced_settings_are_read_back(tmp_path):
    run = new_run(tmp_path)
    run.replace_config(CONFIG | {"compile": {"total_steps": 20}})
    assert Run(run.path).config["compile"] == {"total_steps": 20}


def test_paths_are_the_specified_ones(tmp_path):
    run = new_run(tmp_path)
    relative = [
        p.relative_to(run.path).as_posix()
        for p in (
            run.log_path,
            run.metrics_path,
            run.tensorboard_dir,
            run.sample_path(200),
            run.checkpoint_path(),
            run.checkpoint_path("best"),
            run.translator_path("b2a"),
            run.evaluation_dir,
            run.exports_dir,
        )
    ]
    assert relative == [
        "log.txt",
        "metrics.jsonl",
        "tensorboard",
        "samples/000200.png",
        "checkpoints/last.keras",
        "checkpoints/best.keras",
        "translators/b2a.keras",
        "evaluation",
        "exports",
    ]


# metrics


def test_metrics_come_back_in_order_with_numpy_and_non_finite_values(tmp_path):
    run = new_run(tmp_path)
    assert run.read_metrics() == []
    run.append_metrics({"step": 1, "g_cycle": np.float32(0.5), "d_local": float("nan")})
    run.append_metrics({"step": np.int64(2), "g_cycle": keras.ops.convert_to_tensor(0.25)})
    assert run.read_metrics() == [
        {"step": 1, "g_cycle": 0.5, "d_local": None},
        {"step": 2, "g_cycle": 0.25},
    ]
    assert all(json.loads(line) for line in run.metrics_path.read_text().splitlines())


def test_a_torn_last_line_is_left_out_and_never_glued_to_the_next(tmp_path):
    run = new_run(tmp_path)
    run.append_metrics({"step": 1})
    with run.metrics_path.open("a") as file:
        file.write('{"step": 2, "g_cy')
    assert run.read_metrics() == [{"step": 1}]
    run.append_metrics({"step": 2})
    assert run.read_metrics() == [{"step": 1}, {"step": 2}]


def test_a_damaged_line_inside_is_named(tmp_path):
    run = new_run(tmp_path)
    run.metrics_path.write_text('{"step": 1}\nhello\n{"step": 3}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl line 2: b'hello' is not a report"):
        run.read_metrics()
    run.metrics_path.write_text('{"step": 1}\n{"step": null}\n')
    with pytest.raises(
        InputError, match=r"metrics\.jsonl line 2: .* is not a report with its step"
    ):
        run.truncate_metrics(0)


def test_truncating_drops_what_the_checkpoint_does_not_hold(tmp_path):
    run = new_run(tmp_path)
    run.truncate_metrics(5)
    assert not run.metrics_path.exists()
    for step in (2, 4, 6, 8):
        run.append_metrics({"step": step, "g_cycle": 0.1})
    run.truncate_metrics(5)
    assert [report["step"] for report in run.read_metrics()] == [2, 4]
    run.append_metrics({"step": 6})
    assert [report["step"] for report in run.read_metrics()] == [2, 4, 6]


# writing


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "last.keras"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["last.keras"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "No space left on device", "the_source"),  # as when a file is copied
        RuntimeError("Unable to flush (errno = 28, error message = 'No space left on device')"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_whoever_finds_the_disk_full_the_error_names_the_file(tmp_path, error):
    path = tmp_path / "last.keras"
    with pytest.raises(OSError, match="No space left|quota") as caught, replacing(path):
        raise error
    assert caught.value.filename == str(path) and not list(tmp_path.iterdir())
    with pytest.raises(PermissionError, match="other"), replacing(path):
        raise PermissionError(errno.EACCES, "denied", "other")
    with pytest.raises(IsADirectoryError):
        append(tmp_path, b"line")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_killed_while_writing_leaves_the_checkpoint_whole(tmp_path):
    run = new_run(tmp_path)
    with replacing(run.checkpoint_path()) as temporary:
        temporary.write_text("whole")
    writer = python(
        "import pathlib, sys, time\n"
        "from tfi2i.runs.run import Run\nfrom tfi2i.files import append, replacing\n"
        "run = Run(sys.argv[1])\n"
        "with run.lock(), replacing(run.checkpoint_path()) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n",
        run.path,
    )
    assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
    with (
        pytest.raises(InputError, match=f"is being written by process {writer.pid} on"),
        run.lock(),
    ):
        pass
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert run.checkpoint_path().read_text() == "whole"
    assert (run.path / "checkpoints" / ".last.tmp.keras").exists()
    with run.lock():  # the kernel freed it
        assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["last.keras"]


def test_the_lock_is_free_again_after_use_and_names_this_process_meanwhile(tmp_path):
    run = new_run(tmp_path)
    with run.lock(), pytest.raises(InputError, match=f"process {os.getpid()} on"), run.lock():
        pass
    with run.lock():
        pass


def test_a_full_disk_names_the_lock(tmp_path):
    run = new_run(tmp_path)
    with (
        Disk(tmp_path, "full", 1),
        pytest.raises(OSError, match=r"No space left on device: .*lock") as caught,
        run.lock(),
    ):
        pass
    assert caught.value.filename == str(run.path / "lock")


def test_the_log_is_added_to_and_ends_with_what_went_wrong(tmp_path):
    run = new_run(tmp_path)
    log = logging.getLogger("tfi2i")
    log.setLevel(logging.INFO)
    with run.logged():
        log.info("step %d: 100 %% done", 1)
    with pytest.raises(InputError), run.logged():
        raise InputError("training diverged at step 2: 5 % is ä.")
    with pytest.raises(ZeroDivisionError), run.logged():
        1 // 0  # noqa: B018
    log.info("outside")
    lines = run.log_path.read_text("utf-8").splitlines()
    assert lines[0].endswith(" INFO step 1: 100 % done")
    assert lines[1].endswith(" ERROR training diverged at step 2: 5 % is ä.")
    assert "Traceback" in lines[3] and "outside" not in run.log_path.read_text("utf-8")


# models


class Switch:
    """A system as far as `save_translators` asks."""

    directions = BOTH_WAYS
    conditions = ()

    def network(self, direction: str) -> keras.Model:
        model = translator()
        model.get_layer("paint").bias.assign([float(direction == "b2a")] * 3)
        return model


def test_translators_are_saved_by_direction_and_read_back(tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(InputError, match=r"has no translator a2b \(none yet"):
        run.network()
    run.save_translators(Switch())
    assert run.network("b2a").get_layer("paint").bias.numpy().tolist() == [1.0, 1.0, 1.0]
    run.translator_path("b2a").unlink()
    with pytest.raises(InputError, match=r"has no translator b2a \(only a2b\)"):
        run.network("b2a")


def test_translators_carry_the_ranges_of_their_domains(tmp_path):
    data = {"value_range": {"a": [0.0, 4095.0], "b": None}}
    run = Run.create(tmp_path, "NICEGAN", "x", CONFIG | {"data": data}, {})
    run.save_translators(Switch())
    assert read_ranges(run.translator_path("a2b")) == ((0, 4095), None)
    assert read_ranges(run.translator_path("b2a")) == (None, (0, 4095))
    assert run.network("a2b") and run.conditions("a2b") == ()
    plain = new_run(tmp_path)
    plain.save_translators(Switch())
    path = plain.translator_path("a2b")
    with zipfile.ZipFile(path) as archive:
        assert "value_ranges.json" not in archive.namelist(), "as older files, which still load"
    assert read_ranges(path) == (None, None)


@pytest.mark.parametrize(
    "content",
    ["[1]", "{", '{"source": [5, 1], "target": null}', '{"source": [0, NaN], "target": [0, 1]}'],
)
def test_damaged_ranges_are_refused(tmp_path, content):
    path = tmp_path / "a2b.keras"
    translator().save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("value_ranges.json", content)
    with pytest.raises(InputError, match=r"a2b\.keras: its value_ranges\.json is damaged"):
        read_ranges(path)


def test_a_run_without_checkpoint_says_so(tmp_path):
    with pytest.raises(InputError, match=r"has no checkpoint last\.keras"):
        new_run(tmp_path).load_system()


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    run = new_run(tmp_path)
    translator().save(run.checkpoint_path())
    with pytest.raises(InputError, match="holds a Functional and not a system"):
        run.load_system()


def test_a_fresh_process_loads_what_was_saved(tmp_path):
    from tfi2i.models import ALL

    system = ALL["CycleGAN"](**ALL["CycleGAN"].smoke)
    system.compile(total_steps=77, ema_decay=0.9)
    system.step_counter.assign(5)
    run = Run.create(tmp_path, "CycleGAN", "scenes", {"system": "CycleGAN"}, {})
    run.save_checkpoint(system)
    run.copy_last_to_best()
    run.save_translators(system)
    loader = python(
        "import sys\nfrom tfi2i.runs.run import Run\n"
        "run = Run(sys.argv[1])\n"
        "print(run.network('b2a').count_params())\n"
        "best = run.load_system('best')\n"
        "print(best.step, best.total_steps, best.ema_decay)\n",
        run.path,
    )
    out, _ = loader.communicate(timeout=120)
    assert out.split() == [str(system.network("b2a").count_params()), "5", "77", "0.9"]


def test_a_lambda_layer_is_refused_and_not_run(tmp_path):
    path = tmp_path / "stranger.keras"
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image)).save(path)
    with pytest.raises(InputError, match=r"stranger\.keras: is not loaded: it contains a Lambda"):
        load_translator(path)


def test_what_maps_no_images_to_images_is_refused(tmp_path):
    vector = keras.Input((5,))
    keras.Model(vector, keras.layers.Dense(2)(vector)).save(tmp_path / "dense.keras")
    with pytest.raises(InputError, match=r"maps \(None, 5\) to \(None, 2\), but a translator maps"):
        load_translator(tmp_path / "dense.keras")


def test_damaged_and_foreign_files_are_refused(tmp_path):
    whole = tmp_path / "whole.keras"
    translator().save(whole)
    torn = tmp_path / "torn.keras"
    torn.write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"torn\.keras: is damaged or no \.keras file"):
        load_translator(torn)
    content = whole.read_bytes()
    at = content.rindex(b"PK\x01\x02")  # the last file's entry in the list of the archive
    for place, value in {6: 228, 10: 77, 8: 1}.items():  # version, packing, encryption
        torn.write_bytes(content[: at + place] + bytes([value]) + content[at + place + 1 :])
        with pytest.raises(InputError, match=r"torn\.keras: (is damaged|cannot be loaded)"):
            load_translator(torn)
    other = tmp_path / "other.keras"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(InputError, match=r"metadata\.json, model\.weights\.h5 missing"):
        load_translator(other)
    with pytest.raises(InputError, match=r"is not a \.keras file that exists"):
        load_translator(tmp_path / "nothing.keras")


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path):
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", bytes(20_000_000))
    started = time.monotonic()
    with pytest.raises(InputError, match=r"unpacks to 20,000,004 bytes"):
        load_translator(bomb)
    assert time.monotonic() - started < 1


def test_a_run_can_have_a_name_of_its_own_that_is_free(tmp_path):
    run = Run.create(tmp_path, "NICEGAN", "x", {"system": "NICEGAN"}, {}, folder="mine")
    assert run.path == tmp_path / "mine"
    with pytest.raises(InputError, match="mine: exists already"):
        Run.create(tmp_path, "NICEGAN", "x", {"system": "NICEGAN"}, {}, folder="mine")


def test_a_file_that_repeats_itself_as_a_name_is_refused_in_a_short_sentence(tmp_path):
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, " " * 3_000)
    content = bytearray(path.read_bytes())
    content[26:28] = (2_000).to_bytes(2, "little")  # the length of the first name
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.keras: .*File name in directory") as caught:
        load_translator(path)
    assert len(str(caught.value)) < 500 and str(caught.value).endswith(".")
