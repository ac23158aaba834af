"""Recipes reach the convolutions they name, and no others; `auto` looks for few in float."""

import json

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from litert_quantizer.quantizer import Quantizer
from tfi2i_export.agreement import agreement
from tfi2i_export.graph.fold import fold
from tfi2i_export.tflite.conversion import convert, convolutions
from tfi2i_export.tflite.inspection import inspect, operations
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.quantization import ENOUGH, QUANTISED, arithmetic, auto, quantize

from tfi2i.errors import InputError
from tfi2i.models.nice_gan import NICEGAN
from tfi2i.terminal import quiet

pytest.importorskip("litert_quantizer")


def pixels(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@pytest.fixture(scope="module")
def folded():
    model = fold(NICEGAN(**NICEGAN.smoke).network("a2b"), side=64)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        size = 0.3 if len(variable.shape) < 3 else 0.05
        variable.assign_add(rng.normal(0, size, variable.shape).astype("float32"))
    return model


@pytest.fixture(scope="module")
def layers(folded):
    return convolutions(folded)


@pytest.fixture(scope="module")
def model(folded):
    return convert(folded)


def weights(model):
    """By convolution the type of its weights, or the operation that makes them."""
    found, maker = {}, {}
    for operation in operations(model):
        maker |= dict.fromkeys((output.name for output in operation.outputs), operation.kind)
        if operation.kind == "CONV_2D":
            name, kind = operation.inputs[1]
            layer = name.split("/")[-2].rsplit("_", 1)[0]
            found[layer] = maker.get(name, kind)
    return found


def scales_of(model):
    graph = schema.Model.GetRootAs(model).Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    found = [tensor.Quantization() for tensor in tensors]
    return [one.ScaleAsNumpy() for one in found if one is not None and one.ScaleLength()]


# recipes


@pytest.mark.parametrize("format", ["int8-fast", "int8-full"])
def test_scales_of_a_kernel_are_never_all_equal(format):
    # TensorFlow Lite 2.16, which the Android app runs, would answer such a convolution with zeros.
    image = keras.Input((8, 8, 3), name="image")
    network = keras.Model(image, keras.layers.Conv2D(3, 1, use_bias=False, name="same")(image))
    network.get_layer("same").kernel.assign(np.eye(3, dtype="float32")[None, None])
    file = convert(fold(network, side=8))
    made, _ = quantize(file, format, layers=["same"], calibration=pixels(8, 8, 8))
    found = [one for one in scales_of(made) if len(one) == 3]
    assert any(one == pytest.approx(np.full(3, 1 / 127), rel=1e-6) for one in found)
    assert all(one.min() < one.max() for one in found)


def test_every_format_chooses_by_name():
    layers = ["enc_conv0", "conv0", "up0_conv", "up1_conv", "up1_subpixel", "to_rgb"]
    spared = {
        format: {layer: how for layer, how in arithmetic(format, layers).items() if how != most}
        for format, most in [
            ("int8", "dynamic"),
            ("int8-fast", "dynamic"),
            ("int8-hq", "dynamic"),
            ("int8-npu", "static"),
        ]
    }
    assert spared == {
        "int8": {"to_rgb": "float"},
        "int8-fast": {},
        "int8-hq": dict.fromkeys(["enc_conv0", "up1_conv", "up1_subpixel", "to_rgb"], "float"),
        "int8-npu": dict.fromkeys(
            ["up0_conv", "up1_conv", "up1_subpixel", "to_rgb"],
            "weights",
        ),
    }
    assert arithmetic("int8-hq", ["first", "upper", "last"])["upper"] == "dynamic"
    u_net = arithmetic("int8-hq", ["down0", "down1", "down2", "up2", "up1", "up0"])
    assert [layer for layer, how in u_net.items() if how == "float"] == ["down0", "up0"]
    assert arithmetic("int8-hq", ["first", "up", "last"])["up"] == "float"
    with pytest.raises(InputError, match="'float16' is not a quantised format"):
        arithmetic("float16", layers)
    with pytest.raises(InputError, match="no convolutions"):
        arithmetic("int8", [])


@pytest.mark.parametrize("format", ["int8", "int8-hq"])
def test_the_file_is_what_the_recipe_says(model, layers, format):
    made, recipe = quantize(model, format, layers=layers)
    kinds = {"dynamic": "INT8", "weights": "DEQUANTIZE", "float": "FLOAT32"}
    chosen = arithmetic(format, layers)
    assert weights(made) == {layer: kinds[how] for layer, how in chosen.items()}
    assert inspect(made).partitions == 1


def test_the_quantizer_itself_makes_the_same_file_of_the_recipe(model, layers, tmp_path):
    made, recipe = quantize(model, "int8-hq", layers=layers)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe["quantizer"]))
    with quiet():
        quantizer = Quantizer(model)
        quantizer.load_quantization_recipe(path)
        again = bytes(quantizer.quantize().quantized_model)
    assert again == made


def test_layers_can_be_kept_in_float(model, layers):
    made, recipe = quantize(model, "int8-fast", layers=layers, in_float=frozenset({"conv0"}))
    kept = [one for one in recipe["quantizer"] if one["algorithm_key"] == "no_quantize"]
    assert ["conv0" in one["regex"] for one in kept] == [True]
    rest = weights(made)
    assert rest.pop("conv0") == "FLOAT32"
    assert set(rest.values()) == {"INT8"}


