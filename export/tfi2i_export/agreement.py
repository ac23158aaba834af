"""Agreement of an exported file with the model it was made from, and whether that will do.

Letters: N pictures, H rows, W columns.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from tfi2i.evaluate.paired import psnr, ssim
from tfi2i.pictures.pixels import require_pixels

EQUAL_DB = 100.0
"""What the PSNR of equal pictures counts as; one level in one value of 256 x 256 pixels has 101."""

AT_LEAST = ("psnr_db_mean", "psnr_db_worst", "ssim")
AT_MOST = ("bias", "max_level")

_INT8 = {"psnr_db_mean": 40.0, "psnr_db_worst": 36.0, "ssim": 0.98, "bias": 1.0}
LIMITS: dict[str, dict[str, float]] = {
    "float32": {"psnr_db_mean": 70.0, "max_level": 1.0},
    "saved_model": {"psnr_db_mean": 70.0, "max_level": 1.0},
    "onnx": {"psnr_db_mean": 70.0, "max_level": 1.0},
    "float16": {"psnr_db_mean": 55.0, "ssim": 0.999},
    "int8": _INT8,
    "int8-fast": {"psnr_db_mean": 37.0, "ssim": 0.94},
    "int8-hq": {"psnr_db_mean": 43.0, "ssim": 0.99},
    "int8-npu": {"psnr_db_mean": 38.0, "psnr_db_worst": 30.0, "ssim": 0.97},
    "auto": _INT8,
}
"""By format the least PSNR (dB) and SSIM, and the most bias and difference of one value (levels);
formats that are not here have none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Comparison of a file's pixels with the reference's; the fields as in sidecar.schema.json."""

    reference: str
    pictures: int
    psnr_db_mean: float
    psnr_db_worst: float
    ssim: float
    bias: tuple[float, ...]
    max_level: int
    limits: Mapping[str, float]

    def figure(self, measure: str) -> float:
        """Figure that is held against a limit; of the bias the largest of its sizes."""
        if measure == "bias":
            return max(map(abs, self.bias))
        return getattr(self, measure)

    def within(self, measure: str) -> bool:
        """Whether a measure is within its limit, or has none."""
        if measure not in self.limits:
            return True
        value, limit = self.figure(measure), self.limits[measure]
        return value >= limit if measure in AT_LEAST else value <= limit

    @property
    def passed(self) -> bool:
        """Whether every figure is within its limit."""
        return all(map(self.within, self.limits))

    def as_dict(self, *, accepted: bool = False) -> dict[str, Any]:
        """The sidecar's "agreement".

        Args:
            accepted: Someone asked for the file although it had not passed.
        """
        values = dataclasses.asdict(self) | {"limits": dict(self.limits)}
        return values | {"passed": self.passed, "accepted": accepted and not self.passed}


def agreement(
    reference: NDArray[np.uint8],
    candidate: NDArray[np.uint8],
    format: str,
    *,
    made_by: str = "Keras, float32",
) -> Agreement:
    """Compares a file's pictures (N, H, W, C) with the reference's, by the limits of its format.

    The PSNR's mean is over the pictures' own; equal ones count as `EQUAL_DB`. No picture counts as
    more than that, so that a few lucky ones do not hide others.

    Args:
        reference: Pixels, of 11 x 11 or more.
        candidate: Pictures by the file, in the same order.
        format: Format as in `LIMITS`.
        made_by: Maker of the reference, for people.

    Raises:
        InputError: They are not uint8 pictures of one shape.
    """
    for name, given in (("reference", reference), ("candidate", candidate)):
        require_pixels(name, given, None)
    similarity = float(ssim(candidate, reference).mean())  # checks that they have one shape
    decibels = np.minimum(psnr(candidate, reference), EQUAL_DB)
    difference = candidate.astype(np.int16) - reference
    return Agreement(
        reference=made_by,
        pictures=len(reference),
        psnr_db_mean=float(decibels.mean()),
        psnr_db_worst=float(decibels.min()),
        ssim=similarity,
        bias=tuple(map(float, difference.mean((0, 1, 2)))),
        max_level=int(np.abs(difference).max()),
        limits=dict(LIMITS.get(format, {})),
    )


def table(found: Agreement) -> Table:
    """The measures with their limits, a row each."""
    rows = Table(title=f"agreement with {found.reference} on {found.pictures} pictures")
    rows.add_column("measure")
    for column in ("value", "limit"):
        rows.add_column(column, justify="right")
    rows.add_column("ok")
    labels = {
        "psnr_db_mean": ("PSNR, mean", "{:.1f} dB"),
        "psnr_db_worst": ("PSNR, worst picture", "{:.1f} dB"),
        "ssim": ("SSIM, mean", "{:.4f}"),
        "bias": ("colour bias, worst channel", "{:.2f} levels"),
        "max_level": ("largest difference", "{:.0f} levels"),
    }
    for measure, (label, form) in labels.items():
        limit, verdict = "", ""
        if measure in found.limits:
            sign = ">=" if measure in AT_LEAST else "<="
            limit = f"{sign} {form.format(found.limits[measure])}"
            verdict = "yes" if found.within(measure) else "no"
        rows.add_row(label, form.format(found.figure(measure)), limit, verdict)
    return rows


def advice(found: Agreement, format: str) -> str:
    """Advice for a file that has not passed, in a sentence; "" for one that has."""
    if found.passed:
        return ""
    if format in ("float32", "saved_model", "onnx"):
        return "The conversion itself changes the pictures: please report it with the run's config."
    if format == "float16":
        return "Half precision is too coarse for these weights; export float32."
    if format == "int8-npu":
        return "Give more calibration pictures that are like those it will see, or export int8."
    better = {"int8-fast": "int8, int8-hq or auto", "int8": "int8-hq or auto", "auto": "int8-hq"}
    return f"Try {better[format]}; float16 agrees best." if format in better else "Try float16."
