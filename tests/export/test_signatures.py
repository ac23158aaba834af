import keras
import pytest
from tfi2i_export.sidecar import Preset
from tfi2i_export.signatures import of_saved_model, range_warnings

from tfi2i.pictures.depth import Ranges

PRESETS = (Preset("calm", [0.0, 1.0]),)
EXTRA = {"latent": {"kind": "latent", "distribution": "uniform", "presets": PRESETS}}


def network(*names):
    """A network from an image or none, a latent and a label to an image."""
    shapes = {"image": (None, None, 3), "latent": (2,), "label": (4,)}
    inputs = [keras.Input(shapes[name], name=name) for name in names]
    made = keras.layers.Reshape((1, 1, 3))(keras.layers.Dense(3)(inputs[-1]))
    if "image" in names:
        made = inputs[0] + made
    return keras.Model(inputs, made)


@pytest.mark.parametrize("tensor_only", [False, True])
def test_inputs_are_described_as_the_exporter_says_and_are_styles_otherwise(tensor_only):
    domains = {"source": "day", "target": "1920s"}
    model = network("image", "latent", "label")
    signatures = of_saved_model(model, domains, tensor_only=tensor_only, extra=EXTRA)
    for signature in signatures:
        image, latent, label = signature.inputs
        assert image.name == ("image_bytes" if signature is not signatures[-1] else "image")
        assert (image.kind, image.domain) == (None, "day")
        assert (latent.kind, latent.distribution, latent.presets) == ("latent", "uniform", PRESETS)
        assert (label.kind, label.presets, label.domain) == ("style", (), None)
        assert [one.domain for one in signature.outputs] == ["1920s"]
    assert len(signatures) == 2 - tensor_only


def test_without_a_source_no_picture_goes_in():
    domains = {"source": None, "target": "faces"}
    for signature in of_saved_model(network("latent"), domains, tensor_only=False, extra=EXTRA):
        assert [one.name for one in signature.inputs] == ["latent"]
        (made,) = signature.outputs
        assert made.domain == "faces"
    assert made.shape == (-1, 1, 1, 3)


def test_the_signature_of_files_says_whose_numbers_they_hold():
    about = {"domains": {"source": "a", "target": "b"}, "tensor_only": False}
    files, _ = of_saved_model(network("image"), **about, ranges=Ranges((0, 4095), (0, 1000)))
    assert files.inputs[0].meaning.endswith("its own numbers, which are scaled by value_range here")
    assert files.outputs[0].meaning.endswith("of numbers from 0 to 1000")
    plain, _ = of_saved_model(network("image"), **about, ranges=Ranges(None, (-1, 1)))
    assert "numbers" not in plain.inputs[0].meaning + plain.outputs[0].meaning


def test_warnings_say_who_scales_the_numbers_in_files():
    assert range_warnings(Ranges(), True) == []
    (said,) = range_warnings(Ranges((0, 4095), (-1, 1)), False)
    assert "0 to 4095 are black to white" in said and "the page scale them, a server takes" in said
    (said,) = range_warnings(Ranges((0, 4095), (0, 255)), True)
    assert "tfi2i and serving_default scale them" in said
    read, below, made = range_warnings(Ranges((-1000, 4095), (0, 0.5)), True)
    assert "no numbers below 0" in below
    assert "PNG cannot hold the values 0 to 0.5" in made
