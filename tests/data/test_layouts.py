"""Batches of every layout, and what is refused; domains by names of any kind."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pytest
import tensorflow as tf

import tfi2i.data
from tfi2i.conditions import A_TO_B, BOTH_WAYS, between
from tfi2i.data import Batch, Dataset
from tfi2i.data.check import check
from tfi2i.data.domains import Domain, DrawnDomain
from tfi2i.data.ranges import settled
from tfi2i.data.sources.scene_drawing import draw
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import to_image, to_pixels

THREE = ("1920s2photo", "day", "Ж bird")


class Waves(Domain):
    """Pictures whose every pixel is a function of its place, its index and a shift."""

    def __init__(self, count, shape=(12, 12), shift=0, broken=()):
        super().__init__([f"{index}.png" for index in range(count)], f"waves {shift}")
        self.shape, self.shift, self.broken = shape, shift, broken

    def read(self, index, side=None):
        if index in self.broken:
            raise InputError(f"{self.names[index]} is damaged.")
        y, x, c = np.indices((*self.shape, 3))
        return ((y * 7 + x * 13 + c * 29 + (index + self.shift) * 31) % 256).astype(np.uint8)

    def digest(self):
        return "0"


def numbered(domain, count, broken=()):
    """Pictures of one colour: 60 x the domain's number + 4 x the index."""

    def draw(index, side):
        if index in broken:
            raise InputError(f"{index} is damaged.")
        return np.full((side, side, 3), 60 * domain + 4 * index, np.uint8)

    return DrawnDomain([f"{i}.png" for i in range(count)], draw, f"numbers {domain}", (1, 99))


def three(counts=(3, 5, 8), **more):
    domains = {
        name: numbered(i, count) for i, (name, count) in enumerate(zip(THREE, counts, strict=True))
    }
    return Dataset("three", domains, domains, **more)


def pairs(a=6, b=6, **more):
    domains = {"a": Waves(a, (10, 16), **more), "b": Waves(b, (10, 16), shift=90)}
    return Dataset("pairs", domains, domains, frozenset({"train", "test"}))


def taken(batches, steps):
    return list(batches.take(steps).as_numpy_iterator())


def which(images):
    """The domain's number and the index of each image of `numbered`."""
    values = to_pixels(images[..., 0, 0, 0]).astype(int)
    return values // 60, values % 60 // 4


# unpaired


@pytest.mark.parametrize(
    ("digest", "settings"),
    [
        (
            "30e97b528b0a63446f9a1d04c2d00c6817cacdccaecb8e1cd55809cd899e8ae5",
            {"image_size": 8, "batch_size": 3},
        ),
        (
            "7544e9fe05d9a247061117fc1579a910cdd1eea6a6fc802d9e49aef3e73c12e9",
            {"image_size": 8, "seed": 5, "start_step": 1000, "cache_mb": 0},
        ),
        (
            "c7902d8a07ff0274aecf2cd6fdcacc7975776b75e85c171cb0533f25f2746dcf",
            {"image_size": 12, "batch_size": 2, "seed": 9, "flip": False},
        ),
    ],
)
def test_order_crops_and_flips_of_unpaired_batches_never_change(digest, settings):
    """The digests were taken before there were other layouts: old runs resume to the same bits."""
    data = Dataset("waves", {"a": Waves(7), "b": Waves(4, (12, 30), 50)}, {})
    total = hashlib.sha256()
    for batch in taken(data.batches(load_size=12, aspect="crop", **settings), 12):
        for key in "ab":
            total.update(batch[key].tobytes())
    assert total.hexdigest() == digest


def test_a_system_names_its_layout_and_size():
    @dataclass
    class System:
        batch: Batch = Batch("unpaired")
        image_size: int = 8

    data = Dataset("waves", {"left": Waves(7), "right": Waves(4)}, {})
    for own, given in zip(
        taken(data.batches(System(), seed=2), 3),
        taken(data.batches(image_size=8, seed=2), 3),
        strict=True,
    ):
        assert [*own] == [*given] == ["a", "b"]
        np.testing.assert_array_equal(own["a"], given["a"])
    with pytest.raises(InputError, match="image_size of the batches is missing"):
        data.batches(Batch("unpaired"))


# paired


@pytest.mark.parametrize("aspect", ["squash", "crop"])
def test_pairs_have_one_order_crop_and_flip(aspect):
    batches = pairs().batches(
        Batch("paired"), image_size=8, load_size=10, batch_size=4, aspect=aspect
    )
    seen = set()
    for batch in taken(batches, 6):
        a, b = (to_pixels(batch[key]).astype(int) for key in "ab")
        if aspect == "crop":  # nothing is scaled, so the shift is exact
            np.testing.assert_array_equal((a + 31 * 90) % 256, b)
        seen |= {row.tobytes() for row in a}
    assert len(seen) > 15


