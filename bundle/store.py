"""Bundles on disk: written whole or not at all, verified before every use. The rooms behind this door
are `writer`, `loader` and `verify`."""

from __future__ import annotations

from bundle.draft import BundleDraft, StageDraft
from bundle.golden import GoldenCandidate, GoldenMismatch
from bundle.loader import LoadedBundle, load_bundle
from bundle.manifest import BundleError, BundleManifest, BundleTampered, BundleTooNew
from bundle.verify import BundleMissing, verify_bundle
from bundle.writer import BundleExists, write_bundle

__all__ = [
    "BundleDraft",
    "BundleError",
    "BundleExists",
    "BundleManifest",
    "BundleMissing",
    "BundleTampered",
    "BundleTooNew",
    "GoldenCandidate",
    "GoldenMismatch",
    "LoadedBundle",
    "StageDraft",
    "load_bundle",
    "verify_bundle",
    "write_bundle",
]
