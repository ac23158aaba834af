"""The Beam pipeline of `tfi2i_export.serving.beam`, and a model handler for pipelines of your own.

Pictures are read, translated by RunInference and written; files are reached through Beam's
FileSystems. What goes wrong with one picture is put on record, and the others are done.
"""

import contextlib
import dataclasses
import json
import logging
import os
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference import base as inference
from apache_beam.ml.inference.base import ModelHandler, PredictionResult
from apache_beam.options.pipeline_options import PipelineOptions
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError, first_line
from tfi2i.pictures.depth import Range
from tfi2i.pictures.files import ALPHA_SUFFIXES, read_picture, write_picture
from tfi2i.pictures.folders import name_key, renamed
from tfi2i.pictures.formats import PICTURE_SUFFIXES
from tfi2i.pictures.pixels import eight_bit
from tfi2i_export.artefacts import picture_translator, ranges_of

FAILURES = "failed.jsonl"
"""In the output folder: a line {"path": ..., "reason": ...} for each picture that failed."""
LARGEST = 1 << 30  # bytes of a picture file; a larger one fails before it is in memory
SAY_EVERY = 30.0  # seconds between two lines of a worker's log
MAGIC = r"[*?\[]"  # what is special in Beam's patterns
NAMESPACE = "tfi2i"
TRANSLATED, SKIPPED, FAILED = "translated", "skipped", "failed"

log = logging.getLogger("tfi2i")

Pixels = NDArray[np.uint8]
Alpha = NDArray[np.uint8] | None


class PictureHandler(ModelHandler):
    """Pictures (H, W, 3) uint8 of any size through RunInference, by a .tflite file or a SavedModel.

    A PredictionResult's `inference` is the translation, of the same shape; or the `InputError` that
    tells why there is none. Each worker process loads the model once.

    Args:
        model: File, or the SavedModel's folder: a path that every worker can read. Beam does
            not copy it there.
        values: Values (...) or (1, ...) of its inputs besides the picture by name.
    """

    def __init__(self, model: str, values: Mapping[str, ArrayLike] | None = None):
        super().__init__(max_batch_size=1)  # sizes differ, so more would only wait in memory
        self._model, self._values = model, values

    def load_model(self) -> Callable[[Pixels], Pixels]:
        translate = picture_translator(Path(self._model), values=self._values)
        # A process has one model for all its threads, and it translates one picture at a time;
        # meanwhile they read and write others.
        lock = threading.Lock()

        def one_at_a_time(pixels: Pixels) -> Pixels:
            with lock:
                return translate(pixels)

        return one_at_a_time

    def run_inference(
        self,
        batch: Sequence[Pixels],
        model: Callable[[Pixels], Pixels],
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[PredictionResult]:
        for pixels in batch:
            try:
                yield PredictionResult(pixels, model(pixels))
            except InputError as error:
                yield PredictionResult(pixels, error)

    def get_num_bytes(self, batch: Sequence[Pixels]) -> int:
        return sum(pixels.nbytes for pixels in batch)  # Beam's own way pickles them


@dataclasses.dataclass(frozen=True)
class Job:
    """A picture and the file it goes to.

    Attributes:
        target: File that it goes to, unless it is transparent and this format cannot hold that.
        transparent_target: File that it goes to then; None: that name is another picture's.
    """

    source: str
    target: str
    transparent_target: str | None


def planned(given: str, out: str) -> list[Job]:
    """The pictures of a folder or of Beam's pattern, each with the file it goes to in `out`.

    Names and sub-folders stay; so does the format where it can be written, else it becomes PNG.
    Hidden files are left out, and files in `out`.

    Raises:
        InputError: There is no picture, `out` is the folder of the inputs, two pictures would get
            one name, or an output is an input.
    """
    try:
        root, sources = _found(_absolute(given))
        out = _absolute(out)
        whole, part = (
            f"{path if FileSystems.get_scheme(path) else os.path.realpath(path)}/"
            for path in (root, out)
        )
        if part == whole:
            raise InputError(f"{out} is the folder of the inputs; choose another --out.")
        names = {source: source[len(root) + 1 :] for source in sources}
        if part.startswith(whole):  # outputs must not be translated again by the next run
            inner = part.removeprefix(whole)
            names = {key: name for key, name in names.items() if not name.startswith(inner)}
        return _jobs(names, out, given)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a scheme that Beam does not know
        raise InputError(
            f"--input {given}: cannot be listed ({first_line(error, 300)})."
        ) from error


def _found(place: str) -> tuple[str, list[str]]:
    """The folder that names are relative to, and the pictures in it or that match."""
    root = _folder(place)
    if root == place:
        inside = _matches(root, "**")
        if inside or Path(root).is_dir():
            return root, _pictures(root, inside)
        root = place.rpartition("/")[0]  # it is a file of a bucket, or nothing
    rest = place[len(root) + 1 :]
    if Path(place).exists() or not re.search(MAGIC, rest):
        # A file that is named is taken whatever its suffix.
        return root, [path for path in _matches(root, re.sub(MAGIC, "?", rest)) if path == place]
    return root, _pictures(root, _matches(root, rest))


def _folder(place: str) -> str:
    """Part of a place before the pattern; all of it if there is none."""
    if FileSystems.get_scheme(place) is not None:
        magic = re.search(MAGIC, place)
        return place[: magic.start()].rpartition("/")[0] if magic else place
    folder = Path(place)
    while not folder.is_dir():  # a folder's name may look like a pattern
        folder = folder.parent
    return str(folder).rstrip("/")


def _matches(root: str, pattern: str) -> list[str]:
    # Beam knows no way to quote what is special in a pattern.
    (matched,) = FileSystems.match([f"{re.sub(MAGIC, '?', root)}/{pattern}"])
    return sorted(one.path for one in matched.metadata_list if one.path.startswith(f"{root}/"))


def _pictures(root: str, paths: list[str]) -> list[str]:
    """Those with a picture's suffix that are not hidden below the root."""
    names = {path: PurePosixPath(path[len(root) + 1 :]) for path in paths}
    return [
        path
        for path, name in names.items()
        if name.suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith(".") for part in name.parts)
    ]


