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
from collections.abc import Iterator, Sequence
from typing import Any

import flatbuffers  # type: ignore[import-untyped]

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


def with_metadata(model: bytes, sidecar: Sidecar) -> bytes:
    """A .tflite file with metadata, which replace those it has; tensors and signatures stay.

    Args:
        model: File, with signatures.
        sidecar: Name of the model; its `file`, `sha256` and `size_bytes` do not matter.

    Raises:
        InputError: if `model` is no such file, or the sidecar lacks one of its tensors.
    """
    with _readable():
        reader, root, values = _opened(model)
        fields = reader.fields(root, "Model")
        # Offsets of the builder count back from its end, where the old file begins: what stands at
        # byte p of the old file has the offset -p.
        old = {name: -reader.target(at) for name, at in fields.items() if name != "version"}
        buffers = [-at for at in reader.targets(fields["buffers"])]
        entries = [-at for at in reader.targets(fields["metadata"])] if "metadata" in fields else []
    names = [entry.get("name") for entry in values.get("metadata", [])]
    replaced = _metadata_buffer(values)
    index = len(buffers) if replaced is None else replaced

    builder = flatbuffers.Builder(4096)
    content = _bytes(builder, _flatbuffer(_model_metadata(values, sidecar)))
    builder.StartObject(len(TABLES["Buffer"]))
    builder.PrependUOffsetTRelativeSlot(0, content, 0)
    buffers[index : index + 1] = [builder.EndObject()]
    kept = [entry for entry, name in zip(entries, names, strict=True) if name != BUFFER_NAME]
    kept.append(_table(builder, "Metadata", {"name": BUFFER_NAME, "buffer": index}))
    old |= {"buffers": _pointers(builder, buffers), "metadata": _pointers(builder, kept)}
    builder.StartObject(len(TABLES["Model"]))
    for slot, name in enumerate(TABLES["Model"]):
        if name == "version":
            builder.PrependUint32Slot(slot, values.get("version", 0), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, old.get(name, 0), 0)
    builder.Finish(builder.EndObject(), MODEL_IDENTIFIER)
    # The builder ends on its largest alignment, so that of the weights is kept.
    front = builder.Output()
    with _readable():
        return b"".join((front, _moved(reader, reader.targets(fields["buffers"]), len(front))))


def _moved(reader: "_Reader", buffers: Sequence[int], distance: int) -> bytes | bytearray:
    """The model as it has to be that many bytes further on.

    Weights behind the flatbuffer, where quantization puts them, are found by their place in the
    file, unlike all else.
    """
    places = [reader.fields(at, "Buffer").get("offset") for at in buffers]
    offsets = {place: reader.number("uint64", place) for place in places if place is not None}
    outside = {place: offset for place, offset in offsets.items() if offset > 1}
    if not outside:
        return reader.data
    moved = bytearray(reader.data)
    for place, offset in outside.items():
        struct.pack_into("<Q", moved, place, offset + distance)
    return moved


def read_metadata(model: bytes) -> Values:
    """The metadata of a .tflite file in the words of the format, enumerations as numbers.

    The data of tfi2i's custom metadata are parsed; those of others stay bytes.

    Raises:
        InputError: if `model` is no such file, or has no metadata.
    """
    with _readable():
        reader, root, values = _opened(model)
        index = _metadata_buffer(values)
        if index is None:
            raise InputError(f"The model has no metadata ({BUFFER_NAME}); export it with tfi2i.")
        buffer = reader.targets(reader.fields(root, "Model")["buffers"])[index]
        fields = reader.fields(buffer, "Buffer")
        content = reader.value(fields["data"], "[uint8]") if "data" in fields else b""
        inner = _Reader(content)
        metadata = inner.table(inner.root(METADATA_IDENTIFIER), "ModelMetadata")
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
    definitions: dict[int, Values] = {}
    for definition in model.get("signature_defs", []):
        definitions.setdefault(definition.get("subgraph_index", 0), definition)
    if 0 not in definitions:
        raise InputError("The model has no signature; convert it from a Keras model or SavedModel.")
    signatures = {signature.name: signature for signature in sidecar.signatures}
    entries: list[Values] = []
    for index, subgraph in enumerate(model["subgraphs"]):
        definition = definitions.get(index)
        if definition is None:
            entries.append({})
            continue
        name = definition.get("signature_key", "")
        if name not in signatures:
            raise InputError(f"The model has a signature {name!r} that the sidecar lacks.")
        given = signatures[name]
        entry: Values = {"name": name}
        for side, tensors in (("input", given.inputs), ("output", given.outputs)):
            ordered = _in_order(subgraph, definition, f"{side}s", tensors)
            entry[f"{side}_tensor_metadata"] = [
                _tensor_metadata(tensor, sidecar.image_size, side) for tensor in ordered
            ]
        entries.append(entry)
    return entries


