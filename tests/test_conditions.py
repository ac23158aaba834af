"""Directions and conditions: names, values given, chosen and sampled, and their records."""

import json

import numpy as np
import pytest

from tfi2i.conditions import ANY, BOTH_WAYS, Condition, Direction, between, values_of
from tfi2i.errors import InputError

STYLE = Condition("style", "style", (8,))
SEASON = Condition("label", "label", (3,), ("day", "dusk", "winter"))
HAIR = Condition("label", "label", (3,), ("black hair", "young", "tall, thin"), exclusive=False)


def test_names_with_a_2_in_them_are_directions_like_others():
    ways = {way.name: way for way in between(("1920s", "a2b", "2"))}
    assert ways["1920s2a2b"] == Direction("1920s2a2b", "1920s", "a2b")
    assert ways["22a2b"].source == "2"
    assert ways[ANY] == Direction(ANY, ANY, None)
    assert len(ways) == 7
    assert [str(way) for way in BOTH_WAYS] == ["a2b", "b2a"]


@pytest.mark.parametrize(
    ("domains", "words"),
    [
        (("day",), "two or more different"),
        (("day", "day"), "two or more different"),
        (("day", ""), "two or more different"),
        (("a", "b2c", "a2b", "c"), "the name 'a2b2c'; rename one"),
        (("day", "any"), "the name 'any'"),
        (("day", "../dusk"), "becomes a file's name"),
        (("day", "du\nsk"), "becomes a file's name"),
    ],
)
def test_domains_that_cannot_be_told_apart_are_refused(domains, words):
    with pytest.raises(ValueError, match=words):
        between(domains)


def test_the_same_seed_samples_the_same_and_each_name_its_own():
    other = Condition("style2", "style", (8,))
    first, again, another = (STYLE.sample(5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (5, 8)
    assert np.abs(first - another).min() > 0
    assert np.abs(first - other.sample(5, 1)).min() > 0
    assert abs(STYLE.sample(4000, 0).std() - 1) < 0.02


def test_labels_are_one_of_k_or_any_of_them():
    one = SEASON.sample(60, 0)
    assert set(one.sum(1)) == {1} and set(one.argmax(1)) == {0, 1, 2}
    assert set(HAIR.sample(60, 0).sum(1)) == {0, 1, 2, 3}


def test_labels_are_chosen_by_name():
    assert SEASON.value_of_labels("dusk").tolist() == [0, 1, 0]
    assert HAIR.value_of_labels("young, black hair").tolist() == [1, 1, 0]
    assert HAIR.value_of_labels("tall, thin").tolist() == [0, 0, 1]
    assert HAIR.value_of_labels("").tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="no label 'noon'; choose from day, dusk, winter"):
        SEASON.value_of_labels("noon")
    with pytest.raises(InputError, match="One label is needed for 'label', got 2"):
        SEASON.value_of_labels("day,dusk")


def test_given_values_win_and_the_rest_is_sampled():
    style = np.ones(8)
    values = values_of((STYLE, SEASON), 2, seed=3, given={"style": style}, labels="winter")
    assert list(values) == ["style", "label"]
    assert values["style"].dtype == np.float32
    np.testing.assert_array_equal(values["style"], np.ones((2, 8)))
    assert values["label"].tolist() == [[0, 0, 1]] * 2
    sampled = values_of((STYLE, SEASON), 2, seed=3)
    np.testing.assert_array_equal(sampled["style"], STYLE.sample(2, 3))
    assert values_of((), 2) == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mood": [1]}, r"no input 'mood'; besides the picture it takes style \(8,\)"),
        ({"style": np.ones(7)}, r"style has the shape \(7,\); \(8,\) is needed"),
        ({"style": np.ones((3, 8))}, "one for each of 2 pictures"),
        ({"style": ["x"] * 8}, "no real numbers"),
        ({"style": np.full(8, 1e39)}, "not finite"),
    ],
)
def test_values_that_do_not_fit_are_refused_in_a_sentence(given, words):
    with pytest.raises(InputError, match=words):
        values_of((STYLE,), 2, given=given)


def test_a_label_where_there_is_none_and_one_given_twice_are_refused():
    with pytest.raises(InputError, match="no label to choose here; leave 'winter' out"):
        values_of((STYLE,), 1, labels="winter")
    with pytest.raises(InputError, match="given twice"):
        values_of((SEASON,), 1, given={"label": [1, 0, 0]}, labels="winter")


def test_a_mapping_network_is_asked_and_its_presets_stand_in_for_it():
    drawn = Condition("style", "style", (2,), draw=lambda count, seed, target: np.ones((count, 2)))
    assert drawn.distribution is None
    record = json.loads(json.dumps(drawn.record("winter")))
    again = Condition.of_record(record)
    assert again.sample(3, 9).tolist() == [[1, 1]] * 3
    wrong = Condition("style", "style", (3,), draw=lambda count, seed, target: np.ones((count, 2)))
    with pytest.raises(ValueError, match="must give"):
        wrong.sample(1, 0)


@pytest.mark.parametrize("condition", [STYLE, SEASON, HAIR])
def test_a_record_is_read_back(condition):
    again = Condition.of_record(json.loads(json.dumps(condition.record())))
    assert (again.name, again.kind, again.shape) == (
        condition.name,
        condition.kind,
        condition.shape,
    )
    assert (again.names, again.exclusive) == (condition.names, condition.exclusive)
    np.testing.assert_array_equal(again.sample(4, 5), condition.sample(4, 5))


@pytest.mark.parametrize("count", [64, 65, 300, 1_000])
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_label_of_hundreds_of_entries_has_a_short_record(count, exclusive):
    label = Condition("label", "label", (count,), exclusive=exclusive)
    text = json.dumps(label.record())
    assert len(text) < 60_000
    again = Condition.of_record(json.loads(text))
    last = str(count - 1)
    assert again.value_of_labels(last).tolist() == [0] * (count - 1) + [1]
    presets = label.record()["presets"]
    assert all(len(one["values"]) == count for one in presets)
    assert len(presets) == (64 if count == 64 else 0 if exclusive else 4_096 // count)


def test_of_large_values_fewer_are_kept():
    for shape, count in {(8,): 8, (512,): 8, (16, 16, 4): 4, (64, 64, 16): 1}.items():
        condition = Condition("latent", "latent", shape)
        values = [one["values"] for one in condition.record()["presets"]]
        np.testing.assert_array_equal(values, condition.sample(8, 0)[:count])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "mood"},
        {"shape": [-1]},
        {"shape": 8},
        {"shape": []},
        {"names": ["one"]},
        {"presets": [{"name": "x", "values": [1]}], "distribution": None, "kind": "style"},
        {"name": None, "presets": None, "distribution": None, "kind": "style"},
    ],
)
def test_records_that_contradict_themselves_are_refused(change):
    with pytest.raises(InputError):
        Condition.of_record(SEASON.record() | change)


def test_a_picture_cannot_be_sampled():
    with pytest.raises(InputError, match="A picture is needed for 'reference'"):
        values_of((Condition("reference", "picture", (8, 8, 3)),), 1)
