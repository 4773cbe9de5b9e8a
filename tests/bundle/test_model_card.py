"""The model card: purpose, classes, promise, picture, figures, use and limits, each where they belong."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import yaml
from fakes.tiny_bundle import tiny_draft

from bundle.draft import BundleDraft
from bundle.manifest import Provenance
from bundle.model_card import RISK_COVERAGE_PICTURE, model_card

FIGURES = {
    "images": 1200.0,
    "coverage": 0.75,
    "coverage_low": 0.725,
    "coverage_high": 0.774,
    "selective_error": 0.002,
    "selective_error_low": 0.0004,
    "selective_error_high": 0.0058,
    "answer_error_1": 0.003,
    "stage_a_share": 0.6,
    "forced_mcc": 0.91234,
    "stage_b_augrc": 0.0123,
    "stage_b_augrc_low": 0.01,
    "stage_b_augrc_high": 0.015,
    "stage_b_nll": 0.1,
}


def full_draft() -> BundleDraft:
    return replace(
        tiny_draft(),
        evaluation=FIGURES,
        extra={RISK_COVERAGE_PICTURE: b"png"},
        provenance=Provenance(source="parquet:streets", notices=("column 'drive' was not used",)),
    )


def section(card: str, heading: str) -> str:
    """The text below a heading, up to the next one."""
    return card.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_front_matter_is_that_of_hugging_face(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    _, front, _ = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "demur",
        "pipeline_tag": "image-classification",
        "tags": ["selective-classification", "abstention"],
    }


def test_name_purpose_and_classes_come_first() -> None:
    card = model_card(full_draft())
    opening = card.split("## ", 1)[0]
    assert "# tiny\n\nTell red images from blue ones.\n\nThis classifier answers an image only if" in opening
    assert "| 0 | blue |\n| 1 | red |" in opening


def test_the_promise_comes_before_the_figures_and_the_picture_follows_it() -> None:
    card = model_card(full_draft())
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == [
        "What it promises",
        "Figures on the test split",
        "How to use it",
        "Limits",
        "How it is built",
    ]
    promise = section(card, "What it promises")
    sentence = tiny_draft().certificates[0].certificate.sentence()
    assert promise.index(sentence) < promise.index(f"({RISK_COVERAGE_PICTURE})")
    assert "`onnxruntime-cpu/fp32`" in promise


def test_without_a_picture_the_card_has_no_broken_link(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", card) + re.findall(r"\]\(([^)#]+)\)", model_card(full_draft()))
    assert links == [RISK_COVERAGE_PICTURE]


def test_the_table_holds_the_main_figures_with_their_intervals_in_one_column() -> None:
    table = section(model_card(full_draft()), "Figures on the test split")
    assert "on 1,200 images" in table
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["Wrong among the answered images", "0.20 %", "0.04 % to 0.58 %"],
        ["Answered images (coverage)", "75.00 %", "72.50 % to 77.40 %"],
        ["Answers given by stage A", "60.00 %"],
        ["Wrong among the answers “red”", "0.30 %"],
        ["Matthews correlation if every image is answered", "0.9123"],
        ["AUGRC of stage B (smaller is better)", "0.0123", "0.0100 to 0.0150"],
    ]
    assert "`metrics/`" in table


def test_without_figures_the_section_is_left_out() -> None:
    assert "Figures" not in model_card(replace(tiny_draft(), evaluation={}))


def test_many_classes_have_no_row_each() -> None:
    figures = {f"answer_error_{label}": 0.0 for label in range(9)} | {"coverage": 0.5}
    names = tuple(f"class {label}" for label in range(9))
    card = model_card(replace(tiny_draft(), evaluation=figures, classes=names))
    assert "Wrong among the answers" not in card


def test_how_to_use_it() -> None:
    use = section(model_card(full_draft()), "How to use it")
    for command in ("demur verify", "demur serve --bundle", "demur predict --bundle", "curl --data-binary"):
        assert command in use
    (code,) = re.findall(r"```python\n(.*?)```", use, re.DOTALL)
    compile(code, "card", "exec")
    assert "from demur.client import Client" in code


def test_limits_state_population_engines_and_notices() -> None:
    limits = section(model_card(full_draft()), "Limits")
    assert "images drawn like those of the calibration split (parquet:streets)" in limits
    assert "hold on `onnxruntime-cpu/fp32`" in limits
    assert "column 'drive' was not used" in limits
    assert "in one class or subgroup more of them may be wrong" in limits
    grouped = tiny_draft().certificates[0]
    certificate = replace(grouped.certificate, population="random group, random frame")
    draft = replace(tiny_draft(), certificates=(grouped.model_copy(update={"certificate": certificate}),))
    assert "random frames of random groups drawn like" in section(model_card(draft), "Limits")


def test_a_bundle_without_a_promise_says_so() -> None:
    infeasible = model_card(tiny_draft(feasible=False))
    assert "No promise of at most 1 % wrong answers can be made" in section(infeasible, "What it promises")
    assert "No certificate allows an answer" in section(infeasible, "Limits")
    without = model_card(replace(tiny_draft(), certificates=()))
    assert "Nothing: no certificate was computed" in section(without, "What it promises")


def test_each_engine_has_its_promise() -> None:
    draft = tiny_draft(certified=("onnxruntime-cpu/fp32", "openvino/fp32"))
    promise = section(model_card(draft), "What it promises")
    assert "- `openvino/fp32`: With 95 % confidence" in promise


def test_a_class_name_does_not_break_the_table() -> None:
    card = model_card(replace(tiny_draft(), classes=("a | b", "c")))
    assert r"| 0 | a \| b |" in card
