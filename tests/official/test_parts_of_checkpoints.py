"""Checkpoints that lack networks: one generator, generators alone, one direction."""

import logging

import numpy as np
import pytest
from torch_writer import state_dict, write_zip

from tfi2i.errors import InputError
from tfi2i.models import (
    CUT,
    DRIT,
    MUNIT,
    NICEGAN,
    UGATIT,
    UNIT,
    BicycleGAN,
    CycleGAN,
    Pix2Pix,
    SinCUT,
    StarGAN,
    StarGANv2,
)
from tfi2i.official.checkpoints import import_checkpoint, read_checkpoint
from tfi2i.official.weights import export_official

SYSTEMS = {
    cls.__name__: cls
    for cls in (
        *(CycleGAN, CUT, UGATIT, NICEGAN, SinCUT, Pix2Pix, BicycleGAN),
        *(UNIT, MUNIT, DRIT, StarGAN, StarGANv2),
    )
}
OFFICIAL = {"UNIT": {"shared_blocks": 0}}  # what a smoke system differs in from an official one


@pytest.fixture(scope="module")
def officials():
    """Small systems by name, and their state dicts as the official code has them."""
    systems = {name: cls(**cls.smoke, **OFFICIAL.get(name, {})) for name, cls in SYSTEMS.items()}
    return {name: (system, export_official(system)) for name, system in systems.items()}


def written(path, official, *networks):
    return write_zip(path, {name: state_dict(official[name]) for name in networks})


def weights_of(system, direction):
    return system.network(direction).get_weights()


def same(one, other, direction):
    weights = zip(weights_of(one, direction), weights_of(other, direction), strict=True)
    return all(np.array_equal(*pair) for pair in weights)


@pytest.mark.parametrize("direction", [None, "a2b", "b2a"])
def test_the_generator_that_the_authors_publish_is_a_translator(
    officials, tmp_path, direction, caplog
):
    caplog.set_level(logging.INFO, "tfi2i")
    system, official = officials["CycleGAN"]
    left = {"model.2.running_mean": np.zeros(4, "f4"), "model.2.num_batches_tracked": np.array(9)}
    path = write_zip(tmp_path / "latest_net_G.pth", state_dict(official["G_A"] | left))
    for place in (path,) if direction else (tmp_path, tmp_path / "latest"):
        checkpoint = read_checkpoint("CycleGAN", place, direction=direction)
        made = checkpoint.system(CycleGAN.smoke)
        wanted = weights_of(system, "a2b")
        way, other = ("b2a", "a2b") if direction == "b2a" else ("a2b", "b2a")
        assert all(map(np.array_equal, weights_of(made, way), wanted))
        assert not all(map(np.array_equal, weights_of(made, other), wanted))
    there, *lacking = ("G_B", "G_A") if direction == "b2a" else ("G_A", "G_B")
    assert f"holds {there}; {lacking[0]}, D_A, D_B are not in it and fresh." in caplog.text
    assert ("it is taken as a2b (for b2a, import it with --direction)" in caplog.text) == (
        direction is None
    )


PARTS = [
    ("CycleGAN", ("G_A", "G_B"), ("a2b", "b2a")),
    ("CycleGAN", ("G_B", "D_B"), ("b2a",)),
    ("CUT", ("G",), ("a2b",)),
    ("CUT", ("G", "F"), ("a2b",)),
    ("UGATIT", ("genB2A",), ("b2a",)),
    ("NICEGAN", ("disB", "gen2A", "gen2B"), ("b2a",)),
    ("SinCUT", ("G",), ("a2b",)),
    ("Pix2Pix", ("G",), ("a2b",)),
    ("BicycleGAN", ("G", "E"), ("a2b",)),
    ("UNIT", ("gen_a", "gen_b"), ("a2b", "b2a")),
    ("MUNIT", ("gen_a", "gen_b", "dis_b"), ("a2b", "b2a")),
    ("DRIT", ("enc_c", "gen"), ("a2b", "b2a")),
    ("StarGAN", ("G",), ("any",)),
    ("StarGANv2", ("generator", "mapping_network", "style_encoder"), None),
]


@pytest.mark.parametrize(("name", "networks", "directions"), PARTS)
def test_a_part_is_imported_and_the_rest_is_fresh(officials, tmp_path, name, networks, directions):
    system, official = officials[name]
    path = written(tmp_path / "params.pt", official, *networks)
    checkpoint = read_checkpoint(name, path)
    assert set(checkpoint.fresh) == set(official) - set(networks)
    made = checkpoint.system(system.smoke)
    for way in made.directions:
        assert same(made, system, way.name) == (directions is None or way.name in directions)
    for network in networks:
        for tensor, array in export_official(made)[network].items():
            np.testing.assert_array_equal(array, official[network][tensor])


