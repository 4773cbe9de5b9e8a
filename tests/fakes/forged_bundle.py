"""Forging of a bundle: its manifest is changed, and its digests and version are computed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundle.manifest import MANIFEST_FILE


def forge(folder: Path, change: Callable[[dict[str, Any]], None] = lambda content: None) -> None:
    """Change the manifest as a skilled forger would: digests and version are right, so is the spelling."""
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_bytes())
    for file, record in content["files"].items():
        if (folder / file).is_file():
            data = (folder / file).read_bytes()
            record["sha256"], record["size"] = hashlib.sha256(data).hexdigest(), len(data)
    change(content)
    content.pop("version", None)
    content["version"] = hashlib.sha256(_spelled(content)).hexdigest()[:16]
    path.write_bytes(_spelled(content))


def _spelled(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
