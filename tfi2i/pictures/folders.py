"""Translates picture files and folders of them into another folder; never over what it reads.

Works with anything that maps pixels to pixels: a `tiles.PictureTranslator`, a .tflite file, a
server. Nothing here needs TensorFlow.
"""

import inspect
import threading
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from tfi2i.errors import InputError
from tfi2i.limits import MEGAPIXELS
from tfi2i.pictures.bands import band_values, read_bands
from tfi2i.pictures.channels import CHANNELS, in_channels
from tfi2i.pictures.depth import SIXTEEN_BITS, Range, gathered
from tfi2i.pictures.files import (
    ALPHA_SUFFIXES,
    WRITABLE_SUFFIXES,
    deep_suffixes,
    frame_count,
    read_header,
    read_picture,
    read_values,
    writable_suffix,
    write_picture,
)
from tfi2i.pictures.formats import PICTURE_SUFFIXES, counted, kind_of
from tfi2i.pictures.listing import file_key, listed
from tfi2i.pictures.pixels import Pixels, eight_bit
from tfi2i.terminal import make_console, printable, progress_bar

Translate = Callable[..., Pixels]
"""Pixels (H, W, 3) uint8 -> the same. If it has a parameter `progress`, it is given a function to
call with (pieces done, pieces in all)."""
Finish = Callable[..., Path | str]


@dataclass(frozen=True)
class Summary:
    """Outcome of a translation of pictures.

    Attributes:
        written: Files that were written, in order.
        failed: Pictures that could not be translated, each with the reason.
    """

    written: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]


class _Job(NamedTuple):
    source: Path
    target: Path
    frame: int = 0


@dataclass
class _Plan:
    """Pictures to translate, and what is said of the rest.

    Attributes:
        jobs: Pictures, once each, with the files they go to.
        passed_over: Kinds of files in the folders that are no pictures, one a file.
        animated: Pictures of several frames of which the first is translated.
        shallow: Pictures of 8 bits that were read in a range of values beyond those.
    """

    jobs: list[_Job]
    passed_over: list[str]
    animated: int = 0
    shallow: list[Path] = field(default_factory=list)


