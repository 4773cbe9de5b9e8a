"""Street scenes as a source."""

from __future__ import annotations

import pytest

from bundle.images.decode import decode
from trainer.data.config import DataConfig
from trainer.data.source import SourceNotFound, open_source
from trainer.scenes import SceneOptions


def test_scenes_are_rendered_with_labels_groups_and_metadata() -> None:
    progress: list[tuple[int, int]] = []
    source = open_source(
        DataConfig(source="scenes:sequences=6,frames=2,size=64"),
        processes=1,
        on_progress=lambda *step: progress.append(step),
    )
    assert progress[-1] == (12, 12)
    assert source.class_names == ("no roadwork", "roadwork")
    assert source.group_column == "sequence"
    assert source.groups is not None
    assert len(set(source.groups.tolist())) == 6
    assert {"weather", "hour", "frame"} <= set(source.metadata)
    assert decode(source.read(11)).shape == (64, 64, 3)
    assert source.notices == ()


def test_single_frames_stand_alone_and_the_seed_decides() -> None:
    options = SceneOptions(sequences=3, size=64, seed=1)
    source = open_source(DataConfig(source="scenes", scenes=options), processes=1)
    assert source.groups is None
    assert (
        source.digest()
        == open_source(DataConfig(source="scenes:sequences=3,size=64,seed=1"), processes=1).digest()
    )
    assert (
        source.digest()
        != open_source(DataConfig(source="scenes:seed=2", scenes=options), processes=1).digest()
    )


def test_unknown_options_are_refused_with_the_known_ones() -> None:
    with pytest.raises(
        SourceNotFound, match=r"scenes:frame=2 cannot .*frame: .*the options are sequences, frames"
    ):
        open_source(DataConfig(source="scenes:frame=2"))
    with pytest.raises(SourceNotFound, match="difficulty: Input should be less than or equal to 1"):
        open_source(DataConfig(source="scenes:difficulty=7"))
