"""Ctrl-C stops tests and what they start, files that take long come first, and draws are seeded."""

import os
import random
import shutil
import signal
import sys

import pytest

# As `tfi2i translate --server` does, before whatever imports gRPC first: it logs to stderr.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# Also where a shell's & had it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


# A minute and more of a processor each.
LONG = ("test_fit.py", "test_contract.py", "test_packaging.py", "test_comparison.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Begins with files that take long, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name not in LONG)
    for item in items:
        if often := item.get_closest_marker("often"):
            values = {getattr(one, "__name__", one) for one in item.callspec.params.values()}
            if not values & set(often.args):
                item.add_marker("slow")
    if tensorflow := sys.modules.get("tensorflow"):
        # To rewrite a graph takes a third of the time of making it. The processes that tests start
        # do so, as the user's.
        options = {"disable_meta_optimizer": True}
        tensorflow.config.optimizer.set_experimental_options(options)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Seeds Python's generator, from which Keras draws the seed of every initial weight."""
    random.seed(item.nodeid)


@pytest.fixture(scope="module")
def known():
    """The stand-in systems, for commands too, and a backbone that costs nothing."""
    from squares import use_squares
    from stand_in import register

    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        use_squares(patch)
        yield


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    # A name that is not the machine's own, so that a page from there is not trusted.
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP demo.test 127.0.0.1"]
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()
