"""`demur verify`: a bundle checked on every engine and precision that it is certified on and that is here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bundle.choices import AUTO, DEFAULT_TIME_LIMIT
from bundle.engines.contract import EngineKey
from bundle.engines.installed import installation_problems, runtime_version, usable
from bundle.loader import load_bundle
from bundle.selection.choice import EnginePreference, first_choice
from bundle.verify import verify_bundle


def verify_on_engines(
    folder: Path,
    wish: EnginePreference,
    expected: str | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
) -> Iterator[str]:
    """Check the bundle's files and golden cases; the results, one line each.

    `wish` may name one engine or precision; `expected`: the version that the bundle must have;
    `time_limit`: see `load_bundle`. Raises as
    `verify_bundle` and `load_bundle` do.
    """
    manifest = verify_bundle(folder, expected=expected)
    yield f"{manifest.name} {manifest.version}: {len(manifest.files)} files are as they were written."
    keys = [EngineKey.parse(entry.key) for entry in manifest.certificates]
    certified = [key for key in keys if wish.allows(key)]
    here = [key for key in certified if usable(key)]
    for key in here or [first_choice(manifest, wish)]:
        yield _golden_cases(folder, key, time_limit)
    missing = [str(key) for key in certified if key not in here]
    if missing and (wish.engine, wish.precision) == (AUTO, AUTO):
        yield f"Not tried, since this machine does not have them: {', '.join(missing)}."
    for problem in installation_problems():
        yield f"This machine: {problem}."


def _golden_cases(folder: Path, key: EngineKey, time_limit: float) -> str:
    loaded = load_bundle(folder, key=key, time_limit=time_limit)
    providers = ", ".join(dict.fromkeys(name for model in loaded.models for name in model.providers))
    promise = "" if loaded.certificate is not None else "; not certified here, so all is abstained on"
    return (
        f"{key} ({runtime_version(key.engine)}, {providers}): {len(loaded.manifest.golden)} golden cases "
        f"hold{promise}."
    )
