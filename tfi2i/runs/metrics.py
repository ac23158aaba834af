"""metrics.jsonl of a run: one JSON object of numbers a report, in the order of steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError
from tfi2i.files import append, parsed, to_json, write_text
from tfi2i.terminal import printable

LARGEST_STEP = 2**63 - 1
LARGEST = 1e100  # of the other numbers; beyond, a curve cannot be drawn


def add(path: Path, values: Mapping[str, Any]) -> None:
    """Adds one line, on the disk before this returns."""
    append(path, to_json(values).encode())


def read(path: Path) -> list[dict[str, Any]]:
    """All reports in order; a torn last line is left out, and without the file there are none.

    Raises:
        InputError: Another line is not a JSON object of numbers with a step.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_report(line, f"{path} line {number}") for number, line in enumerate(lines, start=1)]


def _report(line: bytes, where: str) -> dict[str, Any]:
    try:
        report = parsed(line, where)
    except InputError as error:
        told = printable(str(error).removeprefix(f"{where}: ").removesuffix("."), 120)
        raise InputError(
            f"{where}: {line[:40]!r} is not a report with its step: {told}; remove the line."
        ) from error
    step = report.get("step") if isinstance(report, dict) else None
    if type(step) is not int or not 0 <= step <= LARGEST_STEP:
        raise InputError(f"{where}: {line[:40]!r} is not a report with its step; remove the line.")
    for key, value in report.items():
        if value is not None and (type(value) not in (int, float) or not abs(value) <= LARGEST):
            raise InputError(
                f"{where}: `{printable(key, 60)}` is {printable(str(value), 40)!r} and no number;"
                " remove the line, or write null there."
            )
    return report


def truncate(path: Path, step: int) -> None:
    """Drops the reports after `step`: a resumed run repeats what its checkpoint lacks."""
    if not path.exists():
        return
    kept = [report for report in read(path) if report["step"] <= step]
    write_text(path, "".join(f"{to_json(report)}\n" for report in kept))
