"""The record of what a run depends on outside its settings."""

import subprocess
from pathlib import Path

import pytest

from tfi2i.runs import environment

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="needs a checkout")
def test_the_commit_is_the_checkout_s():
    head = subprocess.run(["git", "-C", CHECKOUT, "rev-parse", "HEAD"], capture_output=True)
    commit = environment.describe()["commit"]
    assert commit.removesuffix("+changes") == head.stdout.decode().strip()


def test_outside_of_a_checkout_there_is_no_commit(tmp_path):
    assert environment._commit(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert environment._commit(tmp_path) is None
