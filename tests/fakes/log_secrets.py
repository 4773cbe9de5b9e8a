"""Secrets of a service under test, and a search of its logs for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SHORTEST = 6
"""Characters of a secret; a shorter word would be found by chance"""


def secrets_of(settings: Mapping[str, Any], environment: Mapping[str, str]) -> set[str]:
    """Tokens, the password of the store, and what the rules of the alerts take from the environment."""
    found = {settings.get("admin_token"), settings.get("experiment_salt")}
    tokens = settings.get("feedback_tokens") or ""
    found |= {text.partition("=")[2].strip() for text in re.split("[,\n]", tokens)}
    if (password := urlsplit(settings.get("redis_url") or "").password) is not None:
        found |= {password, unquote(password)}
    if settings.get("alerts"):
        names = _VARIABLE.findall(Path(settings["alerts"]).read_text(encoding="utf-8"))
        found |= {environment.get(name) for name in names}
    return {secret for secret in found if secret and len(secret) >= _SHORTEST}


def leaks(files: Iterable[Path], secrets: Iterable[str]) -> list[str]:
    """`FILE, line N: ...` for each line that holds a secret, which is written as ***."""
    wanted = [secret.encode() for secret in secrets]
    found = []
    for file in files:
        for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
            for secret in wanted:
                if secret in line:
                    shown = line.replace(secret, b"***")[:300].decode("utf-8", "replace")
                    found.append(f"{file.name}, line {number}: {shown}")
    return found


def log_files(folder: Path) -> list[Path]:
    """All logs of a service with this data folder: its own, those set aside, and those of its store."""
    return [path for path in folder.rglob("*") if path.is_file() and _LOG.search(path.name)]


_LOG = re.compile(r"\.(?:log|jsonl)(?:\.\d+)?$")
