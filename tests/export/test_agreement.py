"""The measures of agreement, their limits, and what people are told."""

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console
from tfi2i_export.agreement import EQUAL_DB, LIMITS, Agreement, advice, agreement, table

from tfi2i.errors import InputError
from tfi2i.files import to_json


def pictures(count=3, side=16, seed=0):
    return np.random.default_rng(seed).integers(20, 230, (count, side, side, 3), np.uint8)


def with_figures(format, **figures):
    """An agreement that is perfect but for some figures."""
    best = {"psnr_db_mean": 99.0, "psnr_db_worst": 99.0, "ssim": 1.0, "bias": (0.0, 0.0, 0.0)}
    return Agreement(
        reference="Keras",
        pictures=1,
        limits=LIMITS.get(format, {}),
        **(best | {"max_level": 0} | figures),
    )


def printed(found):
    console = Console(width=100, file=io.StringIO())
    console.print(table(found))
    return console.file.getvalue()


def test_equal_pictures_agree_by_a_finite_number():
    found = agreement(pictures(), pictures(), "float32")
    assert (found.psnr_db_mean, found.psnr_db_worst, found.max_level) == (EQUAL_DB, EQUAL_DB, 0)
    assert found.ssim == pytest.approx(1)
    assert found.bias == (0, 0, 0)
    assert found.passed


def test_the_mean_is_over_the_pictures_decibels():
    reference = pictures()
    candidate = reference.copy()
    candidate[1] += 1
    candidate[2] += 10
    found = agreement(reference, candidate, "int8")
    one, ten = 20 * math.log10(255), 20 * math.log10(25.5)
    assert found.psnr_db_mean == pytest.approx((EQUAL_DB + one + ten) / 3)
    assert found.psnr_db_worst == pytest.approx(ten)
    assert (found.pictures, found.max_level) == (3, 10)


def test_bias_is_signed_and_by_channel():
    reference = pictures()
    candidate = reference.copy()
    candidate[..., 0] += 2
    candidate[..., 2] -= 3
    found = agreement(reference, candidate, "int8")
    assert found.bias == pytest.approx((2, 0, -3))
    assert found.figure("bias") == pytest.approx(3)
    assert not found.within("bias")


@pytest.mark.parametrize(
    ("format", "figures"),
    [
        ("float32", {"max_level": 2}),
        ("float32", {"psnr_db_mean": 69.9}),
        ("float16", {"ssim": 0.9989}),
        ("int8", {"psnr_db_mean": 39.9}),
        ("int8", {"psnr_db_worst": 35.9}),
        ("int8", {"bias": (0.0, -1.1, 0.0)}),
        ("int8-hq", {"psnr_db_mean": 42.9}),
        ("int8-fast", {"ssim": 0.93}),
        ("auto", {"ssim": 0.97}),
    ],
    ids=str,
)
def test_one_figure_outside_its_limit_fails(format, figures):
    assert with_figures(format).passed
    assert not with_figures(format, **figures).passed
    assert advice(with_figures(format), format) == ""


def test_formats_for_comparison_have_no_limits():
    assert with_figures("int4", psnr_db_mean=3.0, ssim=-0.5).passed


def test_the_dictionary_is_the_sidecars():
    found = with_figures("int8", psnr_db_mean=30.0)
    values = json.loads(to_json(found.as_dict(accepted=True)))
    assert (values["passed"], values["accepted"]) == (False, True)
    assert values["limits"] == LIMITS["int8"]
    assert not with_figures("int8").as_dict(accepted=True)["accepted"]


def test_the_table_shows_what_failed():
    text = printed(with_figures("int8", psnr_db_worst=35.04, bias=(0.0, -1.5, 0.2)))
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if line.startswith("│")}
    assert "35.0 dB │     >= 36.0 dB │ no" in rows["PSNR, worst picture"]
    assert "1.50 levels │ <= 1.00 levels │ no" in rows["colour bias, worst channel"]
    assert "99.0 dB │     >= 40.0 dB │ yes" in rows["PSNR, mean"]
    assert "yes" not in rows["largest difference"]


def test_advice_names_better_formats():
    bad = {"psnr_db_mean": 10.0}
    assert "int8-hq or auto" in advice(with_figures("int8", **bad), "int8")
    assert "calibration pictures" in advice(with_figures("int8-npu", **bad), "int8-npu")
    assert "float32" in advice(with_figures("float16", **bad), "float16")
    for format in LIMITS:
        assert advice(with_figures(format, **bad), format)


def test_what_cannot_be_compared_is_refused():
    for reference, candidate in [
        (pictures(), pictures(2)),
        (pictures(), pictures().astype("float32")),
        (pictures()[0], pictures()[0]),
        (pictures(0), pictures(0)),
        (pictures(side=8), pictures(side=8)),
    ]:
        with pytest.raises(InputError):
            agreement(reference, candidate, "int8")
