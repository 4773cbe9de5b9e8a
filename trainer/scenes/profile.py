"""Streets by district: width, paving, markings and usual objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.scenes.conditions import Conditions, District
from trainer.scenes.light import Rgb, shaded
from trainer.scenes.world import Band, Marking, Stain, Street

_PAVING: tuple[Rgb, ...] = ((158, 154, 148), (146, 144, 142), (172, 160, 146))
_KERB: Rgb = (178, 176, 170)
_GRAVEL: Rgb = (122, 116, 100)
_CONCRETE: Rgb = (136, 132, 126)


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
    District.CENTRE: Habit(
        half_widths=(3.5, 5.4, 7.0),
        pavement=(2.4, 4.0),
        verge=0.0,
        setback=0.0,
        lamps=True,
        parked=0.55,
        people=3.0,
    ),
    District.OLD_TOWN: Habit(
        half_widths=(3.1, 3.5, 5.2),
        pavement=(1.6, 2.6),
        verge=0.0,
        setback=0.0,
        lamps=True,
        parked=0.45,
        people=2.2,
    ),
    District.GARDENS: Habit(
        half_widths=(3.1, 3.5, 5.2),
        pavement=(1.5, 2.0),
        verge=1.6,
        setback=4.5,
        lamps=True,
        parked=0.3,
        people=0.9,
    ),
    District.HARBOUR: Habit(
        half_widths=(3.7, 5.4, 7.0),
        pavement=(1.5, 2.4),
        verge=0.0,
        setback=3.5,
        lamps=True,
        parked=0.2,
        people=0.5,
    ),
    District.OUTSKIRTS: Habit(
        half_widths=(3.3, 3.7),
        pavement=(1.6, 2.4),
        verge=0.0,
        setback=30.0,
        lamps=False,
        parked=0.0,
        people=0.2,
    ),
}


def draw_street(rng: np.random.Generator, conditions: Conditions) -> Street:
    """The road's profile and its markings."""
    habit = HABITS[conditions.district]
    half = float(rng.choice(habit.half_widths))
    lane = 3.5 if half > 6.0 else min(half, 3.5)
    left, right = (half + habit.verge + float(rng.uniform(*habit.pavement)) for _ in range(2))
    return Street(
        half_width=half,
        lane=lane,
        kerb_left=-left,
        kerb_right=right,
        bands=_bands(rng, conditions, half, lane, left, right),
        markings=_markings(rng, half, lane, rural=conditions.district is District.OUTSKIRTS),
        crossings=_crossings(rng, conditions.district),
        stains=tuple(_stain(rng, half) for _ in range(int(rng.integers(1, 5)))),
    )


def _bands(
    rng: np.random.Generator, conditions: Conditions, half: float, lane: float, left: float, right: float
) -> tuple[Band, ...]:
    """The ground from left to right: land, pavement, verge, kerb, road, and the same back."""
    habit, district = HABITS[conditions.district], conditions.district
    shade = float(rng.uniform(0.82, 1.15))
    asphalt, worn = shaded((108, 108, 111), shade), shaded((117, 116, 117), shade)
    paving, grass = _PAVING[rng.integers(len(_PAVING))], _grass(conditions.month)
    rural = district is District.OUTSKIRTS
    walk = grass if rural else paving
    verge = grass if rural or habit.verge > 0.0 else paving
    land = {District.GARDENS: grass, District.OUTSKIRTS: grass, District.HARBOUR: _CONCRETE}.get(
        district, paving
    )

    def soft(lo: float, colour: Rgb) -> Band:
        return Band(lo, colour, 28.0 if colour is grass else 13.0, soaks=colour is not grass)

    def hard(lo: float, colour: Rgb, roughness: float) -> Band:
        return Band(lo, colour, roughness, soaks=True)

    kerb = _GRAVEL if rural else _KERB
    return (
        soft(-np.inf, land),
        soft(-left, walk),
        soft(-half - 0.2 - habit.verge, verge),
        hard(-half - 0.2, kerb, 8.0),
        hard(-half, asphalt, 22.0),
        *(hard(u, tone, 22.0) for u, tone in _tracks(lane, asphalt, worn) if -half < u < half),
        hard(half, kerb, 8.0),
        soft(half + 0.2, verge),
        soft(half + 0.2 + habit.verge, walk),
        soft(right, land),
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
    gap = float(rng.choice([0.0, 3.0, 3.0, 6.0, 6.0]))
    lines: list[Marking] = []
    if half > 6.0:
        lines += [Marking(-0.1, 0.11), Marking(0.1, 0.11)]
        lines += [Marking(side * lane, 0.12, dash=3.0, gap=6.0) for side in (-1, 1)]
    else:
        lines.append(Marking(0.0, 0.13, dash=3.0, gap=gap))
    if 5.0 < half <= 6.0:
        lines += [Marking(side * lane, 0.11, dash=1.0, gap=1.0) for side in (-1, 1)]
    if rural or half > 6.0:
        lines += [Marking(side * (half - 0.25), 0.13) for side in (-1, 1)]
    return tuple(lines)


def _crossings(rng: np.random.Generator, district: District) -> tuple[float, ...]:
    if district is District.OUTSKIRTS or rng.random() > 0.22:
        return ()
    return (float(rng.uniform(9.0, 40.0)),)


def _stain(rng: np.random.Generator, half: float) -> Stain:
    return Stain(
        u=float(rng.uniform(-half, half)),
        z=float(rng.uniform(2.0, 40.0)),
        half_width=float(rng.uniform(0.2, 0.9)),
        half_length=float(rng.uniform(0.4, 3.0)),
        shade=float(rng.uniform(0.05, 0.15)),
    )
