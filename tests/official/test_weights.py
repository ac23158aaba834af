import logging
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from torch_writer import state_dict, tensor, write_legacy, write_zip

from tfi2i.errors import InputError
from tfi2i.models import NICEGAN, CycleGAN
from tfi2i.official import nice_gan, weights
from tfi2i.official.checkpoints import import_checkpoint, read_checkpoint
from tfi2i.official.cyclegan import NETWORKS
from tfi2i.official.weights import (
    export_official,
    from_official,
    load_official,
    official_shape,
    official_tensors,
    to_official,
)

FIXTURE = Path(__file__).parents[1] / "fixtures" / "nice_s64_ch8_light_ndis6.npz"
OFFICIAL = {"image_size": 64, "width": 8, "blocks": 2, "discriminator_depth": 6}


@pytest.fixture(scope="module")
def official():
    """The official code's state dicts, as arrays: network -> name -> array."""
    networks = {}
    with np.load(FIXTURE) as fixture:
        for key in fixture.files:
            if key.startswith("state/"):
                _, network, name = key.split("/", 2)
                networks.setdefault(network, OrderedDict())[name] = fixture[key]
    return networks


@pytest.fixture(scope="module")
def system():
    return NICEGAN(**OFFICIAL)


def values(system):
    return [
        np.array(v) for network in official_tensors(system).values() for v, _ in network.values()
    ]


def copied(networks):
    return {network: dict(tensors) for network, tensors in networks.items()}


# layouts

LAYOUTS = [
    ("same", (5,), (5,)),
    ("same", (2, 3), (2, 3)),
    ("conv", (3, 4, 5, 6), (6, 5, 3, 4)),
    ("dense", (5, 6), (6, 5)),
    (("flat_dense", 3), (12, 5), (5, 12)),
    (("conv_v", 4), (48,), (48,)),
    ("rho", (5, 2), (1, 5, 2)),
    ("channel", (5,), (1, 5, 1, 1)),
    ("plane", (5,), (5, 1, 1)),
    ("conv_of_one", (1, 1, 5, 6), (5, 6, 1, 1)),
    ("shuffle_conv", (1, 1, 3, 8), (8, 3, 1, 1)),
    ("shuffle_bias", (8,), (8,)),
    ("modulated_conv", (3, 4, 5, 6), (1, 6, 5, 3, 4)),
    ("constant", (6, 1, 3, 3), (6, 1, 3, 3)),
]


@pytest.mark.parametrize(("layout", "ours", "theirs"), LAYOUTS)
def test_there_and_back_is_the_same(layout, ours, theirs):
    array = np.random.default_rng(0).normal(size=ours)
    exported = to_official(array, layout)
    assert exported.shape == theirs == official_shape(ours, layout)
    np.testing.assert_array_equal(from_official(exported, layout), array)
    official = np.random.default_rng(1).normal(size=theirs)
    np.testing.assert_array_equal(to_official(from_official(official, layout), layout), official)


def test_a_scalar_is_one_number_there():
    assert to_official(np.float32(3), "same").tolist() == [3]
    assert official_shape((), "same") == (1,)


@pytest.mark.parametrize("layout", ["convolution", "conv_v", "flat_dense", ("conv", 3), None])
def test_an_unknown_layout_is_named(layout):
    for function in (to_official, from_official):
        with pytest.raises(ValueError, match="The layouts are same, conv, dense, .* received"):
            function(np.zeros((2, 2)), layout)


def test_a_dense_layer_on_a_flat_square_gives_the_same_product():
    numbers = np.random.default_rng(0)
    features, weight = numbers.normal(size=(3, 4, 4)), numbers.normal(size=(5, 48))
    theirs = weight @ features.reshape(-1)
    ours = features.transpose(1, 2, 0).reshape(-1) @ from_official(weight, ("flat_dense", 3))
    np.testing.assert_allclose(ours, theirs)


def test_a_shuffled_convolution_gives_the_same_picture():
    numbers = np.random.default_rng(0)
    kernel, bias = numbers.normal(size=(12, 5, 1, 1)), numbers.normal(size=12)
    features = numbers.normal(size=(5, 2, 3))
    flat = np.einsum("oi,ihw->ohw", kernel[:, :, 0, 0], features) + bias[:, None, None]
    theirs = np.zeros((3, 4, 6))
    for channel in range(12):
        k, i, j = channel // 4, channel // 2 % 2, channel % 2
        theirs[k, i::2, j::2] = flat[channel]
    ours = tf.nn.conv2d(
        features.transpose(1, 2, 0)[None], from_official(kernel, "shuffle_conv"), 1, "VALID"
    )
    ours = tf.nn.depth_to_space(ours + from_official(bias, "shuffle_bias"), 2)[0]
    np.testing.assert_allclose(ours.numpy().transpose(2, 0, 1), theirs)


