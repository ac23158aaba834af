"""Pictures from tensorflow-datasets: two splits, labels or features, or two data sets."""

from pathlib import Path
from typing import Any

from tfi2i.data.builders import Label, Side, builder_of
from tfi2i.data.dataset import Dataset, source
from tfi2i.data.masks import colours_of
from tfi2i.data.pairs import Pair, require_one_size, with_test_share
from tfi2i.data.ranges import ValueRange, settle, wishes
from tfi2i.errors import InputError
from tfi2i.limits import MEGAPIXELS, Megapixels


@source
def tfds(
    name: str,
    *,
    name_b: str | None = None,
    split_a: str | None = None,
    split_b: str | None = None,
    test_split_a: str | None = None,
    test_split_b: str | None = None,
    label_a: Label | None = None,
    label_b: Label | None = None,
    label_key: str = "label",
    image_key: str | dict[str, str] = "image",
    paired: bool = False,
    palette: tuple[str, ...] | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
    value_range: ValueRange = None,
    megapixels: Megapixels = MEGAPIXELS,
) -> Dataset:
    """A data set of tensorflow-datasets, cut into two domains by split, by label or by name.

    `tfds("cycle_gan/horse2zebra")`; `tfds("oxford_iiit_pet", label_key="species", label_a="Cat",
    label_b="Dog")`; `tfds("svhn_cropped", name_b="mnist")`; `tfds("oxford_iiit_pet",
    image_key={"a": "image", "b": "segmentation_mask"})`. Where a domain has no test split, a
    fixed 5 % of its pictures (1 to 50) is kept out of training.

    Args:
        name: Data set of domain a, with its configuration: "cycle_gan/horse2zebra".
        name_b: Data set of domain b, if it is another one.
        split_a: Training split of domain a, also a part such as "train[:10%]"; trainA or train
            if not given.
        split_b: Training split of domain b; trainB or train if not given.
        test_split_a: Test split of domain a; testA or test if not given and there.
        test_split_b: Test split of domain b; testB or test if not given and there.
        label_a: Label, by name or number, of the only examples to use.
        label_b: Label for domain b.
        label_key: Feature that holds the label.
        image_key: Feature that holds the picture, or one a domain: {a: ..., b: ...}.
        paired: True where the two features of `image_key` in one example are a pair, for systems
            that learn from pairs.
        palette: Colours "#rrggbb" of the numbers 0, 1, 2 ... in pictures of one channel, such as
            masks, which are grey without.
        data_dir: Folder in which the library keeps prepared data sets; ~/tensorflow_datasets or
            $TFDS_DATA_DIR if not given.
        download: Permission to download a data set that is not there.
        value_range: Numbers in the pictures that become black and white: two of them, auto or
            {percentiles: [1, 99]}; for both domains, or {a: ..., b: ...}.
        megapixels: Largest picture that is decoded, in millions of pixels.

    Raises:
        InputError: An unknown data set, split, label or feature, two equal domains, or data that is
            neither prepared nor can be downloaded.
    """
    same = name_b in (None, name)
    wanted, keys = wishes(value_range), _image_keys(image_key)
    side_a = Side("a", name, builder_of(name, data_dir), keys["a"], label_key)
    builder_b = side_a.builder if same else builder_of(str(name_b), data_dir)
    side_b = Side("b", name if same else str(name_b), builder_b, keys["b"], label_key)
    # A wrong label shows before the download, not after it.
    side_a.choose(label_a)
    side_b.choose(label_a if paired and label_b is None else label_b)
    if paired:
        _require_pairs(side_a, side_b, same)
    if palette is not None:
        _paint((side_a, side_b), palette, wanted)
    side_a.prepare(download)
    side_b.prepare(download)
    train_a = side_a.split(split_a, "split", ("trainA", "train"))
    train_b = side_b.split(split_b, "split", ("trainB", "train"))
    if paired and train_a != train_b:
        raise _two_splits(name, "split", train_a, train_b)
    if same and train_a == train_b and keys["a"] == keys["b"]:
        _require_two_labels(side_a, side_b, train_a)
    # Of one data set, what one domain trains on must not be what the other is tested on.
    taken_a, taken_b = ({train_a, train_b},) * 2 if same else ({train_a}, {train_b})
    test_a = side_a.split(test_split_a, "test_split", ("testA", "test"), taken_a)
    test_b = side_b.split(test_split_b, "test_split", ("testB", "test"), taken_b)
    if paired:
        sets_a, sets_b = _pairs(side_a, side_b, train_a, (test_a, test_b), megapixels)
    else:
        sets_a = side_a.domains(train_a, test_a, megapixels)
        sets_b = side_b.domains(train_b, test_b, megapixels)
    return Dataset(
        name if same else f"{name}2{name_b}",
        train={"a": sets_a[0], "b": sets_b[0]},
        test={"a": sets_a[1], "b": sets_b[1]},
        paired=frozenset({"train", "test"} if paired else ()),
        settings=_settled(wanted, {"a": sets_a, "b": sets_b}),
    )