def _jobs(names: dict[str, str], out: str, given: str) -> list[Job]:
    """Jobs for sources with names relative to the output folder."""
    if not names:
        raise InputError(
            f"--input {given}: there is no picture; give a folder, or a pattern such as"
            f" 'photos/**', of files that end in {', '.join(sorted(PICTURE_SUFFIXES))}."
        )
    inputs = {_identity(source): source for source in names}
    claimed: dict[str, str] = {}
    targets = {}
    for source, name in names.items():
        target = targets[source] = FileSystems.join(out, renamed(Path(name)).as_posix())
        other = claimed.setdefault(name_key(Path(target)), source)
        if other != source:
            raise InputError(
                f"{other} and {source} would both become {target}; rename one, or translate them"
                " into two folders."
            )
        if hit := inputs.get(_identity(target)):
            raise InputError(
                f"The output {target} is the input {hit}, which is never overwritten; choose"
                " another --out."
            )
    jobs = []
    for source, target in targets.items():
        stem, suffix = os.path.splitext(target)  # noqa: PTH122
        clear = target if suffix.lower() in ALPHA_SUFFIXES else f"{stem}.png"
        is_free = claimed.setdefault(name_key(Path(clear)), source) == source
        is_free = is_free and _identity(clear) not in inputs
        jobs.append(Job(source, target, clear if is_free else None))
    return jobs


def _absolute(path: str) -> str:
    """Without a slash at its end; a local path from the root on, as workers need it."""
    if FileSystems.get_scheme(path) is None:
        return os.path.abspath(path)  # noqa: PTH100  a pattern may end in a slash
    return path.rstrip("/")


def _identity(path: str) -> tuple[int, int] | str:
    """Equal for two names of one file, through links and whatever the case."""
    with contextlib.suppress(OSError):
        if FileSystems.get_scheme(path) is None:
            status = Path(path).stat()
            return status.st_dev, status.st_ino
    return path


