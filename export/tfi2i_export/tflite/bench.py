"""Speed, size and agreement of exported .tflite files, side by side, on this machine.

Times are of one process that runs the files in turn, so that whatever else the machine does hits
all of them alike: their ratios hold where the milliseconds do not.
"""

import dataclasses
import functools
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfi2i.errors import InputError, first_line
from tfi2i.files import refuse_special
from tfi2i.pictures.sizes import AnySize, height_and_width, size_text
from tfi2i.pictures.tiles import Progress
from tfi2i.runs.run import Run
from tfi2i.terminal import quiet
from tfi2i_export.agreement import EQUAL_DB
from tfi2i_export.inputs import Array, takes_picture
from tfi2i_export.sidecar import Sidecar
from tfi2i_export.tflite.interpreter import ENCODER_END, INPUT, TFLiteTranslator, opened
from tfi2i_export.tflite.peak_memory import peak_memory_mb
from tfi2i_export.tflite.pictures import checked_sidecar, sidecar_of

THREADS = (1, 2, 4)
WARM_UP = 3  # runs that are not counted
LARGEST_SIDE = 4096
PLAIN = "plain export"
"""The name of the file without the rewrites of `fold`, and its format."""

log = logging.getLogger("tfi2i")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds for a picture: the median, and what 10 % and 90 % of the runs stay below."""

    median_ms: float
    low_ms: float
    high_ms: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Figures of one file.

    Attributes:
        name: File's, without .tflite.
        format: Format by its sidecar; None: it has no sidecar.
        size: (H, W) of the picture it was timed on; of a file for several sizes, the first.
        size_bytes: Bytes of the file.
        partitions: Parts that XNNPACK, LiteRT's delegate for CPUs, takes; 1 is best.
        undelegated: Number of each operation outside of them.
        latency: Latency by number of threads.
        memory_mb: Memory that a translation adds to a process at its peak; None: unknown.
        ratio_float32: Median with the fewest threads to that of the float32 file for this size.
        ratio_plain: Ratio of its time to that of the plain export.
        psnr_db: Mean agreement with the run's own translations, as its sidecar has it.
    """

    name: str
    format: str | None
    size: tuple[int, int]
    size_bytes: int
    partitions: int | None
    undelegated: dict[str, int]
    latency: dict[int, Latency]
    memory_mb: float | None
    ratio_float32: float | None
    ratio_plain: float | None
    psnr_db: float | None


@dataclasses.dataclass(frozen=True)
class _File:
    name: str
    path: Path
    format: str | None
    size: tuple[int, int]
    sidecar: Sidecar | None
    extra: dict[str, Array]
    batch: int  # pictures that one call takes


