"""Head of a service's rows in the store: which blocks there are, and to which arms and strata they belong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self
from zlib import crc32

import numpy as np

from calibration.scores import IntArray
from monitoring.experiments.definition import Definition
from monitoring.experiments.row_blocks import BlockUnreadable
from monitoring.formats import FormatTooNew, known, require_format


@dataclass(frozen=True, slots=True)
class Head:
    """What one service has counted of one experiment."""

    began: float
    """Unix time of the experiment's start, which tells it from an earlier one of its name"""
    arms: tuple[str, ...]
    """Names of the arms, to which the rows have indices"""
    strata: tuple[str, ...]
    """Digest of each stratum's dealing"""
    units: tuple[int, ...] = ()
    """Checksum of each block"""
    shadows: tuple[int, ...] = ()
    faults: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The document; `from_json` is the inverse."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Raises BlockUnreadable."""
        try:
            values: dict[str, Any] = json.loads(document)
            require_format(values, "the rows of a service")
            kept = known(cls, values)
            return cls(
                **{
                    **kept,
                    **{name: tuple(kept[name]) for name in ("arms", "strata", "units", "shadows")},
                    "faults": {str(name): int(number) for name, number in kept["faults"].items()},
                }
            )
        except FormatTooNew as error:
            raise BlockUnreadable(str(error)) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BlockUnreadable(f"it is no head: {type(error).__name__}: {error}") from None

    def arm_places(self, definition: Definition) -> IntArray:
        """[A] index in `definition` of each arm; -1 for one that it does not have."""
        names = definition.names
        return np.array([names.index(arm) if arm in names else -1 for arm in self.arms], dtype=np.int64)

    def stratum_places(self, definition: Definition) -> IntArray:
        """[S] index of each stratum, or -1 if `definition` deals otherwise in it, or does not have it."""
        own = dealings(definition)
        places = [index if own[index : index + 1] == (one,) else -1 for index, one in enumerate(self.strata)]
        return np.array(places, dtype=np.int64)


def dealings(definition: Definition) -> tuple[str, ...]:
    """A digest of what each stratum deals."""
    return tuple(f"{crc32(repr(one.segments).encode()):08x}" for one in definition.strata)