def test_a_transposed_convolution_gives_the_same_picture():
    numbers = np.random.default_rng(0)
    kernel, features = numbers.normal(size=(5, 2, 3, 3)), numbers.normal(size=(5, 4, 4))
    theirs = np.zeros((2, 9, 9))  # stride 2 without padding
    for row, column in np.ndindex(4, 4):
        block = np.einsum("i,iohw->ohw", features[:, row, column], kernel)
        theirs[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += block
    ours = tf.nn.conv2d_transpose(
        features.transpose(1, 2, 0)[None], from_official(kernel, "conv"), (1, 9, 9, 2), 2, "VALID"
    )
    np.testing.assert_allclose(ours[0].numpy().transpose(2, 0, 1), theirs)


def test_spectral_vectors_give_the_same_product():
    numbers = np.random.default_rng(0)
    kernel, v = numbers.normal(size=(6, 3, 4, 4)), numbers.normal(size=48)
    theirs = kernel.reshape(6, -1) @ v
    ours = from_official(v, ("conv_v", 4)) @ from_official(kernel, "conv").reshape(-1, 6)
    np.testing.assert_allclose(ours, theirs)


# a system's weights


def test_loaded_weights_export_as_they_were(official, system):
    load_official(system, official)
    exported = export_official(system)
    assert {network: set(tensors) for network, tensors in exported.items()} == {
        network: set(tensors) for network, tensors in official.items()
    }
    for network, tensors in official.items():
        for name, array in tensors.items():
            assert exported[network][name].shape == array.shape
            np.testing.assert_array_equal(exported[network][name], array)


def test_the_full_version_is_loaded_and_exported():
    config = {"image_size": 64, "width": 4, "blocks": 1, "discriminator_depth": 6, "light": False}
    one, other = NICEGAN(**config), NICEGAN(**config)
    exported = export_official(one)
    assert exported["gen2B"]["FC.0.weight"].shape == (16, 16 * 16 * 16)
    assert any((a != b).any() for a, b in zip(values(one), values(other), strict=True))
    load_official(other, exported)
    for a, b in zip(values(one), values(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_export_does_not_follow_later_changes(official, system):
    load_official(system, official)
    exported = export_official(system)
    for tensors in official_tensors(system).values():
        for variable, _ in tensors.values():
            variable.assign(variable + 1)
    np.testing.assert_array_equal(exported["disA"]["lamda"], official["disA"]["lamda"])
    np.testing.assert_array_equal(
        exported["gen2A"]["FC.2.weight"], official["gen2A"]["FC.2.weight"]
    )


def test_averages_start_from_the_loaded_weights(official):
    averaged = NICEGAN(**OFFICIAL)
    averaged.compile(ema_decay=0.9)
    load_official(averaged, official)
    for name, average in averaged.averages.items():
        for kept, new in zip(average.variables, getattr(averaged, name).variables, strict=True):
            np.testing.assert_array_equal(np.array(kept), np.array(new))


def test_what_an_old_tool_left_is_ignored(official, system):
    given = copied(official)
    given["disA"]["total_ops"] = np.zeros(1)
    given["gen2B"]["UpBlock1_1.conv1.total_params"] = np.zeros(1)
    load_official(system, given)


def test_the_prefix_of_data_parallel_training_is_taken_off(official, system):
    given = copied(official)
    for network in ("disA", "gen2B"):
        given[network] = {f"module.{name}": array for name, array in official[network].items()}
    given["disA"]["total_ops"] = np.zeros(1)
    load_official(system, given)
    lamda = export_official(system)["disA"]["lamda"]
    np.testing.assert_array_equal(lamda, official["disA"]["lamda"])
    given["gen2B"]["FC.0.weight"] = given["gen2B"].pop("module.FC.0.weight")
    with pytest.raises(InputError, match=r"gen2B lacks .* more\."):  # not all names have it
        load_official(system, given)


def test_what_old_instance_norms_kept_is_ignored(official, system):
    given = copied(official)
    given["gen2A"]["UpBlock2.1.running_mean"] = np.zeros(4, "f4")
    given["gen2A"]["UpBlock2.1.running_var"] = np.ones(4, "f4")
    given["gen2A"]["UpBlock2.1.num_batches_tracked"] = np.array(7)
    load_official(system, given)


class Normalised:
    """A system with a batch normalisation, whose statistics count, and a blur."""

    def __init__(self):
        self.mean = tf.Variable([0.0, 0.0])
        self.blur = np.outer([1, 2, 1], [1, 2, 1])[None, None].astype("float32") / 16

    def tensors(self):
        blur = (self.blur, "constant")
        return {"D": {"1.running_mean": (self.mean, "same"), "2.filt": blur}}


@pytest.fixture
def normalised(monkeypatch):
    monkeypatch.setattr(weights, "official_code", lambda cls: cls)
    return Normalised()


def test_statistics_that_the_system_uses_are_loaded(normalised):
    system = normalised
    given = {"D": {"1.running_mean": np.ones(2), "2.filt": system.blur}}
    given["D"]["1.num_batches_tracked"] = np.array(7)
    load_official(system, given)
    assert system.mean.numpy().tolist() == [1, 1]
    del given["D"]["1.running_mean"]
    with pytest.raises(InputError, match=r"D lacks 1\.running_mean"):
        load_official(system, given)


def test_a_constant_is_exported_and_compared(normalised):
    system = normalised
    exported = export_official(system)
    np.testing.assert_array_equal(exported["D"]["2.filt"], system.blur)
    exported["D"]["2.filt"][0] += 1e-7
    load_official(system, exported)
    np.testing.assert_array_equal(export_official(system)["D"]["2.filt"], system.blur)


@pytest.mark.parametrize(
    ("blur", "message"),
    [
        (np.full((1, 1, 3, 3), 1 / 9), r"D 2\.filt is fixed, and other numbers are in it"),
        (np.full((1, 1, 2, 2), 1 / 4), r"D 2\.filt is \[1,1,2,2\], \[1,1,3,3\] is wanted"),
        (np.full((1, 1, 3, 3), np.nan), r"D 2\.filt has NaN"),
        (None, r"D lacks 2\.filt"),
    ],
)
def test_another_constant_is_refused(normalised, blur, message):
    system = normalised
    given = {"D": {"1.running_mean": np.ones(2)} | ({} if blur is None else {"2.filt": blur})}
    with pytest.raises(InputError, match=message):
        load_official(system, given)
    assert system.mean.numpy().tolist() == [0, 0]


def test_a_number_instead_of_a_tensor_of_one_is_taken(official, system):
    given = copied(official)
    given["disA"]["lamda"] = np.array(0.125, np.float32)
    load_official(system, given)
    assert export_official(system)["disA"]["lamda"].tolist() == [0.125]


def _without(name):
    return lambda given: given["disB"].pop(name)


def _with(name, value):
    return lambda given: given["disB"].update({name: value})


FAULTS = {
    "missing": (_without("fc.weight_u"), r"disB lacks fc\.weight_u"),
    "unknown": (_with("fc.weight", np.zeros((1, 32), "f4")), r"disB has no 'fc\.weight'"),
    "shape": (
        _with("model.1.weight_orig", np.zeros((8, 3, 3, 3), "f4")),
        r"disB model\.1\.weight_orig is \[8,3,3,3\], \[8,3,4,4\] is wanted",
    ),
    "transposed": (
        _with("fc.weight_orig", np.zeros((32, 1), "f4")),
        r"fc\.weight_orig is \[32,1\], \[1,32\] is wanted",
    ),
    "flat": (_with("lamda", np.zeros((1, 1), "f4")), r"lamda is \[1,1\], \[1\] is wanted"),
    "nan": (_with("lamda", np.array([np.nan], "f4")), "disB lamda has NaN or infinite values"),
    "huge": (_with("lamda", np.array([1e300])), "disB lamda has NaN or infinite values"),
    "integers": (_with("lamda", np.array([1])), "disB lamda is int64, and floating-point"),
    "text": (_with("lamda", "one"), "disB lamda is str, and floating-point"),
    "network": (lambda given: given.pop("disB"), "The networks of NICEGAN are disA, disB, gen2A"),
    "extra": (lambda given: given.update(disC={}), "received .*disC; give"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_nothing_is_assigned(official, system, fault):
    change, message = FAULTS[fault]
    load_official(system, official)
    before = values(system)
    given = {net: {name: a + 1 for name, a in tensors.items()} for net, tensors in official.items()}
    change(given)
    with pytest.raises(InputError, match=message):
        load_official(system, given)
    for kept, value in zip(values(system), before, strict=True):
        np.testing.assert_array_equal(kept, value)


def test_many_faults_are_counted(official, system):
    given = {**copied(official), "gen2A": {}}
    with pytest.raises(InputError, match=r"gen2A lacks .*; .*; .*; .*; .* and 31 more\."):
        load_official(system, given)


# checkpoints


def written(write, path, official, **more):
    nets = {name: state_dict(tensors) for name, tensors in official.items()}
    moments = {"step": 3, "exp_avg": tensor(np.zeros(3, np.float32))}
    optimizer = {"state": {140_000_000: moments}, "param_groups": [{"lr": 1e-4, "params": [1]}]}
    rest = {"D_optim": optimizer, "G_optim": optimizer, "start_iter": 100_001, **more}
    return write(path, {**nets, **rest})


@pytest.mark.parametrize("write", [write_legacy, write_zip])
def test_an_official_checkpoint_becomes_a_system(tmp_path, official, write, caplog):
    caplog.set_level(logging.INFO, "tfi2i")
    official = copied(official)
    strayed = copied(official)
    strayed["disA"]["total_ops"] = np.zeros(1)
    path = written(write, tmp_path / "params.pt", strayed)
    made = import_checkpoint("NICEGAN", path, model={"image_size": 64})
    assert {key: getattr(made, key) for key in OFFICIAL} == OFFICIAL
    assert made.light
    for network, tensors in export_official(made).items():
        for name, array in tensors.items():
            np.testing.assert_array_equal(array, official[network][name])
    assert "not taken over: D_optim, G_optim, start_iter" in caplog.text
    with np.load(FIXTURE) as fixture:
        image, wanted = fixture["input/real_A"], fixture["eval/gen2B/fake_A2B"]
    found = made.network("a2b")(image.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(np.array(found).transpose(0, 3, 1, 2), wanted, atol=1e-4)


def test_imported_weights_do_not_change_with_the_file(tmp_path, official):
    path = written(write_legacy, tmp_path / "params.pt", official)
    made = import_checkpoint("NICEGAN", path, model={"image_size": 64})
    with path.open("r+b") as file:  # the same file, overwritten in its place
        file.write(bytes(path.stat().st_size))
    lamda = export_official(made)["disA"]["lamda"]
    np.testing.assert_array_equal(lamda, official["disA"]["lamda"])
    made.compile()
    batch = {key: tf.zeros((1, 64, 64, 3)) for key in ("a", "b")}
    assert all(np.isfinite(float(value)) for value in made.train_step(batch).values())


def test_flat_names_are_read_too(tmp_path, official):
    flat = {f"{net}.{name}": a for net, tensors in official.items() for name, a in tensors.items()}
    path = write_zip(tmp_path / "flat.pth", state_dict(flat))
    made = import_checkpoint("NICEGAN", path, model={"image_size": 64})
    np.testing.assert_array_equal(
        export_official(made)["gen2B"]["FC.0.weight"], official["gen2B"]["FC.0.weight"]
    )


def test_the_full_version_tells_its_image_size(tmp_path):
    config = {"image_size": 64, "width": 4, "blocks": 2, "discriminator_depth": 6, "light": False}
    path = written(write_legacy, tmp_path / "full.pt", export_official(NICEGAN(**config)))
    made = import_checkpoint("NICEGAN", path)
    assert {key: getattr(made, key) for key in config} == config


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"width": 16}, "was trained with width 8, and width 16 is asked for"),
        ({"light": False}, "was trained with light True, and light False is asked for"),
        ({"image_size": 63}, "does not make a NICEGAN: image_size must be a multiple of 4"),
        ({"image_siz": 64}, "does not make a NICEGAN: .*image_siz"),
    ],
)
def test_arguments_that_contradict_the_file_are_refused(tmp_path, official, model, message):
    path = written(write_legacy, tmp_path / "params.pt", official)
    with pytest.raises(InputError, match=rf"params\.pt {message}"):
        import_checkpoint("NICEGAN", path, model=model)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"genA2B": {}, "disGA": {}}, "it has genA2B, disGA, and the state dicts of disA, disB"),
        ({"disA": {}, "gen2A": {}}, "it has disA, gen2A, and"),
        ({"disA": 1, "disB": 1, "gen2A": 1, "gen2B": 1}, "and the state dicts of disA"),
        ([], "it has nothing named"),
        ({}, "it has nothing named"),
    ],
)
def test_a_checkpoint_of_another_system_is_refused(tmp_path, value, message):
    path = write_legacy(tmp_path / "other.pt", value)
    with pytest.raises(InputError, match=rf"other\.pt is no checkpoint of NICEGAN: .*{message}"):
        import_checkpoint("NICEGAN", path)


