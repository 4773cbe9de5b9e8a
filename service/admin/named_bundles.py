"""Bundles as the private port names them: by their folder, or while a registry is followed as it does."""

from __future__ import annotations

from pathlib import Path

from service.admin.bundle_folder import folder_of
from service.errors import ChangeRefused, NoSuchBundle, RecordUnreachable, RegistryAway
from service.lineup.record import LineupRecord


def named_folder(record: LineupRecord | None, bundles: Path, name: str) -> Path:
    """Folder of the bundle of this name: of a folder in `bundles`, or, of a service that shares a record, of
    a bundle of its registry by `name:version`, digest or alias.

    Raises InvalidField, NoSuchBundle, RegistryAway, and OSError.
    """
    if record is None:
        return folder_of(bundles, name)
    try:
        return record.folder_of(name)
    except ChangeRefused as error:
        raise NoSuchBundle(str(error), field="name", value=name[:100]) from error
    except RecordUnreachable as error:
        raise RegistryAway(str(error)) from error
