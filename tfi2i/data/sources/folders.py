"""Folders of pictures as data: the trainA/trainB/testA/testB layout, or any two folders."""

import re
from pathlib import Path

from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import PictureDomain
from tfi2i.errors import InputError
from tfi2i.pictures.listing import picture_paths
from tfi2i.terminal import printable


@source
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
    test = {"a": sets_a[1], "b": _matched(sets_a[1], sets_b[1]) if paired_test else sets_b[1]}
    name = Path(root).resolve().name if root else f"{train_a.name}2{train_b.name}"
    paired = frozenset({"test"} if paired_test else ())
    return Dataset(name, {"a": sets_a[0], "b": sets_b[0]}, dict(test), paired)


def _folder(root: Path | str | None, given: Path | str | None, child: str, key: str) -> Path | None:
    """The folder for a key, None if it is a test folder that nobody named and that is not there."""
    folder = None if root is None else Path(root).expanduser() / child
    if given is not None:
        folder = Path(given).expanduser()
    if folder and folder.is_dir():
        return folder
    if given is None and key.startswith("test"):
        return None
    if folder is None:
        raise InputError(
            f"The data source folders needs `root` (with trainA and trainB in it) or `a` and `b`, "
            f"but `{key}` is missing."
        )
    parent, setting = (folder.parent, "root") if given is None else (folder, key)
    where = printable(str(parent))
    if not parent.is_dir():
        raise InputError(f"The folder {where} of `{setting}` is not there; check the path.")
    inside = [entry.name for entry in sorted(parent.iterdir()) if entry.is_dir()]
    holds = f"it holds {', '.join(map(printable, inside[:6]))}" if inside else "it holds no folders"
    raise InputError(
        f"{where} has no folder {child} ({holds}); rename one to that or name the two folders with "
        "`a` and `b`."
    )


def _train_and_test(
    key: str, train: Path, test: Path | None
) -> tuple[PictureDomain, PictureDomain]:
    training = _domain(train)
    if not training.names:
        raise InputError(
            f"{training.where} holds no pictures (png, jpg, webp, bmp, tiff ...); name one that "
            "does."
        )
    if test is not None:
        testing = _domain(test)
        if not testing.names:
            raise InputError(
                f"The test folder {printable(str(test))} holds no pictures; add some, or remove it "
                "to have a share of the training pictures held out."
            )
        return training, testing
    if len(training) < 2:
        raise InputError(
            f"{training.where} holds a single picture and there is no test folder; add pictures or "
            f"name `test_{key}`."
        )
    return training.with_test_share(printable(str(train)), "folder")


def _domain(folder: Path) -> PictureDomain:
    paths = picture_paths(folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    return PictureDomain(names, paths, printable(f"The folder {folder}"))


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
