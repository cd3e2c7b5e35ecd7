"""A nucleus model from annotated pictures: pictures and labels in, a bundle with its card out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.errors import DeviceError, UsageError
from napari_aln.mil.bundle_file import refuse_foreign_bundle
from napari_aln.nuclei.agreement import agreement, pooled
from napari_aln.nuclei.bundle import (
    Figures,
    NucleusBundle,
    NucleusCard,
    NucleusTraining,
    Source,
    save_nucleus_bundle,
)
from napari_aln.nuclei.labelled_folder import read_labelled
from napari_aln.records import Progress
from napari_aln.runtimes.choice import choose
from napari_aln.settings.engine import EngineSettings
from napari_aln.store.atomic import check_writable
from napari_aln.store.cohort_run import now
from napari_aln.store.machine import machine_facts
from napari_aln.versions import package_versions

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from napari_aln.nuclei.training import LabelledPicture
    from napari_aln.settings.nuclei import NucleiTrainSettings

READ, LEARN, MEASURE = "read pictures", "learn", "measure"


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleiLearned(Progress):
    """One step more was learned; `loss` is its running mean."""

    loss: float


class TrainedNuclei(NamedTuple):
    """What came of a training."""

    bundle: NucleusBundle
    estimated: list[str]  # pictures whose µm/px nobody stated


def train_nuclei(
    images: Path,
    out: Path,
    settings: NucleiTrainSettings,
    table: Path | None = None,
    *,
    private: bool = False,
) -> Generator[Progress, None, TrainedNuclei]:
    """Train a nucleus model; yield progress, return the saved bundle. Closing the generator cancels.

    Parameters
    ----------
    images, table
        See `labelled_folder.read_labelled`.
    out
        A new ``.alnmodel`` file, or a folder.
    settings
        See `NucleiTrainSettings`.
    private
        Name pictures and their folders nowhere on the card.

    Raises
    ------
    UsageError, MppError
        See `labelled_folder.read_labelled`; or nothing is left to learn from.
    StoreError
        The bundle cannot be written there; found out before the work begins where possible.
    DeviceError
        A wish that this machine cannot grant, torch gave up, or the loss is not finite.
    """
    from napari_aln.mil.training import using_threads
    from napari_aln.nuclei.network import NucleusNet
    from napari_aln.nuclei.training import LEARNED_UM, digest, fit_nuclei, seen_mpp
    from napari_aln.runtimes.torch_runtime import torch_errors

    wanted = EngineSettings(device=settings.device, precision=settings.precision, runtime="torch")
    choice = choose(wanted, bf16_safe_on=(("torch", "cpu"), ("torch", "cuda")))
    refuse_foreign_bundle(out)
    check_writable(out.parent)
    yield Progress(READ, 0, 1, 0.0)
    read = read_labelled(images, table)
    learned, held_out = _parted(read.pictures, settings)
    if private:
        learned, held_out = _without_names(learned, held_out)
    if not any(picture.labels.any() for picture in learned):
        raise UsageError("No nucleus is left to learn from.", "Hold fewer pictures out.")
    started = time.monotonic()
    with using_threads(settings.threads), torch_errors("training"):
        import torch

        torch.manual_seed(settings.seed)
        network = NucleusNet()
        for step in fit_nuclei(network, learned, settings, choice):
            if not np.isfinite(step.loss):
                raise DeviceError(
                    "The loss is not finite.", "Lower --learning-rate, or use --precision fp32."
                )
            rate = step.done / max(time.monotonic() - started, 1e-9)
            yield NucleiLearned(LEARN, step.done, settings.steps, rate, loss=step.loss)
        card = NucleusCard(
            name=settings.name or out.stem,
            description=settings.remarks,
            widths=network.widths,
            mpp=LEARNED_UM,
            seen_mpp=seen_mpp(learned),
            sources=_sources(learned),
            held_out=tuple(picture.name for picture in held_out),
            steps=settings.steps,
            training=NucleusTraining(
                settings=settings.model_dump(mode="json"),
                pictures_sha256=digest(read.pictures),
                **choice._asdict(),
                versions=package_versions(),
                machine=machine_facts(with_accelerator=choice.device != "cpu"),
                created=now(),
            ),
            licence=settings.licence,
            weights_dtype=settings.stored_weights,
        )
        bundle = save_nucleus_bundle(card, network.state_dict(), out)
        if held_out:
            figures = yield from measured(bundle, held_out)
            bundle = save_nucleus_bundle(
                card.model_copy(update={"metrics": figures}), network.state_dict(), out
            )
    return TrainedNuclei(bundle, read.estimated)


def measured(
    bundle: NucleusBundle, pictures: Sequence[LabelledPicture]
) -> Generator[Progress, None, tuple[Figures, ...]]:
    """Segment annotated pictures with a model; yield progress, return its figures for each source."""
    method = bundle.method()
    found = []
    for done, picture in enumerate(pictures, start=1):
        found.append(agreement(picture.labels, method.labels(picture.rgb, picture.mpp)))
        yield Progress(MEASURE, done, len(pictures), 0.0)
    figures = []
    for source in _sources(pictures):
        over = pooled([a for a, p in zip(found, pictures, strict=True) if p.group == source.name])
        figures.append(Figures(source=source, f1=over.f1, aji=over.aji, pq=over.pq))
    return tuple(figures)


def _parted(
    pictures: Sequence[LabelledPicture], settings: NucleiTrainSettings
) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Return what is learned from and what is held out: a share of each source, drawn by the seed."""
    rng = np.random.default_rng(settings.seed)
    out: set[str] = set()
    for group in sorted({picture.group for picture in pictures}):
        names = [picture.name for picture in pictures if picture.group == group]
        out.update(rng.permutation(names)[: round(settings.held_out * len(names))].tolist())
    return [p for p in pictures if p.name not in out], [p for p in pictures if p.name in out]


def _without_names(*lots: list[LabelledPicture]) -> list[list[LabelledPicture]]:
    """Return pictures that go by their content, and their sets by number."""
    from napari_aln.nuclei.training import digest  # loads torch

    groups = sorted({picture.group for lot in lots for picture in lot if picture.group})
    alias = {"": ""} | {group: f"set {number}" for number, group in enumerate(groups, start=1)}

    def unnamed(one: LabelledPicture) -> LabelledPicture:
        return replace(one, name=f"picture-{digest([one])[:10]}", group=alias[one.group])

    return [[unnamed(one) for one in lot] for lot in lots]


def _sources(pictures: Sequence[LabelledPicture]) -> tuple[Source, ...]:
    def of(group: str) -> Source:
        mine = [picture for picture in pictures if picture.group == group]
        nuclei = sum(len(np.unique(picture.labels[picture.labels > 0])) for picture in mine)
        return Source(name=group, pictures=len(mine), nuclei=nuclei)

    return tuple(of(group) for group in sorted({picture.group for picture in pictures}))
