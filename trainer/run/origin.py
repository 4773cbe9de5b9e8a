"""What made the scores of a run, as a digest that is known before there are any scores.

It tells that a run repeats another one, whose certificate then costs nothing, or certifies the same model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

from trainer.run.folder import RunFolder
from trainer.run.promise import PromiseConfig
from trainer.run.record import RunRecord, StageRecord, read_record


@dataclass(frozen=True, slots=True)
class Origin:
    """What made the scores of a run; both are empty for scores of unknown origin."""

    made_by: str = ""
    """With the promise that the run asks for"""
    model: str = ""
    """Without it: runs that differ in their promise alone certify one model"""

    @classmethod
    def of(
        cls, config: Mapping[str, Any], promise: PromiseConfig, stages: Sequence[StageRecord] = ()
    ) -> Self:
        """From a resolved configuration, the promise that is asked for, and the stages of a run."""
        is_given = bool(stages) and all(stage.epochs == 0 for stage in stages)
        # A model that was given stays the same however its images were read.
        bare = {} if is_given else {name: value for name, value in config.items() if name != "promise"}
        promised = {**config, "promise": promise.model_dump(mode="json")}
        return cls(_digest(promised, stages), _digest(bare, stages))


def origin_of(record: RunRecord) -> Origin:
    """The origin of a run."""
    return Origin.of(record.provenance.config, record.promise, record.stages)


def origin_of_run(run: RunFolder) -> Origin:
    """The origin of the run in a folder; unknown if it has no record."""
    return origin_of(read_record(run)) if run.record.is_file() else Origin()


def _digest(config: Mapping[str, Any], stages: Sequence[StageRecord]) -> str:
    """Digest of a resolved configuration and of the models that were not trained by it.

    The name of the bundle, the place of the images and the number of threads are left out: the first two
    change no score, and threads may be measured anew. `stages`: of a run; trained ones follow from the
    configuration.
    """
    values = {name: value for name, value in config.items() if name != "name"}
    for section, field in (("data", "source"), ("compute", "threads")):
        if isinstance(values.get(section), Mapping):
            values[section] = {name: value for name, value in values[section].items() if name != field}
    models = [
        (stage.digest, stage.preprocess.model_dump(mode="json"), stage.output)
        for stage in stages
        if stage.epochs == 0
    ]
    return hashlib.sha256(orjson.dumps([values, models], option=orjson.OPT_SORT_KEYS)).hexdigest()
