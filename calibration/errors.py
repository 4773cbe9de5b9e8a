"""The roots of the error tree of the project.

    DemurError                          every failure that demur foresees; the message says the way out
    └── CalibrationError                certificates, ledger, SCRC
        ├── MalformedCertificate (ValueError)    a text that is no certificate
        ├── LedgerError (ValueError)    a charge or a stored ledger that cannot be accepted
        │   └── DeltaExhausted          the calibration split has too little delta left
        ├── PrevalenceUnknown (ValueError)       unlabelled images that cannot tell a prevalence
        └── ScrcError (ValueError)      a promise that SCRC cannot make

Every other package has one root below `DemurError` in its own errors.py. Malformed arguments of a function
(a wrong shape, a value out of range) stay plain `ValueError`.
"""

from __future__ import annotations


class DemurError(Exception):
    """Root of all errors that demur raises on purpose."""


class CalibrationError(DemurError):
    """Root of the errors of `calibration`."""


class LedgerError(CalibrationError, ValueError):
    """A charge or a stored ledger that cannot be accepted."""


class DeltaExhausted(LedgerError):
    """The calibration split has too little delta left for the requested certificate."""


class ScrcError(CalibrationError, ValueError):
    """A promise that SCRC cannot make."""
