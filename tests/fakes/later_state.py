"""A stored state as a later version would have left it: each record has a field more than this one knows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from fakes.stored_state import MODEL, Stored

from monitoring.store.connection import connect

Change = Callable[[Any], Any]

_RECORDS: Final = frozenset(
    {
        *("event", "begin", "signal", "name", "at", "second", "audits", "state", "images", "fingerprint"),
        *("rule", "kind", "channel", "matchers", "message", "alerts", "label", "shares", "coverage"),
        *("since", "unit", "sample", "conclusion", "machine", "reserve", "what", "units", "products"),
    }
)
"""A JSON object with one of these names is a record; any other maps names to values."""


def with_new_field(value: Any) -> Any:
    """The JSON values with a further field in each record, however deep."""
    if isinstance(value, dict):
        inner = {name: with_new_field(one) for name, one in value.items()}
        is_record = not _RECORDS.isdisjoint(value)
        return {**inner, "of_a_later_version": {"x": [1]}} if is_record else inner
    return [with_new_field(one) for one in value] if isinstance(value, list) else value


def change_documents(state: Stored, change: Change) -> int:
    """Change every document of JSON that a service has stored; the number of those that became others."""
    changed = sum(_in_file(path, change) for path in sorted(state.data.rglob("*")) if path.is_file())
    changed += _in_file(state.root / "ledger" / "calibration-splits.json", change)
    with closing(connect(state.url)) as client:
        for key in client.keys(f"demur:{{{MODEL}}}:promise:*"):
            document = client.get(key)
            client.set(key, json.dumps(change(json.loads(document))))
            changed += 1
        where = f"demur:{{{MODEL}}}:alerts:state"
        document = client.hget(where, "document")
        client.hset(where, "document", json.dumps(change(json.loads(document))))
    return changed + 1


def _in_file(path: Path, change: Change) -> int:
    before = path.read_bytes()
    path.write_bytes(_changed(path, before, change))
    return path.read_bytes() != before


def _changed(path: Path, content: bytes, change: Change) -> bytes:
    if path.suffix == ".jsonl":
        return b"".join(orjson.dumps(change(orjson.loads(line))) + b"\n" for line in content.splitlines())
    if path.name.endswith(".json.gz"):
        return gzip.compress(orjson.dumps(change(orjson.loads(gzip.decompress(content)))))
    if path.name == "calibration-splits.json":
        values = change(orjson.loads(content))
        digest = sha256(orjson.dumps(values["splits"], option=orjson.OPT_SORT_KEYS)).hexdigest()
        return orjson.dumps({**values, "digest": digest})
    digest_line, _, rest = content.partition(b"\n")
    if len(digest_line) == 64:
        document = orjson.dumps(change(orjson.loads(rest)))
        return sha256(document).hexdigest().encode() + b"\n" + document
    return orjson.dumps(change(orjson.loads(content))) if path.suffix == ".json" else content
