"""Entry of the outbox: one message for one receiver, and what was tried so far."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from monitoring.alerts.message import Message, MessageUnreadable
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.formats import require_format

Lane = tuple[str, str]
"""Channel and receiver: entries of one lane are told in the order in which they came."""


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="ignore"))
class Entry:
    """A message, its receiver and its tries."""

    message: Message
    channel: str
    """Name in the rules file"""
    to: str
    """Address or number; "" in channels of one receiver"""
    added: float
    """Unix seconds"""
    tries: int = 0
    tried_at: float | None = None
    """Unix seconds of the end of the last try"""
    not_before: float | None = None
    """Unix seconds before which the receiver wants no other try"""
    detail: str = ""
    """What became of the last try"""

    @property
    def key(self) -> str:
        """Name of the entry: a message for one receiver is one entry, however often it is added."""
        return sha256("\0".join((self.message.id, self.channel, self.to)).encode()).hexdigest()[:32]

    @property
    def lane(self) -> Lane:
        """The queue in which the entry stands."""
        return self.channel, self.to

    def tried(self, said: Delivery, now: float) -> Entry:
        """After one more try, which ended at `now`."""
        not_before = None if said.retry_after is None else now + said.retry_after
        detail = f"{said.outcome}: {said.detail}"
        return replace(self, tries=self.tries + 1, tried_at=now, not_before=not_before, detail=detail)

    def to_json(self) -> bytes:
        """The document; `from_json` is the inverse."""
        return _ENTRY.dump_json(self)

    @classmethod
    def from_json(cls, document: bytes) -> Entry:
        """Raises MessageUnreadable, and FormatTooNew for a message of a later version."""
        try:
            require_format(orjson.loads(document), "a message of the outbox")
            return _ENTRY.validate_json(document)
        except ValidationError as error:
            raise MessageUnreadable(f"a file is no message: {error.error_count()} faults") from None
        except (ValueError, AttributeError) as error:
            raise MessageUnreadable(f"a file is no message: {error}") from None


_ENTRY: Final = TypeAdapter(Entry)
