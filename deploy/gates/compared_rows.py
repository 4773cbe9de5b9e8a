"""Rows of a test set that can be compared, or why there are none.

Labels are matched with the bundle's classes by their names. Of images that depend on each other one each is
taken at random, because the exact tests count independent images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bundle.manifest import BundleManifest
from bundle.selection.local_certificate import CASES_FILE
from calibration.scores import IntArray
from deploy.errors import GateUndecided
from deploy.gates.labelled import LabelledImages

_SEED: Final = 0
_SOURCE: Final = "source"
"""Name of the digest of all images in a bundle's provenance"""
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class ComparedRows:
    """What of a test set is compared."""

    rows: IntArray
    """[m], in rising order"""
    labels: IntArray
    """[m], index into the classes of the bundle"""
    notes: tuple[str, ...]
    """What was left aside and why"""


def compared_rows(images: LabelledImages, classes: Sequence[str]) -> ComparedRows:
    """The labelled and independent images. Raises GateUndecided, which says what the set lacks."""
    if len(images) == 0:
        raise GateUndecided(f"the test set {images.name} holds no image; name another in {_FIELD}")
    places = _places(images, classes)
    given = np.asarray(images.labels, dtype=np.int64)
    labels = np.full(len(given), -1, dtype=np.int64)
    labels[given >= 0] = np.array(places, dtype=np.int64)[given[given >= 0]]
    rows = np.flatnonzero(labels >= 0)
    notes = [] if len(rows) == len(given) else [f"{len(given) - len(rows):,} images have no label"]
    found = np.unique(labels[rows])
    if len(found) < 2:
        what = f"of class {classes[found[0]]!r}" if len(found) else "without a label"
        raise GateUndecided(
            f"all images of the test set {images.name} are {what}; a test set holds labelled images of at "
            f"least two classes of the bundle ({_listed(classes)})"
        )
    if images.groups is not None:
        one_each = _one_of_each(np.asarray(images.groups)[rows])
        notes.append(f"of {len(rows):,} images in {len(one_each):,} groups one each is compared")
        rows = rows[one_each]
    return ComparedRows(rows, labels[rows], tuple(notes))


_FIELD: Final = "gates.regression.test_set"


def _places(images: LabelledImages, classes: Sequence[str]) -> list[int]:
    """Class of the test set -> class of the bundle."""
    names = images.class_names
    if not names:
        raise GateUndecided(
            f"the test set {images.name} has no labels: let folders name the classes, or name the column in "
            "gates.regression.label_column"
        )
    if set(names) <= set(classes):
        return [classes.index(name) for name in names]
    if list(names) == [str(number) for number in range(len(classes))]:
        return list(range(len(classes)))
    strange = [name for name in names if name not in classes]
    raise GateUndecided(
        f"the test set {images.name} has classes that the bundle has not ({_listed(strange)}); the bundle "
        f"has {_listed(classes)}"
    )


def _one_of_each(groups: np.ndarray[tuple[int], np.dtype[np.str_]]) -> IntArray:
    """Indices of one random image per group, the same at each call, in rising order."""
    shuffled = np.random.default_rng(_SEED).permutation(len(groups))
    _, first = np.unique(groups[shuffled], return_index=True)
    return np.sort(shuffled[first])


@dataclass(frozen=True, slots=True)
class SeenImages:
    """Digests of images that a bundle was calibrated on, as far as it carries them."""

    owner: str
    """`the newcomer`"""
    digests: Mapping[str, str]
    """sha256 -> file in the bundle"""
    source: str | None
    """Digest of the whole data that it was made of"""

    @classmethod
    def of(cls, owner: str, manifest: BundleManifest) -> SeenImages:
        """Those that the manifest lists."""
        folder = CASES_FILE.rpartition("/")[0] + "/"
        carried = {
            record.sha256: file
            for file, record in manifest.files.items()
            if file.startswith(folder) and file != CASES_FILE
        }
        return cls(owner, carried, manifest.provenance.data_digests.get(_SOURCE))

    def require_other_source(self, digest: str, name: str) -> None:
        """Raise GateUndecided if the test set is the data that the bundle was made of."""
        if self.source == digest:
            raise GateUndecided(
                f"the test set {name} is the data that {self.owner} was made of, so it proves nothing; name "
                f"images that neither bundle has seen in {_FIELD}"
            )

    def require_unseen(self, image: bytes, path: str) -> None:
        """Raise GateUndecided if the bundle was calibrated on this image."""
        if not self.digests:
            return
        file = self.digests.get(hashlib.sha256(image).hexdigest())
        if file is not None:
            raise GateUndecided(
                f"{path} of the test set is among the calibration images of {self.owner} ({file}); name "
                f"images that neither bundle has seen in {_FIELD}"
            )


def _listed(names: Sequence[str]) -> str:
    """A few names, with the number of those left out."""
    more = len(names) - _SHOWN
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {more} more" if more > 0 else "")
