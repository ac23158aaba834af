"""Description inside a .tflite file, in the TFLite metadata format that tflite-support reads.

Both the model and its metadata are flatbuffers: trees of tables that point from a place to a later
one, never back. So the metadata need not be woven into a model, which would take it apart and
forget the alignment of its weights. They go in front of it, with a new root that points into it:

    header | root: Model | lists of buffers and metadata | the metadata | the old file

The old file's own header, root and two lists are left behind in it, unused. LiteRT's
schema_py_generated would pack the model anew and lose the alignment, and the package with the
metadata's own schema, tflite-support, needs Python below 3.12.
"""

import contextlib
import dataclasses
import json
import struct
from collections.abc import Iterator
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np

from tfi2i.errors import InputError
from tfi2i.files import to_json
from tfi2i_export.sidecar import Sidecar, Tensor
from tfi2i_export.tflite.metadata_tables import SCALARS, TABLES, UNIONS

MODEL_IDENTIFIER = b"TFL3"
METADATA_IDENTIFIER = b"M001"
BUFFER_NAME = "TFLITE_METADATA"
CUSTOM_NAME = "tfi2i"
"""The name of the custom metadata: the sidecar without what names or measures the file."""

ALIGNMENT = 16  # bytes, that both formats ask for where they store bytes
LARGEST = 1 << 22  # bytes and entries read of one file: in a bad one all lists may be one long list

Values = dict[str, Any]

COLOURS = {"RGB": 1, "GRAYSCALE": 2}


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (struct.error, ValueError, RecursionError) as error:  # of numbers, texts and JSON
        raise InputError(f"The model is damaged ({error}); export it again.") from error


def with_metadata(model: bytes, sidecar: Sidecar) -> bytes:
    """A .tflite file with metadata, which replace those it has; tensors and signatures stay.

    Args:
        model: File, with signatures.
        sidecar: Name of the model; its `file`, `sha256` and `size_bytes` do not matter.

    Raises:
        InputError: if `model` is no such file, or the sidecar lacks one of its tensors.
    """
    with _readable():
        reader, fields, values, replaced = _opened(model)
        # Offsets of the builder count back from its end, where the old file begins: what stands at
        # byte p of the old file has the offset -p.
        old = {name: -reader.target(at) for name, at in fields.items() if name != "version"}
        buffers = [-at for at in reader.targets(fields["buffers"])]
        entries = [-at for at in reader.targets(fields["metadata"])] if "metadata" in fields else []
        places = [reader.fields(-at, "Buffer").get("offset") for at in buffers]
        offsets = {at: reader.number("uint64", at) for at in places if at is not None}
    index = len(buffers) if replaced is None else replaced
    builder = flatbuffers.Builder(4096)
    inner = flatbuffers.Builder(4096)
    described = _table(inner, "ModelMetadata", _model_metadata(values, sidecar))
    inner.Finish(described, METADATA_IDENTIFIER)
    content = _written(builder, "[uint8]", bytes(inner.Output()))
    buffers[index : index + 1] = [_table(builder, "Buffer", {"data": content})]
    known = zip(entries, values.get("metadata", []), strict=True)
    kept = [at for at, entry in known if entry.get("name") != BUFFER_NAME]
    kept.append(_table(builder, "Metadata", {"name": BUFFER_NAME, "buffer": index}))
    old |= {"buffers": _pointers(builder, buffers), "metadata": _pointers(builder, kept)}
    root = _table(builder, "Model", old | {"version": values.get("version", 0)})
    builder.Finish(root, MODEL_IDENTIFIER)
    # The builder ends on its largest alignment, so that of the weights is kept.
    front = builder.Output()
    # Weights behind the flatbuffer, where quantization puts them, are found by their place in the
    # file, unlike all else.
    outside = {place: offset for place, offset in offsets.items() if offset > 1}
    if not outside:
        return b"".join((front, model))
    moved = bytearray(model)
    with _readable():
        for place, offset in outside.items():
            struct.pack_into("<Q", moved, place, offset + len(front))
    return b"".join((front, moved))


@_readable()
def read_metadata(model: bytes) -> Values:
    """The metadata of a .tflite file in the words of the format, enumerations as numbers.

    The data of tfi2i's custom metadata are parsed; those of others stay bytes.

    Raises:
        InputError: if `model` is no such file, or has no metadata.
    """
    reader, model_fields, _, index = _opened(model)
    if index is None:
        raise InputError(f"The model has no metadata ({BUFFER_NAME}); export it with tfi2i.")
    fields = reader.fields(reader.targets(model_fields["buffers"])[index], "Buffer")
    content = reader.value(fields["data"], "[uint8]") if "data" in fields else b""
    inner = _Reader(content, METADATA_IDENTIFIER)
    metadata = inner.table(inner.root, "ModelMetadata")
    for subgraph in metadata.get("subgraph_metadata", []):
        for entry in subgraph.get("custom_metadata", []):
            if entry.get("name") == CUSTOM_NAME:
                entry["data"] = json.loads(entry.get("data", b""))
    return metadata