def translate_all(
    jobs: Sequence[Job],
    model: str,
    out: str,
    options: PipelineOptions,
    *,
    values: Mapping[str, ArrayLike] | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Runs the pipeline; returns how many were "translated", "skipped" and "failed".

    Args:
        jobs: Jobs by `planned`.
        model: Model as of `PictureHandler`.
        out: Gets the file `FAILURES`.
        options: Beam's: the runner and whatever it wants to know.
        values: Values as of `PictureHandler`.
        overwrite: Translate again what has an output; without, it is skipped.

    Raises:
        InputError: Beam refuses the options.
    """
    try:
        pipeline = beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"Beam refuses its options ({first_line(error, 300)}).") from error
    handler = PictureHandler(model, values)
    read = (
        pipeline
        | "Plan" >> beam.Create(jobs)
        | beam.Reshuffle()  # which gives every worker a share
        | "Skip" >> beam.Filter(_is_due, overwrite)
        | "Read"
        >> beam.FlatMap(_read, ranges_of(Path(model)).source).with_outputs(FAILED, main=TRANSLATED)
    )
    written = (
        read[TRANSLATED]
        | "Translate" >> inference.RunInference(inference.KeyedModelHandler(handler))
        | "Write" >> beam.ParDo(_Write()).with_outputs(FAILED, main=TRANSLATED)
    )
    listed = FileSystems.join(_absolute(out), FAILURES)
    failures = (read[FAILED], written[FAILED]) | beam.Flatten() | beam.combiners.ToList()
    _ = failures | "List" >> beam.Map(_write_list, listed)
    result = pipeline.run()
    result.wait_until_finish()
    counts = dict.fromkeys((TRANSLATED, SKIPPED, FAILED), 0)
    for counter in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]:
        counts[counter.key.metric.name] += counter.result
    return counts


def _count(what: str) -> None:
    Metrics.counter(NAMESPACE, what).inc()


def _is_due(job: Job, overwrite: bool) -> bool:
    """Whether a picture has no output yet."""
    outputs = {job.target, job.transparent_target or job.target}
    done = not overwrite and any(FileSystems.exists(path) for path in outputs)
    if done:
        _count(SKIPPED)
    return not done


def _read(job: Job, value_range: Range | None = None) -> Iterator[Any]:
    """((job, alpha), pixels), or a failure."""
    try:
        with FileSystems.open(job.source) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise InputError(f"{job.source} has over {LARGEST:,} bytes; make it smaller first.")
        picture = read_picture(content, job.source, value_range=value_range)
    except (InputError, OSError) as error:
        yield _failure(job, error)
    else:
        yield (job, picture.alpha), eight_bit(picture.pixels)


class _Write(beam.DoFn):
    """((job, alpha), PredictionResult) -> the name of the file that was written, or a failure."""

    def setup(self) -> None:
        self._since, self._done = time.monotonic(), 0

    def process(self, element: tuple[tuple[Job, Alpha], PredictionResult]) -> Iterator[Any]:
        (job, alpha), prediction = element
        try:
            if isinstance(prediction.inference, InputError):
                raise prediction.inference
            target = _target(job, alpha)
            _replace(target, _encoded(target, prediction.inference, alpha))
        except (InputError, OSError) as error:
            yield _failure(job, error)
            return
        _count(TRANSLATED)
        self._done += 1
        if time.monotonic() - self._since >= SAY_EVERY:
            log.info("This worker has translated %d pictures, %s last.", self._done, job.source)
            self._since = time.monotonic()
        yield target


def _write_list(failures: list[dict[str, str]], target: str) -> None:
    """Sorted, as workers finish in any order; without a failure, an empty file."""
    failures = sorted(failures, key=lambda one: one["path"])
    _replace(target, "".join(f"{json.dumps(one)}\n" for one in failures).encode())


def _target(job: Job, alpha: Alpha) -> str:
    """Only a picture's content tells whether it is transparent."""
    if alpha is None or alpha.min() == 255:
        return job.target
    if job.transparent_target is None:
        raise InputError(
            f"{job.source} is transparent, which {job.target} cannot hold, and the name with .png"
            " is another picture's; rename one."
        )
    return job.transparent_target


def _encoded(target: str, pixels: Pixels, alpha: Alpha) -> bytes:
    """The file of a picture, in the format of the target's suffix."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture").with_suffix(PurePosixPath(target).suffix)
        try:
            write_picture(path, pixels, alpha)
        except InputError as error:
            raise InputError(str(error).replace(str(path), target)) from error
        return path.read_bytes()


def _replace(target: str, content: bytes) -> None:
    """Writes a file whole or not at all."""
    folder = target.rpartition("/")[0]
    temporary = FileSystems.join(folder, f".tfi2i-{secrets.token_hex(6)}.tmp")
    try:
        with FileSystems.create(temporary) as file:
            file.write(content)
        FileSystems.rename([temporary], [target])
    except BaseException:
        if FileSystems.exists(temporary):
            FileSystems.delete([temporary])
        raise


def _failure(job: Job, error: InputError | OSError) -> beam.pvalue.TaggedOutput:
    _count(FAILED)
    known = isinstance(error, InputError)
    reason = str(error) if known else f"{job.source}: {first_line(error, 300)}"
    return beam.pvalue.TaggedOutput(FAILED, {"path": job.source, "reason": reason})
