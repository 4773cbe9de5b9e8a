"""Software bill of materials of a bundle, in CycloneDX: what made it, and the models in it.

The same models on the same packages give the same bytes: it bears no time, and its serial number is derived
from its content.
"""

from __future__ import annotations

import json
from importlib.metadata import Distribution
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, uuid5

from packaging.utils import canonicalize_name

from bundle.draft import FileSource
from calibration.decision import STAGE_KEYS, STAGE_NAMES
from trainer.run.digests import file_digest
from trainer.run.folder import RunFolder
from trainer.run.packages import installed_packages
from trainer.run.record import RunRecord

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

SBOM_FILE: Final = "sbom.cdx.json"
"""Path of the bill of materials in a bundle"""


def bill_of_materials(record: RunRecord, run: RunFolder) -> dict[str, FileSource]:
    """The file by its path in the bundle: CycloneDX 1.6 as JSON, with the installed packages that demur
    needs and the models of the run. Needs the extra [sbom]."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    packages = [_package(one) for one in installed_packages()]
    about = Component(
        name=record.name, type=ComponentType.MACHINE_LEARNING_MODEL, description=record.task, bom_ref="bundle"
    )
    bom = Bom(components=[*packages, *_models(record, run)], metadata=BomMetaData(component=about))
    bom.register_dependency(about, packages)
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library fills in the present and a random number.
    del content["metadata"]["timestamp"], content["serialNumber"]
    text = json.dumps(content, sort_keys=True)
    content["serialNumber"] = uuid5(NAMESPACE_URL, text).urn
    return {SBOM_FILE: json.dumps(content, sort_keys=True, indent=1).encode() + b"\n"}


def _package(found: Distribution) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    name, field = canonicalize_name(found.name), "License-Expression"
    stated = found.metadata.get_all(field) or []
    return Component(
        name=name,
        version=found.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("pypi", None, name, found.version),
        bom_ref=f"pkg:pypi/{name}@{found.version}",
        licenses=[LicenseFactory().make_from_string(text) for text in stated[:1]],
    )


def _models(record: RunRecord, run: RunFolder) -> list[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            name=f"stage {STAGE_NAMES[index]}",
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"stage_{STAGE_NAMES[index].lower()}",
            description=f"{stage.parameters:,} parameters, ONNX at full precision",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file_digest(run.onnx(letter)))],
        )
        for index, (letter, stage) in enumerate(zip(STAGE_KEYS, record.stages, strict=False))
    ]