def _model_metadata(model: Values, sidecar: Sidecar) -> Values:
    source, target = sidecar.domains["source"], sidecar.domains["target"]
    does = f"Translates pictures from domain {source} to" if source else "Makes pictures of"
    subgraphs = _subgraphs(model, sidecar)
    about = dataclasses.asdict(sidecar)
    for name in ("file", "sha256", "size_bytes"):
        del about[name]
    data = to_json(about).encode(errors="replace")
    subgraphs[0]["custom_metadata"] = [{"name": CUSTOM_NAME, "data": data}]
    return {
        "name": sidecar.name,
        "description": f"{does} domain {target}:"
        f" {sidecar.system} trained on {sidecar.data}, {sidecar.format}.",
        "version": f"step {sidecar.step} of {sidecar.run}",
        "subgraph_metadata": subgraphs,
        "license": sidecar.licence,
        "min_parser_version": "1.5.0",  # the first with custom metadata
    }


def _subgraphs(model: Values, sidecar: Sidecar) -> list[Values]:
    """One entry a subgraph, empty for those without a signature: bodies of loops and branches."""
    known = reversed(model.get("signature_defs", []))  # of several for a subgraph the first holds
    definitions = {one.get("subgraph_index", 0): one for one in known}
    if 0 not in definitions:
        raise InputError("The model has no signature; convert it from a Keras model or SavedModel.")
    return [
        _subgraph(subgraph, definitions[i], sidecar) if i in definitions else {}
        for i, subgraph in enumerate(model["subgraphs"])
    ]


def _subgraph(subgraph: Values, definition: Values, sidecar: Sidecar) -> Values:
    """The entry of a signature's subgraph; the format wants its tensors in the subgraph's order."""
    name = definition.get("signature_key", "")
    given = {signature.name: signature for signature in sidecar.signatures}.get(name)
    if given is None:
        raise InputError(f"The model has a signature {name!r} that the sidecar lacks.")
    entry: Values = {"name": name}
    for side in ("input", "output"):
        listed = definition.get(f"{side}s", [])
        names = {one.get("tensor_index", 0): one.get("name", "") for one in listed}
        tensors = {tensor.name: tensor for tensor in getattr(given, f"{side}s")}
        described = entry[f"{side}_tensor_metadata"] = []
        for name in map(names.get, subgraph.get(f"{side}s", [])):
            if name not in tensors:
                both = f"{name!r} among its {side}s and the sidecar has {sorted(tensors)}"
                raise InputError(f"The model has {both}.")
            described.append(_tensor_metadata(tensors[name], sidecar.default_size, side))
    return entry


def _tensor_metadata(tensor: Tensor, default: tuple[int, int], side: str) -> Values:
    values: Values = {"name": tensor.name, "description": tensor.meaning}
    if tensor.range:
        values["stats"] = {"min": [tensor.range[0]], "max": [tensor.range[1]]}
    if tensor.colour is None or len(tensor.shape) != 4:
        return values | {"content": {"content_properties_type": 1, "content_properties": {}}}
    pairs = zip(tensor.shape[1:3], default, strict=True)
    height, width = (usual if size < 0 else size for size, usual in pairs)
    size = {"width": width, "height": height}
    # The format has no name for alpha or bands.
    image = {"color_space": COLOURS.get(tensor.colour, 0), "default_size": size}
    values["content"] = {"content_properties_type": 2, "content_properties": image}
    if tensor.range:
        values["process_units"] = [{"options_type": 1, "options": _normalisation(tensor, side)}]
    return values


def _normalisation(tensor: Tensor, side: str) -> Values:
    """(x - mean) / std takes a pixel 0..255 to the real input, and the real output to a pixel."""
    low, high = tensor.range or (0.0, 255.0)
    if tensor.scale is not None:
        zero = tensor.zero_point or 0
        low, high = (low - zero) * tensor.scale, (high - zero) * tensor.scale
    if low >= high:
        raise InputError(f"The range of {tensor.name} is {tensor.range}; the second is the larger.")
    if side == "output":
        return {"mean": [low], "std": [(high - low) / 255]}
    std = 255 / (high - low)
    return {"mean": [0 - low * std], "std": [std]}


def _inner(kind: str, number: int) -> str:
    """The kind that a field has, of a union the one of that number; "" if it is not known."""
    return UNIONS[kind].get(number, "") if kind in UNIONS else kind


