"""Lua scripts in the store, and the names of the keys that they share."""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, cast

import redis
from redis.exceptions import NoScriptError

_SHARED: Final = ("window.lua", "items.lua")


class Script:
    """A Lua script: its text, and the digest under which the store keeps it."""

    def __init__(self, name: str) -> None:
        folder = files("monitoring.windows") / "lua"
        self.text = "\n".join((folder / part).read_text("utf-8") for part in (*_SHARED, f"{name}.lua"))
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def run_script(client: redis.Redis, script: Script, key: str, *arguments: str | int | bytes) -> list[Any]:
    """The reply of a script with one key, which is loaded if the store does not know it."""
    try:
        reply = client.evalsha(script.digest, 1, key, *arguments)
    except NoScriptError:
        client.script_load(script.text)
        reply = client.evalsha(script.digest, 1, key, *arguments)
    return cast("list[Any]", reply)


def key_prefix(model: str) -> str:
    """Beginning of every key of a model; in braces is what Redis Cluster places by. Raises ValueError."""
    if not model or any(c in "{}" for c in model):
        raise ValueError(f"model is {model!r}; it must be a name without braces")
    return f"demur:{{{model}}}:"
