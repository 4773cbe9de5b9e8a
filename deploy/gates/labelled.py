"""Labelled images of a test set, as a gate reads them; what opens a data source is handed in from above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from deploy.gates.plan import RegressionGate


class LabelledImages(Protocol):
    """Images with labels, row by row."""

    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]:
        """[K]; empty without labels"""

    @property
    def labels(self) -> Any:
        """[n], index into `class_names`; negative without a label"""

    @property
    def groups(self) -> Any:
        """[n], images of one group depend on each other; None: every image stands alone"""

    @property
    def paths(self) -> Sequence[str]:
        """[n], for messages"""

    def __len__(self) -> int: ...
    def read(self, row: int) -> bytes:
        """Encoded bytes of one image. Raises a DemurError."""

    def digest(self) -> str:
        """sha256 over bytes, labels and groups, as a bundle's provenance states it"""


OpenTestSet = Callable[[RegressionGate], LabelledImages]
"""Opens the test set that a plan names; importable by name, because a process of its own calls it. Raises a
DemurError."""
