"""The list of decisions, from the titles in docs/adr/."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "adr"


def page() -> str:
    rows = [
        f"| [{number}]({path.name}) | {title} |"
        for path in sorted(FOLDER.glob("0*.md"))
        for number, _, title in [
            path.read_text("utf-8").partition("\n")[0].removeprefix("# ").partition(". ")
        ]
    ]
    lines = [
        "# Decisions",
        "",
        "What someone will question: the decision, why, its price, and what was tried.",
        "",
        "| | decision |",
        "|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"
