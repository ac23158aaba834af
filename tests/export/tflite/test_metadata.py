import contextlib
import dataclasses
import io
import random
import tracemalloc

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as tflite
from ai_edge_litert.interpreter import Interpreter
from test_sidecar import picture, sidecar
from tfi2i_export.sidecar import Signature
from tfi2i_export.tflite.metadata import CUSTOM_NAME, read_metadata, with_metadata

from tfi2i.errors import InputError


@pytest.fixture(scope="module")
def model():
    """A picture and a style in, a picture out, with the sidecar's names."""
    image = keras.Input((8, 8, 3), batch_size=1, name="image")
    style = keras.Input((4,), batch_size=1, name="style")
    shift = keras.layers.Reshape((1, 1, 3))(keras.layers.Dense(3)(style))
    output = keras.layers.Conv2D(3, 3, padding="same")(image) + shift
    network = keras.Model([image, style], {"stylized": keras.ops.tanh(output)})
    with contextlib.redirect_stdout(io.StringIO()):
        return tf.lite.TFLiteConverter.from_keras_model(network).convert()


@pytest.fixture(scope="module")
def two_sizes(tmp_path_factory):
    """Two signatures of one network, at 8 and 16 pixels."""
    folder = tmp_path_factory.mktemp("two") / "saved"
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
    archive = keras.export.ExportArchive()
    archive.track(network)
    for side in (8, 16):
        spec = keras.InputSpec(shape=(1, side, side, 3), dtype="float32", name=f"image_{side}")
        archive.add_endpoint(f"translate_{side}", network, input_signature=[spec])
    keys = ["translate_8", "translate_16"]
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=keys)
        return converter.convert()


def answer(model):
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    style = rng.normal(size=(1, 4)).astype(np.float32)
    run = Interpreter(model_content=model).get_signature_runner("serving_default")
    return run(image=image, style=style)["stylized"]


def only_subgraph(model):
    (subgraph,) = read_metadata(model)["subgraph_metadata"]
    return subgraph


def test_the_model_answers_as_before(model):
    np.testing.assert_array_equal(answer(with_metadata(model, sidecar())), answer(model))


def test_the_model_stays_as_it_is_behind_its_metadata(model):
    changed = with_metadata(model, sidecar())
    assert changed.endswith(model)
    assert (len(changed) - len(model)) % 16 == 0  # else the weights lose their alignment
    before, after = tflite.Model.GetRootAs(model), tflite.Model.GetRootAs(changed)
    assert after.Version() == before.Version()
    assert after.Description() == before.Description()
    assert after.BuffersLength() == before.BuffersLength() + 1
    for index in range(before.BuffersLength()):
        np.testing.assert_array_equal(
            after.Buffers(index).DataAsNumpy(), before.Buffers(index).DataAsNumpy()
        )
    names = [after.Metadata(index).Name() for index in range(after.MetadataLength())]
    assert names[:-1] == [before.Metadata(i).Name() for i in range(before.MetadataLength())]
    assert names[-1] == b"TFLITE_METADATA"


def test_the_metadata_read_back(model):
    metadata = read_metadata(with_metadata(model, sidecar(licence="CC0-1.0")))
    assert metadata["name"] == "nicegan-scenes-a2b-int8"
    assert "NICEGAN trained on scenes, int8" in metadata["description"]
    assert metadata["version"] == "step 100 of 00003-nicegan-scenes"
    assert metadata["license"] == "CC0-1.0"
    assert metadata["min_parser_version"] == "1.5.0"
    assert "license" not in read_metadata(with_metadata(model, sidecar()))


def test_tensors_come_in_the_order_of_the_subgraph(model):
    inputs = only_subgraph(with_metadata(model, sidecar()))["input_tensor_metadata"]
    shapes = {"image": [1, 8, 8, 3], "style": [1, 4]}
    details = Interpreter(model_content=model).get_input_details()
    assert [shapes[one["name"]] for one in inputs] == [d["shape"].tolist() for d in details]
    style = next(one for one in inputs if one["name"] == "style")
    assert style["content"] == {"content_properties_type": 1, "content_properties": {}}
    assert "process_units" not in style


@pytest.mark.parametrize(
    ("limits", "pixel_to_input", "output_to_pixel"),
    [
        ((-1.0, 1.0), (127.5, 127.5), (-1, 2 / 255)),
        ((0.0, 255.0), (0, 1), (0, 1)),
        ((0.0, 1.0), (0, 255), (0, 1 / 255)),
    ],
)
def test_pictures_say_how_pixels_become_values(model, limits, pixel_to_input, output_to_pixel):
    signature = sidecar().signatures[0]
    image = picture("image", "a", shape=(1, -1, -1, 3), limits=limits)
    output = picture("stylized", "b", limits=limits)
    given = dataclasses.replace(signature, inputs=(image, *signature.inputs[1:]), outputs=(output,))
    subgraph = only_subgraph(with_metadata(model, sidecar(signatures=(given,))))
    inputs = {one["name"]: one for one in subgraph["input_tensor_metadata"]}
    for one, expected in (
        (inputs["image"], pixel_to_input),
        (subgraph["output_tensor_metadata"][0], output_to_pixel),
    ):
        (unit,) = one["process_units"]
        assert unit["options_type"] == 1
        found = [unit["options"][key] for key in ("mean", "std")]
        np.testing.assert_allclose(found, [[value] for value in expected], rtol=1e-6)
        assert one["stats"] == {"min": [limits[0]], "max": [limits[1]]}
        assert one["content"]["content_properties"] == {
            "color_space": 1,
            "default_size": {"width": 8, "height": 8},  # of the free shape: image_size
        }


