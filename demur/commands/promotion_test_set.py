"""Test set of a promotion: the labelled images that a plan names, as `demur train --data` opens them."""

from __future__ import annotations

from bundle.extras import require_modules
from deploy.gates.labelled import LabelledImages
from deploy.gates.plan import RegressionGate


def open_test_set(gate: RegressionGate) -> LabelledImages:
    """The images of `gate.test_set`. Raises a DataError, and ExtraMissing without the extra [data]."""
    require_modules("promote with a test set", ("pyarrow", "scipy"))
    from trainer.data.config import DataConfig
    from trainer.data.source import open_source

    return open_source(
        DataConfig(source=gate.test_set or "", label_column=gate.label_column, group=gate.group)
    )