def test_a_network_without_its_tensors_is_refused(tmp_path, official):
    networks = {name: {} for name in official}
    path = written(write_legacy, tmp_path / "a.pt", networks)
    with pytest.raises(InputError, match="has the networks of NICEGAN without their tensors"):
        import_checkpoint("NICEGAN", path)


def test_sizes_that_the_file_does_not_have_are_refused(tmp_path, official):
    given = copied(official)
    kernel = given["gen2B"]["UpBlock1_1.conv1.weight"]
    given["gen2B"]["UpBlock1_999999999.conv1.weight"] = kernel
    path = written(write_legacy, tmp_path / "a.pt", given)
    with pytest.raises(InputError, match=r"a\.pt"):
        import_checkpoint("NICEGAN", path)
    given["gen2B"]["UpBlock1_999999999.conv1.weight"] = np.zeros((0, 10**6), np.float32)
    path = written(write_legacy, tmp_path / "b.pt", given)
    with pytest.raises(InputError, match=r"b\.pt has empty tensors"):
        import_checkpoint("NICEGAN", path)


def test_a_missing_tensor_is_named_with_the_file(tmp_path, official):
    given = copied(official)
    del given["gen2A"]["beta.weight"]
    path = written(write_legacy, tmp_path / "a.pt", given)
    with pytest.raises(InputError, match=r"a\.pt cannot be loaded: .* gen2A lacks beta\.weight"):
        import_checkpoint("NICEGAN", path, model={"image_size": 64})


