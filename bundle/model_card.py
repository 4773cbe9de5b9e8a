"""The model card of a bundle, README.md: promise, figures, use and limits, in Hugging Face form.

The card shows the figures that a reader decides by; all others are in `bundle.json` and `metrics/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bundle.draft import BundleDraft
from calibration.decision import STAGE_NAMES

RISK_COVERAGE_PICTURE: Final = "metrics/risk_coverage_curve.png"

_FRONT_MATTER: Final = """\
---
library_name: demur
pipeline_tag: image-classification
tags:
- selective-classification
- abstention
---"""

_PURPOSE: Final = (
    "This classifier answers an image only if a statistical certificate allows it. It abstains on every "
    "other image, which is then for a person to decide."
)

_USE: Final = """\
## How to use it

Check the bundle, and serve it:

```
demur verify DIR
demur serve --bundle DIR
```

Decide one image over HTTP:

```
curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict
```

The same in Python:

```python
from demur.client import Client

with Client("http://127.0.0.1:8000") as client:
    prediction = client.predict("photo.jpg")
    print(prediction.decision, prediction.label_name)
```

Decide a folder of images without a service:

```
demur predict --bundle DIR --data folder:IMAGES --out decisions.parquet
```

The decision is `answer`, with a label, or `abstain`, with a reason."""

_PERCENT_FIGURES: Final = {
    "selective_error": "Wrong among the answered images",
    "coverage": "Answered images (coverage)",
    "stage_a_share": "Answers given by stage A",
    "forced_accuracy": "Accuracy if every image is answered",
}
_PLAIN_FIGURES: Final = {"forced_mcc": "Matthews correlation if every image is answered"}
_MOST_CLASSES: Final = 5
"""Largest number of classes whose errors have a row each."""


def model_card(draft: BundleDraft) -> str:
    """README.md in Markdown with front matter."""
    sections = [
        _FRONT_MATTER,
        f"# {draft.name}",
        draft.task,
        _PURPOSE,
        _classes(draft.classes),
        "## What it promises\n\n" + _promises(draft),
    ]
    if RISK_COVERAGE_PICTURE in draft.extra:
        sections.append(
            f"![Risk against coverage on the test split]({RISK_COVERAGE_PICTURE})\n\n"
            "Error among the answered images for every share of images that could be answered; the mark is "
            "the certified policy."
        )
    figures = _figures(draft)
    if figures:
        sections.append("## Figures on the test split\n\n" + figures)
    sections += [_USE, "## Limits\n\n" + _limits(draft), "## How it is built\n\n" + _stages(draft)]
    return "\n\n".join(sections) + "\n"


def _classes(names: Sequence[str]) -> str:
    return _table(("label", "class"), [(str(label), _cell(name)) for label, name in enumerate(names)])


def _promises(draft: BundleDraft) -> str:
    if not draft.certificates:
        return "Nothing: no certificate was computed, so the classifier abstains on every image."
    first, *others = draft.certificates
    lines = [f"> **{first.certificate.sentence()}**", f"On `{first.key}`."]
    if others:
        further = "\n".join(f"- `{entry.key}`: {entry.certificate.sentence()}" for entry in others)
        lines.append("On further engines:\n\n" + further)
    if draft.provenance.notices:
        lines.append("The notices under [Limits](#limits) qualify the promise.")
    return "\n\n".join(lines)


def _figures(draft: BundleDraft) -> str:
    """The table of the main figures; empty if the draft has none of them."""
    figures = draft.evaluation
    rows = [
        (title, *_with_interval(figures, name, percent=True))
        for name, title in (_PERCENT_FIGURES | _class_errors(draft.classes)).items()
        if name in figures
    ]
    last = STAGE_NAMES[len(draft.stages) - 1]
    plain = _PLAIN_FIGURES | {f"stage_{last.lower()}_augrc": f"AUGRC of stage {last} (smaller is better)"}
    rows += [
        (title, *_with_interval(figures, name, percent=False))
        for name, title in plain.items()
        if name in figures
    ]
    if not rows:
        return ""
    images = f"{figures['images']:,.0f} images" if "images" in figures else "images"
    return (
        f"Measured once, on {images} that took no part in training, selection or calibration.\n\n"
        + _table(("figure", "value", "95 % interval"), rows)
        + "\n\nAll further figures are in `bundle.json` and `metrics/`."
    )


def _class_errors(classes: Sequence[str]) -> dict[str, str]:
    if len(classes) > _MOST_CLASSES:
        return {}
    return {
        f"answer_error_{label}": f"Wrong among the answers “{_cell(name)}”"
        for label, name in enumerate(classes)
    }


def _with_interval(figures: Mapping[str, float], name: str, *, percent: bool) -> tuple[str, str]:
    """(value, interval) of a figure as text; the interval is empty if it was not computed."""

    def text(value: float) -> str:
        return f"{100 * value:.2f} %" if percent else f"{value:.4f}"

    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    interval = "" if low is None or high is None else f"{text(low)} to {text(high)}"
    return text(figures[name]), interval


def _limits(draft: BundleDraft) -> str:
    lines = [
        f"- **Images.** {_population(draft)}",
        f"- **Engines.** {_engines(draft)}",
        "- **Not promised:** that a single answer is right; that the same share of images is answered "
        "elsewhere; anything about images made to deceive it. An abstention is no statement about the "
        "image's label.",
    ]
    if any(entry.certificate.feasible and entry.certificate.each is None for entry in draft.certificates):
        lines.append(
            "- **Classes and subgroups.** The promise holds over all answers together; in one class or "
            "subgroup more of them may be wrong."
        )
    lines += [f"- **Notice.** {notice}" for notice in draft.provenance.notices]
    return "\n".join(lines)


def _population(draft: BundleDraft) -> str:
    certificate = draft.certificates[0].certificate if draft.certificates else None
    grouped = certificate is not None and certificate.population != "image"
    drawn = "random frames of random groups" if grouped else "images"
    source = f" ({draft.provenance.source})" if draft.provenance.source else ""
    doubt = "" if certificate is None or certificate.doubt is None else f" {certificate.doubt}"
    shares = "" if certificate is None else certificate.as_long_as()
    mixed = f" whose classes may be mixed otherwise,{shares}" if shares else ""
    return (
        f"The promise is about {drawn} drawn like those of the calibration split{source}{mixed}. It does "
        f"not carry over to other cameras, places, seasons or selections of images.{doubt}"
    )


def _engines(draft: BundleDraft) -> str:
    feasible = [entry.key for entry in draft.certificates if entry.certificate.feasible]
    if not feasible:
        return "No certificate allows an answer on any engine."
    keys = ", ".join(f"`{key}`" for key in feasible)
    return f"The certificates hold on {keys}. On every other engine or precision it abstains on every image."


def _stages(draft: BundleDraft) -> str:
    rows = [
        (
            name,
            f"{stage.preprocess.height} x {stage.preprocess.width}",
            f"{stage.parameters:,}",
            f"{stage.macs / 1e6:,.1f}",
        )
        for name, stage in zip(STAGE_NAMES, draft.stages, strict=False)
    ]
    return _table(("stage", "input", "parameters", "million MACs per image"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", r"\|")
