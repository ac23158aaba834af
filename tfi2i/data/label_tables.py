"""Tables of attributes: a CSV of file names and 0/1 columns, and the lists that CelebA comes with.

Tables are untrusted: their size is bounded, and every fault is one sentence with its line.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError, closest
from tfi2i.files import refuse_special
from tfi2i.terminal import brief, printable

LARGEST_BYTES = 2**28
DELIMITERS = (",", ";", "\t")
VALUES = {"1": 1, "0": 0, "-1": 0}
SPLITS = {"0": "train", "1": "validation", "2": "test"}


class Table(NamedTuple):
    """Attributes of pictures.

    Attributes:
        files: Names of the pictures' files.
        names: Names of the attributes.
        rows: (pictures, attributes) uint8, 0 or 1.
    """

    files: list[str]
    names: tuple[str, ...]
    rows: NDArray[np.uint8]


def read_table(path: Path, names: Sequence[str] | None = None) -> Table:
    """The attributes in a table, or those of these names in their order.

    The first column of a CSV names the files, all others hold 0 or 1 (or -1 and 1). CelebA's list
    begins with the number of its lines, then the names, with blanks between.

    Raises:
        InputError: The file cannot be read as a table, or lacks a name.
    """
    lines = _lines(path)
    where = printable(str(path))
    first = lines[0][1].strip() if lines else ""
    if first.isascii() and first.isdigit():
        listed = [(number, line.split()) for number, line in lines[1:]]
        if len(listed) - 1 != int(first[:12]):
            raise InputError(
                f"{where} says that it lists {brief(first)} pictures, but lists "
                f"{max(0, len(listed) - 1)}; copy it again."
            )
        header, listed = (["file", *listed[0][1]], listed[1:]) if listed else ([], [])
    else:
        delimiter = next((one for one in DELIMITERS if one in first), ",")
        try:
            cells = list(csv.reader((line for _, line in lines), delimiter=delimiter))
        except csv.Error as error:
            raise InputError(f"The table {where} is no CSV ({error}); save it as one.") from error
        if len(cells) != len(lines):
            raise InputError(f"{where} has a cell over several lines; write one line a picture.")
        listed = [(n, row) for (n, _), row in zip(lines[1:], cells[1:], strict=True)]
        header = cells[0] if cells else []
    columns = [name.strip() for name in header[1:]]
    if not columns or not listed:
        raise InputError(
            f"{where} holds no attributes; its first line names the columns, the file's first, and "
            "each other line has a file name and a 0 or 1 a column."
        )
    chosen = _chosen(where, columns, names)
    files, rows = [], np.zeros((len(listed), len(chosen)), np.uint8)
    for place, (number, row) in enumerate(listed):
        if len(row) != len(header):
            raise InputError(
                f"{where} line {number} has {len(row)} columns, but there are {len(header)} names; "
                "give one for each."
            )
        files.append(row[0].strip())
        for column, at in enumerate(chosen):
            value = VALUES.get(row[at + 1].strip())
            if value is None:
                raise InputError(
                    f"{where} line {number}: {printable(columns[at])} is {brief(row[at + 1])!r}; "
                    "give 0 or 1."
                )
            rows[place, column] = value
    _refuse_twice(where, files)
    return Table(files, tuple(columns[at] for at in chosen), rows)


def read_partition(path: Path, files: Sequence[str]) -> dict[str, list[int]]:
    """The indices of the files of each split, by a list of file names and 0, 1 or 2.

    Raises:
        InputError: The list cannot be read, or lacks a file.
    """
    where, splits = printable(str(path)), {}
    for number, line in _lines(path):
        cells = line.replace(",", " ").split()
        if len(cells) == 2 and cells[1] in SPLITS:
            splits[cells[0]] = SPLITS[cells[1]]
        elif number > 1:  # the first may name the columns
            raise InputError(
                f"{where} line {number} is {brief(line)!r}; give a file name and 0 (to train on), "
                "1 (to validate) or 2 (to test)."
            )
    if lacking := [name for name in files if name not in splits]:
        raise InputError(
            f"{where} has no line for {len(lacking)} of the {len(files)} pictures (the first: "
            f"{printable(lacking[0])}); add them."
        )
    found: dict[str, list[int]] = {split: [] for split in SPLITS.values()}
    for index, name in enumerate(files):
        found[splits[name]].append(index)
    return found


def _chosen(where: str, columns: list[str], names: Sequence[str] | None) -> list[int]:
    """The places of the wanted columns."""
    for what, every in (("the columns of " + where, columns), ("names", list(names or ()))):
        if twice := [name for name, count in Counter(every).items() if count > 1]:
            raise InputError(f"{what} hold {printable(twice[0])} twice; rename or remove one.")
    if names is None:
        return list(range(len(columns)))
    if not names:
        raise InputError("names is empty; name the attributes to learn, or leave it out for all.")
    for name in names:
        if name not in columns:
            raise InputError(
                f"{where} has no attribute {printable(name)!r}; "
                f"{closest(name, map(printable, columns), mark='')}"
            )
    return [columns.index(name) for name in names]


def _refuse_twice(where: str, files: list[str]) -> None:
    seen: set[str] = set()
    for name in files:
        if name in seen:
            raise InputError(f"{where} lists {printable(name)} twice; remove one of the lines.")
        seen.add(name)


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not empty, with their numbers."""
    where = printable(str(path))
    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "is not there"
        raise InputError(f"The table {where} {what}; name a file.")
    refuse_special(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(
                f"The table {where} has more than {LARGEST_BYTES // 2**20} MiB; name a smaller one."
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"The table {where} is no text in UTF-8; save it as CSV.") from error
    except OSError as error:
        raise InputError(
            f"The table {where} cannot be read ({error.strerror or error}); check its permissions."
        ) from error
    numbered: Iterator[tuple[int, str]] = enumerate(text.split("\n"), 1)
    return [(number, line.rstrip("\r")) for number, line in numbered if line.strip()]
