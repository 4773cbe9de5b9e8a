"""One document in a real server: changes of several writers, faults of the server, and URLs."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable

import pytest

from monitoring.store.connection import connect
from monitoring.store.contract import StoreUnavailable
from monitoring.store.embedded_valkey import EmbeddedValkey
from monitoring.store.shared_document import SharedDocument, require_url, shown


@pytest.fixture
def document(valkey: EmbeddedValkey) -> SharedDocument:
    return SharedDocument(valkey.url, f"key {uuid.uuid4().hex}")


def appended(letter: bytes) -> Callable[[bytes | None], bytes]:
    return lambda content: (content or b"") + letter


def test_it_is_read_as_it_was_written(document: SharedDocument) -> None:
    assert document.read() is None
    document.change(appended(b"\0\xff"))
    document.change(lambda _: None)
    assert document.read() == b"\0\xff"


def test_changes_at_once_are_all_made(document: SharedDocument) -> None:
    def write(letter: bytes) -> None:
        for _ in range(20):
            document.change(appended(letter))

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    content = document.read() or b""
    assert [content.count(letter) for letter in (b"a", b"b", b"c")] == [20, 20, 20]


def test_a_change_that_was_overtaken_sees_the_newer_document(document: SharedDocument) -> None:
    seen: list[bytes | None] = []

    def change(content: bytes | None) -> bytes:
        seen.append(content)
        if len(seen) == 1:
            document.change(lambda _: b"quicker")
        return b"mine"

    document.change(change)
    assert seen == [None, b"quicker"]
    assert document.read() == b"mine"


def test_a_change_that_is_always_overtaken_gives_up(valkey: EmbeddedValkey) -> None:
    document = SharedDocument(valkey.url, f"key {uuid.uuid4().hex}", patience=0.1)

    def change(content: bytes | None) -> bytes:
        connection = connect(valkey.url)
        connection.set(document._key, uuid.uuid4().hex)
        connection.close()
        return b"mine"

    with pytest.raises(StoreUnavailable, match=r"other processes changed it for more than 0\.1 s"):
        document.change(change)


def test_an_error_of_the_change_leaves_the_document(document: SharedDocument) -> None:
    document.change(appended(b"a"))

    def fail(content: bytes | None) -> bytes:
        raise KeyError

    with pytest.raises(KeyError):
        document.change(fail)
    assert document.read() == b"a"


def test_a_key_of_something_else_is_refused(valkey: EmbeddedValkey, document: SharedDocument) -> None:
    client = connect(valkey.url)
    client.hset(document._key, "field", "value")
    client.close()
    for call in (document.read, lambda: document.change(appended(b"a"))):
        with pytest.raises(StoreUnavailable, match="holds something else"):
            call()


class TestAServerInTrouble:
    def test_away(self, tmp_path: object) -> None:
        with pytest.raises(StoreUnavailable):
            SharedDocument(f"unix://{tmp_path}/none", "key").read()

    def test_killed_in_the_middle_of_a_change(self, private_valkey: Callable[[], EmbeddedValkey]) -> None:
        server = private_valkey()
        document = SharedDocument(server.url, "key")
        document.change(appended(b"a"))

        def kill(content: bytes | None) -> bytes:
            server._stopping.set()
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            return b"never"

        with pytest.raises(StoreUnavailable):
            document.change(kill)
        server.close()
        assert SharedDocument(private_valkey().url, "key").read() in (b"a", None)

    def test_silent(self, private_valkey: Callable[[], EmbeddedValkey]) -> None:
        server = private_valkey()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable, match=r"[Tt]imeout"):
                SharedDocument(server.url, "key", timeout=0.2).read()
        finally:
            os.kill(server.pid, signal.SIGCONT)

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "allkeys-lru.*noeviction"),
            ({"maxmemory": "1mb", "maxmemory-policy": "noeviction"}, "OOM|maxmemory"),
            ({"min-replicas-to-write": "1"}, "NOREPLICAS"),
        ],
        ids=["evicts", "is full", "refuses writes"],
    )
    def test_refuses(
        self, private_valkey: Callable[[], EmbeddedValkey], settings: dict[str, str], reason: str
    ) -> None:
        server = private_valkey()
        client = connect(server.url)
        client.set("key", b"before")
        for name, value in settings.items():
            client.config_set(name, value)
        document = SharedDocument(server.url, "key")
        with pytest.raises(StoreUnavailable, match=reason):
            document.change(lambda _: bytes(2**20))
        assert document.read() == b"before"
        client.close()

    def test_wants_a_password(self, private_valkey: Callable[[], EmbeddedValkey]) -> None:
        server = private_valkey()
        client = connect(server.url)
        client.config_set("requirepass", "secret word")
        with pytest.raises(StoreUnavailable, match="wants another password, or one at all"):
            SharedDocument(server.url, "key").read()
        right = server.url.replace("unix://", "unix://:secret%20word@")
        assert SharedDocument(right, "key").read() is None
        wrong = server.url.replace("unix://", "unix://:other@")
        with pytest.raises(StoreUnavailable) as refused:
            SharedDocument(wrong, "key").read()
        assert "other" not in str(refused.value)
        client.config_set("requirepass", "")
        client.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host/0", "scheme is 'http'"),
        ("redis://host/mine", "database is 'mine'"),
        ("redis://host?db=x", "database is 'x'"),
        ("redis://host/-1", "database is '-1'"),
        ("redis://host:port/0", "cannot be read"),
        ("redis://host/0?colour=blue", "cannot be read"),
        ("redis://[::1/0", "no URL"),
        ("unix://", "names no socket"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, reason: str) -> None:
    with pytest.raises(StoreUnavailable, match=reason):
        require_url(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host:6379/2", "redis://host:6379/2"),
        ("rediss://me:secret@host/0", "rediss://host/0"),
        ("redis://:sec/ret@host/0", "redis://..."),
        ("redis://:sec?ret@host/0", "redis://..."),
        ("redis://host?password=secret", "redis://host"),
        ("redis://host?password=s@cret", "redis://..."),
        ("unix:///run/store.sock?db=1", "unix:///run/store.sock"),
        ("unix://:secret@/run/store.sock", "unix:///run/store.sock"),
        ("redis://[::1", "redis://..."),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, expected: str) -> None:
    assert shown(url) == expected
