"""Records of a fleet: aliases, and what one version reads of another's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.generations import challenger, change, generation, promotion, ref

from bundle.registry.errors import RegistryDamaged, RegistryTooNew
from bundle.registry.generation import Approval, Generation

FULL = generation(
    7,
    former=(ref("b"), ref("c")),
    challengers=(challenger("d", 0.25), challenger("e")),
    experiment={"name": "x", "arms": [1, 2]},
    next=ref("f"),
    promotion=promotion(
        ref("f"), results=({"gate": "risk", "limit": 0.01},), approval=Approval(3.0, "Ada", "looks good")
    ),
)


def test_a_record_reads_back_from_its_text() -> None:
    assert Generation.from_values(json.loads(json.dumps(FULL.to_values()))) == FULL


def test_aliases_are_read_off_the_record() -> None:
    assert FULL.aliases() == {
        "champion": ref("a"),
        "previous": ref("c"),
        "challenger-name-d": ref("d"),
        "challenger-name-e": ref("e"),
    }
    assert generation(champion=None).aliases() == {}


def test_a_record_names_every_bundle_that_it_holds() -> None:
    assert set(FULL.bundles()) == {ref(letter) for letter in "abcdef"}


def test_fields_of_a_later_version_are_left_out_at_every_level() -> None:
    values = FULL.to_values()
    values["colour"] = 1
    values["champion"]["colour"] = 1
    values["challengers"][0]["colour"] = 1
    values["promotion"]["colour"] = 1
    assert Generation.from_values(values) == FULL


def test_fields_that_an_earlier_version_did_not_write_have_their_default() -> None:
    values = generation().to_values()
    for name in ("format", "former", "challengers", "experiment", "next", "promotion"):
        del values[name]
    assert Generation.from_values(values) == generation()


def test_a_later_format_is_refused_by_name() -> None:
    with pytest.raises(RegistryTooNew, match=r"generation 4 has format 2, and this demur reads format 1"):
        Generation.from_values({**FULL.to_values(), "format": 2}, "generation 4")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", 0),
        ("number", -3),
        ("number", 10**12),
        ("number", None),
        ("champion", {"digest": "A" * 64, "label": "scenes:" + "a" * 16}),
        ("champion", {"digest": "../../etc/passwd", "label": "scenes:" + "a" * 16}),
        ("champion", {"digest": "a" * 64, "label": "scenes"}),
        ("champion", "scenes"),
        ("change", {"at": "yesterday", "by": "x", "reason": ""}),
        ("change", {"at": float("nan"), "by": "x", "reason": ""}),
        ("change", {"at": 1.0, "by": "", "reason": ""}),
        ("change", {"at": 1.0, "by": "x\x1b[2J", "reason": ""}),
        ("former", [1]),
        ("challengers", [{"name": "../x", "bundle": None, "share": 0.1}]),
        ("experiment", [1, 2]),
    ],
)
def test_a_damaged_record_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(RegistryDamaged, match=rf"generation 4: {field}"):
        Generation.from_values({**FULL.to_values(), field: value}, "generation 4")


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_no_object_is_damaged(values: Any) -> None:
    with pytest.raises(RegistryDamaged, match="is no JSON object"):
        Generation.from_values(values)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_is_above_0_and_at_most_1(share: float) -> None:
    with pytest.raises(RegistryDamaged, match="share"):
        Generation.from_values(generation(challengers=(challenger("d", share),)).to_values())


def test_shares_sum_to_1_at_most() -> None:
    whole = generation(challengers=(challenger("d", 0.5), challenger("e", 0.5)))
    assert Generation.from_values(whole.to_values()) == whole
    with pytest.raises(RegistryDamaged, match=r"sum to 1\.2"):
        Generation.from_values(
            generation(challengers=(challenger("d", 0.6), challenger("e", 0.6))).to_values()
        )


def test_a_name_of_a_challenger_occurs_once() -> None:
    with pytest.raises(RegistryDamaged, match="each may occur once"):
        Generation.from_values(
            generation(challengers=(challenger("d"), challenger("d")), change=change()).to_values()
        )
