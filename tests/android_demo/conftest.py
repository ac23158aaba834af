"""The page in a browser, made once for a file: files in other processes would make it again."""

import os
import shutil

import pytest
from web_page import WEB, Server, Visit, build, write_models


@pytest.fixture(scope="module")
def packages():
    """Node, and the packages that the page is built from."""
    if not (WEB / "node_modules").is_dir() or shutil.which("node") is None:
        pytest.skip("the page's packages are not installed: run npm ci in android_demo/web")


@pytest.fixture(scope="module")
def built(packages, tmp_path_factory):
    """The built page with its models."""
    folder = tmp_path_factory.mktemp("page")
    write_models(folder / "models")
    finished = build(folder / "models", folder / "dist")
    assert finished.returncode == 0, finished.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def site(built):
    server = Server(built)
    yield server
    server.stop()


@pytest.fixture
def changed_site(built, tmp_path):
    """The page again, whose models a test may change."""
    folder = tmp_path / "dist"
    shutil.copytree(built, folder, copy_function=os.link)
    shutil.rmtree(folder / "models")
    shutil.copytree(built / "models", folder / "models")
    server = Server(folder)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def opened(browser, site):
    made = Visit(browser, site.url)
    yield made
    made.close()


@pytest.fixture
def visit(opened):
    """One page for many tests: each chooses all that it depends on."""
    yield opened
    assert opened.complaints == []
