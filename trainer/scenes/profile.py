"""Streets by district: how wide, how they are paved and marked, what is usual there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.scenes.conditions import Conditions, District
from trainer.scenes.light import Rgb
from trainer.scenes.world import Band, Marking, Street

_PAVING: tuple[Rgb, ...] = ((158, 154, 148), (146, 144, 142), (172, 160, 146))
_KERB: Rgb = (178, 176, 170)


@dataclass(frozen=True, slots=True)
class Habit:
    """What is usual in a district."""

    half_widths: tuple[float, ...]
    pavement: tuple[float, float]
    """Least and greatest width, metres"""
    verge: float
    """Width of a strip of grass between kerb and pavement"""
    setback: float
    """From the pavement to the house fronts"""
    lamps: bool
    parked: float
    """Probability of a parked car at each place"""
    people: float
    """Mean number of pedestrians"""


HABITS = {
    District.CENTRE: Habit((3.5, 5.4, 7.0), (2.4, 4.0), 0.0, 0.0, True, 0.55, 3.0),
    District.OLD_TOWN: Habit((3.1, 3.5, 5.2), (1.6, 2.6), 0.0, 0.0, True, 0.45, 2.2),
    District.GARDENS: Habit((3.1, 3.5, 5.2), (1.5, 2.0), 1.6, 4.5, True, 0.3, 0.9),
    District.HARBOUR: Habit((3.7, 5.4, 7.0), (1.5, 2.4), 0.0, 3.5, True, 0.2, 0.5),
    District.OUTSKIRTS: Habit((3.3, 3.7), (1.6, 2.4), 0.0, 30.0, False, 0.0, 0.2),
}


def draw_street(rng: np.random.Generator, conditions: Conditions) -> Street:
    """The road's profile and its markings."""
    habit = HABITS[conditions.district]
    half = float(rng.choice(habit.half_widths))
    lane = 3.5 if half > 6.0 else min(half, 3.5)
    left, right = (half + habit.verge + float(rng.uniform(*habit.pavement)) for _ in range(2))
    shade = float(rng.uniform(0.82, 1.15))
    asphalt: Rgb = (108 * shade, 108 * shade, 111 * shade)
    worn: Rgb = (117 * shade, 116 * shade, 117 * shade)
    grass = _grass(conditions.month)
    paving = _PAVING[rng.integers(len(_PAVING))]
    rural = conditions.district is District.OUTSKIRTS
    edge: Rgb = (126, 118, 98) if rural else paving
    beyond: Rgb = {
        District.CENTRE: paving,
        District.OLD_TOWN: paving,
        District.GARDENS: grass,
        District.HARBOUR: (136.0, 132.0, 126.0),
        District.OUTSKIRTS: grass,
    }[conditions.district]
    strip = grass if habit.verge > 0 or rural else paving
    kerb: Rgb = (122, 116, 100) if rural else _KERB
    bands = (
        Band(-1e9, beyond, 30.0 if beyond is grass else 14.0, beyond is not grass),
        Band(-left, edge if not rural else grass, 26.0 if rural else 12.0, not rural),
        Band(-half - 0.2 - habit.verge, strip, 26.0 if strip is grass else 12.0, strip is not grass),
        Band(-half - 0.2, kerb, 8.0, True),
        Band(-half, asphalt, 22.0, True),
        *(Band(u, tone, 22.0, True) for u, tone in _tracks(lane, asphalt, worn) if -half < u < half),
        Band(half, kerb, 8.0, True),
        Band(half + 0.2, strip, 26.0 if strip is grass else 12.0, strip is not grass),
        Band(half + 0.2 + habit.verge, edge if not rural else grass, 26.0 if rural else 12.0, not rural),
        Band(right, beyond, 30.0 if beyond is grass else 14.0, beyond is not grass),
    )
    return Street(
        half_width=half,
        lane=lane,
        kerb_left=-left,
        kerb_right=right,
        bands=bands,
        markings=_markings(rng, half, lane, rural),
        crossings=(float(rng.uniform(9.0, 40.0)),) if not rural and rng.random() < 0.22 else (),
        stains=tuple(
            (
                float(rng.uniform(-half, half)),
                float(rng.uniform(2.0, 40.0)),
                float(rng.uniform(0.2, 0.9)),
                float(rng.uniform(0.4, 3.0)),
                float(rng.uniform(0.05, 0.15)),
            )
            for _ in range(int(rng.integers(1, 5)))
        ),
    )


def _tracks(lane: float, asphalt: Rgb, worn: Rgb) -> list[tuple[float, Rgb]]:
    """Where tyres have polished the lanes."""
    tracks: list[tuple[float, Rgb]] = []
    for middle in (-1.5 * lane, -0.5 * lane, 0.5 * lane, 1.5 * lane):
        for wheel in (-0.75, 0.75):
            tracks += [(middle + wheel - 0.22, worn), (middle + wheel + 0.22, asphalt)]
    return tracks


def _grass(month: int) -> Rgb:
    if month in (12, 1, 2):
        return 112.0, 112.0, 78.0
    return (118.0, 116.0, 64.0) if month in (10, 11) else (92.0, 124.0, 62.0)


def _markings(rng: np.random.Generator, half: float, lane: float, rural: bool) -> tuple[Marking, ...]:
    lines = [
        Marking(0.0, 0.13) if rng.random() < 0.2 else Marking(0.0, 0.13, 3.0, float(rng.choice([3.0, 6.0])))
    ]
    if half > 6.0:
        lines = [
            Marking(-0.1, 0.11),
            Marking(0.1, 0.11),
            Marking(-lane, 0.12, 3.0, 6.0),
            Marking(lane, 0.12, 3.0, 6.0),
        ]
    if rural or half > 6.0:
        lines += [Marking(-half + 0.25, 0.13), Marking(half - 0.25, 0.13)]
    elif half > 5.0:
        lines += [Marking(-lane, 0.11, 1.0, 1.0), Marking(lane, 0.11, 1.0, 1.0)]
    return tuple(lines)