def translate_files(
    translate: Translate,
    inputs: Sequence[Path],
    out: Path,
    *,
    suffix: str | None = None,
    overwrite: bool = False,
    workers: int = 1,
    console: Console | None = None,
    value_range: Range | None = None,
    target_range: Range | None = None,
    frames: bool = False,
    megapixels: int = MEGAPIXELS,
) -> Summary:
    """Translates pictures and folders of pictures into the folder `out`.

    Names stay, and so do the sub-folders of a folder. So does the format where it can be written
    and carries the picture's transparency; otherwise it becomes PNG. Turned photographs come out
    upright, without the camera's tag. A picture in a list or folder that fails is put on record,
    and the next one follows.

    Args:
        translate: Pixels -> uint8 pixels of the same size; its attribute `channels`, if it has one,
            says how many it takes and gives, else three. Pixels of 16 bits are given to one whose
            attribute `takes_deep` is true, else 8 bits of them. With a true attribute
            `takes_numbers` it gets the numbers in files of 16 bits as they are, unless there is a
            `value_range`.
        inputs: Picture files and folders; hidden files in folders are left out.
        out: Folder, made if it is not there.
        suffix: Format for all, such as ".png"; pictures whose transparency it cannot hold fail.
        overwrite: Permission to replace earlier outputs. The inputs are never replaced.
        workers: Pictures that are translated at the same time, each with its translation in
            memory; more than one only if `translate` can be called from several threads.
        console: Console for the progress bar and the last lines; stderr unless told.
        value_range: Numbers in the files that are black and white, as in training.
        target_range: Numbers that results of 16 bits stand for. PNG holds them, and of opaque grey
            TIFF, also those that are not whole or from 0 to 65535; other formats become one of
            these. What none holds is written black to white, in 8 bits.
        frames: Translation of all frames of animations, each a picture NAME-0001 and so on; else of
            the first.
        megapixels: Largest picture that is decoded, in millions of pixels.

    Raises:
        InputError: Before anything is written: an input is not there, `out` is no folder, two
            inputs would get one name, an output is an input or, without `overwrite`, exists, or
            there are no workers. Or the one picture that was asked for fails.
    """
    if workers < 1:
        raise InputError(f"At least 1 worker is needed, received {workers}.")
    inputs, out = [Path(path) for path in inputs], Path(out)
    dotted = None if suffix is None else writable_suffix(suffix)
    plan, targets = _prepared(inputs, out, dotted, overwrite, frames)
    jobs = plan.jobs
    console = console or make_console(stderr=True)
    alone = len(inputs) == 1 and not inputs[0].is_dir()
    told = "progress" in inspect.signature(translate).parameters

    channels = getattr(translate, "channels", (3, 3))[0]
    numbers = value_range is None and getattr(translate, "takes_numbers", False)

    def opened(job: _Job) -> tuple[NDArray[Any], Pixels | None]:
        seen = _sixteen_bits(job.source, channels) if numbers else value_range
        bands = read_bands(job.source, channels, seen)
        if bands is not None:
            return bands, None
        picture = read_picture(job.source, value_range=seen, frame=job.frame, megapixels=megapixels)
        if value_range and not picture.deep and (value_range[0] < 0 or value_range[1] > 255):
            plan.shallow.append(job.source)
        return in_channels(picture.pixels, channels, picture.alpha), picture.alpha

    def finish(job: _Job, tell: Callable[[int, int], None] | None = None) -> Path | str:
        options = {"progress": tell} if told and tell else {}
        try:
            given = opened(job)
            return _translated(
                translate, *given, job, targets, suffix is None, options, target_range
            )
        except InputError as error:
            if alone:
                raise
            return str(error)  # the error itself would keep the picture in memory

    with progress_bar(console=console, transient=True) as bar:
        if workers == 1:
            outcomes = _one_by_one(finish, jobs, bar)
        else:
            outcomes = _side_by_side(finish, jobs, bar, workers)
    written = tuple(outcome for outcome in outcomes if isinstance(outcome, Path))
    done = zip(jobs, outcomes, strict=True)
    failed = tuple((job.source, reason) for job, reason in done if isinstance(reason, str))
    _report(console, len(written), failed, out, plan, value_range)
    return Summary(written, failed)


def _sixteen_bits(source: Path, channels: int) -> Range | None:
    """The range that keeps the whole numbers of a file of more than 8 bits; None: another file."""
    try:
        values = band_values(source, (channels,))
        if values is None and read_header(source).deep:
            values = read_values(source)
    except InputError:  # `read_picture` says it
        return None
    whole = values is not None and values.deep and values.array.dtype.kind != "f" and values.full
    return SIXTEEN_BITS if whole else None


def _one_by_one(finish: Finish, jobs: list[_Job], bar: Progress) -> list[Path | str]:
    """Outcome of each job: the file that was written, or why there is none."""
    task = bar.add_task("", total=len(jobs))
    outcomes = []
    for i, job in enumerate(jobs):
        bar.update(task, completed=i, description=job.source.name)

        def tell(done: int, total: int, before: int = i) -> None:
            bar.update(task, completed=before + done / max(total, 1))

        outcomes.append(finish(job, tell))
    return outcomes


def _side_by_side(
    finish: Finish, jobs: list[_Job], bar: Progress, workers: int
) -> list[Path | str]:
    """As `_one_by_one`, in several threads; the bar counts what is finished."""
    task = bar.add_task("", total=len(jobs))
    pool = ThreadPoolExecutor(workers)
    try:
        futures = {pool.submit(finish, job): job for job in jobs}
        for future in as_completed(futures):
            future.result()  # a bug ends all at once
            bar.update(task, advance=1, description=futures[future].source.name)
        return [future.result() for future in futures]
    finally:
        # Not `with`: whoever stops this would wait for all that is queued.
        pool.shutdown(wait=False, cancel_futures=True)