def test_a_folder_may_hold_one_direction(officials, tmp_path):
    system, official = officials["CycleGAN"]
    write_zip(tmp_path / "7_net_G_B.pth", state_dict(official["G_B"]))
    for place in (tmp_path, tmp_path / "7", tmp_path / "7_net_G_B.pth"):
        checkpoint = read_checkpoint("CycleGAN", place)
        assert checkpoint.fresh == ("G_A", "D_A", "D_B")
    assert same(checkpoint.system(CycleGAN.smoke), system, "b2a")


@pytest.mark.parametrize("name", ["UNIT", "MUNIT"])
def test_both_domains_of_a_part_may_lie_in_a_file_of_their_own(officials, tmp_path, name):
    system, official = officials[name]

    def write(file, part):
        networks = {domain: state_dict(official[f"{part}_{domain}"]) for domain in "ab"}
        return write_zip(tmp_path / file, networks)

    write("gen_900.pt", "dis")  # of before; not read
    generators = write("gen_00020000.pt", "gen")
    for place in (tmp_path, generators, write("edges2shoes.pt", "gen")):
        checkpoint = read_checkpoint(name, place)
        assert checkpoint.fresh == ("dis_a", "dis_b")
        assert same(checkpoint.system(system.smoke), system, "b2a")
    write("dis_00020000.pt", "dis")
    for place in (tmp_path, generators):
        assert read_checkpoint(name, place).fresh == ()
    with pytest.raises(
        InputError, match=r"empty is a folder without files such as gen_0+100000.pt"
    ):
        (tmp_path / "empty").mkdir()
        read_checkpoint(name, tmp_path / "empty")


def test_parts_of_several_tags_have_to_be_chosen_from(officials, tmp_path):
    for tag in ("5", "10"):
        write_zip(tmp_path / f"{tag}_net_G_A.pth", state_dict(officials["CycleGAN"][1]["G_A"]))
    with pytest.raises(InputError, match="has the checkpoints 5, 10; choose one of them as .*10"):
        read_checkpoint("CycleGAN", tmp_path)


@pytest.mark.parametrize(
    ("name", "network", "direction", "message"),
    [
        ("NICEGAN", "gen2B", None, "the translator a2b of NICEGAN is made of disA and gen2B"),
        ("CycleGAN", "D_A", None, "are not numbered without gaps"),
        ("CycleGAN", "G_A", "c2d", "CycleGAN has no direction 'c2d'; choose a2b or b2a"),
        ("CUT", "G", "b2a", "CUT has no direction 'b2a'; choose a2b"),
    ],
)
def test_a_lone_network_that_translates_nothing_is_refused(
    officials, tmp_path, name, network, direction, message
):
    path = write_zip(tmp_path / "net.pth", state_dict(officials[name][1][network]))
    with pytest.raises(InputError, match=message):
        import_checkpoint(name, path, direction=direction)


def test_networks_that_have_names_have_their_directions(officials, tmp_path):
    path = written(tmp_path / "params.pt", officials["CycleGAN"][1], "G_A")
    with pytest.raises(InputError, match="names its networks.*; leave out --direction b2a"):
        read_checkpoint("CycleGAN", path, direction="b2a")


def test_discriminators_alone_are_no_checkpoint(officials, tmp_path):
    path = written(tmp_path / "params.pt", officials["CycleGAN"][1], "D_A", "D_B")
    with pytest.raises(InputError, match=r"it has D_A, D_B, .* one translator \(G_A, or G_B\)"):
        read_checkpoint("CycleGAN", path)


def test_files_of_star_gan_have_names_of_their_own(officials, tmp_path):
    system, official = officials["StarGAN"]
    for tag in ("190000", "200000"):
        for network in ("G", "D"):
            write_zip(tmp_path / f"{tag}-{network}.ckpt", state_dict(official[network]))
    (tmp_path / "190000-D.ckpt").unlink()
    for place in (tmp_path, tmp_path / "200000", tmp_path / "200000-G.ckpt"):
        assert read_checkpoint("StarGAN", place).fresh == ()
    checkpoint = read_checkpoint("StarGAN", tmp_path / "190000-G.ckpt")
    assert checkpoint.fresh == ("D",)
    assert same(checkpoint.system(StarGAN.smoke), system, "any")
