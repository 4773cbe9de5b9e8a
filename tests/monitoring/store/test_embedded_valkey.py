"""The embedded Valkey: persistence, the lock on its folder, restarts, and no orphaned server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from fakes.waiting import eventually

from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import DataFolderInUse, EmbeddedValkey, EmbeddedValkeyError


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def answers(url: str) -> bool:
    client = connect(url)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def test_data_survives_a_restart(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        with EmbeddedValkey(tmp_path) as server:
            client = connect(server.url)
            assert client.get("key") == expected
            client.set("key", 1)
            client.close()
            pid = server.pid
        assert pid is not None
        assert not alive(pid)


def test_a_server_that_cannot_start_gives_its_reason(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path):
        pass
    manifest = next((tmp_path / "appendonlydir").glob("*.manifest"))
    manifest.write_text("no manifest\n")
    with pytest.raises(EmbeddedValkeyError, match=r"ended \d times at its start: .*manifest.*valkey\.log"):
        EmbeddedValkey(tmp_path).__enter__()


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "valkey.log").mkdir()
    with pytest.raises(EmbeddedValkeyError, match=r"cannot be started: .*valkey\.log"):
        EmbeddedValkey(tmp_path).__enter__()


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    with (
        EmbeddedValkey(tmp_path),
        pytest.raises(DataFolderInUse, match="in use by another"),
        EmbeddedValkey(tmp_path, patience=0.2),
    ):
        pass


def test_a_server_that_dies_is_started_again_with_its_data(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        client = connect(server.url)
        client.set("key", 1)
        client.config_set("appendfsync", "always")
        client.set("key", 2)
        client.close()
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: server.pid != first and answers(server.url))
        client = connect(server.url)
        assert client.get("key") == b"2"
        client.close()


def test_a_long_folder_name_gets_a_short_socket(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / ("x" * 120)) as server:
        assert len(server.url) < 108
        assert answers(server.url)
    assert not Path(server.url.removeprefix("unix://")).parent.exists()


def test_memory_is_bounded_and_windows_are_not_evicted(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path, memory="12mb") as server:
        client = connect(server.url)
        client.set("window", "kept")
        for number in range(6000):
            client.set(f"waiting{number}", "x" * 2000, ex=3600)
        assert client.get("window") == b"kept"
        assert client.info("stats")["evicted_keys"] > 0
        client.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_does_not_outlive_its_process(tmp_path: Path, how: signal.Signals) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from monitoring.store.embedded_valkey import EmbeddedValkey\n"
        "with EmbeddedValkey(Path(sys.argv[1])) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(how)
    eventually(lambda: not alive(pid))
    # The folder is free again.
    with EmbeddedValkey(tmp_path):
        pass