def _prepared(
    inputs: list[Path], out: Path, suffix: str | None, overwrite: bool, frames: bool
) -> tuple[_Plan, "_Targets"]:
    """Lists the jobs, checked, and makes the output folder."""
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"The output folder {out} is a file; name a folder.")
        plan = _planned(inputs, out, suffix, frames)
        targets = _Targets(plan.jobs, overwrite)
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{error.filename or out}: {error.strerror or error}; check the path and its "
            "permissions."
        ) from error
    return plan, targets


def _planned(inputs: Iterable[Path], out: Path, suffix: str | None, frames: bool) -> _Plan:
    """Every picture once, or every frame of it, with the file it goes to.

    Raises:
        InputError: An input is not there, a folder has no pictures, or there is no input.
    """
    jobs: dict[tuple[Any, Path], _Job] = {}  # a picture named twice is translated once
    passed_over: dict[Path, str] = {}
    animated = set()
    for path in inputs:
        if path.is_dir():
            # An output folder inside of the input must not be translated again by the next run.
            inner = out.resolve()
            base, (found, others) = path, listed(path)
            if inner != path.resolve():
                found, others = (
                    [one for one in each if not one.resolve().is_relative_to(inner)]
                    for each in (found, others)
                )
            passed_over |= {other: kind_of(other) for other in others}
            if not found:
                beside = f" but {counted(map(kind_of, others))}" if others else ""
                raise InputError(
                    f"The folder {path} has no pictures in it{beside}; they end in "
                    f"{', '.join(sorted(PICTURE_SUFFIXES))}."
                )
        elif path.exists():
            base, found = path.parent, [path]
        else:
            raise InputError(f"There is no picture or folder {path}; check the path.")
        for source in found:
            target = out / renamed(source.relative_to(base), suffix)
            key, count = file_key(source) or source, frame_count(source)
            if count > 1 and not frames:
                animated.add(key)
            for frame in range(count if frames else 1):
                name = f"{target.stem}-{frame + 1:04d}{target.suffix}"
                place = target.with_name(name) if frames and count > 1 else target
                jobs.setdefault((key, place), _Job(source, place, frame))
    if not jobs:
        raise InputError("There is nothing to translate; name pictures or folders of pictures.")
    return _Plan(list(jobs.values()), list(passed_over.values()), len(animated))


def renamed(name: Path, suffix: str | None = None) -> Path:
    """A picture's name under the suffix it is written with; None: its own, or else PNG."""
    own = name.suffix.lower()
    if suffix == own or (suffix is None and own in WRITABLE_SUFFIXES):
        return name
    stem = name.stem if own in PICTURE_SUFFIXES else name.name  # "cat.2021" is no suffix
    return name.with_name(stem + (suffix or ".png"))


def name_key(target: Path) -> str:
    """Equal for two names that some file system takes for one, such as macOS' and Windows'."""
    return unicodedata.normalize("NFC", str(target)).casefold()


class _Targets:
    """The names that outputs may have: no input's, no other output's, no existing file's.

    Raises:
        InputError: On construction or in `claim`, for a name that is not free.
    """

    def __init__(self, jobs: list[_Job], overwrite: bool):
        self._overwrite = overwrite
        self._sources = {file_key(job.source): job.source for job in jobs}
        self._sources.pop(None, None)
        self._claimed: dict[str, Path] = {}
        self._lock = threading.Lock()
        for job in jobs:
            self._claim(job)
        existing = [job.target for job in jobs if _is_taken(job.target)]
        if existing and not overwrite:
            more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
            raise InputError(
                f"{existing[0]}{more} exists already; choose another output folder, or overwrite "
                "with --overwrite."
            )

    def claim(self, job: _Job) -> None:
        """Takes a name that turned out later; from any thread."""
        self._claim(job)
        if _is_taken(job.target) and not self._overwrite:
            raise InputError(
                f"{job.source} is transparent and becomes {job.target}, which exists already; "
                "overwrite with --overwrite."
            )

    def _claim(self, job: _Job) -> None:
        with self._lock:
            other = self._claimed.setdefault(name_key(job.target), job.source)
        if other != job.source:
            raise InputError(
                f"{other} and {job.source} would both become {job.target}; rename one, or "
                "translate them into two folders."
            )
        hit = self._sources.get(file_key(job.target))
        if hit is not None:
            raise InputError(
                f"The output {job.target} is the input {hit}, which is never overwritten; choose "
                "another output folder."
            )