def _in_order(
    subgraph: Values, definition: Values, side: str, tensors: Sequence[Tensor]
) -> list[Tensor]:
    """The tensors of one side of a signature as the subgraph lists them; the format wants that."""
    names = {e.get("tensor_index", 0): e.get("name", "") for e in definition.get(side, [])}
    given = {tensor.name: tensor for tensor in tensors}
    ordered = []
    for index in subgraph.get(side, []):
        name = names.get(index)
        if name not in given:
            raise InputError(
                f"The model has {name!r} among its {side} and the sidecar has {sorted(given)}."
            )
        ordered.append(given[name])
    return ordered


def _tensor_metadata(tensor: Tensor, image_size: int, side: str) -> Values:
    values: Values = {"name": tensor.name, "description": tensor.meaning}
    if tensor.range:
        values["stats"] = {"min": [tensor.range[0]], "max": [tensor.range[1]]}
    if tensor.colour is None or len(tensor.shape) != 4:
        return values | {"content": {"content_properties_type": 1, "content_properties": {}}}
    height, width = (image_size if size < 0 else size for size in tensor.shape[1:3])
    image = {
        "color_space": COLOURS[tensor.colour],
        "default_size": {"width": width, "height": height},
    }
    values["content"] = {"content_properties_type": 2, "content_properties": image}
    if tensor.range:
        unit = {"options_type": 1, "options": _normalisation(tensor, side)}
        values["process_units"] = [unit]
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


# Writing


def _flatbuffer(values: Values) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(_table(builder, "ModelMetadata", values), METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, name: str, values: Values) -> int:
    """Adds a table with what it points to; its offset in the builder."""
    kinds, offsets = TABLES[name], {}
    for field, kind in kinds.items():
        value = values.get(field)
        if value is None or kind in SCALARS:
            continue
        inner = UNIONS[kind][values[f"{field}_type"]] if kind in UNIONS else kind
        offsets[field] = _written(builder, inner, value)
    builder.StartObject(len(kinds))
    for slot, (field, kind) in enumerate(kinds.items()):
        if field in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[field], 0)
        elif field in values and kind in SCALARS:
            builder.PrependSlot(SCALARS[kind], slot, values[field], 0)
    return builder.EndObject()


def _written(builder: Any, kind: str, value: Any) -> int:
    if kind == "string":
        return builder.CreateString(value, errors="replace")
    if kind == "[uint8]":
        return _bytes(builder, value)
    if kind == "[float32]":
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    if kind.startswith("["):
        return _pointers(builder, [_table(builder, kind[1:-1], one) for one in value])
    return _table(builder, kind, value)


def _bytes(builder: Any, value: bytes) -> int:
    builder.Prep(ALIGNMENT, len(value))
    return builder.CreateByteVector(value)


def _pointers(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


# Reading


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (struct.error, ValueError, RecursionError) as error:  # of numbers, texts and JSON
        raise InputError(f"The model is damaged ({error}); export it again.") from error


class _Reader:
    """Tables of a flatbuffer as dictionaries; positions are bytes from its start."""

    def __init__(self, data: bytes):
        self.data = data
        self.left = LARGEST

    def number(self, kind: str, position: int) -> Any:
        return SCALARS[kind].packer_type.unpack_from(self.data, position)[0]

    def root(self, identifier: bytes) -> int:
        if self.data[4:8] != identifier:
            raise InputError(
                f"The model holds {self.data[4:8]!r} where {identifier!r} has to be;"
                " give a .tflite file."
            )
        return self.target(0)

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
            kind = TABLES[name][field]
            if kind in UNIONS:
                kind = UNIONS[kind].get(values.get(f"{field}_type", 0), "")
            if kind:
                values[field] = self.value(at, kind)
        return values

    def value(self, position: int, kind: str) -> Any:
        if kind in SCALARS:
            return self.number(kind, position)
        if kind in TABLES:
            return self.table(self.target(position), kind)
        if kind in ("string", "[uint8]"):
            start, length = self.vector(position)
            data = self.data[start : start + length]
            return data.decode() if kind == "string" else data
        inner = kind[1:-1]
        if inner in TABLES:
            return [self.table(at, inner) for at in self.targets(position)]
        start, length = self.vector(position)
        size = SCALARS[inner].bytewidth
        return [self.number(inner, start + size * i) for i in range(length)]


def _opened(model: bytes) -> tuple[_Reader, int, Values]:
    """A reader of a model, where its root stands, and what is read of it."""
    reader = _Reader(model)
    root = reader.root(MODEL_IDENTIFIER)
    values = reader.table(root, "Model")
    if "buffers" not in values or "subgraphs" not in values:
        raise InputError("The model is damaged: it has no graph; export it again.")
    return reader, root, values


def _metadata_buffer(model: Values) -> int | None:
    for entry in model.get("metadata", []):
        if entry.get("name") == BUFFER_NAME:
            index = entry.get("buffer", 0)
            if index >= len(model["buffers"]):
                raise InputError("The model is damaged: its metadata have no buffer.")
            return index
    return None
