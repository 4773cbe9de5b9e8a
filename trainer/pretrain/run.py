"""`demur pretrain`: from images to a backbone folder; `pretrain` reads from top to bottom."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bundle.images.preprocess import PreprocessSpec
from trainer.data.images import ImageSource
from trainer.data.opening import open_data
from trainer.data.pixels import typical_size
from trainer.fit.batches import Normaliser
from trainer.fit.checkpoint import Checkpoint
from trainer.fit.device import computing, placed
from trainer.fit.gradient_accumulation import explain_out_of_memory
from trainer.fit.threads import numbers_of, several_numbers
from trainer.models.backbones import (
    FAMILIES,
    TransformerBackbone,
    TransformerConfig,
    build_transformer,
    family_of,
)
from trainer.models.normalisation import IMAGENET, MeanStd
from trainer.models.pretrained import WeightFolder, open_weights
from trainer.models.registry import SMALLEST_IMAGE
from trainer.planning.pretrained_recipe import DEFAULT_SIZE
from trainer.planning.recipe import input_size
from trainer.pretrain.autoencoder import MaskedAutoencoder
from trainer.pretrain.config import PretrainConfig
from trainer.pretrain.decoder import DecoderConfig, build_decoder, load_decoder
from trainer.pretrain.explora import TrainedShare, explore, trained_share
from trainer.pretrain.images import UnlabelledPixels, unlabelled_images
from trainer.pretrain.loop import (
    PretrainCallbacks,
    PretrainEpoch,
    PretrainFit,
    PretrainProgress,
    fit_autoencoder,
)
from trainer.pretrain.pictures import draw_loss, draw_reconstructions
from trainer.pretrain.weights import save_backbone
from trainer.run.console import RunConsole
from trainer.run.folder import write_csv, write_json, write_yaml
from trainer.run.lock import locked
from trainer.run.log import RUN_LOG

OWN_FOLDER = "pretraining"
"""Subfolder of the backbone with configuration, metrics, pictures and the state to resume from"""


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """Result of a pretraining; the folder holds all of it as well."""

    folder: Path
    """As `folder:PATH`, it names a backbone"""
    family: str
    share: TrainedShare
    history: tuple[PretrainEpoch, ...]


@dataclass(frozen=True, slots=True)
class _Start:
    """A model before its first step."""

    family: str
    origin: str
    """Name of the pretrained weights, or `random weights`"""
    own: MeanStd
    """Normalisation of the network's own input"""
    model: MaskedAutoencoder
    decoder: DecoderConfig
    share: TrainedShare
    digest: str
    """sha256 of all weights before the first step"""


def pretrain(config: PretrainConfig, out: Path, console: RunConsole) -> PretrainResult:
    """Train a masked autoencoder and write its backbone to `out`.

    A second call in the same folder resumes an interrupted run. Raises `BackboneError` before any image is
    read if the weights cannot be found.
    """
    with locked(out), console.logged_to(out / OWN_FOLDER / RUN_LOG):
        return _pretrain(config, out, console)


def _pretrain(config: PretrainConfig, out: Path, console: RunConsole) -> PretrainResult:
    config = config.model_copy(update={"compute": config.compute.resolved()})
    weights = None if config.from_scratch else open_weights(config.backbone)
    console.heading("Data")
    source = open_data(config.data, console)
    size = _image_size(config, weights, source)
    own_folder = out / OWN_FOLDER
    images = unlabelled_images(config, source, size, own_folder / "pixels", console)
    console.note(
        f"{len(images.train):,} images to learn from and {len(images.held_out):,} held out, {size} px, "
        f"labels unread: "
        + ("the training split of a later run" if images.rows == "train" else "all images of the source")
    )

    console.heading("Masked autoencoder")
    start = _start(config, weights, size)
    console.note(start.share.sentence())
    write_yaml(own_folder / "config.yaml", config.model_dump(mode="json"))
    spec = PreprocessSpec(height=size, width=size)
    fitted = _train(start, images, spec, config, own_folder, console)
    config = config.model_copy(update={"compute": config.compute.with_threads(numbers_of(fitted.threads))})
    write_yaml(own_folder / "config.yaml", config.model_dump(mode="json"))

    backbone = start.model.backbone
    if backbone.has_adapter:
        backbone.merge_adapter()
    save_backbone(out, backbone.net, start.own, start.model.decoder, start.decoder, images.seen)
    _report(start, images, spec, config, fitted, own_folder)
    first, last = fitted.history[0], fitted.history[-1]
    console.note(f"Held-out loss {first.held_out_loss:.4f} -> {last.held_out_loss:.4f}")
    if note := several_numbers("Pretraining", numbers_of(fitted.threads)):
        console.note(note)
    console.note(f"Backbone: folder:{out}")
    return PretrainResult(out, start.family, start.share, fitted.history)


def _image_size(config: PretrainConfig, weights: WeightFolder | None, source: ImageSource) -> int:
    if config.image_size is not None:
        return config.image_size
    if weights is None:
        suited = input_size(max(min(typical_size(source)), SMALLEST_IMAGE))
        # The default patch is an eighth of this.
        return suited // 8 * 8
    return weights.side("image_size", DEFAULT_SIZE)