def test_an_unreadable_half_takes_its_other_half_out():
    broken = {1, 4}
    domains = {"a": numbered(0, 6), "b": numbered(1, 6, broken)}
    data = Dataset("half", domains, domains, frozenset({"train", "test"}))
    batches = data.batches(Batch("paired"), image_size=8, batch_size=3)
    for batch in taken(batches, 8):
        (_, a), (_, b) = which(batch["a"]), which(batch["b"])
        assert a.tolist() == b.tolist()
        assert not broken & {*a.tolist()}
    names = [data.pixels("test", key, 8)[1] for key in "ab"]
    assert names == [["0.png", "2.png", "3.png", "5.png"]] * 2


# labelled


def test_labels_are_those_of_the_pictures_and_references_those_of_the_targets():
    data = three()
    batch_size, steps = 8, 60
    layout = Batch("labelled", references=2)
    keys = ["image", "label", "target_label", "reference", "reference2"]
    assert layout.images == ("image", "reference", "reference2")
    batches = data.batches(layout, image_size=8, batch_size=batch_size)
    image, label = ((batch_size, 8, 8, 3), tf.float32), ((batch_size, 3), tf.float32)
    assert {key: (spec.shape, spec.dtype) for key, spec in batches.element_spec.items()} == dict(
        zip(keys, (image, label, label, image, image), strict=True)
    )
    changed, references, seen = 0, set(), []
    for batch in taken(batches, steps):
        domain, index = which(batch["image"])
        seen += zip(domain.tolist(), index.tolist(), strict=True)
        np.testing.assert_array_equal(batch["label"], np.eye(3)[domain])
        target = batch["target_label"].argmax(-1)
        np.testing.assert_array_equal(batch["target_label"], np.eye(3)[target])
        assert sorted(target) == sorted(domain)  # a shuffle of the batch's own
        changed += (target != domain).sum()
        for key in ("reference", "reference2"):
            of, index = which(batch[key])
            assert of.tolist() == target.tolist()
            references |= {*zip(of.tolist(), index.tolist(), strict=True)}
    every = {(0, i) for i in range(3)} | {(1, i) for i in range(5)} | {(2, i) for i in range(8)}
    assert references == every  # also those that are no target in their batch
    assert [{*seen[start : start + 16]} for start in range(0, len(seen), 16)] == [every] * 30
    # Of two labels drawn from 3 : 5 : 8, 1 - (9 + 25 + 64) / 256 = 0.62 differ.
    assert 0.52 < changed / (batch_size * steps) < 0.72
    assert not any(np.array_equal(b["reference"], b["reference2"]) for b in taken(batches, 5))


def test_labels_of_attributes_are_real_combinations_and_stay_with_their_pictures():
    table = {
        "faces": np.array([[0, 0], [1, 0], [1, 1], [1, 0], [0, 0], [1, 1], [1, 1]]),
        "more": np.array([[1, 0], [0, 0]]),
    }
    domains = {"faces": numbered(0, 7, broken={1}), "more": numbered(1, 2)}
    data = Dataset(
        "faces",
        domains,
        {},
        attributes={"train": table},
        attribute_names=("smiling", "young"),
    )
    assert data.label_names == ("smiling", "young")
    for batch in taken(data.batches(Batch("labelled", 1), image_size=8, batch_size=5), 20):
        for images, labels in (("image", "label"), ("reference", "target_label")):
            domain, index = which(batch[images])
            assert (0, 1) not in zip(domain.tolist(), index.tolist(), strict=True)
            own = [[*table.values()][d][i] for d, i in zip(domain, index, strict=True)]
            np.testing.assert_array_equal(batch[labels], own)


# single


def test_single_pictures_have_a_label_where_there_is_something_to_tell():
    data = three()
    for batch in taken(data.batches(Batch("single"), image_size=8, batch_size=4), 8):
        assert [*batch] == ["image", "label"]
        np.testing.assert_array_equal(batch["label"], np.eye(3)[which(batch["image"])[0]])
    alone = Dataset("alone", {"faces": numbered(0, 5)}, {})
    epoch = taken(alone.batches(Batch("single"), image_size=8, batch_size=5), 2)
    assert [[*batch] for batch in epoch] == [["image"]] * 2
    assert [sorted(which(batch["image"])[1]) for batch in epoch] == [[*range(5)]] * 2


# updates, resumption


