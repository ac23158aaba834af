"""What is measured of .tflite files, what it is compared with, and how it is shown and written."""

import dataclasses
import io
import json
import os

import numpy as np
import pytest
from rich.console import Console
from small_files import file_of_two_sizes, free_file, network, point_file, written
from tfi2i_export.graph.fold import fold
from tfi2i_export.tflite import bench as bench_module
from tfi2i_export.tflite import bench_report as comparison
from tfi2i_export.tflite.bench import (
    PLAIN,
    Latency,
    Result,
    bench,
    plain_export,
    run_of,
    tflite_files,
)
from tfi2i_export.tflite.conversion import convert
from tfi2i_export.tflite.inspection import inspect
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.peak_memory import peak_memory_mb

from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.runs.run import Run


class FakeRun:
    """Of a run what `plain_export` uses."""

    def network(self, direction):
        assert direction == "b2a"
        return network()


@pytest.fixture
def one_thread(monkeypatch):
    monkeypatch.setattr(bench_module.os, "cpu_count", lambda: 1)


def result(name="a2b-int8", median=10.0, **changes):
    values = {
        "name": name,
        "format": "int8",
        "size": (64, 64),
        "size_bytes": 409_520,
        "partitions": 1,
        "undelegated": {},
        "latency": {1: Latency(median_ms=median, low_ms=median - 1, high_ms=median + 2)},
        "memory_mb": 7.4,
        "ratio_float32": 0.52,
        "ratio_plain": None,
        "psnr_db": 45.1,
    }
    return Result(**(values | changes))


def test_files_are_measured_and_compared(tmp_path, one_thread, caplog):
    caplog.set_level("INFO", "tfi2i")
    written(tmp_path, "big", free_file(), image_size=64)
    written(tmp_path, "other", free_file(), format="int8", image_size=64)
    written(tmp_path, "small", point_file(), format="int8", agreement=None)
    plain = tmp_path / "plain" / "any.tflite"
    plain.parent.mkdir()
    plain.write_bytes(convert(fold(network(), side=64, pad="mirror")))
    told = []
    found = bench([tmp_path], runs=5, plain=plain, progress=lambda *progress: told.append(progress))
    assert [one.name for one in found] == ["big", "other", "small", PLAIN]
    assert caplog.messages == ["Not timed with 2 or 4 threads, more than the cores (1)."]
    assert told == [(i + 1, 9) for i in range(9)]
    for one in found:
        (latency,) = one.latency.values()
        assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
        assert one.memory_mb > 0
    big, other, small, unrewritten = found
    assert (big.size, small.size) == ((64, 64), (32, 48))
    assert big.size_bytes == len(free_file())
    assert (big.partitions, big.undelegated) == (1, {})
    assert unrewritten.partitions > 1 and unrewritten.undelegated["MIRROR_PAD"] == 3
    medians = {one.name: one.latency[1].median_ms for one in found}
    assert (big.ratio_float32, unrewritten.ratio_plain) == (1, 1)
    assert other.ratio_float32 == medians["other"] / medians["big"]
    assert other.ratio_plain == medians["other"] / medians[PLAIN]
    assert small.ratio_float32 is None and small.ratio_plain is None  # another size
    assert (big.psnr_db, small.psnr_db, unrewritten.psnr_db) == (45, None, None)


def test_files_take_turns(tmp_path, one_thread, monkeypatch):
    paths = [written(tmp_path, name, point_file()) for name in "ab"]
    turns = []
    monkeypatch.setattr(
        bench_module, "_warmed_up", lambda file, threads: lambda: turns.append((file.name, threads))
    )
    bench(paths, runs=3, threads=(1,))
    # Each twice in a row, of which the second is timed.
    assert turns == [("a", 1), ("a", 1), ("b", 1), ("b", 1)] * 3


def test_what_converts_only_rewritten_is_measured_alone(tmp_path, one_thread, caplog, monkeypatch):
    def convert(*arguments):
        raise InputError("The model does not convert to .tflite: noise\nand more")

    monkeypatch.setattr(bench_module, "plain_export", convert)
    written(tmp_path, "free", free_file(), image_size=64)
    run = Run.create(tmp_path, "NICEGAN", "x", {}, {})
    (only,) = bench([tmp_path / "free.tflite"], runs=1, plain=run)
    assert (only.name, only.ratio_plain) == ("free", None)
    assert "nothing is compared with that: The model does not convert to .tflite: noise…" in (
        caplog.text
    )


def test_the_plain_export_translates_alike_without_rewrites(tmp_path):
    content = plain_export(FakeRun(), "b2a", (48, 64))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), np.uint8)
    translated = [TFLiteTranslator(model)(pixels) for model in (content, free_file())]
    assert np.abs(translated[0].astype(int) - translated[1]).max() <= 1
    assert inspect(content).operators["MIRROR_PAD"] == 3
    assert "MIRROR_PAD" not in inspect(free_file()).operators


def test_a_run_is_converted_for_the_first_file(tmp_path, monkeypatch):
    for name in ("config.yaml", "environment.json"):
        (tmp_path / name).touch()
    path = written(tmp_path / "exports", "a", point_file(), direction="b2a")
    asked = []

    def convert(run, direction, size):
        asked.append((run.path, direction, size))
        return point_file()

    monkeypatch.setattr(bench_module, "plain_export", convert)
    found = bench([path], threads=(1,), runs=1, plain=Run(tmp_path))
    assert asked == [(tmp_path, "b2a", (32, 48))]
    assert [one.name for one in found] == ["a", PLAIN] and found[1].ratio_plain == 1


