"""The root of the errors of `deploy`, below `calibration.errors.DemurError`.

DeployError
├── GateUndecided      a gate has nothing that it could decide by
└── RenderingFailed    kubectl is absent, or refuses an overlay
"""

from __future__ import annotations

from calibration.errors import DemurError


class DeployError(DemurError):
    """Root of the errors of this package."""


class RenderingFailed(DeployError):
    """kubectl is absent, or refuses an overlay; the message says which and why."""


class GateUndecided(DeployError):
    """A gate has nothing that it could decide by; the message says what and the way out."""
