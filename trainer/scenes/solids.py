"""Upright boxes in perspective, from which bigger things are built."""

from __future__ import annotations

from trainer.scenes.camera import NEAR
from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Face, Rgb


def box(
    canvas: Canvas,
    across: tuple[float, float],
    up: tuple[float, float],
    along: tuple[float, float],
    colour: Rgb,
    top: Rgb | None = None,
) -> None:
    """The faces of an upright box that the camera can see."""
    (u0, u1), (y0, y1), (z0, z1) = across, up, along
    z0 = max(z0, canvas.view.z + NEAR)
    if z1 <= z0:
        return
    if y1 < canvas.view.height:
        canvas.polygon([(u0, y1, z0), (u1, y1, z0), (u1, y1, z1), (u0, y1, z1)], top or colour, Face.TOP)
    depth0, depth1 = z0 - canvas.view.z, z1 - canvas.view.z
    bend = canvas.view.bend
    for u, face in ((u0, Face.LEFT), (u1, Face.RIGHT)):
        x0, x1 = u - canvas.view.u + bend * depth0**2, u - canvas.view.u + bend * depth1**2
        leans_right = x0 / depth0 > x1 / depth1
        if leans_right == (face is Face.LEFT):
            canvas.polygon([(u, y0, z0), (u, y0, z1), (u, y1, z1), (u, y1, z0)], colour, face)
    canvas.polygon([(u0, y0, z0), (u1, y0, z0), (u1, y1, z0), (u0, y1, z0)], colour, Face.FRONT)
