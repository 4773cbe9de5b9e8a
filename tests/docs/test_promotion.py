"""Blocks of docs/promotion.md, run from top to bottom as they stand, with two bundles that are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.fleet_bundles import write_fleet_bundle
from fakes.tiny_bundle import ANSWERED_BY_A, colour_image
from fakes.tutorial_reader import Reader, blocks_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "promotion.md"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Everything pasted."""
    if shutil.which("curl") is None:
        pytest.skip("the blocks use curl, which is not installed")
    reader = Reader(tmp_path_factory.mktemp("promotion"))
    for name, gain in (("first", 1.0), ("second", 1.1)):
        write_fleet_bundle(reader.folder / "runs" / name / "bundle", gain=gain)
    (reader.folder / "photo.jpg").write_bytes(colour_image(1, ANSWERED_BY_A, 7))
    try:
        for block in blocks_of(DOCUMENT):
            reader.paste(block)
        yield reader
    finally:
        reader.stop()


@pytest.mark.timeout(900)
def test_from_two_bundles_to_a_promotion_and_back(reader: Reader) -> None:
    said = reader.printed("demur promote runs/second/bundle")
    steps = ["gates is passed", "prepare is passed", "shadow is passed", "canary 25 % is passed"]
    places = [said.find(step) for step in (*steps, "canary 50 % is passed", "is promoted")]
    assert -1 not in places, said
    assert places == sorted(places)
    back = reader.printed("demur rollback")
    assert "1 of 1 services serve it" in back
    assert "champion    tiny:" in reader.printed("demur fleet")