def test_an_unknown_system_is_named(tmp_path):
    with pytest.raises(InputError, match=r"The systems are NICEGAN.*; received 'NICE'\."):
        import_checkpoint("NICE", tmp_path / "a.pt")


def test_a_system_that_refuses_the_tensors_is_heard(tmp_path, official, monkeypatch):
    def picky(networks, given):
        raise InputError("disA is of a later version.")

    monkeypatch.setattr(nice_gan, "architecture", picky)
    path = written(write_legacy, tmp_path / "a.pt", official)
    with pytest.raises(InputError, match=r"a\.pt: disA is of a later version\."):
        import_checkpoint("NICEGAN", path)


# folders with one file a network, here of a CycleGAN


@pytest.fixture(scope="module")
def cyclegan():
    return CycleGAN(**CycleGAN.smoke)


def save_networks(folder, tag, system, write=write_zip, prefix=""):
    """As the official code does, with what old versions of PyTorch left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    left = {"model.2.running_mean": np.zeros(4, "f4"), "model.2.num_batches_tracked": np.array(9)}
    for network, tensors in export_official(system).items():
        named = {prefix + name: array for name, array in (tensors | left).items()}
        write(folder / f"{tag}_net_{network}.pth", state_dict(named))


def import_cyclegan(path):
    size = {"image_size": CycleGAN.smoke["image_size"]}
    return import_checkpoint("CycleGAN", path, model=size)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, cyclegan):
    """A folder with 5, 100 and latest, each complete and with weights of its own, and half a 20."""
    folder = tmp_path_factory.mktemp("checkpoints") / "horse2zebra"
    bias = cyclegan.gen_ab.get_layer("to_rgb").bias
    before = bias.numpy()
    for tag, value in (("5", 0.05), ("100", 0.1), ("latest", 0.15), ("20", 0.2)):
        bias.assign(tf.fill(bias.shape, value))
        save_networks(folder, tag, cyclegan)
    bias.assign(before)
    (folder / "20_net_D_A.pth").unlink()
    (folder / "train_opt.txt").write_text("batch_size: 1")
    (folder / "5_net_G_A.pth.bak").write_text("")
    return folder


def which(system):
    return round(float(system.gen_ab.get_layer("to_rgb").bias[0]), 4)


@pytest.mark.parametrize("write", [write_legacy, write_zip])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_folder_of_networks_becomes_the_same_translators(tmp_path, cyclegan, write, prefix):
    save_networks(tmp_path, "latest", cyclegan, write, prefix)
    made = import_cyclegan(tmp_path)
    assert {key: getattr(made, key) for key in CycleGAN.smoke} == CycleGAN.smoke
    image = np.random.default_rng(0).uniform(-1, 1, (1, 40, 32, 3)).astype("float32")
    for direction in ("a2b", "b2a"):
        wanted = cyclegan.network(direction)(image)
        np.testing.assert_array_equal(made.network(direction)(image), wanted)


def test_the_tag_is_the_only_one_or_latest_or_chosen(experiment, tmp_path):
    assert which(import_cyclegan(experiment)) == 0.15
    assert which(import_cyclegan(experiment / "5")) == 0.05
    assert which(import_cyclegan(experiment / "100_net_D_B.pth")) == 0.1
    for network in NETWORKS:
        name = f"100_net_{network}.pth"
        (tmp_path / name).write_bytes((experiment / name).read_bytes())
    (tmp_path / "latest_net_G_A.pth").write_bytes(b"half a download")
    assert which(import_cyclegan(tmp_path)) == 0.1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("7", r"lacks 7_net_G_A\.pth, .*; complete there are 5, 100, latest\."),
        ("7_net_G_B.pth", r"lacks 7_net_G_A\.pth, .*; complete there are 5, 100, latest\."),
        ("gone.pth", r"gone\.pth cannot be read: No such file"),
        ("../gone/latest", "latest cannot be read: No such file"),
        ("train_opt.txt", r"train_opt\.txt is no PyTorch checkpoint"),
    ],
)
def test_a_tag_that_is_not_whole_is_refused(experiment, path, message):
    with pytest.raises(InputError, match=message):
        import_cyclegan(experiment / path)


@pytest.mark.parametrize("path", ["20", "20_net_G_A.pth"])
def test_a_tag_without_a_discriminator_is_imported(experiment, path):
    assert read_checkpoint("CycleGAN", experiment / path).fresh == ("D_A",)
    assert which(import_cyclegan(experiment / path)) == 0.2


def test_several_tags_have_to_be_chosen_from(experiment, tmp_path):
    for file in experiment.iterdir():
        if not file.name.startswith("latest"):
            (tmp_path / file.name).symlink_to(file)
    message = f"{tmp_path} has the checkpoints 5, 100; choose one of them as {tmp_path / '100'}."
    with pytest.raises(InputError, match=re.escape(message)):
        import_cyclegan(tmp_path)


def test_a_folder_with_nothing_whole_says_what_is_missing(tmp_path):
    wanted = r"is a folder without files such as latest_net_G_A\.pth, .*latest_net_D_B\.pth"
    with pytest.raises(InputError, match=wanted):
        import_cyclegan(tmp_path)
    for name in ("latest_net_F.pth", "latest_net_G_A.pt", "_net_G_A.pth"):  # of no wanted network
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=wanted):
        import_cyclegan(tmp_path)
    (tmp_path / "latest_net_D_A.pth").touch()
    lacks = r"lacks latest_net_G_A\.pth, latest_net_G_B\.pth, latest_net_D_B\.pth; copy the others"
    with pytest.raises(InputError, match=lacks):
        import_cyclegan(tmp_path)


def test_a_damaged_file_of_a_folder_is_named(tmp_path, cyclegan):
    save_networks(tmp_path, "latest", cyclegan)
    (tmp_path / "latest_net_D_A.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"latest_net_D_A\.pth is empty"):
        import_cyclegan(tmp_path)


def test_a_file_of_something_else_is_not_taken_for_a_network(tmp_path, cyclegan):
    save_networks(tmp_path, "latest", cyclegan)
    (tmp_path / "latest_net_D_A.pth").replace(tmp_path / "latest_net_G_A.pth")
    write_zip(tmp_path / "latest_net_D_A.pth", [1, 2])
    with pytest.raises(InputError, match="is no checkpoint of CycleGAN"):
        import_cyclegan(tmp_path)
    save_networks(tmp_path, "latest", cyclegan)
    swapped = (tmp_path / "latest_net_D_A.pth").read_bytes()
    (tmp_path / "latest_net_G_B.pth").write_bytes(swapped)
    with pytest.raises(InputError, match="G_B lacks model.1.weight"):
        import_cyclegan(tmp_path)
