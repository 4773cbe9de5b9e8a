"""`demur pretrain`: a backbone pretrained, and the result as plain values."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from demur.output import run_console, write_json
from trainer.pretrain.config import PretrainConfig
from trainer.pretrain.run import pretrain


def pretrain_backbone(config: PretrainConfig, out: Path, *, as_json: bool) -> None:
    """Pretrain, and with `as_json` write the result to standard output. Raises as `pretrain` does."""
    result = pretrain(config, out, run_console(as_json))
    if as_json:
        write_json(
            {
                "backbone": f"folder:{result.folder}",
                "family": result.family,
                "trained": asdict(result.share),
                "epochs": [asdict(epoch) for epoch in result.history],
            }
        )
