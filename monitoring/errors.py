"""The root of the errors of `monitoring`, below `calibration.errors.DemurError`.

    MonitoringError
    ├── StoreUnavailable               the store does not answer, or is in trouble
    ├── EventRefused                   the store cannot take one event because of its content
    ├── PositionLost                   the store has forgotten how far a log was delivered
    ├── FormatTooNew                   a later version has stored a document in a later format
    ├── LatchUnreadable                a document is no latch of the promise monitor
    ├── ReportUnreadable               a document is no report of a service to its fleet
    ├── DefinitionUnreadable           a document is no experiment
    ├── ChangeImpossible               an experiment cannot begin, or change, in this way
    ├── BlockUnreadable                what a service shares of an experiment cannot be read
    ├── TooFewUnits                    the event log has too few units to compute with
    ├── TermsRefused (ValueError)      a self-test cannot be made in the way that was asked for
    ├── PowerUnknown (ValueError)      what was named says too little to compute a power from
    ├── LogUnreadable                  an event log cannot be read
    ├── UnreadableLine (ValueError)    a line of an event log is no event
    │   └── UnknownKind                it is an event of a kind that only a later version knows
    ├── MessageUnreadable              a document is no message of the alerts
    ├── NotReached                     no connection to a receiver of messages came about
    ├── NoAnswer                       a receiver may have a message, and has not said so
    ├── RulesUnreadable                a file of alert rules has faults; each with its line
    ├── YamlFault                      a text is no YAML
    ├── AlertStateUnreadable           a document is no state of the alert engine
    └── EmbeddedValkeyError            the embedded server cannot be started
        └── DataFolderInUse            another process runs its embedded server in this folder

Each class is defined in the module that raises it; those of the store in `monitoring.store.contract`.
"""

from __future__ import annotations

from calibration.errors import DemurError


class MonitoringError(DemurError):
    """Root of the errors of `monitoring`."""
