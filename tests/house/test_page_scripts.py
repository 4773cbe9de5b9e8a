"""Scripts of a page are one text: a function that two of them declare is the last one's in both."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import service
from service.http.pages import SCRIPTS

FOLDER = Path(service.__file__).parent / "page"
DECLARED = re.compile(r"^(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)


@pytest.mark.parametrize("page", sorted(SCRIPTS))
def test_no_name_is_declared_twice(page: str) -> None:
    texts = [(FOLDER / script).read_text() for script in SCRIPTS[page]]
    names = Counter(name for text in texts for name in DECLARED.findall(text))
    assert len(names) > 5
    assert [name for name, times in names.items() if times > 1] == []
