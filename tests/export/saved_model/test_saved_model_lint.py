"""Each fault that a SavedModel may have is found, in one made to have it, and nothing else is."""

import os
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfi2i_export.saved_model import warmup
from tfi2i_export.saved_model.files import read
from tfi2i_export.saved_model.lint import lint

from tfi2i.errors import InputError

IMAGE = tf.TensorSpec((None, 4, 4, 3), tf.float32, name="image")
FILES = tf.TensorSpec((None,), tf.string, name="image_bytes")
WEIGHT_SHAPE = (3, 200)  # larger than what is not looked at


def plain(image):
    return {"translation": image * 2}


def saved(folder, function=plain, spec=IMAGE, name="serving_default"):
    model = tf.Module()
    model.run = tf.function(function, input_signature=[spec])
    tf.saved_model.save(model, str(folder), signatures={name: model.run})


def archived(folder, *, track):
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.Conv2D(200, 1, use_bias=False)(image))
    archive = keras.export.ExportArchive()
    if track:
        archive.track(network)
    spec = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")
    archive.add_endpoint("serving_default", lambda image: {"y": network(image)}, [spec])
    archive.write_out(str(folder), verbose=False)


def with_weights(folder, *values):
    """The function uses every weight."""
    model = tf.Module()
    model.weights = [tf.Variable(value) for value in values]
    model.run = tf.function(
        lambda image: {"y": sum(image @ weight for weight in model.weights)},
        input_signature=[IMAGE],
    )
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.run})


def weight(seed):
    return np.random.default_rng(seed).normal(size=WEIGHT_SHAPE).astype(np.float32)


