"""The picture files of a folder, and what else lies there."""

from pathlib import Path

from tfi2i.errors import InputError
from tfi2i.pictures.formats import PICTURE_SUFFIXES


def picture_paths(folder: Path | str) -> list[Path]:
    """The picture files in a folder and all its sub-folders, sorted.

    Hidden files and folders are left out: they hold thumbnails, caches and macOS' "._" shadows of
    pictures. Links to folders are followed, each folder once.

    Raises:
        InputError: It is not a folder, or a folder cannot be listed.
    """
    return listed(folder)[0]


def listed(folder: Path | str) -> tuple[list[Path], list[Path]]:
    """The files that `picture_paths` gives, and those that are passed over: no pictures by name.

    Raises:
        InputError: As `picture_paths`.
    """
    folder = Path(folder)
    try:
        what = "" if folder.is_dir() else "a file, not a folder" if folder.exists() else "not there"
    except OSError as error:
        what = f"not accessible ({error.strerror or error})"
    if what:
        raise InputError(f"The folder {folder} is {what}; name a folder of pictures.")
    found: list[Path] = []
    others: list[Path] = []
    seen: set[tuple[int, int] | None] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            for entry in [] if file_key(here) in seen else sorted(here.iterdir()):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():  # links last: a folder is listed under its own name if it can be
                    waiting.insert(0 if entry.is_symlink() else len(waiting), entry)
                elif entry.is_file():
                    is_picture = entry.suffix.lower() in PICTURE_SUFFIXES
                    (found if is_picture else others).append(entry)
        except OSError as error:
            raise InputError(
                f"The folder {here} cannot be listed ({error.strerror or error}); check its "
                "permissions."
            ) from error
        seen.add(file_key(here))
    return sorted(found), sorted(others)


def file_key(path: Path) -> tuple[int, int] | None:
    """Equal for two paths of one file, through links and whatever the case; None without a file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
