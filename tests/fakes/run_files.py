"""Changes to the files of a run that no verb makes."""

from __future__ import annotations

from pathlib import Path

from trainer.run.folder import RunFolder, read_json, write_json


def forget_certificates(folder: Path) -> None:
    """The run as before its first certificate, of which neither ledger.json nor run.json keeps a trace."""
    run = RunFolder(folder)
    run.ledger.unlink()
    write_json(run.record, {name: value for name, value in read_json(run.record).items() if name != "ledger"})
