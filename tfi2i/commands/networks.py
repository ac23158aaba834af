"""A network that a verb uses, wherever it is, and the values that the options choose for it."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tfi2i.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tfi2i_export.artefacts import Inputs

    from tfi2i.conditions import Condition
    from tfi2i.pictures.depth import Ranges
    from tfi2i.runs.run import Run


@dataclasses.dataclass(frozen=True)
class Opened:
    """A network and what it takes besides the picture.

    Attributes:
        where: Name of the network, for messages.
        network: Keras model of a run or a .keras file; None: an artefact, or a served one.
        conditions: Inputs that are open in it; None: nobody says which.
        readers: Functions (pixels (H, W, 3), target) -> value of a reference picture, by name.
        target: Domain of the pictures that come out; None: a label chooses it.
        unread: End of a sentence on what reads no reference.
        value_range: Numbers in the files of the pictures that are black and white; None: pixels.
        target_range: Numbers in the files of the results; None: pixels.
        range_of: Function of a domain: such numbers of its pictures, for references.
    """

    where: Any
    network: Any
    conditions: "tuple[Condition, ...] | None"
    readers: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    target: str | None = None
    unread: str = "cannot read a picture's style; translate with the run it is from."
    value_range: tuple[float, float] | None = None
    target_range: tuple[float, float] | None = None
    range_of: Callable[[str | None], Any] = lambda domain: None

    def values(self, arguments: argparse.Namespace, count: int = 1) -> dict[str, Any]:
        """Values (count, ...) by name: given, read from a reference, or sampled.

        Raises:
            InputError: A file that cannot be read, or values that do not fit.
        """
        from tfi2i_export.inputs import from_options, read_given

        if self.conditions is None:
            return read_given(arguments.input, "--input")
        return from_options(
            *(self.conditions, self.readers, self.target),
            count=count,
            files=("--input", arguments.input),
            reference=arguments.reference,
            labels=arguments.label,
            seed=arguments.seed,
            unread=f"{self.where} {self.unread}",
            range_of=self.range_of,
        )


def opened(arguments: argparse.Namespace) -> Opened:
    """The network of a run, a .keras or .tflite file or a SavedModel.

    Raises:
        InputError: There is none, it is damaged, or the options are not for it.
    """
    from tfi2i_export import artefacts
    from tfi2i_export.inputs import open_conditions, picture_readers, shapes_of

    from tfi2i.files import refuse_special
    from tfi2i.runs.keras_files import load_translator, read_conditions, read_ranges
    from tfi2i.runs.run import Run

    path, direction = arguments.model, arguments.direction
    refuse_special(path)
    is_artefact = artefacts.is_artefact(path)
    if not is_artefact and not path.is_file():
        return _of_run(Run(path), direction, arguments.reference is not None)
    if direction is not None:
        raise InputError(
            f"--direction {direction}: {path} has one direction only; leave --direction out."
        )
    if path.suffix == ".onnx":
        raise InputError(
            f"{path}: ONNX files are for other programs, such as ONNX Runtime; give the run, a"
            " .keras or a .tflite file."
        )
    if is_artefact:
        inputs, ranges = artefacts.inputs_of(path), artefacts.ranges_of(path)
        artefacts.warn_unverified(path)
        return _of_artefact(path, inputs, ranges)
    network = load_translator(path)
    conditions = open_conditions(read_conditions(path), shapes_of(network), str(path))
    source, target = read_ranges(path)
    return Opened(
        *(path, network, conditions, picture_readers(conditions)),
        value_range=source,
        target_range=target,
        range_of=lambda domain: target,
    )


def of_server(arguments: argparse.Namespace) -> Opened:
    """The network of a server, as far as the sidecar that is given describes it."""
    from tfi2i_export.artefacts import inputs_in
    from tfi2i_export.sidecar import read

    from tfi2i.pictures.depth import Ranges

    if arguments.sidecar is None:
        for option in ("label", "seed", "reference"):
            if getattr(arguments, option) is not None:
                raise InputError(
                    f"--{option} {getattr(arguments, option)}: a server does not tell what its"
                    " inputs mean; add --sidecar FILE, the .json file that was exported with the"
                    " model."
                )
        return Opened(None, None, None)
    about = read(arguments.sidecar)
    ranges = Ranges(about.value_range, about.target_range)
    return _of_artefact(arguments.sidecar, inputs_in(arguments.sidecar), ranges)


def _of_artefact(where: "Path", inputs: "Inputs", ranges: "Ranges") -> Opened:
    """An exported network, whose second pictures are of the target domain."""
    more: dict[str, Any] = {"value_range": ranges.source, "target_range": ranges.target}
    return Opened(where, None, *inputs, **more, range_of=lambda domain: ranges.target)


def compiled(network: Any) -> Callable[..., Any]:
    """A network as a function of its inputs, with one graph for any number of pictures."""
    import tensorflow as tf

    from tfi2i.pictures.pixels import in_order

    signature = [tf.TensorSpec(one.shape, one.dtype) for one in network.inputs]
    return tf.function(in_order(network), input_signature=signature)


def _of_run(run: "Run", direction: str | None, with_encoders: bool) -> Opened:
    from tfi2i_export.encoders import reader_of
    from tfi2i_export.inputs import open_conditions, picture_readers, shapes_of

    network = run.network(direction)
    conditions = open_conditions(run.conditions(direction), shapes_of(network), str(run.path))
    aspect = (run.config.get("batches") or {}).get("aspect", "squash")  # as in training
    readers: dict[str, Any] = dict(picture_readers(conditions, aspect))
    if with_encoders:
        system = run.load_system()
        for one in system.conditions_of(direction):
            if one.encode is not None:
                readers[one.name] = reader_of(one.encode, system.image_size, aspect)
    unread = "has nothing that reads a picture's style; leave --reference out."
    way = run.check_direction(direction)
    target = way.target if with_encoders else None

    def range_of(domain: str | None) -> Any:
        return run.value_range(domain or way.target)

    known = (run.path, network, conditions, readers, target, unread)
    return Opened(*known, *run.ranges(way), range_of)
