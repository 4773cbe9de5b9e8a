"""The root of the errors of `bundle`, below `calibration.errors.DemurError`.

    BundlePackageError
    ├── BundleError                       a bundle cannot be used; names the file in it
    │   ├── BundleMissing                 the folder holds no bundle
    │   ├── BundleTooNew                  written by a later schema version
    │   ├── BundleUnexpected              not the version that was expected
    │   ├── BundleTampered                not the bundle that was written, or contradicts itself
    │   ├── SignatureRefused              not signed, or not by a trusted key, or of other content
    │   ├── BundleExists                  something is in the place of a bundle to be written
    │   └── GoldenMismatch                a golden case does not give the expected outcome
    ├── EngineError (RuntimeError)
    │   ├── EngineUnavailable             the runtime, device or precision is not available here
    │   └── ModelUnfit                    the model's inputs or outputs are not those of a bundle stage
    │       └── ModelTimeout              the model does not finish in the time that it has
    ├── ModelRefused (ValueError)         the file is not an ONNX model that a bundle may hold
    ├── OutputUnfit (ValueError)          a model's output is not of the stated kind
    ├── ImageError (ValueError)           the bytes cannot become an image; see `bundle.images.errors`
    ├── RegistryError                     a registry does not give or take a bundle or a record; see
    │                                     `bundle.registry.errors`
    ├── ExtraMissing                      a module is needed that an extra of demur brings
    ├── KeyUnusable                       a file does not hold the key or certificates it is named for
    ├── NotSigned                         the bundle cannot be signed with these keys
    ├── LimitTooLow                       a limit of the system is too low for the libraries
    ├── NotIssued                         no certificate may be issued on this machine
    └── SubprocessLost (RuntimeError)     a process ended before its result was there

Each class is defined in the module that raises it; those of images in `bundle.images.errors`, those of the
registry in `bundle.registry.errors`.
"""

from __future__ import annotations

from calibration.errors import DemurError


class BundlePackageError(DemurError):
    """Root of the errors of `bundle`."""