# Writing


def _table(builder: Any, name: str, values: Values) -> int:
    """Adds a table with what it points to, unless that is an offset; its offset in the builder."""
    kinds = TABLES[name]
    offsets = {
        field: _written(builder, _inner(kind, values.get(f"{field}_type", 0)), values[field])
        for field, kind in kinds.items()
        if values.get(field) is not None and kind not in SCALARS
    }
    builder.StartObject(len(kinds))
    for slot, (field, kind) in enumerate(kinds.items()):
        if field in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[field], 0)
        elif field in values and kind in SCALARS:
            builder.PrependSlot(SCALARS[kind], slot, values[field], 0)
    return builder.EndObject()


def _written(builder: Any, kind: str, value: Any) -> int:
    if isinstance(value, int):
        return value
    if kind == "string":
        return builder.CreateString(value, errors="replace")
    if kind == "[uint8]":
        builder.Prep(ALIGNMENT, len(value))
        return builder.CreateByteVector(value)
    if kind == "[float32]":
        return builder.CreateNumpyVector(np.array(value, np.float32))
    if kind.startswith("["):
        return _pointers(builder, [_table(builder, kind[1:-1], one) for one in value])
    return _table(builder, kind, value)


def _pointers(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


# Reading


class _Reader:
    """Tables of a flatbuffer as dictionaries; positions are bytes from its start."""

    def __init__(self, data: bytes, identifier: bytes):
        self.data = data
        self.left = LARGEST
        if data[4:8] != identifier:
            raise InputError(
                f"The model holds {data[4:8]!r} where {identifier!r} has to be;"
                " give a .tflite file."
            )
        self.root = self.target(0)

    def number(self, kind: str, position: int) -> Any:
        return SCALARS[kind].packer_type.unpack_from(self.data, position)[0]

    def target(self, position: int) -> int:
        found = position + self.number("uint32", position)
        if found >= len(self.data):
            raise InputError("The model is damaged: it points behind its end; export it again.")
        return found

    def fields(self, position: int, name: str) -> dict[str, int]:
        """Where the fields of a table stand that it has."""
        vtable = position - self.number("int32", position)
        (size,) = struct.unpack_from("<H", self.data, vtable)
        count = max(0, size - 4) // 2
        if name == "Model" and count > len(TABLES[name]):  # they would be lost with the old root
            raise InputError("The model has parts that this version does not know; update tfi2i.")
        names = list(TABLES[name])[:count]
        slots = struct.unpack_from(f"<{len(names)}H", self.data, vtable + 4)
        return {field: position + slot for field, slot in zip(names, slots, strict=True) if slot}

    def vector(self, position: int) -> tuple[int, int]:
        """(start, length) of the vector a field points to."""
        start = self.target(position)
        length = self.number("uint32", start)
        self.left -= length
        if self.left < 0:
            raise InputError("The model is damaged: its lists are longer than itself.")
        return start + 4, length

    def targets(self, position: int) -> list[int]:
        start, length = self.vector(position)
        return [self.target(start + 4 * i) for i in range(length)]

    def table(self, position: int, name: str) -> Values:
        values: Values = {}
        for field, at in self.fields(position, name).items():
            kind = _inner(TABLES[name][field], values.get(f"{field}_type", 0))
            if kind:
                values[field] = self.value(at, kind)
        return values

    def value(self, position: int, kind: str) -> Any:
        if kind in SCALARS:
            return self.number(kind, position)
        if kind in TABLES:
            return self.table(self.target(position), kind)
        inner = kind[1:-1]
        if inner in TABLES:
            return [self.table(at, inner) for at in self.targets(position)]
        start, length = self.vector(position)
        if kind in ("string", "[uint8]"):
            data = self.data[start : start + length]
            return data.decode() if kind == "string" else data
        size = SCALARS[inner].bytewidth
        return [self.number(inner, start + size * i) for i in range(length)]


def _opened(model: bytes) -> tuple[_Reader, dict[str, int], Values, int | None]:
    """A reader of a model, places and values of its fields, and which buffer its metadata are."""
    reader = _Reader(model, MODEL_IDENTIFIER)
    values = reader.table(reader.root, "Model")
    if "buffers" not in values or "subgraphs" not in values:
        raise InputError("The model is damaged: it has no graph; export it again.")
    entries = [one for one in values.get("metadata", []) if one.get("name") == BUFFER_NAME]
    index = entries[0].get("buffer", 0) if entries else None
    if index is not None and index >= len(values["buffers"]):
        raise InputError("The model is damaged: its metadata have no buffer.")
    return reader, reader.fields(reader.root, "Model"), values, index
