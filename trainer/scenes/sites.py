"""Work sites: recipes that combine cones, barriers and machines as on real roads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainer.scenes import earthworks, machines, roadwork
from trainer.scenes.camera import View
from trainer.scenes.people import worker
from trainer.scenes.world import Item, Street


@dataclass(frozen=True, slots=True)
class Plot:
    """Where a site lies and how easily it is seen."""

    u: float
    """Middle of the closed strip"""
    half: float
    """Half its width, metres"""
    z: float
    """Its near end"""
    length: float
    inward: int
    """Direction towards the traffic, -1 or +1"""
    dirt: float
    """0 fresh colours, 1 faded"""
    sparse: bool
    """Only a few small things"""

    @property
    def edge(self) -> float:
        """u of the border towards the traffic."""
        return self.u + self.inward * self.half


_ASIDE = 5.2
"""Largest distance of a site to either side of the camera, metres"""
_FURTHER = 16
"""Largest distance that a site may move away to come into the picture, metres"""
Recipe = Callable[[np.random.Generator, Plot], list[Item]]


def draw_plot(rng: np.random.Generator, street: Street, view: View, hardness: float) -> Plot:
    """A place for a site; the harder, the farther, the smaller and the paler. `view` is the last one."""
    near = float(rng.uniform(6.0, 9.5))
    far = float(rng.uniform(20.0, 32.0))
    half = float(rng.uniform(0.9, 1.4))
    right = bool(rng.random() < 0.65)
    on_road = bool(rng.random() < 0.7)
    side = 1 if right else -1
    if on_road:
        u = side * (street.half_width - half - 0.1)
    else:
        kerb = street.kerb_right if right else street.kerb_left
        u = side * (street.half_width + 0.5 * max(1.6, abs(kerb) - street.half_width))
    # What lies farther to the side comes into the picture only far away.
    u = min(max(u, view.u - _ASIDE), view.u + _ASIDE)
    return Plot(
        u=u,
        half=half,
        z=_in_frame(view, u, half, near + (far - near) * hardness**2),
        length=float(rng.uniform(7.0, 14.0)),
        inward=-side,
        dirt=float(np.clip(hardness * rng.uniform(0.5, 1.2), 0.0, 1.0)),
        sparse=bool(rng.random() < 0.75 * hardness**1.5),
    )


def _in_frame(view: View, u: float, half: float, distance: float) -> float:
    """The distance, or the next one at which the picture takes in the width of the site."""
    for further in range(_FURTHER):
        left = view.point(u - half, 0.0, distance + further)[0]
        right = view.point(u + half, 0.0, distance + further)[0]
        if left > 0.06 * view.size and right < 0.94 * view.size:
            return distance + further
    return distance


def build_site(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """A site on this plot, one of the recipes."""
    recipes = SPARSE if plot.sparse else FULL
    return recipes[rng.integers(len(recipes))](rng, plot)


def _lane_closure(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """A taper of cones, then cones along the edge; something going on behind them."""
    outer = plot.u - plot.inward * plot.half
    items = [
        roadwork.cone(rng, outer + (plot.edge - outer) * k / 3, plot.z + 1.3 * k, plot.dirt) for k in range(3)
    ]
    spacing = float(rng.uniform(1.6, 2.4))
    z = plot.z + 4.0
    while z < plot.z + plot.length + 4.0:
        items.append(roadwork.cone(rng, plot.edge, z, plot.dirt))
        z += spacing
    if rng.random() < 0.5:
        items.append(machines.arrow_board(plot.u, plot.z + 4.5))
        items += _crew(rng, plot, plot.z + 8.0, 1)
    else:
        items.append(roadwork.roadwork_sign(rng, outer, plot.z + 1.0))
        items += _machine(rng, plot, plot.z + 6.5)
        items += _crew(rng, plot, plot.z + 5.0, 1)
    return items


def _trench_works(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """A long hole between planks, closed off at the near end."""
    items = [
        roadwork.barrier(rng, plot.u, plot.z, plot.dirt, width=2 * plot.half + 0.3),
        earthworks.trench(plot.u, plot.z + 1.2, 1.2 * plot.half, plot.length),
        roadwork.fence(plot.edge, plot.z + 0.6, plot.length, plot.dirt),
    ]
    items.append(
        earthworks.heap(rng, plot.u - plot.inward * (plot.half + 1.0), plot.z + float(rng.uniform(3.0, 6.0)))
    )
    if rng.random() < 0.6:
        items.append(machines.digger(rng, plot.u, plot.z + plot.length + 1.0))
    return items + _crew(rng, plot, plot.z + 2.5, int(rng.integers(1, 3)))


def _excavation(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """A digger at work behind barriers."""
    items = [
        roadwork.barrier(rng, plot.u, plot.z, plot.dirt),
        earthworks.trench(plot.u, plot.z + 1.5, 1.5 * plot.half, 3.0),
        *_machine(rng, plot, plot.z + 5.0),
        earthworks.heap(rng, plot.u - plot.inward * 1.5, plot.z + 2.4),
    ]
    items += [roadwork.cone(rng, plot.edge, plot.z + 2.0 * k, plot.dirt) for k in range(1, 4)]
    return items + _crew(rng, plot, plot.z + 2.2, int(rng.integers(0, 3)))


def _manhole(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """A small guarded hole with a person looking into it."""
    width = 1.5
    items = [
        roadwork.barrier(rng, plot.u, plot.z, plot.dirt, width=width),
        roadwork.barrier(rng, plot.u, plot.z + 2.0, plot.dirt, width=width, lamp=False),
        earthworks.trench(plot.u, plot.z + 0.6, 0.9, 0.9),
        roadwork.fence(plot.u + plot.inward * width / 2, plot.z + 0.1, 1.9, plot.dirt),
    ]
    items += [roadwork.cone(rng, plot.u + x, plot.z - 0.7, plot.dirt) for x in (-0.9, 0.9)]
    if rng.random() < 0.7:
        items.append(roadwork.roadwork_sign(rng, plot.u - plot.inward * 1.6, plot.z - 0.4))
    return items + _crew(rng, plot, plot.z + 1.0, 1)


def _beacon_line(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """Guide beacons or plastic blocks along the closed lane."""
    items: list[Item] = []
    if rng.random() < 0.55:
        lamp = bool(rng.random() < 0.6)
        items += [roadwork.beacon(plot.edge, plot.z + 2.2 * k, plot.dirt, lamp) for k in range(6)]
    else:
        items.append(roadwork.block(plot.edge, plot.z, 9.6, plot.dirt))
    items.append(roadwork.barrier(rng, plot.u, plot.z + 1.2, plot.dirt))
    items += _machine(rng, plot, plot.z + 7.0)
    return items + _crew(rng, plot, plot.z + 4.0, int(rng.integers(0, 2)))


def _few_cones(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """Three or four cones and a sign."""
    items = [
        roadwork.cone(rng, plot.edge + 0.3 * float(rng.normal()), plot.z + 1.8 * k, plot.dirt)
        for k in range(int(rng.integers(3, 5)))
    ]
    if rng.random() < 0.6:
        items.append(roadwork.roadwork_sign(rng, plot.u - plot.inward * (plot.half + 0.6), plot.z - 1.0))
    return items


def _lone_barrier(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """One barrier around a hole."""
    return [
        roadwork.barrier(rng, plot.u, plot.z, plot.dirt, width=1.6),
        earthworks.trench(plot.u, plot.z + 0.5, 0.8, 1.0),
    ]


def _announced(rng: np.random.Generator, plot: Plot) -> list[Item]:
    """A sign now, the site itself farther on."""
    items = [roadwork.roadwork_sign(rng, plot.u - plot.inward * (plot.half + 0.4), plot.z)]
    items += [roadwork.cone(rng, plot.edge, plot.z + 9.0 + 2.0 * k, plot.dirt) for k in range(3)]
    return items


def _machine(rng: np.random.Generator, plot: Plot, z: float) -> list[Item]:
    if rng.random() < 0.65:
        return [machines.digger(rng, plot.u, z)]
    return [machines.roller(rng, plot.u, z)] if rng.random() < 0.6 else []


def _crew(rng: np.random.Generator, plot: Plot, z: float, count: int) -> list[Item]:
    return [
        worker(rng, plot.u + float(rng.uniform(-0.8, 0.8)) * plot.half, z + float(rng.uniform(-0.4, 2.0)))
        for _ in range(count)
    ]


FULL: tuple[Recipe, ...] = (_lane_closure, _lane_closure, _trench_works, _excavation, _manhole, _beacon_line)
SPARSE: tuple[Recipe, ...] = (_few_cones, _lone_barrier, _announced)


ROADWORK_NAMES = frozenset(
    {
        "arrow board",
        "barrier",
        "digger",
        "guide beacon",
        "heap",
        "road roller",
        "roadwork sign",
        "traffic cone",
        "trench",
        "worker",
    }
)
"""Names in `Frame.objects` that belong to a work site"""
