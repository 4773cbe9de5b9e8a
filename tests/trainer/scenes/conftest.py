from __future__ import annotations

import pytest

from trainer.scenes import Frame, SceneOptions, render


@pytest.fixture(scope="session")
def scenes() -> list[Frame]:
    """A few hundred small single frames, both labels."""
    return render(SceneOptions(sequences=300, seed=5, size=64), processes=1)