def test_a_file_of_several_sizes_is_measured_at_its_first(tmp_path):
    path = written(tmp_path, "two", file_of_two_sizes(), io="uint8", format="int8")
    (found,) = bench([path], threads=(1,), runs=1)
    assert found.size == TFLiteTranslator(path).size and found.name == "two"


def test_the_peak_of_memory_is_the_translations_own(tmp_path):
    path = written(tmp_path, "free", free_file())
    ballast = np.ones(400 << 20, np.uint8)  # which a child must not inherit
    small, large = (peak_memory_mb(path, (side, side)) for side in (64, 1024))
    assert small < large < 400 and ballast[-1]
    # The widest map alone has 8 channels of 512 x 512 float32.
    assert large > 8.3


def test_the_run_of_a_file_is_found_above_its_folder(tmp_path):
    folder = tmp_path / "00003-nicegan-scenes"
    path = written(folder / "exports", "a", point_file())
    assert run_of(path) is None
    for name in ("config.yaml", "environment.json"):
        (folder / name).touch()
    assert run_of(path).path == folder
    assert run_of(written(folder / "exports", "b", point_file(), run="another")) is None
    path.with_suffix(".json").unlink()
    assert run_of(path) is None


def test_files_are_named_once_and_apart(tmp_path):
    first, second = (written(tmp_path / name, "a", point_file()) for name in ("x", "y"))
    assert tflite_files([first, tmp_path / "x", tmp_path / "y"]) == [first, second]
    names = [one.name for one in bench([first, second], threads=(1,), runs=1)]
    assert names == [str(tmp_path / "x" / "a"), str(tmp_path / "y" / "a")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": (0, 1)}, "give numbers from 1 on"),
        ({"threads": (10**6,)}, f"this machine has {os.cpu_count()} cores"),
        ({"runs": 0}, "runs is 0; give 1 or more"),
        ({"size": 64}, "pictures of their own sizes only"),
        ({"size": 10**6}, "--size 1000000: choose from 1 to 4096"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, arguments, message):
    path = written(tmp_path, "a", point_file())
    with pytest.raises(InputError, match=message):
        bench([path], **arguments)


def test_files_that_cannot_be_measured_are_refused(tmp_path):
    free = tmp_path / "free.tflite"
    free.write_bytes(free_file())
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(free_file()[:4000])
    huge = written(tmp_path, "huge", free_file(), image_size=10**6)
    (tmp_path / "empty").mkdir()
    for path, message in (
        (free, "free.tflite takes pictures of any size; choose one with --size"),
        (damaged, "damaged.tflite is damaged"),
        (huge, "image_size 1000000"),
        (tmp_path / "empty", "there is no .tflite file in it"),
        (tmp_path / "nothing", "no such file or folder"),
    ):
        with pytest.raises(InputError, match=message):
            bench([path], runs=1)
    with pytest.raises(InputError, match="multiples of 4"):
        bench([free], size=33)
    with pytest.raises(InputError, match="does not run at 64 x 64: .*not a valid"):
        peak_memory_mb(damaged, (64, 64))


def test_the_table_fits_a_terminal():
    results = [result(), result("plain [export]", latency={}, psnr_db=None, memory_mb=None)]
    latency = {count: Latency(median_ms=1234.5, low_ms=999.9, high_ms=1300) for count in (1, 2)}
    results = [dataclasses.replace(one, latency=latency, partitions=None) for one in results]
    console = Console(file=io.StringIO(), width=80)
    console.print(comparison.table(results))
    text = console.file.getvalue()
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    for words in ("45.1", "1234.5", "999.9–1300.0", "– + 0", "0.52", "0.41"):
        assert words in text
    assert "[export]" in "".join(line[:12].strip() for line in text.splitlines())


def test_results_are_written_to_compute_with_and_to_look_at(tmp_path):
    results = [
        result(),
        result("a2b-$x$<b>", median=12.0, psnr_db=45.2),
        result("plain", median=50.0, psnr_db=None),
    ]
    paths = comparison.write(results, tmp_path / "out", runs=7)
    assert [path.name for path in paths] == ["bench.json", "bench.svg", "bench.png"]
    values = json.loads(paths[0].read_text(encoding="utf-8"))
    assert values["runs"] == 7 and values["litert"] and values["environment"]["cpus"]
    assert values["results"][0]["latency"]["1"] == {
        "median_ms": 10.0,
        "low_ms": 9.0,
        "high_ms": 12.0,
    }
    assert values["results"][2]["psnr_db"] is None
    svg = paths[1].read_text(encoding="utf-8")
    for label in (
        "a2b-int8 (45.1 dB, 10.0 ms)",
        "a2b-$x$&lt;b&gt; (45.2 dB, 12.0 ms)",
        "plain (50.0 ms, agreement not measured)",
    ):
        assert label in svg
    assert comparison.write(results, tmp_path / "out", runs=7)[1].read_text() == svg
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_chart_does_without_any_agreement(tmp_path):
    (_, svg, _) = comparison.write([result(psnr_db=None)], tmp_path, runs=1)
    assert "agreement not measured" in svg.read_text()


def test_the_command_line_measures(tmp_path, capsys):
    path = written(tmp_path, "a", point_file())
    command = ["bench", str(path), "--threads", "1", "--runs", "2", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert "a" in capsys.readouterr().out
    assert (tmp_path / "out" / "bench.json").is_file()
    for wrong, message in (
        (["--threads", "1;2"], "--threads 1;2: give numbers with commas between"),
        (["--run", str(tmp_path)], "is not a run"),
        (["--out", str(path)], "is a file; name a folder"),
    ):
        assert main([*command, *wrong]) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1
