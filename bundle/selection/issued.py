"""The record of the one certificate that may be issued here for a bundle with its calibration images.

The bundle reserves one share of its delta for one engine that it does not name. The engine that uses it is
recorded before a calibration label is read, and stays the same whatever the outcome: a second engine
would be a second try. If nothing can be recorded, or the record cannot be read, nothing is issued.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bundle.engines.contract import EngineKey
from bundle.errors import BundlePackageError
from bundle.policy import CertificateEntry

_FOLDER = "issued"


class NotIssued(BundlePackageError):
    """No certificate may be issued here for this engine; the message says why."""


class Claim(BaseModel):
    """The engine and precision that use the reserved delta here, and the outcome."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reserve: str
    """Digest of the bundle's `calibration/cases.json`; the same if the bundle is packed again unchanged."""
    claimed_at: AwareDatetime
    key: str
    entry: CertificateEntry | None = None
    """None: interrupted before the certificate was computed."""


class IssuedCertificates:
    """The claims in one data folder; without a folder nothing is recorded, so nothing can be issued."""

    def __init__(self, data_dir: Path | None) -> None:
        self._folder = None if data_dir is None else data_dir / _FOLDER

    def read(self, reserve: str) -> Claim | None:
        """The claim; None if there is none. Raises NotIssued if it cannot be read."""
        if self._folder is None:
            return None
        path = self._path(self._folder, reserve)
        try:
            claim = Claim.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise NotIssued(
                f"{path}, which says what was issued here, cannot be read ({str(error).splitlines()[0]})"
            ) from None
        if claim.reserve != reserve or (claim.entry is not None and claim.entry.key != claim.key):
            raise NotIssued(f"{path} is about another bundle or engine than its name says")
        return claim

    def require_free(self, reserve: str, key: EngineKey) -> None:
        """Raise NotIssued if nothing can be recorded here or another engine has the one certificate."""
        if self._folder is None:
            raise NotIssued("there is no data folder to record it in, and at most one may be issued")
        claim = self.read(reserve)
        if claim is not None and claim.key != str(key):
            raise NotIssued(
                f"the bundle reserves delta for one engine that it does not name, and here {claim.key} has "
                f"it (since {claim.claimed_at:%Y-%m-%d}); serve on that one, or add {key} with `demur bundle`"
            )

    def claim(self, reserve: str, key: EngineKey) -> None:
        """Give the reserved delta to `key`, before a label is read. Raises as `require_free`."""
        self.require_free(reserve, key)
        assert self._folder is not None  # noqa: S101 - require_free has just seen to it
        claim = Claim(reserve=reserve, claimed_at=datetime.now(UTC), key=str(key))
        path = self._path(self._folder, reserve)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:  # of several processes, one creates it
                file.write(_text(claim))
        except FileExistsError:
            self.require_free(reserve, key)
        except OSError as error:
            raise NotIssued(f"{path} cannot be written ({error.strerror}), and one may be issued") from None

    def keep(self, reserve: str, entry: CertificateEntry) -> None:
        """Record the outcome of the claim. Raises NotIssued if that is not possible."""
        claim = self.read(reserve)
        if self._folder is None or claim is None or claim.key != entry.key:
            raise NotIssued(f"the claim of {entry.key} is gone")
        path = self._path(self._folder, reserve)
        draft = path.with_suffix(f".{token_hex(4)}")
        try:
            draft.write_text(_text(claim.model_copy(update={"entry": entry})))
            draft.replace(path)
        except OSError as error:
            raise NotIssued(f"{path} cannot be written: {error.strerror}") from None

    @staticmethod
    def _path(folder: Path, reserve: str) -> Path:
        return folder / f"{reserve[:32]}.json"


def _text(claim: Claim) -> str:
    return json.dumps(claim.model_dump(mode="json"), indent=1) + "\n"
