"""Training: data + system + run directory -> `keras.Model.fit`, reported, saved and resumable."""

import logging
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import keras
import tensorflow as tf

from tfi2i.data.clock import timed
from tfi2i.data.dataset import Dataset
from tfi2i.data.resize import squash_notes
from tfi2i.errors import InputError
from tfi2i.limits import Between, Seed, Step, Steps, checked
from tfi2i.models.model import GenerativeModel
from tfi2i.pictures.sizes import AnySize
from tfi2i.runs.run import Run
from tfi2i.training.checkpoints import Checkpoints, Completion, follow
from tfi2i.training.reports import Reports
from tfi2i.training.samples import Samples, TestImages
from tfi2i.training.validation import Validation

log = logging.getLogger("tfi2i")

CATCH_UP = ("sample_steps", "sample_images", "tensorboard", "deterministic")
"""Settings of `fit` that `catch_up` takes."""


class Segment(NamedTuple):
    """A part of the training that one call of Keras' `fit` does."""

    start_step: int
    epoch_steps: int
    epochs: int


def segments(start_step: int, total_steps: int, report_steps: int) -> list[Segment]:
    """The steps start..total as epochs that end at multiples of report_steps, and at the end."""
    parts, step = [], start_step
    while step < total_steps:
        left = total_steps - step
        if step % report_steps or left < report_steps:
            part = Segment(step, min(report_steps - step % report_steps, left), 1)
        else:
            part = Segment(step, report_steps, left // report_steps)
        parts.append(part)
        step += part.epoch_steps * part.epochs
    return parts


@checked("fit")
def fit(
    system: GenerativeModel,
    data: Dataset,
    run: Run,
    batches: dict[str, Any] | None = None,
    *,
    seed: Seed = 0,
    report_steps: Steps = 100,
    sample_steps: Steps = 1000,
    checkpoint_steps: Steps = 1000,
    evaluate_steps: Step | None = None,
    sample_images: Annotated[int, Between(1, 1_000)] = 6,
    evaluate_images: Annotated[int, Between(2, 10_000, why="KID needs 2 or more")] = 128,
    tensorboard: bool = True,
    deterministic: bool | None = None,
    show: bool = True,
) -> None:
    """Trains a compiled system up to its `total_steps`, from the step it is at.

    Killed at any moment and called again with the system of the run's last checkpoint (or with a
    new one of the same seed, if it has none yet), it ends with the same weights.

    Args:
        system: Compiled.
        data: Dataset of any source of `tfi2i.data`.
        run: Run that everything is written to.
        batches: Arguments of `Dataset.batches`.
        seed: Seed of the first weights (the caller's part), and of the order of examples.
        report_steps: Line in log.txt, metrics.jsonl and TensorBoard every so many steps.
        sample_steps: Sheet of test images every so many steps; a multiple of report_steps.
        checkpoint_steps: Checkpoint every so many steps; a multiple of report_steps.
        evaluate_steps: KID of a fixed set of pictures every so many steps, by which the best
            checkpoint is chosen; a multiple of checkpoint_steps; null: with every checkpoint, 0:
            never.
        sample_images: Number of test images of a sheet.
        evaluate_images: Number of pictures of each domain that KID is taken on: held-out ones where
            the data has them beside its test set, else training pictures.
        tensorboard: TensorBoard's files beside the log.
        deterministic: Restriction to operations that give the same bits every time, slower
            on a GPU; null: on without a GPU, off with one.
        show: Progress bar on a terminal.

    Raises:
        InputError: numbers that don't fit, a domain without readable pictures, or losses that are
            no longer finite.
    """
    aspect = (batches := batches or {}).get("aspect", "squash")
    check(
        data,
        system,
        aspect,
        report_steps=report_steps,
        sample_steps=sample_steps,
        checkpoint_steps=checkpoint_steps,
        evaluate_steps=evaluate_steps,
        evaluate_images=evaluate_images,
    )
    catch_up(
        *(system, lambda: data, run, batches),
        *(sample_steps, sample_images, tensorboard, deterministic),
    )
    if system.step >= system.total_steps:
        raise InputError(
            f"{run.path}: is trained to step {system.step} already; raise compile.total_steps "
            f"(now {system.total_steps}) to go on."
        )
    data = data.on(system.directions).in_channels(system.channels)
    _set_up_tensorflow(deterministic)
    _log_devices()
    run.truncate_metrics(system.step)
    reports = Reports(run, batches.get("batch_size", 1), tensorboard, show)
    callbacks: list[keras.callbacks.Callback] = []
    if evaluate_steps != 0:
        held_out = _validation_images(data, system.image_size, aspect, evaluate_images)
        callbacks.append(Validation(reports, held_out, evaluate_steps or checkpoint_steps))
    shown = _images(data, system.image_size, aspect, sample_images)
    _warn_of_squashing(data, system.image_size, aspect)
    samples = Samples(run, reports, shown, sample_steps)
    callbacks += [reports, Checkpoints(run, checkpoint_steps), samples]
    callbacks.append(Completion(run, checkpoint_steps))
    with reports.shown(system.step, system.total_steps):
        for part in segments(system.step, system.total_steps, report_steps):
            dataset = data.batches(system, seed=seed, start_step=part.start_step, **batches)
            dataset, reports.clock = timed(dataset)
            _do(part, system, dataset, data, callbacks)


def _do(
    part: Segment, system: GenerativeModel, dataset: Any, data: Dataset, callbacks: Any
) -> None:
    try:
        system.fit(
            dataset,
            steps_per_epoch=part.epoch_steps,
            epochs=part.epochs,
            callbacks=callbacks,
            verbose=0,
        )
    except tf.errors.OpError as error:  # which hides what went wrong in a loader
        raise (data.failure or error) from None


def catch_up(
    system: GenerativeModel,
    open_data: Callable[[], Dataset],
    run: Run,
    batches: dict[str, Any] | None,
    sample_steps: int,
    sample_images: int,
    tensorboard: bool,
    deterministic: bool | None,
) -> None:
    """Brings to the last checkpoint what belongs to it, if a kill came between the two.

    That is the translators, the best checkpoint, the sheet of test images and the reports.

    Args:
        system: System of the run's last checkpoint.
        open_data: Function that opens the run's data; called only if a sheet is missing.
        run: Run that the system is of.
        batches: Arguments of `Dataset.batches`.
        sample_steps: Setting of `fit`, as are all that follow.
        sample_images: Setting of `fit`.
        tensorboard: Setting of `fit`.
        deterministic: Setting of `fit`.

    Raises:
        InputError: The record of what is complete is damaged, or there is no such data.
    """
    step, record = system.step, run.completion
    if not step or not run.checkpoint_path().is_file():
        return
    recorded = record is not None and record.step == step
    if recorded and run.has_translators(system):
        return
    log.info("step %d: making anew what belongs to the checkpoint", step)
    run.truncate_metrics(step)
    follow(run, system)
    # On a resume with more steps, the run's own number is the one that counted.
    last = step in (system.total_steps, (run.config.get("compile") or {}).get("total_steps"))
    drawn = run.sample_path(step).is_file() and (recorded or record is None)
    if not drawn and (last or step % sample_steps == 0):
        _set_up_tensorflow(deterministic)
        aspect = (batches or {}).get("aspect", "squash")
        data = open_data().in_channels(system.channels)
        reports = Reports(run, 1, tensorboard, show=False)
        shown = _images(data, system.image_size, aspect, sample_images)
        samples = Samples(run, reports, shown, sample_steps)
        samples.set_model(system)
        samples.draw()
        reports.writer.close()
    run.complete(step)


def _set_up_tensorflow(deterministic: bool | None) -> None:
    if deterministic or (deterministic is None and not tf.config.list_physical_devices("GPU")):
        tf.config.experimental.enable_op_determinism()
    # TensorFlow's remapper fails on the gradients of leaky ReLUs, and says so on the terminal.
    tf.config.optimizer.set_experimental_options({"remapping": False})


def _log_devices() -> None:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    log.info("training on %s", ", ".join(device.name for device in devices))


def check(
    data: Dataset,
    system: Any,
    aspect: str,
    *,
    report_steps: int,
    sample_steps: int,
    checkpoint_steps: int,
    evaluate_steps: int | None,
    evaluate_images: int,
) -> None:
    """Raises `InputError` for what `fit` cannot use, before there is a run.

    Args:
        data: Dataset as for `fit`.
        system: Anything with a system's `image_size` and `channels`.
        aspect: Aspect as in `Dataset.batches`.
        report_steps: Setting of `fit`, as are all that follow.
        sample_steps: Setting of `fit`.
        checkpoint_steps: Setting of `fit`.
        evaluate_steps: Setting of `fit`.
        evaluate_images: Setting of `fit`.
    """
    _check_multiple("sample_steps", sample_steps, "report_steps", report_steps, least=1)
    _check_multiple("checkpoint_steps", checkpoint_steps, "report_steps", report_steps, least=1)
    _check_multiple("evaluate_steps", evaluate_steps, "checkpoint_steps", checkpoint_steps)
    if evaluate_images < 2:
        raise InputError(f"fit.evaluate_images is {evaluate_images}; KID needs 2 pictures or more.")
    image_size, data = system.image_size, data.in_channels(system.channels)
    for key in data.test:
        data.pixels("test", key, image_size, aspect=aspect, limit=1, seed=None)
    if evaluate_steps != 0:
        split = _validation_split(data)
        for key in data.train:
            read = data.pictures(
                split, key, image_size, aspect=aspect, limit=evaluate_images, batch=2
            )
            first = next(read, None)
            if first is None or len(first[0]) < 2:
                raise _too_few(data, split, key)


def _check_multiple(name: str, steps: int | None, unit: str, size: int, least: int = 0) -> None:
    if steps is not None and (size < 1 or steps < least or steps % size):
        raise InputError(
            f"fit.{name} must be a multiple of fit.{unit}, received {name}={steps} with "
            f"{unit}={size}."
        )


def _warn_of_squashing(data: Dataset, image_size: AnySize, aspect: str) -> None:
    for note in squash_notes(data, image_size) if aspect == "squash" else ():
        log.warning("%s", note)


def _images(data: Dataset, image_size: AnySize, aspect: str, limit: int) -> TestImages:
    pixels = {
        key: data.pixels("test", key, image_size, aspect=aspect, limit=limit, seed=None)[0]
        for key in data.test
    }
    count = min(len(rows) for rows in pixels.values())
    return TestImages({key: rows[:count] for key, rows in pixels.items()}, "test" in data.paired)


def _validation_images(data: Dataset, image_size: AnySize, aspect: str, limit: int) -> TestImages:
    """Pictures that are not of the test set, the same at every call."""
    split = _validation_split(data)
    pixels = {}
    for key in data.train:
        pixels[key], _ = data.pixels(split, key, image_size, aspect=aspect, limit=limit)
        if len(pixels[key]) < 2:
            raise _too_few(data, split, key)
    return TestImages(pixels, paired=split in data.paired)


def _validation_split(data: Dataset) -> str:
    return "validation" if data.validation else "train"


def _too_few(data: Dataset, split: str, key: str) -> InputError:
    return InputError(
        f"{data.domain(split, key).where} needs 2 pictures or more that can be read; switch KID "
        "off with fit.evaluate_steps=0."
    )
