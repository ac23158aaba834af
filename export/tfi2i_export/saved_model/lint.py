"""Faults that keep a SavedModel from being served well, found without loading it.

TF Serving loads a SavedModel into TensorFlow's C++ runtime, without Python and with XLA off, and
gives it to clients as JSON or protocol buffers. `tf.saved_model.load` knows none of these limits:
what answers there may be refused by a server, fail with each request, or be garbled on its way.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import tensorflow as tf

from tfi2i.errors import InputError
from tfi2i_export.saved_model import warmup
from tfi2i_export.saved_model.child import CHILD
from tfi2i_export.saved_model.files import TAG, read, signatures
from tfi2i_export.saved_model.server_session import DEFAULT_SIGNATURE, type_name

SMALL = 1024  # bytes; smaller weights may be alike by chance, and doubling them costs nothing
NAMED = 3  # of many in a finding
LONGEST = 100  # characters of a name from the file in a finding
LONGEST_REASON = 300  # characters of TensorFlow's words in a message

# All that a server writes to JSON and reads from it.
REST_TYPES = {"float", "double", "bool", "string", "int8", "int16", "int32", "int64"}
REST_TYPES |= {"uint8", "uint32", "uint64"}
PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
XLA = "_XlaMustCompile"

# TensorFlow itself pins what reads and writes checkpoints to the CPU, which every server has.
_LOCAL = "/job:localhost/replica:0/task:0"
ANYWHERE = frozenset({"", "/device:CPU:0", "/device:CPU:*", _LOCAL, f"{_LOCAL}/device:CPU:0"})

XLA_FAULT = (
    "is compiled by XLA, which a server has turned off, so that requests fail; save it without"
    " jit_compile=True."
)
PYTHON_FAULT = "calls Python, which a server has not; write it with TensorFlow's operations."
OP_FAULT = (
    "is an operation that is not TensorFlow's, and a server without it refuses the model; write it"
    " with TensorFlow's, or build a server that has it."
)
DEVICE_FAULT = (
    "is pinned to a device, and a server without it refuses the model; save it outside tf.device"
    " and distribution strategies."
)


def lint(folder: Path) -> list[str]:
    """Faults of a version of a SavedModel, each in one sentence; empty if there are none.

    Args:
        folder: Folder of the version, which holds saved_model.pb. It may come from a stranger.

    Raises:
        InputError: It is no SavedModel, or its graph or its weights are damaged.
    """
    graphs = read(folder).meta_graphs
    graph = next((one for one in graphs if set(one.meta_info_def.tags) == {TAG}), None)
    if graph is None:
        tags = _some(["+".join(one.meta_info_def.tags) for one in graphs])
        return [
            f"No graph has the tag {TAG!r} alone, which is the one that a server loads, but there"
            f" is {tags}; save it by tf.saved_model.save or keras.export.ExportArchive."
        ]
    known = signatures(folder)
    return [
        *_signature_findings(known),
        *_graph_findings(graph.graph_def, known),
        *_asset_findings(graph),
        *_weight_findings(folder, graph.graph_def),
        *_warmup_findings(folder, known),
    ]


def _signature_findings(known: Mapping[str, Any]) -> Iterator[str]:
    if DEFAULT_SIGNATURE not in known:
        yield (
            f"There is no signature {DEFAULT_SIGNATURE!r}, which a request means that names none,"
            f" but {_some(list(known)) or 'none at all'}; give the main function that name."
        )
    for name, signature in known.items():
        fixed = []
        tensors = [("input", *item) for item in sorted(signature.inputs.items())]
        tensors += [("output", *item) for item in sorted(signature.outputs.items())]
        for side, alias, tensor in tensors:
            at = f"Signature {_quoted(name)}: {side} {_quoted(alias)}"
            if (kind := type_name(tensor.dtype)) not in REST_TYPES:
                yield (
                    f"{at} is {kind}, which a server's REST interface can neither read nor write;"
                    " cast to float32 in the saved function."
                )
            if side == "output" and kind == "string" and not alias.endswith("_bytes"):
                yield (
                    f"{at} holds strings, which break a server's JSON unless the name ends in"
                    f" _bytes; call it {_quoted(alias + '_bytes')}."
                )
            shape = tuple(dim.size if dim.size >= 0 else None for dim in tensor.tensor_shape.dim)
            if not tensor.tensor_shape.unknown_rank and shape[:1] != (None,):
                fixed.append(f"{side} {_quoted(alias)} {str(shape)[:LONGEST]}")
        if fixed:
            yield (
                f"Signature {_quoted(name)} has a first dimension that is not free"
                f" ({_listed(fixed)}), so that a server can neither answer several rows nor merge"
                " requests; save it with None as the first dimension of every input and output."
            )


def _graph_findings(graph: Any, known: Mapping[str, Any]) -> Iterator[str]:
    """One finding of each kind, which names the first place of several."""
    for sentence, places in _faults(graph).items():
        start, at = places[0]
        runs = _some(_running(start, _users(graph), known))
        by = f"run by signature {runs}" if runs else "run by no signature"
        more = f"; {len(places) - 1} more such" if places[1:] else ""
        yield f"{at[0].upper()}{at[1:]}, {by}{more}, {sentence}"


def _faults(graph: Any) -> dict[str, list[tuple[str, str]]]:
    """The places of each fault, by what is said of it: (where to look for users, in words)."""
    faults: dict[str, list[tuple[str, str]]] = defaultdict(list)
    functions = {function.signature.name: function for function in graph.library.function}
    for name, function in functions.items():
        if _compiled(function):
            faults[XLA_FAULT].append((name, f"function {_quoted(name)}"))
    calls_too = XLA_FAULT not in faults  # the call of such a function is marked as well
    for name, node in _nodes(graph):
        start = name or node.name
        at = f"node {_quoted(node.name)}" + (f" in function {_quoted(name)}" if name else "")
        if calls_too and _compiled(node):
            faults[XLA_FAULT].append((start, at))
        if node.op in PYTHON_OPS:
            faults[PYTHON_FAULT].append((start, f"{at} ({node.op})"))
        elif node.op not in functions and not hasattr(tf.raw_ops, node.op):
            faults[OP_FAULT].append((start, f"{at} ({_quoted(node.op)})"))
        if node.device not in ANYWHERE:
            faults[DEVICE_FAULT].append((start, f"{at} ({_quoted(node.device)})"))
    return faults


def _compiled(function_or_node: Any) -> bool:
    return XLA in function_or_node.attr and function_or_node.attr[XLA].b


def _nodes(graph: Any) -> Iterator[tuple[str, Any]]:
    """(function, node) of all nodes; the function is "" in the graph itself."""
    for node in graph.node:
        yield "", node
    for function in graph.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def _users(graph: Any) -> dict[str, set[str]]:
    """The functions, and the nodes of the graph itself, that use a function or such a node."""
    users: dict[str, set[str]] = defaultdict(set)
    for function, node in _nodes(graph):
        used = {node.op}
        for value in node.attr.values():
            used |= {value.func.name, *(one.name for one in value.list.func)}
        if not function:  # names inside a function are its own
            used |= {source.lstrip("^").partition(":")[0] for source in node.input}
        for name in used:
            users[name].add(function or node.name)
    return users


def _running(start: str, users: Mapping[str, set[str]], known: Mapping[str, Any]) -> list[str]:
    """The signatures whose outputs need a function or a node of the graph itself."""
    reached, waiting = {start}, [start]
    while waiting:
        new = users.get(waiting.pop(), set()) - reached
        reached |= new
        waiting.extend(new)
    return [
        name
        for name, signature in known.items()
        if any(tensor.name.partition(":")[0] in reached for tensor in signature.outputs.values())
    ]


def _asset_findings(graph: Any) -> Iterator[str]:
    for asset in graph.asset_file_def:
        name = asset.filename
        if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
            yield (
                f"The asset {_quoted(name)} is named by an absolute path, which other machines do"
                " not have; save it with tf.saved_model.Asset, which copies it into assets/."
            )


def _weight_findings(folder: Path, graph: Any) -> Iterator[str]:
    """Looks for weights that are missing, or stored twice: alike in type, shape and content."""
    weights = folder / "variables"
    if not any(node.op == "VarHandleOp" for _, node in _nodes(graph)):
        return
    if not (weights / "variables.index").exists():
        yield (
            f"{weights} has no variables.index, so that a server loads the model without its"
            " weights and fails with each request; copy the folder again."
        )
        return
    # TensorFlow's reader ends the process at some damaged checkpoints.
    replies, end = CHILD.replies(_read_weights, weights.absolute())
    damage, twins = replies[0] if replies else (str(end), [])
    if damage is not None:
        damage = " ".join(damage.split())[:LONGEST_REASON].rstrip(".")
        raise InputError(
            f"{weights} is damaged ({damage}); copy the folder again, or export the model again."
        )
    if twins:
        first, second, _ = twins[0]
        yield (
            f"In variables/ the weight {_quoted(first)} is stored again as {_quoted(second)}"
            f"{_more(twins)}, so that a server holds {sum(size for *_, size in twins):,} bytes for"
            " nothing; save by keras.export.ExportArchive without track()."
        )


Twins = list[tuple[str, str, int]]
"""(weight, a later one that equals it, its bytes)."""


def _read_weights(weights: Path) -> list[tuple[str | None, Twins]]:
    """The one pair of why a checkpoint cannot be read, None if it can, and its twins."""
    try:
        return [(None, _twins(weights))]
    except Exception as error:  # the reader raises almost anything, even SystemError
        return [(str(error), [])]


def _twins(weights: Path) -> Twins:
    reader = tf.train.load_checkpoint(str(weights / "variables"))
    types, shapes = reader.get_variable_to_dtype_map(), reader.get_variable_to_shape_map()
    alike: dict[Any, list[str]] = defaultdict(list)
    for name in sorted(shapes):
        if types[name] != tf.string:
            alike[types[name], tuple(shapes[name])].append(name)
    sizes = {(kind, shape): kind.size * math.prod(shape) for kind, shape in alike}
    there = sum(path.stat().st_size for path in weights.glob("variables.data-*"))
    if sum(size * len(alike[one]) for one, size in sizes.items()) > there:
        raise ValueError("the weights are shorter than their index says")
    twins = []
    for (kind, shape), names in alike.items():
        size = sizes[kind, shape]
        known: dict[bytes, str] = {}
        for name in names if names[1:] and size >= SMALL else []:
            content = reader.get_tensor(name).tobytes()
            if content[kind.size :] == content[: -kind.size]:
                continue  # equal values, such as an optimiser starts from
            digest = hashlib.sha256(content).digest()
            if digest in known:
                twins.append((known[digest], name, size))
            known.setdefault(digest, name)
    return twins


def _warmup_findings(folder: Path, known: Mapping[str, Any]) -> list[str]:
    try:
        requests = warmup.read(folder)
    except InputError as error:
        return [str(error)]
    wrong = [
        f"Warm-up record {number} {mismatch}"
        for number, request in enumerate(requests, 1)
        if (mismatch := _mismatch(*request, known))
    ]
    again = "so that a server refuses the version; export it again, or leave the record out."
    return [f"{wrong[0]}{_more(wrong)}, {again}"] if wrong else []


def _mismatch(name: str, inputs: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    """Names of a request that are not in the model."""
    signature = known.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        return f"asks for a signature {_quoted(name)}, which is not there"
    if set(inputs) == set(signature.inputs):
        return None
    return (
        f"gives {_some(sorted(inputs)) or 'nothing'} to the signature {_quoted(name)}, whose inputs"
        f" are {_some(sorted(signature.inputs)) or 'none'}"
    )


def _quoted(name: str) -> str:
    """A name from the file, made harmless for a terminal."""
    return repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}…")


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - NAMED} more" if words[NAMED:] else ""
    return ", ".join(words[:NAMED]) + more


def _more(found: Sequence[Any]) -> str:
    return f" ({len(found) - 1} more such)" if found[1:] else ""


def _some(names: Sequence[str]) -> str:
    return _listed([_quoted(name) for name in names])