@pytest.mark.parametrize(
    ("layout", "data"),
    [
        (Batch("unpaired"), pairs(7, 7)),
        (Batch("paired"), pairs()),
        (Batch("labelled", references=1), three()),
        (Batch("single"), three()),
    ],
    ids=lambda value: getattr(value, "layout", ""),
)
def test_several_updates_are_consecutive_batches_and_resume_exactly(layout, data):
    settings = {"image_size": 8, "load_size": 10, "batch_size": 2, "seed": 3}
    single = taken(data.batches(layout, **settings), 12)
    several = data.batches(replace(layout, updates=3), **settings)
    resumed = data.batches(replace(layout, updates=3), start_step=2, **settings)
    assert all(spec.shape[:2] == (3, 2) for spec in several.element_spec.values())
    for key in single[0]:
        expected = np.stack([batch[key] for batch in single])
        straight = np.concatenate([batch[key] for batch in taken(several, 4)])
        np.testing.assert_array_equal(straight, expected)
        later = np.concatenate([batch[key] for batch in taken(resumed, 2)])
        np.testing.assert_array_equal(later, expected[6:])


# any number of domains, by any name


def test_readers_take_any_domain_and_all_of_them():
    data = three()
    pixels, names = data.pixels("test", "1920s2photo", 8)
    assert pixels.shape == (3, 8, 8, 3)
    assert names == ["0.png", "1.png", "2.png"]
    pixels, names = data.pixels("test", "any", 8)
    assert len(pixels) == len({*names}) == 16
    assert names[2:4] == ["1920s2photo/2.png", "day/0.png"]
    assert which(pixels / 127.5 - 1)[0].tolist() == [0] * 3 + [1] * 5 + [2] * 8
    parts = [rows for rows, _ in data.pictures("test", "any", 8, limit=7, batch=3)]
    assert [len(rows) for rows in parts] == [3, 3, 1]
    with pytest.raises(InputError, match="no domain 'dusk' in test; it has 1920s2photo, day and"):
        data.pixels("test", "dusk", 8)
    with pytest.raises(InputError, match="no domain 'day' in validation; it has none"):
        data.pixels("validation", "day", 8)


def test_two_of_several_domains_can_be_chosen():
    data = three()
    two = data.choose("Ж bird", "day")
    assert [*two.train] == ["a", "b"]
    batch = taken(two.batches(image_size=8, batch_size=4), 1)[0]
    assert [{*which(batch[key])[0]} for key in "ab"] == [{2}, {1}]
    for names in (("day", "day"), ("day", "dusk"), ("any", "day")):
        with pytest.raises(InputError, match="choose two of them, not"):
            data.choose(*names)


def test_two_domains_are_called_as_the_directions_of_a_system_call_them():
    data = three().choose("Ж bird", "day")
    named = Dataset("named", {"day": numbered(0, 3), "dusk": numbered(1, 3)}, {})
    assert data.on(BOTH_WAYS) is data
    assert [*named.on(BOTH_WAYS).train] == [*named.on(A_TO_B).train] == ["a", "b"]
    assert named.on(BOTH_WAYS).name == "named"
    assert named.on(between(("day", "dusk"))) is named
    assert three().on(BOTH_WAYS).train.keys() == {*THREE}


@pytest.mark.parametrize(
    ("settings", "domain", "expected"),
    [
        ({"domains": ["cat", "dog"]}, "b", (0, 9)),
        ({"domains": ["cat", "dog"], "swap": True}, "a", (0, 9)),
        ({"domains": ["cat", "dog"]}, "dog", (0, 9)),
        ({"domains": ["cat", "dog"]}, "a", None),
        ({"domains": ["cat", "dog", "wild"]}, "any", (0, 9)),
    ],
)
def test_the_range_of_a_domain_is_found_by_either_of_its_names(settings, domain, expected):
    assert settled(settings | {"value_range": {"dog": [0, 9]}}, domain, "x") == expected


def test_attributes_go_with_chosen_and_swapped_domains():
    table = {
        name: np.full((count, 1), i % 2)
        for i, (name, count) in enumerate(zip(THREE, (3, 5, 8), strict=True))
    }
    both = {"train": table, "test": table}
    two = three(attributes=both, attribute_names=("old",)).choose("day", "Ж bird").swapped()
    assert {key: len(rows) for key, rows in two.attributes["test"].items()} == {"a": 8, "b": 5}
    batch = taken(two.batches(Batch("single"), image_size=8, batch_size=13), 1)[0]
    assert batch["label"].shape == (13, 1)
    assert batch["label"].sum() == 5


