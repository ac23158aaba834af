"""Folders of pictures as data: the trainA/trainB/testA/testB layout, or any two folders."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from tfi2i.data.dataset import Dataset
from tfi2i.data.domains import Domain, PictureDomain, held_out
from tfi2i.errors import InputError
from tfi2i.pictures.files import picture_paths
from tfi2i.terminal import printable

log = logging.getLogger("tfi2i")


def folders(
    root: Path | str | None = None,
    *,
    a: Path | str | None = None,
    b: Path | str | None = None,
    test_a: Path | str | None = None,
    test_b: Path | str | None = None,
    paired_test: bool = False,
) -> Dataset:
    """Pictures in folders, read with all their sub-folders and sorted by name.

    Either a root that holds trainA and trainB (and testA, testB), or two folders by name. Where a
    domain has no test folder, a fixed 5 % of its pictures (1 to 50) is kept out of training.

    Args:
        root: Folder of the four.
        a: Training folder of domain a; goes before root/trainA.
        b: Training folder of domain b.
        test_a: Test folder of domain a.
        test_b: Test folder of domain b.
        paired_test: True where test pictures of the same name show the same scene, so that a
            translation can be compared with the truth.

    Raises:
        InputError: A folder is missing or holds no pictures, or test names do not match.
    """
    train_a, train_b = _folder(root, a, "trainA", "a"), _folder(root, b, "trainB", "b")
    assert train_a is not None and train_b is not None  # only test folders may be missing
    if train_a.resolve() == train_b.resolve():
        raise InputError(
            f"Domains a and b are the same folder {printable(str(train_a))}; name two folders."
        )
    sets_a = _train_and_test("a", train_a, _folder(root, test_a, "testA", "test_a"))
    sets_b = _train_and_test("b", train_b, _folder(root, test_b, "testB", "test_b"))
    test = {"a": sets_a[1], "b": sets_b[1]}
    if paired_test:
        test["b"] = _matched(test["a"], test["b"])
    name = Path(root).resolve().name if root else f"{train_a.name}2{train_b.name}"
    paired = frozenset({"test"} if paired_test else ())
    return Dataset(name, {"a": sets_a[0], "b": sets_b[0]}, dict(test), paired)


def _folder(root: Path | str | None, given: Path | str | None, child: str, key: str) -> Path | None:
    """The folder for a key, None if it is a test folder that nobody named and that is not there."""
    if given is not None:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise InputError(
                f"The folder {printable(str(folder))} of `{key}` is not there; check the path."
            )
        return folder
    if root is None:
        if key.startswith("test"):
            return None
        raise InputError(
            f"The data source folders needs `root` (with trainA and trainB in it) or `a` and `b`, "
            f"but `{key}` is missing."
        )
    folder = Path(root).expanduser() / child
    if folder.is_dir():
        return folder
    if key.startswith("test"):
        return None
    parent = folder.parent
    if not parent.is_dir():
        raise InputError(
            f"The folder {printable(str(parent))} of `root` is not there; check the path."
        )
    inside = [entry.name for entry in sorted(parent.iterdir()) if entry.is_dir()]
    holds = f"it holds {', '.join(map(printable, inside[:6]))}" if inside else "it holds no folders"
    raise InputError(
        f"{printable(str(parent))} has no folder {child} ({holds}); rename one to that or name the "
        "two folders with `a` and `b`."
    )


def _train_and_test(key: str, train: Path, test: Path | None) -> tuple[Domain, PictureDomain]:
    paths = picture_paths(train)
    if not paths:
        raise InputError(
            f"The folder {printable(str(train))} holds no pictures (png, jpg, webp, bmp, "
            "tiff ...); name one that does."
        )
    if test is not None:
        test_paths = picture_paths(test)
        if not test_paths:
            raise InputError(
                f"The test folder {printable(str(test))} holds no pictures; add some, or remove it "
                "to have a share of the training pictures held out."
            )
        return _domain(train, paths), _domain(test, test_paths)
    kept = set(held_out([_name(train, path) for path in paths]))
    if not kept:
        raise InputError(
            f"The folder {printable(str(train))} holds a single picture and there is no test "
            f"folder; add pictures or name `test_{key}`."
        )
    log.info(
        "%s: no test folder, so %d of its %d pictures are held out of training, chosen by name",
        printable(str(train)),
        len(kept),
        len(paths),
    )
    return (
        _domain(train, [path for index, path in enumerate(paths) if index not in kept]),
        _domain(train, [path for index, path in enumerate(paths) if index in kept]),
    )


def _domain(folder: Path, paths: Sequence[Path]) -> PictureDomain:
    where = printable(f"The folder {folder}")
    return PictureDomain([_name(folder, path) for path in paths], paths, where)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _matched(test_a: PictureDomain, test_b: PictureDomain) -> PictureDomain:
    """Domain b in the order of domain a, matched by name."""
    by_scene = {_scene(name): index for index, name in enumerate(test_b.names)}
    scenes = [_scene(name) for name in test_a.names]
    missing = sorted({*scenes} ^ {*by_scene})
    if missing or len(by_scene) != len(test_b) or len({*scenes}) != len(scenes):
        example = f", {printable(missing[0])!r} for one is only in one" if missing else ""
        raise InputError(
            f"paired_test needs the same names in {test_a.where} ({len(test_a)} "
            f"pictures) and {test_b.where} ({len(test_b)}){example}; rename them or "
            "drop paired_test."
        )
    order = [by_scene[scene] for scene in scenes]
    return PictureDomain(
        [test_b.names[index] for index in order],
        [test_b.pictures[index] for index in order],
        test_b.where,
    )


def _scene(name: str) -> str:
    """A file name without its suffix and without "_A" or "_B", as in the facades data set."""
    return re.sub(r"[_-][AaBb]$", "", name.rpartition(".")[0])
