"""Folders of pictures as data: the trainA/trainB/testA/testB layout, or any two folders."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import PictureDomain
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
    value_range: ValueRange = None,
    megapixels: Megapixels = MEGAPIXELS,
) -> Dataset:
    """Pictures in folders, read with all their sub-folders and sorted by name.

    Either a root that holds trainA and trainB (and testA, testB, valA, valB), or two folders by
    name. train/A and A/train are read like trainA. Where a domain has no test folder, a fixed 5 %
    of its pictures (1 to 50) is kept out of training.

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
        value_range: Numbers in the files that become black and white: two of them, auto (smallest
            and largest of the training pictures) or {percentiles: [1, 99]}; for both domains, or
            {a: ..., b: ...}. For files of more than 8 bits, whose full depth is trained on.
        megapixels: Largest picture that is decoded, in millions of pixels.

    Raises:
        InputError: A folder is missing or holds no pictures, or test names do not match.
    """
    wanted, one_file = wishes(value_range), side_by_side is not None
    named = {"a": a, "b": b, "test_a": test_a, "test_b": test_b, "val_a": val_a, "val_b": val_b}
    if side_by_side is not None:
        splits = _cut_in_two(root, named, side_by_side, megapixels)
    else:
        places = {key: _folder(root, given, *_PLACES[key], key) for key, given in named.items()}
        splits = _read(places, paired, paired_test, megapixels)
    found = {}
    for key, domain in splits["train"].items():
        others = [splits[split][key] for split in ("test", "validation") if splits.get(split)]
        found[key] = settle(domain, others, wanted[key])
    kept = {key: [*one] for key, one in found.items() if one is not None}
    pairs = splits if paired or one_file else ["test"] if paired_test else ()
    return Dataset(
        Path(root).resolve().name if root else f"{Path(str(a)).name}2{Path(str(b)).name}",
        dict(splits["train"]),
        dict(splits["test"]),
        frozenset(pairs),
        dict(splits.get("validation", {})),
        settings={"value_range": kept} if kept else {},
    )


def _read(
    places: Mapping[str, Path | None], paired: bool, paired_test: bool, megapixels: int
) -> dict[str, dict[str, PictureDomain]]:
    """The domains of each split, from a folder a domain."""
    train_a, train_b = places["a"], places["b"]
    assert train_a is not None and train_b is not None  # only test folders may be missing
    if train_a.resolve() == train_b.resolve():
        raise InputError(
            f"Domains a and b are the same folder {printable(str(train_a))}; name two folders."
        )
    validation = _validation(places["val_a"], places["val_b"], megapixels)
    if paired:
        return _pairs(train_a, train_b, places, validation, megapixels)
    sets_a = _train_and_test("a", train_a, places["test_a"], megapixels)
    sets_b = _train_and_test("b", train_b, places["test_b"], megapixels)
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
    megapixels: int,
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
    training = matched(_filled(train_a, megapixels), _filled(train_b, megapixels))
    if tests[0] is not None and tests[1] is not None:
        testing = matched(_filled_test(tests[0], megapixels), _filled_test(tests[1], megapixels))
    else:
        training, testing = _with_share(training, train_a, "name `test_a` and `test_b`")
    splits = {"train": training, "test": testing}
    if validation:
        splits["validation"] = matched(validation["a"], validation["b"])
    return {split: dict(zip("ab", pair, strict=True)) for split, pair in splits.items()}


def _cut_in_two(
    root: Path | str | None, named: Mapping[str, object], first: str, megapixels: int
) -> dict[str, dict[str, PictureDomain]]:
    """The domains of each split, from files that hold both pictures of a pair."""
    beside = [key for key, given in named.items() if given is not None]
    if root is None or beside:
        wrong = f"`{beside[0]}` is given" if beside else "`root` is missing"
        raise InputError(
            "side_by_side takes the files of `root`, with its folders train, test and val, but "
            f"{wrong}; give `root` alone."
        )
    home = Path(root).expanduser()
    if not home.is_dir():
        raise _missing(home, "root", "train")
    train = home / "train"
    if not train.is_dir():
        if not any(path.parent == home for path in listed(home)[0]):
            raise InputError(
                f"{printable(str(home))} has neither a folder train nor pictures of its own, which "
                "side_by_side takes; name the folder that holds them, or leave side_by_side out."
            )
        train = home
    splits = {"train": halves(_filled(train, megapixels), first)}
    if train != home and (home / "test").is_dir():
        splits["test"] = halves(_filled_test(home / "test", megapixels), first)
    else:
        splits["train"], splits["test"] = _with_share(splits["train"], train, "add a folder test")
    if train != home and (home / "val").is_dir():
        splits["validation"] = halves(_filled(home / "val", megapixels), first)
    return {split: dict(zip("ab", pair, strict=True)) for split, pair in splits.items()}


def _with_share(pair: Pair, train: Path, way_out: str) -> tuple[Pair, Pair]:
    if len(pair[0]) < 2:
        raise InputError(
            f"The folder {printable(str(train))} holds a single pair and there is no test folder; "
            f"add pairs or {way_out}."
        )
    return with_test_share(pair, printable(str(train)), "folder")


def _validation(a: Path | None, b: Path | None, megapixels: int) -> dict[str, PictureDomain]:
    """The domains of two validation folders; none if one is missing."""
    if a is None or b is None:
        if alone := a or b:
            log.warning("%s is not used, since the other domain has none.", printable(str(alone)))
        return {}
    domains = {"a": _domain(a, megapixels), "b": _domain(b, megapixels)}
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
        f"{where} has no folder {child} ({holds}); rename one to that or name the two folders with "
        "`a` and `b`."
    )


def _train_and_test(
    key: str, train: Path, test: Path | None, megapixels: int
) -> tuple[PictureDomain, PictureDomain]:
    training = _filled(train, megapixels)
    if test is not None:
        return training, _filled_test(test, megapixels)
    if len(training) < 2:
        raise InputError(
            f"{training.where} holds a single picture and there is no test folder; add pictures or "
            f"name `test_{key}`."
        )
    return training.with_test_share(printable(str(train)), "folder")


def _filled(train: Path, megapixels: int) -> PictureDomain:
    """The pictures of a folder to train on; there are some."""
    training = _domain(train, megapixels)
    if not training.names:
        raise InputError(
            f"{training.where} holds no pictures (png, jpg, webp, bmp, tiff ...)"
            f"{_beside(training)}; name one that does."
        )
    return training


def _filled_test(test: Path, megapixels: int) -> PictureDomain:
    """The pictures of a folder to test on; there are some."""
    testing = _domain(test, megapixels)
    if not testing.names:
        raise InputError(
            f"The test folder {printable(str(test))} holds no pictures{_beside(testing)}; add "
            "some, or remove it to have a share of the training pictures held out."
        )
    return testing


def _domain(folder: Path, megapixels: int) -> PictureDomain:
    paths, others = listed(folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    kinds = [kind_of(path) for path in others]
    return PictureDomain(names, paths, printable(f"The folder {folder}"), kinds, megapixels)


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
