"""Shelf: every bundle of a registry at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bundle.registry.bundle_record import BundleRecord


@dataclass(frozen=True, slots=True)
class Shelf:
    """The bundles of a registry."""

    records: tuple[BundleRecord, ...]
    """Those that are whole, the latest at the end"""
    unreadable: Mapping[str, str]
    """Digest -> why its record cannot be read"""
    unfinished: tuple[str, ...] = ()
    """Digests of those without a record: a push that goes on, or that was broken off"""
