"""Outbox: messages on their way to people, kept on the disk until a receiver has them."""

from monitoring.alerts.outbox.entry import Entry
from monitoring.alerts.outbox.outbox import Outbox

__all__ = ["Entry", "Outbox"]
