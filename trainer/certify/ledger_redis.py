"""The user's ledger in a Redis or Valkey server, which several machines share.

The client comes with the extra `serve` and is known to `monitoring.store` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bundle.extras import pip_line
from calibration.known_splits import KnownSplits
from trainer.certify.ledger_document import Change, LedgerUnavailable, decode, encode

if TYPE_CHECKING:
    from monitoring.store.shared_document import SharedDocument

KEY = "demur:calibration-splits"
_UNCERTAIN = (
    ". No label was read for it; should the entry have reached the server all the same, the same command "
    "costs nothing"
)


@dataclass(frozen=True, slots=True)
class LedgerInRedis:
    """`AccountStore` under one key of a server. A URL without a scheme of Redis is refused at first use."""

    url: str

    @property
    def place(self) -> str:
        try:
            from monitoring.store.shared_document import shown
        except ImportError:
            return f"{self.url.partition('://')[0]}://..."
        return shown(self.url)

    def read(self) -> KnownSplits:
        with self._document("") as document:
            return decode(document.read(), self._name)

    def change(self, change: Change) -> KnownSplits:
        after = KnownSplits()

        def changed(content: bytes | None) -> bytes | None:
            nonlocal after
            known = decode(content, self._name)
            after = change(known)
            return None if after == known else encode(after)

        with self._document(_UNCERTAIN) as document:
            document.change(changed)
        return after

    @property
    def _name(self) -> str:
        return f"{self.place}, key {KEY},"

    @contextmanager
    def _document(self, remark: str) -> Iterator[SharedDocument]:
        try:
            from monitoring.store.contract import StoreUnavailable
            from monitoring.store.shared_document import SharedDocument
        except ImportError as error:
            raise LedgerUnavailable(
                f"the ledger {self.place} needs the client of Redis ({error.name} is missing): "
                f"{pip_line('serve')} brings it, or name a folder by DEMUR_LEDGER"
            ) from None
        try:
            yield SharedDocument(self.url, KEY)
        except StoreUnavailable as error:
            raise LedgerUnavailable(
                f"the ledger of calibration splits in {self.place} cannot be used ({error}); start or mend "
                f"that server, or name another one or a folder by DEMUR_LEDGER{remark}"
            ) from None
