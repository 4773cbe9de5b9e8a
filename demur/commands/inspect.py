"""`demur inspect`: a bundle, or a file of certificates."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bundle.inspect import inspect_bundle, render_bundle, signature_of
from bundle.verify import verify_bundle
from calibration.certificate import Certificate, MalformedCertificate, read_certificates
from demur.output import write_json


def show_bundle(folder: Path, *, as_json: bool) -> None:
    """Verify a bundle and print its content. Raises BundleError."""
    if as_json:
        write_json(inspect_bundle(folder))
    else:
        render_bundle(verify_bundle(folder), Console(), signature_of(folder))


def show_certificates(file: Path, *, as_json: bool) -> None:
    """Print the certificates of a file. Raises MalformedCertificate, which names the file."""
    try:
        certificates = read_certificates(file.read_bytes())
    except MalformedCertificate as error:
        raise MalformedCertificate(
            f"{file} holds {error}; name the folder of a bundle, or a file of `demur calibrate --out`"
        ) from None
    if as_json:
        write_json({"file": file, "certificates": [_values(one) for one in certificates]})
        return
    for one in certificates:
        print(one.sentence())
        print(*_details(one), sep="\n")


def _values(certificate: Certificate) -> dict[str, object]:
    return {**certificate.to_dict(), "sentence": certificate.sentence()}


def _details(certificate: Certificate) -> list[str]:
    """What the sentence leaves out, one line each."""
    threshold = certificate.threshold
    stages = threshold if isinstance(threshold, tuple) else (threshold,)
    found = {
        "method": certificate.method,
        "population": certificate.population,
        "answers from a confidence of": ", ".join(f"{one:.6g}" for one in stages if one is not None) or None,
        "upper bound of the risk": certificate.risk_upper_bound,
        "lower bound of the coverage": certificate.coverage_lower_bound,
        "calibration split": certificate.split_digest,
        "scores by": certificate.engine,
    }
    return [f"  {name}: {value}" for name, value in found.items() if value is not None]
