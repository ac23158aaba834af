"""Configurations of `.keras` files that say what no layer takes, or more than the weights hold."""

import copy
import io
import json
import resource
import zipfile

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from tfi2i import CycleGAN
from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.layers.convolution import PixelShuffle, ReflectionPad2D, TransposedConv2D
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.layers.spectral import SpectralConv2D
from tfi2i.runs.keras_files import load_keras, load_translator

SENSELESS = [1e30, -1, 10**9, 50_000, "x", None, []]


def parts(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, files, **changes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, **changes}.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """The files in a translator with a layer of each of many kinds."""
    image = keras.Input((None, None, 3), name="image")
    x = ReflectionPad2D(1, name="pad")(image)
    x = SpectralConv2D(4, 3, 1, name="spectral")(x)
    x = InstanceNormalization(name="norm")(x)
    x = keras.layers.LeakyReLU(0.1, name="leaky")(x)
    x = keras.layers.ZeroPadding2D(1, name="zeros")(x)
    x = keras.layers.Conv2D(8, 3, 2, kernel_initializer="he_normal", name="down")(x)
    x = keras.layers.BatchNormalization(name="batch")(x)
    x = PixelShuffle(2, name="shuffle")(x)
    x = TransposedConv2D(3, 4, name="up")(x)
    path = tmp_path_factory.mktemp("made") / "a2b.keras"
    keras.Model(image, keras.layers.AveragePooling2D(2, name="mean")(x), name="net").save(path)
    return parts(path)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """The files in a checkpoint."""
    path = tmp_path_factory.mktemp("made") / "last.keras"
    made = CycleGAN(**CycleGAN.smoke)
    made.compile()
    made.save(path)
    return parts(path)


def numbers(value, kind="", path=()):
    """Paths to the numbers of a configuration by class and setting, one of each."""
    if isinstance(value, dict):
        kind = value.get("class_name", kind)
    found = {}
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            found = {**numbers(one, kind, (*path, key)), **found}
    elif isinstance(value, int | float):
        found[kind, *(key for key in path[-2:] if isinstance(key, str))] = path
    return found


def changed(config, path, value):
    config = copy.deepcopy(config)
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(config)


def layer(config, name):
    return next(one for one in config["config"]["layers"] if one["config"]["name"] == name)


def refusal(call, *arguments, **options):
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and "Traceback" not in message
    return message


def set_in(files, name, setting, value):
    """The configuration with another setting of a layer."""
    config = json.loads(files["config.json"])
    layer(config, name)["config"][setting] = value
    return json.dumps(config)


def test_whatever_stands_in_place_of_a_number_ends_in_a_sentence_or_a_network(translator, tmp_path):
    config, path = json.loads(translator["config.json"]), tmp_path / "a2b.keras"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    places, refused = numbers(config), 0
    assert len(places) > 40
    for place in places.values():
        for value in SENSELESS:
            pack(path, translator, **{"config.json": changed(config, place, value)})
            try:
                assert load_translator(path).count_params() < 2_000
            except InputError as error:
                refused += 1
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused > 5 * len(places)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


@pytest.mark.parametrize(
    ("name", "setting", "value", "words"),
    [
        ("down", "filters", 1e30, r"layer down \(Conv2D\): filters is 1e\+30, but numbers there"),
        ("down", "filters", float("nan"), r"layer down \(Conv2D\): filters is nan, but"),
        ("down", "filters", float("inf"), r"layer down \(Conv2D\): filters is inf, but"),
        ("down", "filters", -1, r"layer down \(Conv2D\): filters is -1: "),
        ("down", "filters", None, r"layer down \(Conv2D\): filters is null: "),
        ("down", "kernel_size", [3, "x"], r"layer down \(Conv2D\): kernel_size is \[3, 'x'\]: "),
        ("down", "use_bias", "x", "use_bias is 'x', but Conv2D takes true or false"),
        ("down", "trainable", [], r"trainable is \[\], but Conv2D takes true or false"),
        ("down", "padding", 5, "padding is 5, but Conv2D takes text"),
        ("down", "strides", [257, 1], "strides holds 257, but numbers there are .* at most 256"),
        ("zeros", "padding", [[0, 0], [2_000, 0]], "padding holds 2000, .* at most 1,024"),
        ("leaky", "negative_slope", 1e30, "negative_slope is 1e.30, but"),
        ("batch", "momentum", "x", "momentum is 'x', but BatchNormalization takes numbers"),
        ("pad", "padding", -1, "padding is -1, but ReflectionPad2D takes a whole number from 0"),
        ("shuffle", "factor", 1.5, "factor is 1.5, but PixelShuffle takes a whole number"),
        ("up", "kernel_size", 7, r"layer up \(TransposedConv2D\): kernel_size must be 3 or 4"),
        ("spectral", "filters", "\x1b[2J", "filters is .*x1b.*, but SpectralConv2D takes a whole"),
    ],
)
def test_the_layer_and_its_value_are_named(translator, tmp_path, name, setting, value, words):
    config = set_in(translator, name, setting, value)
    path = pack(tmp_path / "a2b.keras", translator, **{"config.json": config})
    with pytest.raises(InputError, match=rf"^{path}: .*{words}") as caught:
        load_translator(path)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_layers_that_declare_more_than_the_file_holds_are_not_built(translator, tmp_path):
    path, kept = tmp_path / "a2b.keras", keras.layers.Layer.add_weight
    config = set_in(translator, "down", "filters", 50_000_000)
    pack(path, translator, **{"config.json": config})
    words = r"layer down \(Conv2D\) declares 3 x 3 x 4 x 50,000,000 numbers, but .* only \d{3}\.$"
    with pytest.raises(InputError, match=words):
        load_translator(path)
    # each alone is small
    config = json.loads(translator["config.json"])
    layers = config["config"]["layers"]
    for i in range(40):
        more = copy.deepcopy(layer(config, "down"))
        more["name"] = more["config"]["name"] = f"more{i}"
        more["config"]["filters"] = 1_000
        more["inbound_nodes"] = []
        layers.append(more)
    pack(path, translator, **{"config.json": json.dumps(config)})
    with pytest.raises(InputError, match=r"layer more27 \(Conv2D\) declares 3 x 3 x 4 x 1,000"):
        load_translator(path)
    assert keras.layers.Layer.add_weight is kept


