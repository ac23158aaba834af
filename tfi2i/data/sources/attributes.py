"""Pictures with labels: a table beside a folder, or the features of a tensorflow-datasets set."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.builders import Side, builder_of
from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import Domain, PictureDomain, TestShare, require_domains, shared_out
from tfi2i.data.label_tables import read_partition, read_table
from tfi2i.data.ranges import ValueRange, settle, wishes
from tfi2i.errors import InputError, closest
from tfi2i.limits import MEGAPIXELS, Megapixels
from tfi2i.pictures.listing import listed
from tfi2i.terminal import printable

PICTURES = "pictures"
"""Name of the one domain of pictures that attributes tell apart."""

Rows = NDArray[np.uint8]
Labelled = tuple[PictureDomain, Rows]

log = logging.getLogger("tfi2i")


@source
def attributes(
    table: Path | str | None = None,
    *,
    root: Path | str | None = None,
    names: tuple[str, ...] | None = None,
    partition: Path | str | None = None,
    test_share: TestShare | None = None,
    name: str | None = None,
    label_key: str | None = None,
    image_key: str = "image",
    split: str | None = None,
    test_split: str | None = None,
    data_dir: Path | str | None = None,
    download: bool = True,
    value_range: ValueRange = None,
    megapixels: Megapixels = MEGAPIXELS,
) -> Dataset:
    """Pictures whose labels are attributes: any number of them holds for a picture.

    Either a table and the folder of its files, or a set of tensorflow-datasets, such as celeb_a.
    With `label_key` its classes become domains instead, of which one holds for a picture.

    Args:
        table: CSV whose first column names the files and whose others hold 0 or 1 (or -1 and 1), or
            CelebA's list_attr_celeba.txt.
        root: Folder of these files.
        names: Attributes, or classes, to learn, in the order of the labels; all if not given.
        partition: CelebA's list_eval_partition.txt, or a list like it: a file name and 0 (to train
            on), 1 (to validate) or 2 (to test) a line.
        test_share: Share of the pictures that is kept out of training where nothing else says which
            are; a fixed 5 % (1 to 50 pictures) if not given.
        name: Data set of tensorflow-datasets, instead of a table.
        label_key: Feature of classes that become domains; its true-or-false features are the
            attributes if not given.
        image_key: Feature that holds the picture.
        split: Training split, also a part such as "train[:10%]"; train if not given.
        test_split: Test split; test if not given and there.
        data_dir: Folder in which the library keeps prepared data sets; ~/tensorflow_datasets or
            $TFDS_DATA_DIR if not given.
        download: Permission to download a data set that is not there.
        value_range: Numbers in the files that become black and white: two of them, auto or
            {percentiles: [1, 99]}.
        megapixels: Largest picture that is decoded, in millions of pixels.

    Raises:
        InputError: A table, folder, data set, feature or name that is not there, or a table whose
            files or values do not fit.
    """
    if (table is None) is (name is None):
        many = "both are given" if name else "both are missing"
        raise InputError(
            "The data source attributes needs a `table` with its `root`, or the `name` of a set of "
            f"tensorflow-datasets, but {many}; give one."
        )
    if table is not None:
        if root is None:
            raise InputError("`root`, the folder of the table's files, is missing; name it.")
        listing = None if partition is None else Path(partition).expanduser()
        data = _of_table(
            *(Path(table).expanduser(), Path(root).expanduser(), names, listing),
            *(test_share, megapixels),
        )
    else:
        if root is not None or partition is not None:
            beside = "root" if root is not None else "partition"
            raise InputError(f"`{beside}` belongs to a table, but `name` is given; leave one out.")
        side = Side("", str(name), builder_of(str(name), data_dir), image_key, str(label_key))
        side.choose(None)
        keys = _keys_of(side, label_key, names)
        side.prepare(download)
        train = side.split(split, "split", ("train",))
        places = train, side.split(test_split, "test_split", ("test",), {train})
        data = (_by_class if label_key else _of_features)(
            side, keys, places, test_share, megapixels
        )
    return _in_range(data, value_range)


def _of_table(
    table: Path,
    root: Path,
    names: tuple[str, ...] | None,
    partition: Path | None,
    share: float | None,
    megapixels: int,
) -> Dataset:
    found = read_table(table, names)
    paths = {path.relative_to(root).as_posix(): path for path in listed(root)[0]}
    lacking = [file for file in found.files if file not in paths]
    if lacking:
        raise InputError(
            f"The folder {printable(str(root))} lacks {len(lacking)} of the {len(found.files)} "
            f"pictures that {printable(str(table))} lists (the first: {printable(lacking[0])}); "
            "name the folder that holds them, or remove their lines."
        )
    if beside := len(paths) - len(found.files):
        log.warning(
            "%s: %d pictures have no line in %s and are left out.",
            *(printable(str(root)), beside, printable(str(table))),
        )
    where = printable(f"The folder {root}")
    files = [paths[file] for file in found.files]
    whole = PictureDomain(found.files, files, where, (), megapixels), found.rows
    if partition is None:
        splits = _shared(whole, where, "list of a partition", share)
    else:
        indices = read_partition(partition, found.files)
        splits = {split: _part(whole, rows) for split, rows in indices.items() if rows}
        if missing := [split for split in ("train", "test") if split not in splits]:
            raise InputError(
                f"{printable(str(partition))} has no picture to {missing[0]} on; give some lines "
                f"the {'0' if missing[0] == 'train' else '2'}."
            )
    return _dataset(root.resolve().name, splits, found.names)


def _of_features(
    side: Side,
    keys: Mapping[str, tuple[str, ...]],
    places: tuple[str, str],
    share: float | None,
    megapixels: int,
) -> Dataset:
    """Attributes of one domain, by features that are true or false."""
    needed: dict[str, Any] = {}
    for path in keys.values():
        inner = needed if len(path) == 1 else needed.setdefault(path[0], {})
        inner[path[-1]] = True

    def read(split: str) -> Labelled:
        pictures: dict[str, bytes] = {}
        rows: list[list[int]] = []
        for key, content, record in side.records(split, needed):
            pictures[key] = content
            rows.append([int(_at(record, path)) for path in keys.values()])
        table = np.array(rows, np.int64).reshape(len(rows), len(keys))
        for name, column in zip(keys, table.T, strict=True):
            if {*np.unique(column)} - {0, 1}:
                raise InputError(
                    f"{side.name} {split}: {name} holds {column.max()}, but an attribute is 0 or "
                    "1; choose other names, or `label_key` for classes."
                )
        where = f"{side.name} {split}"
        if not pictures:
            raise InputError(f"{where} has no pictures; choose another split.")
        domain = PictureDomain([*pictures], [*pictures.values()], where, (), megapixels)
        return domain, table.astype(np.uint8)

    train, test = places
    whole = read(train)
    splits = {"train": whole, "test": read(test)} if test else _shared(whole, train, "split", share)
    return _dataset(side.name, splits, tuple(keys))


def _by_class(
    side: Side,
    keys: Mapping[str, tuple[str, ...]],
    places: tuple[str, str],
    share: float | None,
    megapixels: int,
) -> Dataset:
    """Domains by the classes of a label."""
    key = side.label_key
    every = list(side.builder.info.features[key].names)

    def read(split: str) -> dict[str, PictureDomain]:
        found: dict[str, dict[str, bytes]] = {name: {} for name in keys}
        wanted = {every.index(name): name for name in keys}
        records = side.records(split, {key: True}, lambda record: int(record[key]) in wanted)
        for place, content, record in records:
            found[wanted[int(record[key])]][place] = content
        domains = {}
        for name, pictures in found.items():
            where = f"{side.name} {split} with label {name}"
            if not pictures:
                raise InputError(f"{where} has no pictures; choose another split or other names.")
            domains[name] = PictureDomain([*pictures], [*pictures.values()], where, (), megapixels)
        return domains

    train: dict[str, Domain] = {}
    test: dict[str, Domain] = {}
    tests = read(places[1]) if places[1] else {}
    for name, domain in read(places[0]).items():
        if tests:
            train[name], test[name] = domain, tests[name]
        elif len(domain) < 2:
            raise side.alone(domain)
        else:
            train[name], test[name] = domain.with_test_share(domain.where, "split", share)
    return Dataset(side.name, train, test)


def _keys_of(
    side: Side, label_key: str | None, names: tuple[str, ...] | None
) -> dict[str, tuple[str, ...]]:
    """The path of features of each wanted attribute, or of each wanted class, by its name."""
    from tensorflow_datasets import features as kinds

    features = dict(side.builder.info.features.items())
    known: dict[str, tuple[str, ...]]
    if label_key is not None:
        feature = features.get(label_key)
        if not isinstance(feature, kinds.ClassLabel):
            classes = [key for key, one in features.items() if isinstance(one, kinds.ClassLabel)]
            raise InputError(
                f"{side.name} has no feature of classes {label_key!r} as label_key; it has "
                f"{', '.join(classes) or 'none'}."
            )
        known = dict.fromkeys(feature.names, (label_key,))
        require_domains(tuple(names or known), f"names of {side.name}")
    else:
        flat: dict[tuple[str, ...], Any] = {(key,): one for key, one in features.items()}
        for key, one in features.items():
            inner = one.items() if isinstance(one, kinds.FeaturesDict) else ()
            flat |= {(key, name): feature for name, feature in inner}
        scalars = {path: one for path, one in flat.items() if _is_number(one)}
        known = {path[-1]: path for path in scalars}
        if names is None:
            truths = {n: p for n, p in known.items() if np.dtype(scalars[p].np_dtype).kind == "b"}
            if not truths:
                raise InputError(
                    f"{side.name} has no features that are true or false; choose `names` from "
                    f"{', '.join(known) or 'none'}, or `label_key` for classes."
                )
            return truths
    if names is not None and (not names or len({*names}) < len(names)):
        raise InputError(f"names is {[*names]}; give different names, or leave it out for all.")
    for name in names or ():
        if name not in known:
            what = "attribute" if label_key is None else "class"
            raise InputError(f"{side.name} has no {what} {name!r}; {closest(name, known, mark='')}")
    return {name: known[name] for name in names or known}


def _is_number(feature: Any) -> bool:
    return feature.shape == () and np.dtype(feature.np_dtype).kind in "iub"


def _at(record: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        record = record[key]
    return record


def _shared(whole: Labelled, place: str, kind: str, share: float | None) -> dict[str, Labelled]:
    """The pictures to train on, and the share that is held out."""
    domain, _ = whole
    if len(domain) < 2:
        raise InputError(
            f"{domain.where} is a single picture and there is no test {kind}; add some."
        )
    why = f"{place}: no {kind} for the test"
    rest, kept = shared_out(domain.names, domain.opens, share, why)
    return {"train": _part(whole, rest), "test": _part(whole, kept)}


def _part(whole: Labelled, indices: list[int]) -> Labelled:
    return whole[0].part(indices), whole[1][indices]


def _dataset(name: str, splits: Mapping[str, Labelled], names: tuple[str, ...]) -> Dataset:
    domains: dict[str, dict[str, Domain]] = {s: {PICTURES: one} for s, (one, _) in splits.items()}
    return Dataset(
        name,
        domains["train"],
        domains["test"],
        validation=domains.get("validation", {}),
        attributes={split: {PICTURES: rows} for split, (_, rows) in splits.items()},
        attribute_names=names,
    )


def _in_range(data: Dataset, value_range: ValueRange) -> Dataset:
    """Gives the domains the range that is wanted."""
    wanted, found = wishes(value_range, [*data.train]), {}
    for key, domain in data.train.items():
        others = [domains[key] for split, domains in data.splits().items() if split != "train"]
        assert isinstance(domain, PictureDomain)
        if chosen := settle(
            domain, [o for o in others if isinstance(o, PictureDomain)], wanted[key]
        ):
            found[key] = [*chosen]
    named = [*data.train] if data.attributes is None else [*data.attribute_names]
    data.settings = {"names": named} | ({"value_range": found} if found else {})
    return data