def changed(folder, change):
    """A plain model whose graph is altered."""
    saved(folder)
    model = read(folder)
    change(model.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def retagged(*tags):
    def change(graph):
        graph.meta_info_def.tags[:] = tags

    return lambda folder: changed(folder, change)


def with_asset(name):
    def change(graph):
        graph.asset_file_def.add().filename = name

    return lambda folder: changed(folder, change)


def with_unknown_op(graph):
    [node] = [
        node
        for function in graph.graph_def.library.function
        for node in function.node_def
        if node.op == "Mul"
    ]
    node.op = "ColourTransfer"


def with_marked_node(graph):
    [node] = [node for node in graph.graph_def.node if node.name == "PartitionedCall"]
    node.attr["_XlaMustCompile"].b = True


def calls_numpy(image):
    tripled = tf.numpy_function(lambda array: array * 3, [image], tf.float32)
    return {"translation": tf.ensure_shape(tripled, image.shape)}


def calls_python(image):
    tripled = tf.py_function(lambda tensor: tensor * 3, [image], tf.float32)
    return {"translation": tf.ensure_shape(tripled, image.shape)}


def calls_xla(image):
    return {"translation": tf.function(lambda tensor: tensor * 2, jit_compile=True)(image)}


def in_a_branch(image):
    """XLA two functions deep."""
    compiled = tf.function(lambda tensor: tensor * 2, jit_compile=True)
    translation = tf.cond(tf.reduce_sum(image) > 0, lambda: compiled(image), lambda: image)
    return {"translation": translation}


def pinned(device):
    def run(image):
        with tf.device(device):
            return {"translation": image * 2}

    return run


def typed(dtype):
    return lambda image: {"translation": tf.cast(image, dtype)}


def encodes(image_bytes):
    return {"picture": tf.strings.join([image_bytes, "."])}


def with_records(*requests):
    def make(folder):
        saved(folder)
        warmup.write(folder, requests, "a2b")

    return make


def with_damaged_records(folder):
    saved(folder)
    (folder / warmup.FILE).parent.mkdir()
    (folder / warmup.FILE).write_bytes(b"hello")


def with_many_records(folder):
    with_records(*[ASKED] * 1000)(folder)
    content = (folder / warmup.FILE).read_bytes()
    (folder / warmup.FILE).write_bytes(content + content[: len(content) // 1000])


def spec_of(*shape, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype, name="image")


def of_kind(function=plain, spec=IMAGE, name="serving_default"):
    return lambda folder: saved(folder, function, spec, name)


ASKED = ("serving_default", {"image": np.zeros((1, 4, 4, 3), np.float32)})
UNKNOWN = ("predict_tensor", {"image": np.zeros((1, 4, 4, 3), np.float32)})
MISNAMED = ("", {"picture": np.zeros((1, 4, 4, 3), np.float32)})

FAULTY = {
    "no tag": (retagged("train"), r"tag 'serve' alone.* there is 'train'; save"),
    "two tags": (retagged("serve", "gpu"), r"there is 'serve\+gpu'; save"),
    "no default": (of_kind(name="translate"), r"no signature 'serving_default'.* but 'translate'"),
    "doubled": (
        lambda folder: archived(folder, track=True),
        r"'_all_variables/0.* is stored again as 'variables.* 2,400 bytes .*without track\(\)",
    ),
    "doubled once more": (
        lambda folder: with_weights(folder, weight(0), weight(1), weight(0), weight(0)),
        r"is stored again as .* \(1 more such\), so that a server holds 4,800 bytes",
    ),
    "xla": (
        of_kind(calls_xla),
        r"^Function '__inference.*', run by signature 'serving_default', is compiled by XLA.*"
        "without jit_compile=True",
    ),
    "xla in a branch": (of_kind(in_a_branch), "run by signature 'serving_default', is compiled by"),
    "xla at a node": (
        lambda folder: changed(folder, with_marked_node),
        "^Node 'PartitionedCall', run by signature 'serving_default', is compiled by XLA",
    ),
    "numpy": (
        of_kind(calls_numpy),
        r"^Node 'PyFunc' in function '.*calls_numpy.*' \(PyFunc\), run by .* calls Python",
    ),
    "python": (of_kind(calls_python), r"\(EagerPyFunc\), run by .*'serving_default', calls Python"),
    "half out": (of_kind(typed(tf.half)), "output 'translation' is half, .* cast to float32"),
    "bfloat16 out": (of_kind(typed(tf.bfloat16)), "output 'translation' is bfloat16"),
    "uint16 in": (
        of_kind(typed(tf.float32), spec_of(None, 4, dtype=tf.uint16)),
        "'serving_default': input 'image' is uint16",
    ),
    "text": (
        of_kind(encodes, FILES),
        "output 'picture' holds strings.* call it 'picture_bytes'",
    ),
    "one row": (
        of_kind(spec=spec_of(1, 4)),
        r"'serving_default' has .* \(input 'image' \(1, 4\), output 'translation' \(1, 4\)\)",
    ),
    "unequal rows": (
        of_kind(lambda image: {"y": image, "mean": tf.reduce_mean(image, 0)}),
        r"\(output 'mean' \(4, 4, 3\)\), .* save it with None",
    ),
    "scalar": (
        of_kind(lambda image: {"y": image, "mean": tf.reduce_mean(image)}),
        r"\(output 'mean' \(\)\)",
    ),
    "gpu": (of_kind(pinned("/GPU:0")), r"\('/device:GPU:0'\), run by .* is pinned to a device"),
    "second cpu": (of_kind(pinned("/CPU:1")), "'/device:CPU:1'"),
    "custom op": (
        lambda folder: changed(folder, with_unknown_op),
        r"\('ColourTransfer'\), run by signature 'serving_default', is an operation that is not",
    ),
    "absolute asset": (with_asset("/home/me/words.txt"), "asset '/home/me/words.txt'.* absolute"),
    "windows asset": (with_asset("C:\\words.txt"), "absolute path"),
    "damaged records": (with_damaged_records, "is damaged: its last record is cut off"),
    "many records": (with_many_records, "over 1000 records"),
    "unknown signature": (
        with_records(ASKED, UNKNOWN),
        "^Warm-up record 2 asks for a signature 'predict_tensor', which is not there",
    ),
    "unknown input": (
        with_records(MISNAMED, MISNAMED),
        r"^Warm-up record 1 gives 'picture' .* inputs are 'image' \(1 more such\)",
    ),
}


def test_missing_weights_are_found(tmp_path):
    archived(tmp_path / "1", track=False)
    shutil.rmtree(tmp_path / "1" / "variables")
    [finding] = lint(tmp_path / "1")
    assert "has no variables.index" in finding


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_found_and_nothing_else(tmp_path, name):
    make, sentence = FAULTY[name]
    make(tmp_path / "1")
    [finding] = lint(tmp_path / "1")
    assert re.search(sentence, finding), finding
    assert finding.endswith(".") and "\n" not in finding


CLEAN = {
    "plain": of_kind(),
    "files": of_kind(lambda image_bytes: {"image_bytes": image_bytes + ""}, FILES),
    "archive": lambda folder: archived(folder, track=False),
    "records": with_records(ASKED, ("", ASKED[1])),
    "asset inside": with_asset("words.txt"),
    "first cpu": of_kind(pinned("/CPU:0")),
    "equal constants": lambda folder: with_weights(folder, *[np.zeros(WEIGHT_SHAPE, "f4")] * 2),
    "small twins": lambda folder: with_weights(folder, *[weight(0)[:, :4]] * 2),
    "unknown rank": of_kind(
        lambda image: {"y": tf.raw_ops.PlaceholderWithDefault(input=image, shape=None)}
    ),
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_sound_model_has_no_fault(tmp_path, name):
    CLEAN[name](tmp_path / "1")
    assert lint(tmp_path / "1") == []


def test_several_faults_are_all_found(tmp_path):
    def run(image):
        return {
            "translation": tf.cast(
                calls_numpy(calls_xla(image)["translation"])["translation"], tf.half
            )
        }

    saved(tmp_path / "1", run, name="translate")
    words = ["no signature", "half", "compiled by XLA", "calls Python"]
    findings = lint(tmp_path / "1")
    assert [any(word in finding for finding in findings) for word in words] == [True] * 4
    assert len(findings) == 4


@pytest.fixture(scope="module")
def weighty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weighty") / "1"
    with_weights(folder, weight(0), weight(1))
    return folder


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_file_cut_short_is_damaged(weighty, tmp_path, name):
    folder = tmp_path / "1"
    shutil.copytree(weighty, folder)
    os.truncate(folder / name, (folder / name).stat().st_size - 20)
    with pytest.raises(InputError, match="damaged"):
        lint(folder)


def test_weights_cut_short_are_damaged(weighty, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(weighty, folder)
    os.truncate(folder / "variables" / "variables.data-00000-of-00001", 4000)
    with pytest.raises(InputError, match="shorter than their index"):
        lint(folder)


def test_a_twin_is_found_in_an_index_of_many_blocks(weighty, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(weighty, folder)
    names = [f"{'x' * 900}{i:04}{'y' * 900}" for i in range(800)]
    values = [weight(0) if i in (5, 795) else np.float32(i) for i in range(len(names))]
    tf.raw_ops.SaveV2(
        prefix=str(folder / "variables" / "variables"),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=values,
    )
    assert (folder / "variables" / "variables.index").stat().st_size > 2**19  # a block has 2**18
    [finding] = lint(folder)
    assert "2,400 bytes" in finding


def reshaped(shape):
    """The index says so of the first weight; its checksum, as a TFRecord has it too, is right."""

    def change(content, scratch):
        place = content.index(b"\x12\x02\x08\x03\x12\x03\x08\xc8\x01")  # (3, 200)
        end = next(  # a block of bytes, one byte of its compression, four of a checksum
            end
            for end in range(place, len(content))
            if content[end + 1 : end + 5] == checksum(content[: end + 1], scratch)
        )
        block = content[:place] + shape + content[place + 9 : end + 1]
        return block + checksum(block, scratch) + content[end + 5 :]

    return change


def checksum(content, scratch):
    with tf.io.TFRecordWriter(str(scratch)) as file:
        file.write(content)
    return scratch.read_bytes()[-4:]


DAMAGED_INDEX = {
    "flipped bit": (lambda content, _: bytes([content[0] ^ 1]) + content[1:], r"is damaged \("),
    "shape that ends the reader": (
        reshaped(b"\x12\x02\x08\x03\x12\x03\x08\xc8\x81"),
        r"is damaged \(The process crashed \(Aborted, signal 6\)",
    ),
    "shape of terabytes": (
        reshaped(b"\x12\x07\x08\xff\xff\xff\xff\xff\x7f"),
        "shorter than their index says",
    ),
    "other shape": (reshaped(b"\x12\x02\x08\x03\x12\x03\x08\xc7\x01"), None),
    "nothing": (lambda *_: b"", "is damaged"),
}


@pytest.mark.parametrize("name", DAMAGED_INDEX)
def test_a_damaged_index_is_refused(weighty, tmp_path, name):
    change, message = DAMAGED_INDEX[name]
    folder = tmp_path / "1"
    shutil.copytree(weighty, folder)
    index = folder / "variables" / "variables.index"
    index.write_bytes(change(index.read_bytes(), tmp_path / "scratch"))
    if message is None:  # the weights are not alike any more, and none of them is read
        assert lint(folder) == []
    else:
        with pytest.raises(InputError, match=message):
            lint(folder)


def test_damaged_weights_are_refused(weighty, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(weighty, folder)
    weights = folder / "variables" / "variables.data-00000-of-00001"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="is damaged .*Checksum does not match"):
        lint(folder)


def test_what_is_no_saved_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="saved_model.pb"):
        lint(tmp_path)


def test_names_in_a_finding_cannot_steer_a_terminal(tmp_path):
    name = "\x1b[2Jclear\n" + "x" * 1000
    with_asset("/" + name)(tmp_path / "1")
    [finding] = lint(tmp_path / "1")
    assert finding.isprintable()
    assert len(finding) < 400
