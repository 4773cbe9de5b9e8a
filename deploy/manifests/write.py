"""Write what is generated in k8s/: `python -m deploy.manifests.write`."""

from __future__ import annotations

from deploy.manifests.rendering import FOLDER, OVERLAYS, rendered
from deploy.manifests.rules import rules_text


def main() -> None:
    (FOLDER / "base" / "prometheus-rules.yaml").write_text(rules_text(), encoding="utf-8")
    for name in OVERLAYS:
        (FOLDER / "rendered" / f"{name}.yaml").write_text(rendered(name), encoding="utf-8")


if __name__ == "__main__":
    main()
