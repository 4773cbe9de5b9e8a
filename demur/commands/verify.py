"""`demur verify`: a bundle checked on every engine and precision that it is certified on and that is here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bundle.choices import AUTO, DEFAULT_TIME_LIMIT
from bundle.engines.contract import EngineKey
from bundle.engines.installed import installation_problems, runtime_version, usable
from bundle.loader import load_bundle
from bundle.selection.choice import EnginePreference, first_choice
from bundle.signing.policy import SignaturePolicy, SignatureStatus
from bundle.verify import claimed_signature, verify_signed


@dataclass(frozen=True, slots=True)
class GoldenCasesHeld:
    """One engine and precision on which every golden case gets its expected outcome."""

    engine: str
    runtime: str
    providers: tuple[str, ...]
    golden_cases: int
    certified: bool

    def sentence(self) -> str:
        promise = "" if self.certified else "; not certified here, so all is abstained on"
        return (
            f"{self.engine} ({self.runtime}, {', '.join(self.providers)}): {self.golden_cases} golden cases "
            f"hold{promise}."
        )


@dataclass(frozen=True, slots=True)
class Verification:
    """A bundle whose files and golden cases are as they were written."""

    name: str
    version: str
    files: int
    engines: tuple[GoldenCasesHeld, ...]
    not_tried: tuple[str, ...]
    """Engines and precisions of its certificates that this machine does not have"""
    problems: tuple[str, ...]
    """Faults of the installed runtimes"""
    signature: SignatureStatus

    def lines(self) -> Iterator[str]:
        yield f"{self.name} {self.version}: {self.files} files are as they were written."
        yield self.signature.sentence()
        for engine in self.engines:
            yield engine.sentence()
        if self.not_tried:
            yield f"Not tried, since this machine does not have them: {', '.join(self.not_tried)}."
        for problem in self.problems:
            yield f"This machine: {problem}."

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify_on_engines(
    folder: Path,
    wish: EnginePreference,
    expected: str | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
    trust: SignaturePolicy | None = None,
) -> Verification:
    """Check the bundle's files and golden cases.

    `wish` may name one engine or precision; `expected`: the version that the bundle must have;
    `time_limit`: see `load_bundle`; `trust`: by which keys it must be signed, None to show only what its
    signature claims. Raises as `verify_signed` and `load_bundle` do.
    """
    verified = verify_signed(folder, expected=expected, trust=trust)
    manifest, signature = verified.manifest, verified.signature or claimed_signature(folder)
    keys = [EngineKey.parse(entry.key) for entry in manifest.certificates]
    certified = [key for key in keys if wish.allows(key)]
    here = [key for key in certified if usable(key)]
    tried = here or [first_choice(manifest, wish)]
    missing = [str(key) for key in certified if key not in here]
    return Verification(
        manifest.name,
        manifest.version,
        len(manifest.files),
        tuple(_golden_cases(folder, key, time_limit, trust) for key in tried),
        tuple(missing) if (wish.engine, wish.precision) == (AUTO, AUTO) else (),
        installation_problems(),
        signature,
    )


def _golden_cases(
    folder: Path, key: EngineKey, time_limit: float, trust: SignaturePolicy | None
) -> GoldenCasesHeld:
    loaded = load_bundle(folder, key=key, time_limit=time_limit, trust=trust)
    return GoldenCasesHeld(
        str(key),
        runtime_version(key.engine),
        tuple(dict.fromkeys(name for model in loaded.models for name in model.providers)),
        len(loaded.manifest.golden),
        loaded.certificate is not None,
    )
