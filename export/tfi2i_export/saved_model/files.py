"""Contents of a SavedModel, read without loading it, and the versions in a folder."""

import os
import re
import stat
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError
from tfi2i.files import obstacle

LARGEST = 1 << 26  # bytes of saved_model.pb: a graph alone, as weights lie in variables/

TAG = "serve"  # of the graph that a server loads
LARGEST_VERSION = 2**63 - 1


def read(folder: Path) -> Any:
    """The `saved_model_pb2.SavedModel` of a folder, with one graph at least.

    Raises:
        InputError: It is no SavedModel, or its saved_model.pb is damaged or too large.
    """
    # These bring all of TensorFlow with them.
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    content = _content(path)
    again = "copy the folder again, or export the model again."
    try:
        model = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError as error:
        raise InputError(f"{path} is damaged: it is no SavedModel's graph; {again}") from error
    if not model.meta_graphs:
        raise InputError(f"{path} is damaged: it holds no graph; {again}")
    for place in ("variables", "assets"):  # which TensorFlow would wait for
        for file in (folder / place).glob("**/*"):
            if told := obstacle(file):
                raise InputError(f"{file} {told}; {again}")
    return model


def served_graph(folder: Path) -> Any:
    """The `MetaGraphDef` that a server loads: the one with the tag "serve" alone.

    Raises:
        InputError: as `read`; or there is none.
    """
    graphs = read(folder).meta_graphs
    for graph in graphs:
        if set(graph.meta_info_def.tags) == {TAG}:
            return graph
    found = ", ".join(repr("+".join(graph.meta_info_def.tags)) for graph in graphs)
    raise InputError(
        f"{folder} has no graph tagged {TAG!r} but {found[:200]}; export the model for serving."
    )


def signatures(folder: Path) -> dict[str, Any]:
    """The `SignatureDef` of each signature that can be asked for, by name, as a server finds them.

    Raises:
        InputError: as `served_graph`.
    """
    # The others are TensorFlow's own: what to run when it loads the graph.
    return {
        name: signature
        for name, signature in sorted(served_graph(folder).signature_def.items())
        if not name.startswith("__saved_model_")
    }


def versions(base: Path) -> list[Path]:
    """The folders in `base` whose names are whole numbers, in ascending order; empty without any.

    Of several names of one number, such as 7 and 007, the one that a server loads.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        names = sorted(path.name for path in base.iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{base} cannot be read ({error.strerror or error}).") from error
    by_number = {int(name): base / name for name in names if re.fullmatch("[0-9]{1,19}", name)}
    return [by_number[number] for number in sorted(by_number) if number <= LARGEST_VERSION]


def _content(path: Path) -> bytes:
    try:
        # Of a pipe, opening would wait until someone writes to it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is not a file; give the folder of a SavedModel.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(LARGEST + 1) if size <= LARGEST else b""
    except (FileNotFoundError, NotADirectoryError) as error:
        folder, what = path.parent, "holds no saved_model.pb"
        if inside := versions(folder):
            raise InputError(
                f"{folder} holds versions of a SavedModel; give one of them, such as {inside[-1]}."
            ) from error
        if not folder.is_dir():
            what = obstacle(folder) or ("is a file" if folder.exists() else "is not there")
        raise InputError(f"{folder} {what}; give the folder of a SavedModel.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}).") from error
    if max(size, len(content)) > LARGEST:
        raise InputError(f"{path} has over {LARGEST:,} bytes, which no translator's graph has.")
    return content
