"""What is left of the delta of a calibration split, said before a model is trained or scored for it."""

from __future__ import annotations

from collections.abc import Sequence

from calibration.errors import DeltaExhausted
from calibration.known_splits import USUAL_BUDGET, KnownCertificate, KnownSplits, SplitIdentity
from calibration.ledger import ROUNDING
from trainer.certify.account import open_account, spends_delta, together
from trainer.certify.user_ledger import labels_are_unlimited
from trainer.run.folder import RunFolder
from trainer.run.origin import Origin
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
    origin: Origin,
    *,
    seeds: str = "",
) -> str | None:
    """A sentence about the account of a calibration split, before the work for its certificate begins.

    `content`, `digest`: of the split's images, and of the split with its labels. `origin`: of the run; a run
    that repeats another one costs nothing. `seeds`: what another seed does to the split. Raises
    `DeltaExhausted` if the certificate would be refused in the end, and what `open_account` raises, so that
    nothing of the kind ends a run after its training.
    """
    if not spends_delta(promise):
        return None
    split = SplitIdentity.of(content, digest)
    known = open_account(run, split, digest, promise.delta).known
    held = known.holding(split)
    own = known.holding(split, origin.model)
    if not held and labels_are_unlimited():
        return None
    left = known.left(split, origin.model) if held else max(USUAL_BUDGET, promise.delta)
    if left >= promise.delta - ROUNDING:
        return (
            _room(len(own), left, promise.delta) if own or not held else _others(known, split, promise, seeds)
        )
    first = next((one for one in own if origin.made_by and one.made_by == origin.made_by), None)
    if first is not None:
        return (
            f"This run repeats {first.place}: if it computes the same scores, its certificate is the same "
            "and costs no delta"
        )
    spent = (
        f"{left:g} of delta {known.budget(split):g} is left for this model on the images of calibration "
        f"split {split.digest[:12]}, and this run asks for {promise.delta:g}: their labels have proven "
        f"{_listed(own)}"
    )
    if run.record.is_file():
        return f"{spent}; only the same certificates as before are free"
    raise DeltaExhausted(_refusal(spent, left))


def _room(certificates: int, left: float, delta: float) -> str:
    known = (
        f"{certificates} certificate(s) of this model have left delta {left:g} on the images of this "
        "calibration split"
        if certificates
        else f"No certificate is known on the images of this calibration split, which has delta {left:g}"
    )
    rest = left - delta
    if rest <= ROUNDING:
        after = ", after which no other promise of this model can be certified on these images"
    else:
        after = f" and leave {rest:g}" + (", too little for another one" if rest < delta - ROUNDING else "")
    return (
        f"{known}. This one will spend {delta:g}{after}. To try several settings, {TRY_FIRST}: what is "
        "certified first is certified best"
    )


def _others(known: KnownSplits, split: SplitIdentity, promise: PromiseConfig, seeds: str) -> str:
    held = known.holding(split)
    return (
        f"The labels of this calibration split have proven {len(held)} certificate(s) of other models, or on "
        f"other splits of its images: {_listed(held)}. This one will be certificate "
        f"{len(known.certificates(split)) + 1} of the split: it holds with {100 * (1 - promise.delta):g} % "
        "confidence by itself, and all together hold with "
        f"{together(known, split, promise.delta)}, which is what counts if you choose among them; the bundle "
        f"says so. {seeds}To try several settings without that price, {TRY_FIRST}. `demur ledger show` lists "
        "the account"
    )


def _listed(held: Sequence[KnownCertificate]) -> str:
    return "; ".join(f"{one.what}, delta {one.delta:g}, in {one.place} at {one.at}" for one in held)


def _refusal(spent: str, left: float) -> str:
    smaller = f"ask for a smaller share (--delta {left:g}); or " if left > ROUNDING else ""
    return (
        f"{spent}. A second certificate of one model would make its promises false too often, so it would "
        f"be refused after the work; nothing was begun. Ways out: {smaller}go on without a promise "
        "(--certificate none), for figures and to choose settings; or label new images, of which a "
        f"calibration split is drawn. Next time, before the first certificate, {TRY_FIRST}. "
        "`demur ledger show` lists the account"
    )