def test_weights_that_claim_more_than_they_have_are_refused(translator, tmp_path):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        # never written, so that it takes no place
        file.create_dataset("layers/down/vars/0", (10**5, 10**4), "f4", chunks=(100, 100))
    weights = {"model.weights.h5": content.getvalue()}
    path = pack(tmp_path / "a2b.keras", translator, **weights)
    with pytest.raises(
        InputError, match=r"has [\d,]+ bytes and claims 4,000,000,000 of weights\.$"
    ):
        load_translator(path)
    pack(path, translator, **{"model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(99)})
    with pytest.raises(InputError, match=r"is damaged \(model\.weights\.h5: "):
        load_translator(path)


def test_a_deeply_nested_configuration_is_refused(translator, tmp_path):
    deep = "[" * 100_000
    path = pack(tmp_path / "a2b.keras", translator, **{"config.json": f'{{"config": {deep}'})
    assert "nested too deep" in refusal(load_translator, path)


@pytest.mark.parametrize(
    ("section", "setting", "value", "words"),
    [
        (
            "config",
            "width",
            1e30,
            "CycleGAN: width is 1e[+]30, but .* whole number from 1 to 1,024",
        ),
        ("config", "width", [], r"CycleGAN: width is \[\], but CycleGAN takes a whole number"),
        ("config", "width", 1_024, r"layer \w+ \(Conv2D\) declares .* but all weights in the file"),
        (
            "compile_config",
            "learning_rate",
            "x",
            "learning_rate is 'x', but CycleGAN takes a number",
        ),
        (
            "compile_config",
            "total_steps",
            -1,
            "total_steps is -1, but CycleGAN takes a whole number",
        ),
        (
            "compile_config",
            "cycle_weight",
            [],
            r"cycle_weight is \[\], but CycleGAN takes a number",
        ),
        ("compile_config", "cycle_weight", float("nan"), "cycle_weight is nan, but CycleGAN takes"),
    ],
)
def test_a_system_s_settings_are_in_their_ranges(system, tmp_path, section, setting, value, words):
    config = json.loads(system["config.json"])
    config[section][setting] = value
    path = pack(tmp_path / "last.keras", system, **{"config.json": json.dumps(config)})
    with pytest.raises(InputError, match=rf"^{path}: .*{words}"):
        load_keras(path, compile=True)


def test_large_steps_and_seeds_are_taken(system, translator, tmp_path):
    config = json.loads(system["config.json"])
    config["compile_config"]["total_steps"] = 10**9
    path = pack(tmp_path / "last.keras", system, **{"config.json": json.dumps(config)})
    assert load_keras(path, compile=True).total_steps == 10**9
    config = json.loads(translator["config.json"])
    layer(config, "down")["config"]["kernel_initializer"]["config"]["seed"] = 2**40
    pack(path, translator, **{"config.json": json.dumps(config)})
    assert load_translator(path)


@pytest.mark.parametrize("command", ["translate", "init"])
def test_commands_name_it_in_a_sentence(translator, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    config = set_in(translator, "down", "filters", 50_000_000)
    pack(tmp_path / "a2b.keras", translator, **{"config.json": config})
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("picture.png")
    words = {
        "translate": ["translate", "a2b.keras", "picture.png", "--out", "out"],
        "init": ["train", "cyclegan/scenes", "--smoke", "--init", "a2b.keras"],
    }
    assert main(words[command]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("tfi2i: error: a2b.keras: layer down (Conv2D) declares 3 x 3 x 4 x 50,")