def test_the_recipe_travels_inside(model):
    (custom,) = only_subgraph(with_metadata(model, sidecar()))["custom_metadata"]
    assert custom["name"] == CUSTOM_NAME
    assert custom["data"]["recipe"] == sidecar().recipe
    assert custom["data"]["agreement"] == sidecar().agreement
    assert not {"file", "sha256", "size_bytes"} & set(custom["data"])


def test_metadata_replace_those_before(model):
    once = with_metadata(model, sidecar(name="once"))
    twice = with_metadata(once, sidecar(name="twice"))
    assert read_metadata(twice)["name"] == "twice"
    first, second = tflite.Model.GetRootAs(once), tflite.Model.GetRootAs(twice)
    assert second.MetadataLength() == first.MetadataLength()
    assert second.BuffersLength() == first.BuffersLength()
    np.testing.assert_array_equal(answer(twice), answer(model))


def test_every_signature_is_described(two_sizes):
    signatures = tuple(
        Signature(
            name=f"translate_{side}",
            inputs=(picture(f"image_{side}", "a", shape=(1, side, side, 3)),),
            outputs=(picture("output_0", "b", shape=(1, side, side, 3)),),
        )
        for side in (16, 8)
    )
    changed = with_metadata(two_sizes, sidecar(signatures=signatures))
    interpreter = Interpreter(model_content=changed)
    assert set(interpreter.get_signature_list()) == {"translate_8", "translate_16"}
    subgraphs = read_metadata(changed)["subgraph_metadata"]
    for side in (8, 16):
        (one,) = [entry for entry in subgraphs if entry["name"] == f"translate_{side}"]
        (image,) = one["input_tensor_metadata"]
        assert image["name"] == f"image_{side}"
        size = image["content"]["content_properties"]["default_size"]
        assert size == {"width": side, "height": side}
    with pytest.raises(InputError, match="signature 'translate_16' that the sidecar lacks"):
        with_metadata(two_sizes, sidecar(signatures=signatures[1:]))


def test_a_sidecar_of_another_model_is_refused(model):
    signature = sidecar().signatures[0]
    lacking = dataclasses.replace(signature, inputs=signature.inputs[:1])
    with pytest.raises(InputError, match=r"'style' among its inputs and the sidecar has \['image"):
        with_metadata(model, sidecar(signatures=(lacking,)))
    flat = dataclasses.replace(signature, outputs=(picture("stylized", "b", limits=(1.0, 1.0)),))
    with pytest.raises(InputError, match="The range of stylized"):
        with_metadata(model, sidecar(signatures=(flat,)))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\0\0\0\0TFL3", b"\x10\0\0\0TFL3"])
def test_what_is_no_model_is_refused(content):
    for call in (read_metadata, lambda data: with_metadata(data, sidecar())):
        with pytest.raises(InputError, match="The model"):
            call(content)


def test_a_model_without_metadata_says_so(model):
    with pytest.raises(InputError, match="no metadata"):
        read_metadata(model)


def test_damage_ends_in_a_sentence(model):
    whole = with_metadata(model, sidecar())
    chance, refused = random.Random(0), 0
    for _ in range(4000):
        damaged = bytearray(whole)
        for _ in range(8):  # in front, where lists and offsets are
            damaged[chance.randrange(8, len(whole) - len(model))] = chance.randrange(256)
        try:
            read_metadata(bytes(damaged))
            with_metadata(bytes(damaged), sidecar())
        except InputError:
            refused += 1
    assert refused > 1000


def test_an_offset_out_of_the_file_is_refused(model):
    root = tflite.Model.GetRootAs(model)._tab
    operator_codes = root.Pos + root.Offset(6)  # only its place matters: it is never read
    damaged = model[:operator_codes] + b"\xff\xff\xff\x7f" + model[operator_codes + 4 :]
    with pytest.raises(InputError, match="behind its end"):
        with_metadata(damaged, sidecar())


def test_lists_of_the_same_list_are_refused():
    builder = flatbuffers.Builder()
    numbers = builder.CreateNumpyVector(np.zeros(3000, np.int32))
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(1, numbers, 0)
    subgraph = builder.EndObject()
    builder.StartVector(4, 3000, 4)
    for _ in range(3000):
        builder.PrependUOffsetTRelative(subgraph)
    subgraphs = builder.EndVector()
    builder.StartObject(10)
    builder.PrependUOffsetTRelativeSlot(2, subgraphs, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    with pytest.raises(InputError, match="lists are longer than itself"):
        read_metadata(bytes(builder.Output()))


def test_a_large_model_is_copied_once(model):
    large = model + bytes(1 << 25)
    about = sidecar()
    tracemalloc.start()
    try:
        changed = with_metadata(large, about)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(changed) > len(large)
    assert peak < 1.1 * len(large)
