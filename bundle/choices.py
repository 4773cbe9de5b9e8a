"""Names that a user chooses from: each set is spelled here once, for manifest, settings and command line.

This file imports nothing but typing, so that `demur --help` is quick.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

EngineName = Literal["onnxruntime-cpu", "onnxruntime-cuda", "openvino"]
"""Inference engines, as certificates name them."""
PrecisionName = Literal["fp32", "int8", "bf16"]
"""Precisions at which engines compute; `bundle.engines.contract.PRECISIONS` says which engine at which."""
OutputKind = Literal["logits", "probabilities", "binary_logit", "binary_probability"]
"""Meaning of a model's output: `logits` [B, K]; `probabilities` [B, K] that sum to 1; `binary_logit` or
`binary_probability` of class 1, [B] or [B, 1]."""
ResizeMode = Literal["stretch", "crop"]
"""How an image is brought to the model's input size. `stretch`: the whole image, without its aspect ratio;
`crop`: the largest centred part that has the aspect ratio of the model's input."""

SignatureMode = Literal["off", "warn", "require"]
"""What is asked of a bundle's signature; see `bundle.signing.policy`."""

ENGINE_NAMES: Final[tuple[EngineName, ...]] = get_args(EngineName)
PRECISION_NAMES: Final[tuple[PrecisionName, ...]] = get_args(PrecisionName)
AUTO: Final = "auto"
"""In a request for an engine or a precision: chosen by certificates and timings."""
DEFAULT_TIME_LIMIT: Final = 60.0
"""Seconds for opening the models of a bundle and their first run, and again for its golden cases."""
