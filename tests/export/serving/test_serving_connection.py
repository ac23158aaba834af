"""The client's connection to TensorFlow Serving: attempts, deadlines, its end, and TLS."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent import futures

import numpy as np
import pytest
from serving_fake import Fake, Refused, inverted, listening, noise, refusal, url_of
from tfi2i_export.serving import client as serving_client
from tfi2i_export.serving.client import ServerTranslator

# attempts


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_what_passes_is_tried_again(served, code):
    left = [Refused(code, "queue is full")] * 2

    def translate(file):
        if left:
            raise left.pop()
        return inverted(file)

    served.fake.translate = translate
    np.testing.assert_array_equal(served.open()(noise()), 255 - noise())
    assert len(served.fake.calls) == 3


@pytest.mark.parametrize(
    ("code", "attempts", "said"),
    [
        ("UNAVAILABLE", 3, "does not answer (why)"),
        ("RESOURCE_EXHAUSTED", 3, "overloaded (why)"),
        ("INVALID_ARGUMENT", 1, "refused the picture (why)"),
        ("NOT_FOUND", 1, "no such model (why)"),
        ("INTERNAL", 1, "reports an error (why)"),
    ],
)
def test_the_number_of_attempts_depends_on_the_reason(served, code, attempts, said):
    def refuse(file):
        raise Refused(code, "why")

    served.fake.translate = refuse
    assert said in refusal(served.open(), noise())
    assert len(served.fake.calls) == attempts


def test_a_message_over_a_limit_is_not_sent_again(served):
    def refuse(file):
        raise Refused("TOO_LARGE", "Received message larger than max (5 vs. 4)")

    served.fake.translate = refuse
    message = refusal(served.open(), noise())
    assert "the picture is too large for the server or a proxy before it (Received" in message
    assert len(served.fake.calls) == 1


def test_attempts_end_with_the_deadline(served, monkeypatch):
    monkeypatch.setattr(serving_client, "FIRST_PAUSE", 0.1)

    def refuse(file):
        raise Refused("UNAVAILABLE", "why")

    served.fake.translate = refuse
    translator = served.open(deadline_seconds=1.0, attempts=1000)
    started = time.monotonic()
    assert "does not answer (why)" in refusal(translator, noise())
    assert time.monotonic() - started < 2
    assert 3 <= len(served.fake.calls) <= 6, "each pause is about twice the last one"


def test_a_server_that_comes_back_is_found(kind, monkeypatch):
    # All attempts are over before gRPC itself would connect again, which is after a second.
    monkeypatch.setattr(serving_client, "FIRST_PAUSE", 0.25)
    fake = Fake()
    with listening(kind, fake) as port:
        translator = ServerTranslator(url_of(kind, port))
        translator(noise())
    with contextlib.ExitStack() as stack, translator:
        again = threading.Timer(0.05, lambda: stack.enter_context(listening(kind, fake, port)))
        again.start()
        np.testing.assert_array_equal(translator(noise()), 255 - noise())
        again.join()


def test_a_server_that_is_down_is_named(kind):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = url_of(kind, unused.getsockname()[1])
        message = refusal(ServerTranslator, url)
    assert message.startswith(f"{url}: the server does not answer (")
    assert "refused" in message and "8500" in message


def test_an_unknown_host_is_named(kind):
    for host in ("nosuch.invalid", "a..b"):
        url = url_of(kind, 8500).replace("127.0.0.1", host)
        assert "there is no such host (" in refusal(ServerTranslator, url, attempts=1)


# deadlines and the end


@contextlib.contextmanager
def silent():
    """The port of a server that takes every connection and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


def test_a_silent_server_is_given_up_in_time(kind):
    with silent() as port:
        started = time.monotonic()
        message = refusal(ServerTranslator, url_of(kind, port), deadline_seconds=0.4)
        assert 0.3 < time.monotonic() - started < 1.5
    assert "no answer within 0.4 seconds" in message and "--deadline" in message


def test_a_slow_answer_is_given_up_in_time(served):
    go = threading.Event()
    served.fake.translate = lambda file: go.wait(5) and b""
    translator = served.open(deadline_seconds=0.5)
    started = time.monotonic()
    assert "no answer within 0.5 seconds" in refusal(translator, noise())
    assert time.monotonic() - started < 1.5
    assert len(served.fake.calls) == 1, "no second attempt"
    go.set()


def test_an_answer_that_trickles_in_is_given_up_in_time():
    stop = threading.Event()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def trickle():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
                while not stop.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=trickle)
        thread.start()
        url = url_of("http", server.getsockname()[1])
        started = time.monotonic()
        assert "no answer within 0.5" in refusal(ServerTranslator, url, deadline_seconds=0.5)
        assert time.monotonic() - started < 1.5
        stop.set()
        thread.join()


def test_closing_ends_what_other_threads_wait_for(served):
    go, begun = threading.Event(), threading.Event()
    served.fake.translate = lambda file: begun.set() or go.wait(5) and b""
    translator = served.open()
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refusal, translator, noise())
        assert begun.wait(5)
        started = time.monotonic()
        translator.close()
        assert "closed by this program" in waiting.result()
        assert time.monotonic() - started < 1
    go.set()
    assert "closed by this program" in refusal(translator, noise())
    translator.close()


# TLS


def test_a_server_without_tls_is_told_apart(kind):
    with listening(kind, Fake()) as port:
        message = refusal(ServerTranslator, url_of(f"{kind}s", port))
    assert "no trusted connection (" in message and "http:// or grpc://" in message


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate")
def test_certificates_are_verified(tmp_path, monkeypatch):
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext"]
        + ["subjectAltName=IP:127.0.0.1", "-keyout", files[0], "-out", files[1]],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    with listening("http", Fake(), context=context) as port:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        for wire in ("https", "grpcs"):
            message = refusal(ServerTranslator, url_of(wire, port))
            assert "no trusted connection (" in message and "CERTIFICATE" in message.upper()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", files[1])
        with ServerTranslator(url_of("https", port)) as translator:
            np.testing.assert_array_equal(translator(noise()), 255 - noise())