def _settled(wanted: dict[str, Any], sets: dict[str, Pair]) -> dict[str, Any]:
    """The settings of the ranges that the domains get, training before test."""
    found = {key: settle(train, [test], wanted[key]) for key, (train, test) in sets.items()}
    kept = {key: [*one] for key, one in found.items() if one is not None}
    return {"value_range": kept} if kept else {}


def _image_keys(given: str | dict[str, str]) -> dict[str, str]:
    """The feature of each domain's pictures."""
    if isinstance(given, str):
        return dict.fromkeys("ab", given)
    if not {*given} <= {"a", "b"} or not all(isinstance(one, str) for one in given.values()):
        raise InputError(f"image_key is {given}; give a feature's name, or {{a: ..., b: ...}}.")
    return {"a": "image", "b": "image"} | given


def _require_two_labels(a: Side, b: Side, split: str) -> None:
    """Raises `InputError` unless domains of one split and feature differ by their labels."""
    if None in (a.label, b.label):
        raise InputError(
            f"{a.name} gives both domains the pictures of split {split!r}; set label_a and "
            f"label_b, split_a and split_b (it has {', '.join(a.splits)}), image_key as "
            "{a: ..., b: ...}, or name_b."
        )
    if a.label == b.label:
        raise InputError(
            f"label_a and label_b of {a.name} are both {a.given!r}; choose two different labels."
        )


def _require_pairs(a: Side, b: Side, same: bool) -> None:
    """Raises `InputError` unless both domains are of the same examples, by two features."""
    fault = ""
    if not same:
        fault = f"name_b is {b.name}; leave it out"
    elif a.image_key == b.image_key:
        fault = f"image_key is {a.image_key!r} for both; set it to {{a: ..., b: ...}}"
    elif a.label != b.label:
        fault = "label_a and label_b differ; leave label_b out"
    if fault:
        raise InputError(f"paired takes two features of the examples of {a.name}, but {fault}.")


def _two_splits(name: str, setting: str, a: str, b: str) -> InputError:
    return InputError(
        f"paired takes two features of the examples of {name}, but {setting}_a is {a!r} and "
        f"{setting}_b {b!r}; choose one split for both."
    )


def _paint(sides: tuple[Side, Side], palette: tuple[str, ...], ranges: Any) -> None:
    """Gives the sides whose pictures have one channel the colours of a palette."""
    colours = colours_of(palette)
    masks = [side for side in sides if side.builder.info.features[side.image_key].shape[-1] == 1]
    for side in masks:
        if ranges[side.key] is not None:
            raise InputError(
                f"palette paints {side.image_key!r} of {side.name}, for which data.value_range is "
                "given too; leave one of the two out."
            )
        side.colours = colours
    if not masks:
        features = " and ".join(dict.fromkeys(repr(side.image_key) for side in sides))
        raise InputError(
            f"palette paints pictures of one channel, which {features} of {sides[0].name} are not; "
            "leave it out or choose another image_key."
        )


def _pairs(
    a: Side, b: Side, train: str, tests: tuple[str, str], megapixels: int
) -> tuple[Pair, Pair]:
    """Training and test domain of each side, whose rows are pairs."""
    test = tests[0]
    if test != tests[1]:
        raise _two_splits(a.name, "test_split", *tests)
    training = a.read(train, megapixels), b.read(train, megapixels)
    require_one_size(*training)
    if test:
        testing = a.read(test, megapixels), b.read(test, megapixels)
        require_one_size(*testing)
    elif len(training[0]) < 2:
        raise a.alone(training[0])
    else:
        training, testing = with_test_share(training, training[0].where, "split")
    return (training[0], testing[0]), (training[1], testing[1])
