"""What is left of the delta of a calibration split, said before a model is trained or scored for it."""

from __future__ import annotations

from collections.abc import Sequence

from calibration.errors import DeltaExhausted
from calibration.known_splits import USUAL_BUDGET, KnownCertificate, KnownSplits, SplitIdentity
from calibration.ledger import ROUNDING
from trainer.certify.account import open_account, spends_delta
from trainer.certify.user_ledger import labels_are_unlimited
from trainer.run.folder import RunFolder
from trainer.run.promise import PromiseConfig

OTHER_SEEDS = (
    "(Another --seed trains another model on the same split; another --split-seed draws a split that shares "
    "most of its images with it.) "
)
"""What seeds of a training do to its split"""
TRY_FIRST = (
    "give each `--certificate none`, which reads no calibration label, and certify the one that you choose "
    "by `demur calibrate RUN --certificate exact`"
)


def outlook(
    content: Sequence[str],
    digest: str,
    promise: PromiseConfig,
    run: RunFolder,
    origin: str,
    *,
    seeds: str = "",
) -> str | None:
    """A sentence about the account of a calibration split, before the work for its certificate begins.

    `content`, `digest`: of the split's images, and of the split with its labels. `origin`: of the run, see
    `trainer.run.origin`; a run that repeats another one costs nothing. `seeds`: what another seed does to the
    split, for the refusal. Raises `DeltaExhausted` if the certificate would be refused in the end, and what
    `open_account` raises, so that nothing of the kind ends a run after its training.
    """
    if not spends_delta(promise):
        return None
    split = SplitIdentity.of(content, digest)
    known = open_account(run, split, digest, promise.delta).known
    held = [one for one in known.certificates(split) if not one.withdrawn and one.delta > 0]
    left = known.left(split) if held else max(USUAL_BUDGET, promise.delta)
    if left >= promise.delta - ROUNDING:
        return None if labels_are_unlimited() else _room(held, left, promise.delta)
    first = next((one for one in held if origin and one.made_by == origin), None)
    if first is not None:
        return (
            f"This run repeats {first.place}: if it computes the same scores, its certificate is the same "
            "and costs no delta"
        )
    if run.record.is_file():
        return f"{_spent(known, split, held, promise)}; only the same certificates as before are free"
    raise DeltaExhausted(_refusal(known, split, held, promise, seeds))


def _room(held: Sequence[KnownCertificate], left: float, delta: float) -> str:
    known = (
        f"{len(held)} certificate(s) on the images of this calibration split have left delta {left:g}"
        if held
        else f"No certificate is known on the images of this calibration split, which has delta {left:g}"
    )
    rest = left - delta
    if rest <= ROUNDING:
        after = ", after which no other model can be certified on these images"
    else:
        after = f" and leave {rest:g}" + (", too little for another one" if rest < delta - ROUNDING else "")
    return (
        f"{known}. This one will spend {delta:g}{after}. To try several settings, {TRY_FIRST}; or give each "
        f"a share (--delta {left / 4:g} for four)"
    )


def _spent(
    known: KnownSplits, split: SplitIdentity, held: Sequence[KnownCertificate], promise: PromiseConfig
) -> str:
    earlier = "; ".join(f"{one.what}, delta {one.delta:g}, in {one.place} at {one.at}" for one in held)
    return (
        f"{known.left(split):g} of delta {known.budget(split):g} is left on the images of calibration split "
        f"{split.digest[:12]}, and this run asks for {promise.delta:g}: their labels have proven {earlier}"
    )


def _refusal(
    known: KnownSplits,
    split: SplitIdentity,
    held: Sequence[KnownCertificate],
    promise: PromiseConfig,
    seeds: str,
) -> str:
    left = known.left(split)
    smaller = f"ask for a smaller share (--delta {left:g}); or " if left > ROUNDING else ""
    return (
        f"{_spent(known, split, held, promise)}. A second certificate would make the promise of both false "
        f"too often, so it would be refused after the work; nothing was begun. {seeds}Ways out: "
        f"{smaller}go on without a promise (--certificate none), for figures and to choose settings; or "
        f"label new images, of which a calibration split is drawn. Next time, before the first certificate, "
        f"{TRY_FIRST}. `demur ledger show` lists the account"
    )