def bench(
    artefacts: Sequence[Path],
    *,
    threads: Sequence[int] = THREADS,
    runs: int = 30,
    plain: Run | Path | None = None,
    size: AnySize | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Measures .tflite files that `tfi2i export` made, in the order given, the plain export last.

    Args:
        artefacts: Files, or folders: all .tflite files in them.
        threads: Threads of the CPU; more than the machine has are left out.
        runs: Number of runs of each file with each number of threads.
        plain: Run to compare with besides, which is converted anew for the first file's
            direction and size and without rewriting if that is possible, or a file that this has
            made.
        size: Size of the pictures for files of free size; their sidecar's unless given.
        progress: Function that is told after each piece of work how many are done, and of how many.

    Raises:
        InputError: A file cannot be used, or an argument makes no sense.
    """
    if runs < 1:
        raise InputError(f"runs is {runs}; give 1 or more.")
    counts = _affordable(threads)
    files = _files(tflite_files(artefacts), size)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(plain, Run):
            log.info("Converting the run without rewriting it, to compare with.")
            plain = _plain_file(plain, files[0], Path(folder))
        if plain is not None:
            files.append(_tried(PLAIN, plain, PLAIN, None, size))
        return _measured(files, counts, runs, progress)


def _measured(
    files: list[_File], counts: list[int], runs: int, progress: Progress | None
) -> list[Result]:
    from tfi2i_export.tflite.inspection import inspect

    total, done = len(files) + len(counts) * runs, itertools.count(1)

    def tell() -> None:
        if progress:
            progress(next(done), total)

    memory, inside = [], []
    for file in files:
        inside.append(inspect(file.path.read_bytes()))
        memory.append(peak_memory_mb(file.path, file.size))
        tell()
    latencies = [_latencies(files, count, runs, tell) for count in counts]
    medians = [latency.median_ms for latency in latencies[0]]
    kinds = [(file.format, file.size) for file in files]

    def ratio(i: int, format: str) -> float | None:
        """To the time of the first file of a format, for pictures of the same size."""
        like = (format, files[i].size)
        return medians[i] / medians[kinds.index(like)] if like in kinds else None

    return [
        Result(
            name=file.name,
            format=file.format,
            size=file.size,
            size_bytes=file.path.stat().st_size,
            partitions=inside[i].partitions,
            undelegated=inside[i].undelegated,
            latency={count: one[i] for count, one in zip(counts, latencies, strict=True)},
            memory_mb=memory[i],
            ratio_float32=ratio(i, "float32"),
            ratio_plain=ratio(i, PLAIN),
            psnr_db=_psnr_db(file.sidecar),
        )
        for i, file in enumerate(files)
    ]


def tflite_files(paths: Sequence[Path]) -> list[Path]:
    """The .tflite files among paths and in the folders among them, each once.

    Raises:
        InputError: A path is neither, or a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(set(path.glob("*.tflite")) - set(path.glob(f"*{ENCODER_END}")))
            if not inside:
                raise InputError(
                    f"{path}: there is no .tflite file in it; `tfi2i export` makes them."
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            refuse_special(path)
            raise InputError(f"{path}: there is no such file or folder.")
    return list({path.resolve(): path for path in found}.values())


def run_of(path: Path) -> Run | None:
    """The run whose exports/ folder a file is in, if its sidecar names it too."""
    sidecar = sidecar_of(path)
    folder = path.resolve().parent.parent
    if sidecar is None or sidecar.run != folder.name or not (folder / "config.yaml").is_file():
        return None
    return Run(folder)


def plain_export(run: Run, direction: str | None, size: tuple[int, int]) -> bytes:
    """A run's translator as a float32 .tflite for pictures (H, W), without the rewrites of `fold`.

    Raises:
        InputError: The run has no translator for the direction, or it does not convert.
    """
    import keras

    from tfi2i_export.graph.fold import in_float32
    from tfi2i_export.graph.keras_graph import inputs_like, packed
    from tfi2i_export.tflite.conversion import convert

    translator = in_float32(run.network(direction))
    given = inputs_like(translator)
    if takes_picture(translator):
        given[0] = keras.Input((*size, given[0].shape[-1]), name=INPUT)
    # Of one picture, as layers that are not rewritten ask a map for its shape otherwise.
    given = [keras.Input(one.shape[1:], batch_size=1, name=one.name) for one in given]
    return convert(keras.Model(packed(given), translator(packed(given))))


def _plain_file(run: Run, like: "_File", folder: Path) -> Path | None:
    """A run's plain export for the pictures of a file; None where only the rewritten one exists."""
    path = folder / "plain.tflite"
    try:
        direction = like.sidecar.direction if like.sidecar else None
        path.write_bytes(plain_export(run, direction, like.size))
    except InputError as error:
        about = "Without rewriting the run does not convert, so nothing is compared with that: %s…"
        log.warning(about, first_line(error, 120))
        return None
    return path


def _affordable(threads: Sequence[int]) -> list[int]:
    cores = os.cpu_count() or 1
    if not threads or min(threads) < 1:
        raise InputError(f"threads is {list(threads)}; give numbers from 1 on.")
    counts = sorted({count for count in threads if count <= cores})
    if not counts:
        raise InputError(f"threads is {list(threads)}; this machine has {cores} cores.")
    left_out = " or ".join(map(str, sorted(set(threads) - set(counts))))
    if left_out:
        log.info("Not timed with %s threads, more than the cores (%d).", left_out, cores)
    return counts


def _files(paths: list[Path], size: AnySize | None) -> list[_File]:
    """The files with the sizes to time them at, each tried out on a picture."""
    sides = (1, 1) if size is None else height_and_width(size)
    if not 1 <= min(sides) <= max(sides) <= LARGEST_SIDE:
        raise InputError(f"--size {size_text(sides)}: choose from 1 to {LARGEST_SIDE}.")
    stems = [path.stem for path in paths]
    files = []
    for path in paths:
        sidecar = checked_sidecar(path)
        name = path.stem if stems.count(path.stem) == 1 else str(path.with_suffix(""))
        files.append(_tried(name, path, sidecar.format if sidecar else None, sidecar, size))
    if size is not None and all(file.size != sides for file in files):
        raise InputError(
            f"--size {size_text(sides)}: the files take pictures of their own sizes only."
        )
    return files


def _tried(
    name: str, path: Path, format: str | None, sidecar: Sidecar | None, size: AnySize | None
) -> _File:
    """Returns a file with what to time it on, once it has translated a picture of that size."""
    translator = TFLiteTranslator(path)
    picture = translator.size
    if picture is None:
        if size is None and sidecar is None:
            raise InputError(f"{path} takes pictures of any size; choose one with --size.")
        picture = height_and_width(size or (sidecar.default_size if sidecar else 0))
        if max(picture) > LARGEST_SIDE:
            said = size_text(picture)
            raise InputError(f"{path}: its sidecar has image_size {said}; choose one with --size.")
    random = np.random.default_rng(0)
    values = {
        one: random.standard_normal(shape, np.float32) for one, shape in translator.extra.items()
    }
    shown = (
        np.zeros((1, *picture, translator.channels[0]), np.uint8)
        if translator.takes_picture
        else None
    )
    translator(shown, **values)
    return _File(name, path, format, picture, sidecar, values, translator.batch)


def _latencies(
    files: list[_File], threads: int, runs: int, tell: Callable[[], None]
) -> list[Latency]:
    calls = [_warmed_up(file, threads) for file in files]
    took = np.empty((runs, len(files)))
    for run in range(runs):
        for i, call in enumerate(calls):
            call()  # wakes this file's threads and brings back the caches that the last one took
            start = time.perf_counter()
            call()
            took[run, i] = 1000 * (time.perf_counter() - start) / files[i].batch
        tell()
    rows = np.percentile(took, (50, 10, 90), axis=0).T.tolist()
    return [Latency(median_ms=median, low_ms=low, high_ms=high) for median, low, high in rows]


def _warmed_up(file: _File, threads: int) -> Callable[[], Any]:
    """A function that gives LiteRT a picture and takes its translation."""
    interpreter = opened(file.path.read_bytes(), threads, str(file.path))
    signature = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    given: dict[str, Any] = {k: np.repeat(one, file.batch, 0) for k, one in file.extra.items()}
    details = signature.get_input_details()
    if INPUT in details:
        shape = (file.batch, *file.size, details[INPUT]["shape"][3])
        pixels = np.random.default_rng(0).integers(0, 256, shape)
        given[INPUT] = pixels.astype(details[INPUT]["dtype"])
    call = functools.partial(signature, **given)
    with quiet():
        for _ in range(WARM_UP):
            call()
    return call


def _psnr_db(sidecar: Sidecar | None) -> float | None:
    if sidecar is None or sidecar.agreement is None:
        return None
    found = sidecar.agreement["psnr_db_mean"]
    return EQUAL_DB if found is None else found