@pytest.mark.parametrize("format", [f for f in QUANTISED if f not in ("int8-full", "int4")])
def test_formats_agree_with_float(model, layers, format):
    calibration = pixels(ENOUGH, 64, 64, seed=2)
    made, recipe = quantize(model, format, layers=layers, calibration=calibration)
    given = pixels(2, 64, 64)
    found = agreement(TFLiteTranslator(model)(given), TFLiteTranslator(made)(given), format)
    assert found.psnr_db_worst > 30
    assert found.max_level > 0
    assert len(made) < 0.8 * len(model)
    calibrated = format in ("int8-npu", "int16x8")
    assert recipe.get("calibration_pictures") == (ENOUGH if calibrated else None)
    # Normalisations stay in float, and what is computed in integers is not among the rest.
    in_float = recipe["float_operations"]
    assert in_float["MEAN"] == inspect(model).operators["MEAN"]
    static = [how for how in arithmetic(format, layers).values() if how.startswith("static")]
    assert in_float.get("CONV_2D", 0) == len(layers) - len(static)


def test_full_integers_keep_the_type_of_pictures(model, layers):
    calibration = pixels(ENOUGH, 64, 64, seed=2)
    made, _ = quantize(model, "int8-full", layers=layers, calibration=calibration)
    assert inspect(made).signatures == inspect(model).signatures
    assert set(weights(made).values()) == {"INT8"}


def test_four_bits_are_smaller_than_eight(model, layers):
    four, eight = (quantize(model, f, layers=layers)[0] for f in ("int4", "int8-fast"))
    assert set(weights(four).values()) == {"INT4"}
    assert len(four) < len(eight)


def test_all_signatures_are_quantised_and_still_share(folded, layers):
    translator = NICEGAN(**NICEGAN.smoke).network("a2b")
    both = convert({(64, 64): fold(translator, side=64), (80, 96): fold(translator, side=(80, 96))})
    one = convert(fold(translator, side=64))
    (small, _), (large, _) = (quantize(m, "int8", layers=layers) for m in (one, both))
    saved, saved_of_both = len(one) - len(small), len(both) - len(large)
    assert abs(saved_of_both - saved) < 0.3 * saved  # the shared weights' bytes, once
    for height, width in ((64, 64), (80, 96)):
        made = TFLiteTranslator(large, signature=f"translate_{height}x{width}")
        reference = TFLiteTranslator(both, signature=made.signature)
        given = pixels(1, height, width)
        assert agreement(reference(given), made(given), "int8-fast").psnr_db_worst > 30


def test_quantising_prints_nothing(model, layers, capfd):
    quantize(model, "int8-npu", layers=layers, calibration=pixels(ENOUGH, 64, 64))
    assert capfd.readouterr() == ("", "")


# what is refused


def test_wrong_names_are_refused(model, layers):
    with pytest.raises(InputError, match="up9_conv"):
        quantize(model, "int8", layers=[*layers, "up9_conv"])
    with pytest.raises(InputError, match=r"to_rgb.* is 0 of the layers"):
        quantize(model, "int8", layers=layers[:-1])
    with pytest.raises(InputError, match=r"is 2 of the layers"):
        quantize(model, "int8", layers=[*layers, "to_rgb"])
    with pytest.raises(InputError, match="no convolution 'conv9'"):
        quantize(model, "int8", layers=layers, in_float=frozenset({"conv9"}))


def test_only_float32_is_quantised(folded, model, layers):
    for given in (convert(folded, half=True), quantize(model, "int8", layers=layers)[0]):
        with pytest.raises(InputError, match="give a file of float32"):
            quantize(given, "int8", layers=layers)


def test_calibration_pictures_have_to_fit(folded, model, layers):
    for given, message in [
        (None, "received none"),
        (pixels(ENOUGH, 64, 64).astype("float32"), "received float32"),
        (pixels(ENOUGH - 1, 64, 64), f"{ENOUGH} pictures or more"),
        (pixels(ENOUGH, 64, 32), r"it takes \(1, 64, 64, 3\)"),
    ]:
        with pytest.raises(InputError, match=message):
            quantize(model, "int8-npu", layers=layers, calibration=given)
    uint8 = convert(folded, io="uint8")
    made, _ = quantize(uint8, "int8-npu", layers=layers, calibration=pixels(ENOUGH, 64, 64))
    assert TFLiteTranslator(made).io == "uint8"


# the search

GAINS = {"a": 1.0, "b": 8.0, "c": 0.5, "d": 4.0, "e": 2.0}
SIZES = {"a": 1, "b": 1, "c": 20, "d": 1, "e": 7}


def search(target_db):
    """auto on files whose PSNR and size are sums; also the files it made."""
    made = []

    def convert_with(chosen):
        made.append(chosen)
        return b"x" * (10 + sum(SIZES[name] for name in chosen)) + "".join(sorted(chosen)).encode()

    def psnr(model):
        return 30 + sum(GAINS[name] for name in model.decode().replace("x", ""))

    model, chosen = auto(convert_with, list(GAINS), psnr, target_db)
    assert len(made) <= len(GAINS) + len(GAINS).bit_length() + 2
    assert psnr(model) >= target_db
    return chosen, made


@pytest.mark.parametrize(("target_db", "wanted"), [(30, ""), (38, "b"), (42, "bd"), (41.5, "bd")])
def test_auto_takes_as_few_as_it_needs(target_db, wanted):
    chosen, made = search(target_db)
    assert chosen == frozenset(wanted)
    assert len(made) <= len(GAINS) + 5


def test_auto_prefers_float16_where_that_is_better():
    with pytest.raises(InputError, match=r"reaches 45.5 dB, not the 46 dB .*float16"):
        search(46)
    with pytest.raises(InputError, match=r"5 convolutions .*larger than one of float16"):
        search(45.5)
