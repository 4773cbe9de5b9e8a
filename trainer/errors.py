"""The error tree of the trainer.

    DemurError
    └── TrainerError                    root of the trainer's errors; the message says the way out
        ├── DataError                   the data cannot be used as configured
        │   ├── SourceNotFound, AmbiguousSource, UnreadableSource, NoImages, HubUnreachable
        │   ├── UnknownColumn, LeakyColumn, BadLabels
        │   ├── FaultyData              all faults of a data set at once
        │   └── UnusableImages          a pretraining has too few images that decode
        ├── SplitError                  the rows cannot be split as configured
        │   └── TooFewUnits
        ├── RunError                    a step cannot run on this folder or configuration
        │   ├── MissingStep, NeedsReissue, SourceChanged
        │   ├── ConfigError             all faults of a configuration at once
        │   ├── NoSuchDevice
        │   ├── BackboneError           a pretrained backbone cannot be built
        │   │   └── WeightsNotFound (└── MissingExtra), HubUnavailable
        │   ├── AdapterError, ShareOutOfRange
        │   ├── FolderInUse             another process writes into the run folder
        │   ├── DamagedFile             a checkpoint, model or table of scores does not match its digest
        │   ├── DiskError               a file cannot be written
        │   ├── LedgerDisagrees         ledger.json lacks what run.json or the user's ledger holds
        │   ├── LedgerUnavailable, DamagedLedger, LedgerTooNew    the user's ledger cannot be used
        │   └── ExportMismatch, NotQuantised, ScoreFileError, ScoresNotFinite,
        │       OutputUnknown, WrongClassOrder
        └── TrainingError               a training cannot go on
            ├── NonFiniteLoss           the loss is NaN or infinite
            ├── OutOfMemory             not even one image at a time fits memory
            └── ResumeMismatch          the checkpoint belongs to another run

Malformed arguments of a function (a wrong shape, a value out of range) stay plain `ValueError`.
"""

from __future__ import annotations

from calibration.errors import DemurError


class TrainerError(DemurError):
    """Root of the errors of `trainer`."""


class DataError(TrainerError):
    """The data cannot be used as configured; the message is one sentence that says what to do."""


class RunError(TrainerError):
    """A step cannot run on this folder or configuration; the message names the file and the way out."""


class TrainingError(TrainerError):
    """A training cannot go on."""
