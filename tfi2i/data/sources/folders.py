"""Folders of pictures as data: the trainA/trainB/testA/testB layout, or any two folders."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import PictureDomain, TestShare, require_domains
from tfi2i.data.pairs import Pair, halves, matched, with_test_share
from tfi2i.data.ranges import ValueRange, settle, wishes
from tfi2i.errors import InputError
from tfi2i.files import refuse_special
from tfi2i.limits import MEGAPIXELS, Megapixels
from tfi2i.pictures.formats import counted, kind_of
from tfi2i.pictures.listing import listed
from tfi2i.terminal import printable

log = logging.getLogger("tfi2i")

_PLACES = {
    **{"a": ("train", "A"), "b": ("train", "B"), "test_a": ("test", "A"), "test_b": ("test", "B")},
    **{"val_a": ("val", "A"), "val_b": ("val", "B")},
}
"""Split and domain of each argument, by which its folder is called in `root`."""


class _How(NamedTuple):
    """Largest picture that is read, and share that is held out."""

    megapixels: int
    test_share: float | None


@source
def folders(
    root: Path | str | None = None,
    *,
    a: Path | str | None = None,
    b: Path | str | None = None,
    test_a: Path | str | None = None,
    test_b: Path | str | None = None,
    val_a: Path | str | None = None,
    val_b: Path | str | None = None,
    paired_test: bool = False,
    paired: bool = False,
    side_by_side: Literal["a", "b"] | None = None,
    domains: tuple[str, ...] | Literal["all"] | None = None,
    test_share: TestShare | None = None,
    value_range: ValueRange = None,
    megapixels: Megapixels = MEGAPIXELS,
) -> Dataset:
    """Pictures in folders, read with all their sub-folders and sorted by name.

    Either a root that holds trainA and trainB (and testA, testB, valA, valB), or two folders by
    name. train/A and A/train are read like trainA. Or any number of domains, a folder each. Where a
    domain has no test folder, a share of its pictures is kept out of training.

    Args:
        root: Folder of all these.
        a: Training folder of domain a; goes before root/trainA.
        b: Training folder of domain b.
        test_a: Test folder of domain a.
        test_b: Test folder of domain b.
        val_a: Folder of domain a by whose pictures a checkpoint is chosen.
        val_b: Folder of domain b for the same.
        paired_test: True where test pictures of the same name show the same scene, so that a
            translation can be compared with the truth.
        paired: True where this holds for all pictures, for systems that learn from pairs. Names are
            the same but for the suffix, and for "_A" and "_B" before it.
        side_by_side: Domain of the left half, a or b, of files that hold both pictures of a pair
            side by side, in root/train (and root/test, root/val) or in root itself.
        domains: Names of two folders or more that are the domains, or "all" folders there are:
            root/train/NAME (and root/test/NAME, root/val/NAME), root/NAME/train or root/NAME.
        test_share: Share of the pictures that is kept out of training where there is no test
            folder; a fixed 5 % (1 to 50 pictures) if not given.
        value_range: Numbers in the files that become black and white: two of them, auto (smallest
            and largest of the training pictures) or {percentiles: [1, 99]}; for both domains, or
            {a: ..., b: ...}. For files of more than 8 bits, whose full depth is trained on.
        megapixels: Largest picture that is decoded, in millions of pixels.

    Raises:
        InputError: A folder is missing or holds no pictures, or test names do not match.
    """
    wanted, how = {} if domains else wishes(value_range), _How(megapixels, test_share)
    named = {"a": a, "b": b, "test_a": test_a, "test_b": test_b, "val_a": val_a, "val_b": val_b}
    if domains is not None:
        _require_root_alone("domains", root, named)
        if paired or side_by_side or paired_test:
            raise InputError(
                "Pairs have two domains, a and b; leave out data.domains or the pairs."
            )
        splits = _of_domains(Path(str(root)).expanduser(), domains, how)
    elif side_by_side is not None:
        _require_root_alone("side_by_side", root, named)
        splits = _cut_in_two(Path(str(root)).expanduser(), side_by_side, how)
    else:
        places = {key: _folder(root, given, *_PLACES[key], key) for key, given in named.items()}
        splits = _read(places, paired, paired_test, how)
    wanted = wanted or wishes(value_range, [*splits["train"]])
    found = {}
    for key, domain in splits["train"].items():
        others = [splits[split][key] for split in ("test", "validation") if splits.get(split)]
        found[key] = settle(domain, others, wanted[key])
    kept = {key: [*one] for key, one in found.items() if one is not None}
    pairs = splits if paired or side_by_side else ["test"] if paired_test else ()
    return Dataset(
        Path(root).resolve().name if root else f"{Path(str(a)).name}2{Path(str(b)).name}",
        dict(splits["train"]),
        dict(splits["test"]),
        frozenset(pairs),
        dict(splits.get("validation", {})),
        settings=({"domains": [*splits["train"]]} if domains else {})
        | ({"value_range": kept} if kept else {}),
    )


def _read(
    places: Mapping[str, Path | None], paired: bool, paired_test: bool, how: _How
) -> dict[str, dict[str, PictureDomain]]:
    """The domains of each split, from a folder a domain."""
    train_a, train_b = places["a"], places["b"]
    assert train_a is not None and train_b is not None  # only test folders may be missing
    if train_a.resolve() == train_b.resolve():
        raise InputError(
            f"Domains a and b are the same folder {printable(str(train_a))}; name two folders."
        )
    validation = _validation(places["val_a"], places["val_b"], how)
    if paired:
        return _pairs(train_a, train_b, places, validation, how)
    sets_a = _train_and_test("name `test_a`", train_a, places["test_a"], how)
    sets_b = _train_and_test("name `test_b`", train_b, places["test_b"], how)
    splits = {
        "train": {"a": sets_a[0], "b": sets_b[0]},
        "test": {"a": sets_a[1], "b": _matched(sets_a[1], sets_b[1]) if paired_test else sets_b[1]},
    }
    return splits | ({"validation": validation} if validation else {})


def _pairs(
    train_a: Path,
    train_b: Path,
    places: Mapping[str, Path | None],
    validation: Mapping[str, PictureDomain],
    how: _How,
) -> dict[str, dict[str, PictureDomain]]:
    """The domains of each split, whose rows are pairs."""
    tests = places["test_a"], places["test_b"]
    if (tests[0] is None) is not (tests[1] is None):
        there, missing = ("a", "b") if tests[1] is None else ("b", "a")
        raise InputError(
            f"Of the test pairs there are only those of domain {there} "
            f"({printable(str(tests[0] or tests[1]))}); name the folder of their partners as "
            f"`test_{missing}`."
        )
    training = matched(_filled(train_a, how), _filled(train_b, how))
    if tests[0] is not None and tests[1] is not None:
        testing = matched(_filled_test(tests[0], how), _filled_test(tests[1], how))
    else:
        training, testing = _with_share(training, train_a, "name `test_a` and `test_b`", how)
    splits = {"train": training, "test": testing}
    if validation:
        splits["validation"] = matched(validation["a"], validation["b"])
    return {split: dict(zip("ab", pair, strict=True)) for split, pair in splits.items()}


def _require_root_alone(setting: str, root: Path | str | None, named: Mapping[str, object]) -> None:
    """Raises `InputError` unless there is a root, and no folder by name beside it."""
    beside = [key for key, given in named.items() if given is not None]
    if root is None or beside:
        wrong = f"`{beside[0]}` is given" if beside else "`root` is missing"
        raise InputError(f"{setting} takes the folders in `root`, but {wrong}; give `root` alone.")
    if not Path(root).expanduser().is_dir():
        raise _missing(Path(root).expanduser(), "root", "train")


def _of_domains(
    home: Path, domains: tuple[str, ...] | Literal["all"], how: _How
) -> dict[str, dict[str, PictureDomain]]:
    """The domains of each split, from a folder a domain."""
    inside = _folders_in(home)
    names = domains
    if domains == "all":
        above = _folders_in(home / "train")
        names = tuple(above or (name for name in inside if name not in ("train", "test", "val")))
    require_domains(names, f"data.domains of {printable(str(home))}")
    splits: dict[str, dict[str, PictureDomain]] = {"train": {}, "test": {}}
    for name in names:
        train = _place(home, "train", name) or home / name
        if not train.is_dir():
            raise InputError(
                f"{printable(str(home))} has no folder {printable(name)} (it holds "
                f"{', '.join(map(printable, inside[:6])) or 'no folders'}), nor train/"
                f"{printable(name)}; name folders that are there as data.domains."
            )
        sets = _train_and_test(f"add a folder test/{name}", train, _place(home, "test", name), how)
        splits["train"][name], splits["test"][name] = sets
    vals = {name: place for name in names if (place := _place(home, "val", name))}
    if len(vals) == len(names):
        splits["validation"] = {name: _filled(place, how) for name, place in vals.items()}
    for place in vals.values() if len(vals) < len(names) else ():
        log.warning("%s is not used, since not every domain has one.", printable(str(place)))
    return splits


def _place(home: Path, split: str, name: str) -> Path | None:
    """The folder of a domain in a split, if there is one."""
    return next((p for p in (home / split / name, home / name / split) if p.is_dir()), None)


def _folders_in(home: Path) -> list[str]:
    if not home.is_dir():
        return []
    return sorted(p.name for p in home.iterdir() if p.is_dir() and not p.name.startswith("."))


def _cut_in_two(home: Path, first: str, how: _How) -> dict[str, dict[str, PictureDomain]]:
    """The domains of each split, from files that hold both pictures of a pair."""
    train = home / "train"
    if not train.is_dir():
        if not any(path.parent == home for path in listed(home)[0]):
            raise InputError(
                f"{printable(str(home))} has neither a folder train nor pictures of its own, which "
                "side_by_side takes; name the folder that holds them, or leave side_by_side out."
            )
        train = home
    splits = {"train": halves(_filled(train, how), first)}
    if train != home and (home / "test").is_dir():
        splits["test"] = halves(_filled_test(home / "test", how), first)
    else:
        splits["train"], splits["test"] = _with_share(
            splits["train"], train, "add a folder test", how
        )
    if train != home and (home / "val").is_dir():
        splits["validation"] = halves(_filled(home / "val", how), first)
    return {split: dict(zip("ab", pair, strict=True)) for split, pair in splits.items()}


def _with_share(pair: Pair, train: Path, way_out: str, how: _How) -> tuple[Pair, Pair]:
    if len(pair[0]) < 2:
        raise InputError(
            f"The folder {printable(str(train))} holds a single pair and there is no test folder; "
            f"add pairs or {way_out}."
        )
    return with_test_share(pair, printable(str(train)), "folder", how.test_share)


def _validation(a: Path | None, b: Path | None, how: _How) -> dict[str, PictureDomain]:
    """The domains of two validation folders; none if one is missing."""
    if a is None or b is None:
        if alone := a or b:
            log.warning("%s is not used, since the other domain has none.", printable(str(alone)))
        return {}
    domains = {"a": _domain(a, how), "b": _domain(b, how)}
    for domain in domains.values():
        if not domain.names:
            raise InputError(f"{domain.where} holds no pictures{_beside(domain)}; add some.")
    return domains


def _folder(
    root: Path | str | None, given: Path | str | None, split: str, domain: str, key: str
) -> Path | None:
    """The folder for a key; None if it is no training folder, nobody named it and it is missing."""
    child = f"{split}{domain}"
    if given is not None:
        folder = Path(given).expanduser()
        refuse_special(folder, "folder")
        if folder.is_dir():
            return folder
        raise _missing(folder, key, child)
    if root is not None:
        for name in (child, f"{split}/{domain}", f"{domain}/{split}"):
            folder = Path(root).expanduser() / name
            refuse_special(folder.parent, "folder")
            refuse_special(folder, "folder")
            if folder.is_dir():
                return folder
    if split != "train":
        return None
    if root is None:
        raise InputError(
            f"The data source folders needs `root` (with trainA and trainB in it) or `a` and `b`, "
            f"but `{key}` is missing."
        )
    raise _missing(Path(root).expanduser(), "root", child)


def _missing(folder: Path, setting: str, child: str) -> InputError:
    """The error of a folder that is not there, or in which there is none of a name."""
    where = printable(str(folder))
    if not folder.is_dir():
        return InputError(f"The folder {where} of `{setting}` is not there; check the path.")
    inside = [entry.name for entry in sorted(folder.iterdir()) if entry.is_dir()]
    if "train" in inside and listed(folder / "train")[0]:
        return InputError(
            f"{where}/train holds pictures themselves, as data of aligned pairs does; if each file "
            "holds a pair side by side, set data.side_by_side to a or b, the domain of the left "
            "half."
        )
    holds = f"it holds {', '.join(map(printable, inside[:6]))}" if inside else "it holds no folders"
    return InputError(
        f"{where} has no folder {child} ({holds}); rename one to that, name the two folders with "
        "`a` and `b`, or set data.domains to all where each folder is a domain."
    )


def _train_and_test(
    way_out: str, train: Path, test: Path | None, how: _How
) -> tuple[PictureDomain, PictureDomain]:
    training = _filled(train, how)
    if test is not None:
        return training, _filled_test(test, how)
    if len(training) < 2:
        raise InputError(
            f"{training.where} holds a single picture and there is no test folder; add pictures or "
            f"{way_out}."
        )
    return training.with_test_share(printable(str(train)), "folder", how.test_share)


def _filled(train: Path, how: _How) -> PictureDomain:
    """The pictures of a folder to train on; there are some."""
    training = _domain(train, how)
    if not training.names:
        raise InputError(
            f"{training.where} holds no pictures (png, jpg, webp, bmp, tiff ...)"
            f"{_beside(training)}; name one that does."
        )
    return training


def _filled_test(test: Path, how: _How) -> PictureDomain:
    """The pictures of a folder to test on; there are some."""
    testing = _domain(test, how)
    if not testing.names:
        raise InputError(
            f"The test folder {printable(str(test))} holds no pictures{_beside(testing)}; add "
            "some, or remove it to have a share of the training pictures held out."
        )
    return testing


def _domain(folder: Path, how: _How) -> PictureDomain:
    paths, others = listed(folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    kinds = [kind_of(path) for path in others]
    return PictureDomain(names, paths, printable(f"The folder {folder}"), kinds, how.megapixels)


def _beside(domain: PictureDomain) -> str:
    return f" but {counted(domain.passed_over)}" if domain.passed_over else ""


def _matched(test_a: PictureDomain, test_b: PictureDomain) -> PictureDomain:
    """Domain b in the order of domain a, matched by name."""
    by_scene = {_scene(name): index for index, name in enumerate(test_b.names)}
    scenes = [_scene(name) for name in test_a.names]
    missing = sorted({*scenes} ^ {*by_scene})
    if missing or len(by_scene) != len(test_b) or len({*scenes}) != len(scenes):
        example = f", {printable(missing[0])!r} for one is only in one" if missing else ""
        raise InputError(
            f"paired_test needs the same names in {test_a.where} ({len(test_a)} pictures) and "
            f"{test_b.where} ({len(test_b)}){example}; rename them or drop paired_test."
        )
    return test_b.part([by_scene[scene] for scene in scenes])


def _scene(name: str) -> str:
    """A file name without its suffix and without "_A" or "_B", as in the facades data set."""
    return re.sub(r"[_-][AaBb]$", "", name.rpartition(".")[0])
