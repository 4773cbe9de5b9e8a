"""A work site stays visible while others find their places."""

from __future__ import annotations

from trainer.scenes.camera import View
from trainer.scenes.canvas import Canvas
from trainer.scenes.sightline import Sightline
from trainer.scenes.world import Item

VIEW = View(size=224, focal=224.0, centre=112.0, horizon=100.0, height=1.5, u=0.0, z=0.0, bend=0.0)


def _paint(canvas: Canvas, u: float, z: float) -> None:
    """These items are never painted."""


def _item(u: float, z: float, width: float, height: float = 2.0) -> Item:
    return Item("thing", u, z, width, 0.5, height, _paint)


def test_an_object_that_hides_the_site_is_refused_unless_low_or_behind() -> None:
    site = [_item(0.0, 20.0, 4.0)]
    assert not Sightline(site, VIEW).admits(_item(0.0, 10.0, 2.0))
    assert Sightline(site, VIEW).admits(_item(0.0, 10.0, 2.0, height=1.0))
    assert Sightline(site, VIEW).admits(_item(0.0, 25.0, 2.0))
    assert Sightline(site, VIEW).admits(_item(3.0, 10.0, 2.0))


def test_several_may_not_hide_together_what_each_may_hide_in_part() -> None:
    sightline = Sightline([_item(0.0, 20.0, 4.0)], VIEW)
    assert sightline.admits(_item(-0.7, 10.0, 0.4))
    assert not sightline.admits(_item(0.7, 10.0, 0.4))
    assert sightline.admits(_item(5.0, 10.0, 0.4))


def test_without_a_site_anybody_may_stand_anywhere() -> None:
    assert Sightline([], VIEW).admits(_item(0.0, 5.0, 3.0))
