"""Lua scripts in the store, and the names of the keys that they share."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, cast

import redis
from redis.exceptions import NoScriptError

from monitoring.windows.snapshot import REWARD_SIZES

_SHARED: Final = ("window.lua", "items.lua", "labels.lua")


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


def held_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes of windows that are held if these are asked for: they, and those of the reward; ascending.

    Raises ValueError.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"sizes is {sizes!r}; each must be at least 1")
    return tuple(sorted({*sizes, *REWARD_SIZES}))


def model_prefix(model: str) -> str:
    """Beginning of every key of a model; in braces is what Redis Cluster places by. Raises ValueError."""
    if not model or any(c in "{}" for c in model):
        raise ValueError(f"model is {model!r}; it must be a name without braces")
    return f"demur:{{{model}}}:"


def key_prefix(model: str, sizes: Sequence[int]) -> str:
    """Beginning of every key of a model's windows and items under these sizes. Raises ValueError.

    Under other sizes everything is entered again from the log, each event once, so nothing may be shared.
    """
    return f"{model_prefix(model)}{','.join(map(str, held_sizes(sizes)))}:"