def _start(config: PretrainConfig, weights: WeightFolder | None, size: int) -> _Start:
    """Backbone and decoder; one seed gives one result, and torch's random state does not change."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        family, backbone, own = _backbone(config, weights, size)
        net: Any = backbone.net
        patch = int(net.config.patch_size)
        shape = {"hidden_size": int(net.config.hidden_size), "patch_size": patch, "image_size": size}
        found = None if weights is None else load_decoder(weights, **shape)
        decoder, decoder_config = found or (build_decoder(config.decoder, **shape), config.decoder)
        digest = _weights_digest(backbone.net, decoder)
        if weights is not None:
            backbone.net = explore(backbone.net, config.explora)
    share = trained_share(backbone.net)
    model = MaskedAutoencoder(backbone, decoder, patch_size=patch, normalise_patches=config.normalise_patches)
    origin = "random weights" if weights is None else weights.name
    return _Start(family, origin, own, model, decoder_config, share, digest)


def _backbone(
    config: PretrainConfig, weights: WeightFolder | None, size: int
) -> tuple[str, TransformerBackbone, MeanStd]:
    """(family, network, normalisation of its own input)"""
    if weights is None:
        patch = config.shape.patch_size or min(16, max(2, size // 8))
        shape = config.shape.model_copy(update={"patch_size": patch})
        backbone = build_transformer(config.backbone, TransformerConfig(**shape.model_dump()), size)
        _set_sinusoidal_positions(backbone.net)
        return config.backbone, backbone, IMAGENET
    family = family_of(weights)
    backbone = build_transformer(family, TransformerConfig(weights=weights.source), size, weights)
    return family, backbone, weights.mean_std() or FAMILIES[family].normalisation


def _set_sinusoidal_positions(net: Any) -> None:
    """Start learned positions as sines and cosines, so that neighbourhood need not be learned first."""
    from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

    positions = getattr(net.embeddings, "position_embeddings", None)
    if positions is None:
        return
    side = round((positions.shape[1] - 1) ** 0.5)
    sinusoids = build_2d_sinusoidal_position_embedding(
        height=side, width=side, embed_dim=positions.shape[2], cls_token=True
    )
    with torch.no_grad():
        positions.copy_(sinusoids.unsqueeze(0))


def _weights_digest(*modules: nn.Module) -> str:
    whole = hashlib.sha256()
    for module in modules:
        for name, tensor in module.state_dict().items():
            whole.update(name.encode())
            whole.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def _train(
    start: _Start,
    images: UnlabelledPixels,
    spec: PreprocessSpec,
    config: PretrainConfig,
    own_folder: Path,
    console: RunConsole,
) -> PretrainFit:
    # A checkpoint of the same run agrees in these fields; the place of the data does not matter, and a
    # resumed run keeps its number of threads.
    left_out = {"data": True, "rows": True, "backbone": True, "splits": True, "promise": True}
    same = config.model_dump(mode="json", exclude={**left_out, "compute": {"threads"}})
    fingerprint = {"configuration": same, "weights": start.digest, "images": images.digest()}
    with (
        explain_out_of_memory("pretraining"),
        computing(config.compute) as device,
        placed(device, start.model),
        console.bar("Pretraining", config.epochs * len(images.train)) as bar,
    ):

        def show(progress: PretrainProgress) -> None:
            title = f"Pretraining, epoch {progress.epoch} of {config.epochs}"
            bar.at(progress.step * config.batch_size, progress.steps * config.batch_size, title)

        def print_epoch(epoch: PretrainEpoch) -> None:
            if epoch.epoch == 1 or epoch.epoch % max(1, config.epochs // 10) == 0:
                console.note(
                    f"epoch {epoch.epoch}: loss {epoch.train_loss:.4f}, held out {epoch.held_out_loss:.4f}"
                )

        result = fit_autoencoder(
            start.model,
            images,
            (spec.mean, spec.std),
            config,
            device,
            checkpoint=Checkpoint(own_folder / "training.safetensors", fingerprint),
            callbacks=PretrainCallbacks(on_step=show, on_epoch=print_epoch, on_note=console.warn),
        )
        bar.finish()
    return result


def _report(
    start: _Start,
    images: UnlabelledPixels,
    spec: PreprocessSpec,
    config: PretrainConfig,
    fitted: PretrainFit,
    own_folder: Path,
) -> None:
    """metrics.csv, pretraining.json and both pictures."""
    history = fitted.history
    rows = [epoch.row() for epoch in history]
    write_csv(own_folder / "metrics.csv", list(rows[0]), [list(row.values()) for row in rows])
    write_json(
        own_folder / "pretraining.json",
        {
            "family": start.family,
            "started_from": start.origin,
            "trained": start.share.trained,
            "parameters": start.share.parameters,
            "trained_share": start.share.share,
            "rows": images.rows,
            "images": len(images.train),
            "held_out": len(images.held_out),
            "image_size": spec.height,
            "seconds": fitted.seconds,
            "threads": [asdict(change) for change in fitted.threads],
            "train_loss": history[-1].train_loss,
            "held_out_loss": history[-1].held_out_loss,
        },
    )
    origin = start.origin if config.from_scratch else f"ExPLoRA from {start.origin}"
    draw_loss(
        history, own_folder / "loss_curve.png", f"{start.family}, {origin}: {len(images.train):,} images"
    )
    draw_reconstructions(
        start.model,
        images.held_out,
        Normaliser.from_mean_std((spec.mean, spec.std)),
        config.hidden_share,
        own_folder / "reconstructions.png",
    )
