"""The exceptions of this package, as one tree.

MonitoringError
├── StoreUnavailable      the store does not answer, or refuses to write
├── EventRefused          the store cannot take one event, whatever happens
├── PositionLost          the store has forgotten how far a log was delivered
├── LogUnreadable         an event log cannot be read
├── UnreadableLine        a line of an event log is no event (also a ValueError)
└── EmbeddedValkeyError   the embedded server cannot be started
    └── DataFolderInUse   another process runs its embedded server in this folder

Each class is defined in the module that raises it; those of the store in `monitoring.store.contract`.
"""

from __future__ import annotations


class MonitoringError(Exception):
    """Root of the exceptions of `monitoring`."""
