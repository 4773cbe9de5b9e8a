"""No public function of calibration takes more than seven parameters or a catch-all of keywords."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import calibration

MOST_PARAMETERS = 7
EXCEPTIONS = {"e_detector.py: e_detector": 8}
"""The stream, the promise, how images were audited (three) and the bets (three); one name per symbol of the
formula reads better than values that hold two of them each."""


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for file in Path(calibration.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield f"{file.name}: {node.name}", node


def test_no_function_takes_more_than_seven_parameters() -> None:
    seen = 0
    for name, node in functions():
        arguments = node.args
        count = len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])
        assert count + (arguments.vararg is not None) <= EXCEPTIONS.get(name, MOST_PARAMETERS), name
        seen += 1
    assert seen > 200


def test_no_function_takes_arbitrary_keywords() -> None:
    for name, node in functions():
        assert node.args.kwarg is None, name