def test_a_check_names_every_domain_and_pictures_that_several_share():
    domains = dict(zip(THREE, (Waves(2), Waves(2, shift=40), Waves(3, shift=1)), strict=True))
    report = check(Dataset("three", domains, {}))
    assert [found.title for found in report.sets] == [f"train {name}" for name in THREE]
    assert len(report.problems) == 1
    assert (
        "in several domains: 1.png (train 1920s2photo), 0.png (train Ж bird)" in report.problems[0]
    )


# refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"layout": "triples"},
            "layout must be one of unpaired, paired, labelled, single, received",
        ),
        ({"layout": "labelled", "references": -1}, "received references=-1"),
        ({"layout": "single", "references": 1}, "references=1 with layout='single'"),
        ({"layout": "unpaired", "updates": 0}, "updates must be 1 or more, received updates=0"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Batch(**arguments)


ONE = {"faces": numbered(0, 4)}


@pytest.mark.parametrize(
    ("data", "layout", "message"),
    [
        (
            three(),
            "unpaired",
            "three has the domains 1920s2photo, day and Ж bird, but unpaired batches take two; "
            "choose two by its method `choose`.",
        ),
        (Dataset("one", ONE, {}), "paired", "one has the domains faces, but paired batches take"),
        (Dataset("no", pairs().train, {}), "paired", "no has no pairs to train on"),
        (Dataset("one", ONE, {}), "labelled", "one has one domain and no attributes, but labelled"),
        (three((3, 0, 2)), "labelled", "numbers 1 needs pictures, but there is none"),
        (three((3, 0, 2)), "single", "numbers 1 needs pictures, but there is none"),
    ],
)
def test_what_the_data_does_not_hold_is_refused_in_one_sentence(data, layout, message):
    with pytest.raises(InputError, match=message) as refused:
        data.batches(Batch(layout), image_size=8, batch_size=2)
    assert str(refused.value).count(". ") == 0


def test_targets_need_other_pictures_in_the_batch():
    with pytest.raises(InputError, match="batch_size of the batches is 1, .* choose 2 or more"):
        three().batches(Batch("labelled"), image_size=8)


@pytest.mark.parametrize("data", [three(), Dataset("one", ONE, {})])
def test_only_two_domains_can_be_swapped(data):
    with pytest.raises(InputError, match="swap exchanges two domains, but (three|one) has"):
        data.swapped()


def test_data_that_contradicts_itself_is_refused():
    with pytest.raises(InputError, match="x has b in test, but a in train"):
        Dataset("x", {"a": Waves(1)}, {"b": Waves(1)})
    with pytest.raises(InputError, match="train of pairs is paired, but its domains hold 6 and 5"):
        pairs(6, 5)
    with pytest.raises(InputError, match="attributes of train of one have the shapes"):
        Dataset("one", ONE, {}, attributes={"train": {"faces": np.zeros((3, 1))}})


def test_scenes_say_which_splits_are_pairs():
    data = tfi2i.data.scenes(train_size=2, test_size=2)
    assert data.paired == {"test", "validation"}
    assert data.description()["paired"] is True
    with pytest.raises(InputError, match="scenes has no pairs to train on"):
        data.batches(Batch("paired"), image_size=32)


def test_scenes_are_pairs_in_training_too_where_that_is_wanted():
    data = tfi2i.data.scenes(train_size=3, test_size=2, paired=True)
    assert data.paired == {"train", "test", "validation"}
    a, b = (data.train[key].read(1, 32) for key in "ab")
    for pixels, drawn in zip((a, b), draw(0, "train_a", 1, 32), strict=True):
        np.testing.assert_array_equal(pixels, drawn)
    batch = next(data.batches(Batch("paired"), image_size=32).as_numpy_iterator())
    assert batch["a"].shape == batch["b"].shape
    # A system that learns without pairs shuffles each side alone.
    steps = taken(data.batches(image_size=32, load_size=32, flip=False), 6)
    for key, domain in data.train.items():
        whole = [to_image(domain.read(index, 32)) for index in range(3)]
        rows = [[np.array_equal(one, step[key][0]) for one in whole] for step in steps]
        assert np.sum(rows, axis=0).tolist() == [2, 2, 2]


def test_pairs_of_two_sizes_are_refused_where_a_crop_would_part_them():
    domains = {"a": Waves(1, (12, 16)), "b": Waves(1, (16, 12))}
    data = Dataset("odd", domains, {}, frozenset({"train"}))
    with pytest.raises(InputError, match=r"0.png of waves 0 and 0.png of waves 0 .* one size"):
        data.batches(Batch("paired"), image_size=8, aspect="crop")
