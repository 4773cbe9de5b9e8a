"""`demur compare`: the methods compared, and the result as plain values."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from demur.output import run_console, write_json
from trainer.compare.config import CompareConfig
from trainer.compare.figures import COMPARED
from trainer.compare.run import ComparisonResult, compare


def compare_methods(config: CompareConfig, out: Path, *, as_json: bool) -> None:
    """Compare, print the result, and with `as_json` write it to standard output. Raises as `compare` does."""
    result = compare(config, out, run_console(as_json))
    if as_json:
        write_json(comparison_values(result, out))


def comparison_values(result: ComparisonResult, folder: Path) -> dict[str, Any]:
    """Figures of every seed, their means, and the differences to full training with 95 % intervals."""
    return {
        "folder": folder,
        "files": result.files,
        "methods": [
            {
                "method": one.method,
                "title": one.title,
                "seeds": [asdict(run) for run in one.runs],
                "mean": {name: one.mean(name) for name in COMPARED},
                "against_full": {name: asdict(found) for name, found in one.against_full.items()},
            }
            for one in result.summaries
        ],
    }
