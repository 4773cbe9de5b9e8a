"""The Python interface: which names stand on which page. mkdocstrings reads their docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_CALIBRATION = """# Python: calibration

`import calibration` gives certificates, bounds, the decision rule and metrics on NumPy arrays: no file, no
network, no model. Every name below is `calibration.NAME`; the headings name the modules that hold them.
A [tutorial](../tutorials/python.md) certifies a first array.
"""
_CLIENT = """# Python: the client

`from demur.client import Client` talks to a running service; it needs nothing beyond Python itself.
A [tutorial](../tutorials/python.md) uses it. The results and errors are in `demur.client.client` as well.

::: demur.client.client.Client

## Results and errors

"""
_RESULTS = (
    *("Prediction", "Guarantee", "Problem", "Rolling", "Window", "ClassFigures", "Figure"),
    *("Series", "RewardWindow", "WaitingAudit"),
    *("ClientError", "Refused", "Unreachable", "DeadlinePassed"),
)


def calibration_page() -> str:
    """The public names, by module, in the order of `calibration/__init__.pyi`."""
    parts = [_CALIBRATION]
    for module, names in _public_names().items():
        parts.append(f"## {_title(module)}\n\n`calibration.{module}`\n")
        parts += [f"::: calibration.{module}.{name}\n" for name in names]
    return "\n".join(parts)


def client_page() -> str:
    return _CLIENT + "\n".join(f"::: demur.client.results.{name}\n" for name in _RESULTS)


def _public_names() -> dict[str, list[str]]:
    """Module of `calibration` -> its public names."""
    found: dict[str, list[str]] = {}
    for statement in ast.parse((ROOT / "calibration" / "__init__.pyi").read_text("utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            found.setdefault(statement.module, []).extend(alias.name for alias in statement.names)
    return found


def _title(module: str) -> str:
    """The first sentence of the module's docstring."""
    path = ROOT / "calibration" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or module
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")
