"""The user's ledger in a real server: charged by two processes at once, away, damaged, and merged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from calibration.errors import DeltaExhausted
from calibration.known_splits import KnownCertificate, KnownSplits, SplitIdentity
from demur.cli import app
from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey
from trainer.certify.ledger_document import DamagedLedger, LedgerUnavailable, encode
from trainer.certify.ledger_redis import KEY
from trainer.certify.user_ledger import change_accounts, now, read_accounts

SPLIT = SplitIdentity.of(f"image {i}" for i in range(3000))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "valkey") as started:
        yield started


@pytest.fixture
def shared(server: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the ledger of this test."""
    monkeypatch.setenv("DEMUR_LEDGER", server.url)
    return server.url


def certificate(name: str, delta: float = 0.05) -> KnownCertificate:
    return KnownCertificate(f"certificate {name}", delta, name, f"/runs/{name}", now())


def charge(name: str, delta: float = 0.05) -> KnownSplits:
    return change_accounts(lambda known: known.charge(SPLIT, [certificate(name, delta)], delta))


def test_a_second_computation_is_refused_with_the_first_folder(shared: str) -> None:
    charge("a")
    charge("a")
    with pytest.raises(DeltaExhausted, match="/runs/a at 20"):
        charge("b")
    assert read_accounts().spent(SPLIT) == 0.05


def test_of_two_processes_that_charge_the_last_delta_one_is_told(shared: str) -> None:
    code = (
        "import sys\n"
        "from calibration.errors import DeltaExhausted\n"
        "from calibration.known_splits import KnownCertificate, SplitIdentity\n"
        "from trainer.certify.user_ledger import change_accounts, now\n"
        "split = SplitIdentity.of(f'image {i}' for i in range(3000))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "told = 0\n"
        "for turn in range(5):\n"
        "    one = KnownCertificate('w', .01, f'{sys.argv[1]} {turn}', sys.argv[1], now())\n"
        "    try:\n"
        "        change_accounts(lambda known: known.charge(split, [one], .01))\n"
        "    except DeltaExhausted:\n"
        "        told += 1\n"
        "print(told)\n"
    )
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([sys.executable, "-c", code, name], stdin=pipe, stdout=pipe, text=True)
        for name in "ab"
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    told = [int(process.communicate("\n", timeout=120)[0]) for process in started]
    assert sum(told) == 5
    known = read_accounts()
    assert known.spent(SPLIT) == pytest.approx(0.05)
    assert len(known.certificates(SPLIT)) == 5


def test_a_server_that_is_away_is_one_sentence_and_hides_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMUR_LEDGER", f"unix://:secret@{tmp_path}/none.sock")
    for call in (read_accounts, lambda: charge("a")):
        with pytest.raises(LedgerUnavailable, match=r"none\.sock cannot be used .*DEMUR_LEDGER") as refused:
            call()
        assert "secret" not in str(refused.value)


def test_a_server_killed_in_the_middle_of_a_charge(server: EmbeddedValkey, shared: str) -> None:
    charge("a", 0.02)
    connect(shared).config_set("appendfsync", "always")

    def kill(known: KnownSplits) -> KnownSplits:
        server._stopping.set()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        return known.charge(SPLIT, [certificate("b", 0.03)], 0.03)

    with pytest.raises(LedgerUnavailable, match="No label was read for it"):
        change_accounts(kill)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", encode(KnownSplits())[:-20], b"null"])
def test_a_damaged_or_foreign_document_is_named_and_stays(shared: str, content: bytes) -> None:
    client = connect(shared)
    client.set(KEY, content)
    for call in (read_accounts, lambda: charge("a")):
        with pytest.raises(DamagedLedger, match=f"key {KEY}, is damaged"):
            call()
    assert client.get(KEY) == content
    client.delete(KEY)
    client.hset(KEY, "a", "b")
    with pytest.raises(LedgerUnavailable, match="holds something else"):
        charge("a")
    client.close()


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMUR_LEDGER", "redis://:secret@host:6379/0")
    for module in ("monitoring.store.shared_document", "monitoring.store.connection", "redis"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(LedgerUnavailable, match=r"pip install .*\[serve\]") as refused:
        charge("a")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["http://host/ledger", "redis://host/mine", "s3://bucket/ledger"])
def test_a_url_that_names_no_server_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMUR_LEDGER", name)
    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        read_accounts()


def test_a_folder_is_merged_into_the_server_and_back(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def demur(*words: str) -> str:
        result = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output

    charge("in the server", 0.02)
    monkeypatch.setenv("DEMUR_LEDGER", str(tmp_path / "folder"))
    charge("in the folder", 0.03)
    monkeypatch.setenv("DEMUR_LEDGER", shared)
    assert "valkey.sock now holds 2 certificates on 1 splits" in demur(
        "ledger", "merge", str(tmp_path / "folder")
    )
    shown = demur("ledger", "show")
    assert f"ledger: {shared}" in shown
    assert "0 of 0.05" in shown
    monkeypatch.setenv("DEMUR_LEDGER", str(tmp_path / "back"))
    assert "holds 2 certificates" in demur("ledger", "merge", shared)
    with pytest.raises(DeltaExhausted):
        charge("a third", 0.01)
