"""A fake server of either kind, for tests of the client."""

import contextlib
from types import SimpleNamespace

import pytest
from serving_fake import Fake, listening, url_of
from tfi2i_export.serving import client as serving_client
from tfi2i_export.serving.client import ServerTranslator


@pytest.fixture(params=["http", "grpc"])
def kind(request, monkeypatch):
    """The protocol of a fake server; the client tries again without long pauses."""
    monkeypatch.setattr(serving_client, "FIRST_PAUSE", 0.02)
    return request.param


@pytest.fixture
def served(kind):
    """A server's content and URL; `open(...)` makes a client that is closed at last."""
    fake = Fake()
    with listening(kind, fake) as port, contextlib.ExitStack() as stack:

        def opened(model: str = "m", **options):
            return stack.enter_context(ServerTranslator(url_of(kind, port, model), **options))

        yield SimpleNamespace(fake=fake, url=url_of(kind, port), open=opened)