def _is_taken(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _translated(
    translate: Translate,
    given: NDArray[Any],
    alpha: Pixels | None,
    job: _Job,
    targets: _Targets,
    free_format: bool,
    options: dict[str, Any],
    target_range: Range | None,
) -> Path:
    """Translates and writes one picture; the file that was written.

    Raises:
        InputError: Its translation cannot be made or written.
    """
    deep = getattr(translate, "takes_deep", False) or getattr(translate, "takes_numbers", False)
    given = given if deep else eight_bit(given)
    target = job.target

    def in_one_of(suffixes: Collection[str], target: Path) -> Path:
        if free_format and target.suffix.lower() not in suffixes:
            target = target.with_suffix(".png" if ".png" in suffixes else ".tif")
            targets.claim(job._replace(target=target))
        return target

    def in_format_for(alpha: Pixels | None, target: Path) -> Path:
        # Only the content tells: a BMP with alpha, a transparent PNG that is called .jpg.
        transparent = alpha is not None and alpha.min() < 255
        return in_one_of(ALPHA_SUFFIXES, target) if transparent else target

    target = in_format_for(alpha, target)
    pixels = translate(given, **options)
    fitting = pixels.dtype in (np.uint8, np.uint16) and pixels.shape[:-1] == given.shape[:-1]
    if not fitting or pixels.shape[-1] not in CHANNELS:
        raise InputError(
            f"{job.source}: its translation is {pixels.dtype} {pixels.shape} instead of uint8 "
            f"{given.shape}; use a translator that keeps the size."
        )
    if pixels.shape[-1] in (2, 4):
        pixels, alpha = pixels[..., :-1], eight_bit(pixels[..., -1])
        target = in_format_for(alpha, target)
    if pixels.dtype == np.uint16 and target_range:
        numbers = gathered(pixels, *target_range)
        suffixes = deep_suffixes(numbers, alpha)
        target = in_one_of(suffixes, target) if suffixes else target
        if numbers.dtype == np.uint8 or target.suffix.lower() in suffixes:
            return _written(target, numbers, alpha)
    return _written(target, eight_bit(pixels), alpha)


def _written(target: Path, pixels: NDArray[Any], alpha: Pixels | None) -> Path:
    """Writes a picture, and its folder before it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {target.parent} cannot be made ({error.strerror or error})."
        ) from error
    write_picture(target, pixels, alpha)
    return target


def _report(
    console: Console,
    written: int,
    failed: Iterable[tuple[Path, str]],
    out: Path,
    plan: _Plan,
    value_range: Range | None,
) -> None:
    """One line for each picture that failed, what was left, and one on what was done."""
    lines = [reason if str(path) in reason else f"{path}: {reason}" for path, reason in failed]
    end = f", {len(lines)} failed." if lines else "."
    if plan.passed_over:
        lines.append(f"Passed over {counted(plan.passed_over)}.")
    if plan.shallow and value_range:
        low, high = value_range
        lines.append(
            f"{len(plan.shallow)} of 8 bits (the first: {plan.shallow[0]}) hold values from 0 to "
            f"255, and {low:g} to {high:g} are black to white to this network."
        )
    if plan.animated:
        lines.append(
            f"{plan.animated} with several frames or pages: the first was translated; --frames "
            "translates all."
        )
    lines.append(f"Translated {written} picture{'s' * (written != 1)} into {out}{end}")
    for line in lines:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
