"""An account of the store that may touch demur's keys alone, as docs/deployment.md names it, is enough."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from fakes.stored_state import Stored, figures, write_state
from redis.exceptions import NoPermissionError

from monitoring.store.connection import connect
from monitoring.store.embedded_valkey import EmbeddedValkey

PAGE = Path(__file__).parents[3] / "docs" / "deployment.md"


def test_the_account_of_the_page_is_enough_and_reaches_nothing_else(tmp_path: Path) -> None:
    (rule,) = re.findall(r"ACL SETUSER demur on >PASSWORD (.*)", PAGE.read_text("utf-8"))
    with EmbeddedValkey(tmp_path / "valkey") as server:
        with closing(connect(server.url)) as owner:
            owner.execute_command("ACL", "SETUSER", "demur", "on", ">PASSWORD", *rule.split())
        url = server.url.replace("unix://", "unix://demur:PASSWORD@")
        state = Stored(tmp_path / "state", url)
        state.root.mkdir()
        write_state(state)
        assert figures(state)["windows"][0][0]["predictions"] == 420
        with closing(connect(url)) as client:
            for command in (("SET", "other", "1"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*")):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*command)
