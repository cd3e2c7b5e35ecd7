"""What if the ROI or a clinical value were another: scored anew from features in memory, at once.

The patches and numbers come from the functions that `predict_slide` uses, so that for the same regions,
values and seed the answer equals a new run to the last bit, once every patch has been read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.errors import UsageError
from napari_aln.patches.membership import belongs
from napari_aln.settings.prediction import PredictSettings
from napari_aln.workflows.predict import want_for
from napari_aln.workflows.slide.extract import extract
from napari_aln.workflows.slide.networks import JPEG_ON_CPU, ReadyNetworks, engine_for
from napari_aln.workflows.slide.prepare import patches_for, require_patches, usable_roi
from napari_aln.workflows.slide.score import (
    Case,
    Drawn,
    Execution,
    Projected,
    clinical_vector,
    score_projected,
    settings_for,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import ModelCard
    from napari_aln.records import Clinical, Features, PatchTable, Progress, Region, SlideResult
    from napari_aln.runtimes.base import CompiledNetwork
    from napari_aln.slides import Slide
    from napari_aln.store.features import FeatureCache
    from napari_aln.workflows.slide.prepare import Overview
    from napari_aln.workflows.slide.score import Run


@dataclass(frozen=True)
class WhatIfAnswer:
    """What the model says of other regions or values, as far as its patches have been read.

    Attributes
    ----------
    run
        From the patches that have been read; its record warns while some are pending. None: none has been.
    pending
        Patches that belong to the question and have not been read yet; see `extract_pending`.
    regions
        The regions as they were used: mended and clipped to the slide.
    warnings
        What was done to the regions.
    """

    run: Run | None
    pending: PatchTable
    regions: tuple[Region, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extracted:
    """What was asked of the pixels, and what they gave: patches that are too plain are asked, not found."""

    asked: PatchTable
    found: Features
    warnings: tuple[str, ...] = ()


def why_not(card: ModelCard, settings: PredictSettings) -> str | None:
    """Return why a model cannot be asked what if, or None where it can."""
    if card.norm_statistics == "bag":
        return (
            "No live what-if: this model uses the norm statistics of each bag, so what it says of a patch "
            "depends on the bag, and nothing can be kept between runs."
        )
    if settings.patches.roi_patching == "reference" and card.mode != "dlcnbc-ws":
        return (
            "No live what-if with reference patching: it cuts new patches out of each changed ROI. "
            "Choose ROI patching = grid."
        )
    return None


class _Last(NamedTuple):
    """The last answer, and what it was worked out from."""

    at: NDArray[np.int64]  # the patches that took part, among all that are known
    patches: Projected
    drawn: Drawn
    clinical: Clinical | None
    run: Run


class WhatIf:
    """One model on one slide, with the features of every patch read so far. Not for several threads at once.

    It holds some 520 bytes for each patch that was read (64 float64 and a few numbers), and some 150 for each
    that took part in the last answer; nothing of answers before that.

    Parameters
    ----------
    bundle
        The model.
    slide
        Its facts are used; no pixel is read here.
    seen
        The overview that the stored result rests on.
    settings
        Those of the stored result.
    execution
        How features come about, for the record. Left out: as the settings choose here.
    networks
        Where the model's network is found, or made ready when pending patches are first read. Left out: one
        of its own.

    Raises
    ------
    UsageError
        The model or its settings do not allow it; see `why_not`.
    """

    def __init__(
        self,
        bundle: Bundle,
        slide: Slide,
        seen: Overview,
        settings: PredictSettings,
        execution: Execution | None = None,
        networks: ReadyNetworks | None = None,
    ) -> None:
        reason = why_not(bundle.card, settings)
        if reason:
            raise UsageError(reason, "Run the model anew after each change.")
        self.bundle = bundle
        self.settings = settings_for(bundle.card, settings)
        self._slide = slide
        self._seen = seen
        self.engine = engine_for(bundle, self.settings.engine)
        self._execution = execution or Execution(**self.engine.choice._asdict())
        self._networks = networks or ReadyNetworks()
        self._known: Projected | None = None  # sorted by cell
        self._asked = np.empty(0, np.int64)  # sorted cells of patches that were read, too plain or not
        self._whole: PatchTable | None = None  # what the whole-slide mode takes: the same for all regions
        self._wanted_of: tuple[tuple[Region, ...], PatchTable] | None = None
        self._last: _Last | None = None

    @classmethod
    def of_result(
        cls,
        result: SlideResult,
        bundle: Bundle,
        slide: Slide,
        seen: Overview,
        networks: ReadyNetworks | None = None,
    ) -> WhatIf:
        """Start from a result that is still in memory with its features; the rest is as for the class.

        Raises
        ------
        UsageError
            The result holds no run of the model with features.
        """
        record = next((run for run in result.runs if run.mode == bundle.card.mode), None)
        if record is None or record.model_sha256 != bundle.sha256 or record.run not in result.features:
            raise UsageError(
                f"The result holds no features of {bundle.card.name}.", "Run the model on the slide first."
            )
        execution = Execution(
            record.runtime, record.device, record.precision, jpeg_decoder=record.jpeg_decoder
        )
        settings = PredictSettings.model_validate(record.settings)
        made = cls(bundle, slide, seen, settings, execution, networks)
        features = result.features[record.run]
        made.add(Extracted(features.table, features))
        if bundle.card.mode == "dlcnbc-ws":
            made._whole = features.table
        return made

    def __len__(self) -> int:
        return 0 if self._known is None else len(self._known.table)

    def add(self, extracted: Extracted) -> None:
        """Take in what was read; a patch that is known already is not replaced."""
        fresh = extracted.found.take(~self._is_asked(extracted.found.table.cell))
        if len(fresh):
            self._known = _joined(self._known, Projected.of(self.bundle, fresh, hold=True))
            self._last = None
        self._asked = np.union1d(self._asked, extracted.asked.cell)

    def score(self, regions: Sequence[Region], clinical: Clinical | None) -> WhatIfAnswer:
        """Answer for these regions and values from the patches that have been read.

        Raises
        ------
        RegionError, ClinicalError, TissueError
            As `predict_slide`: regions or values do not suffice, or no patch is left.
        """
        usable, warnings = usable_roi(self._slide, regions)
        clinical_vector(self.bundle.card, clinical, self.settings)
        wanted = self._wanted(usable)
        asked = self._is_asked(wanted.cell)
        pending = wanted.take(~asked)
        run = self._run_of(wanted.cell[asked], Case(usable, clinical))
        if not len(pending):
            require_patches(self._slide, run.record.n_patches if run else 0, self.settings)
        elif run:
            run = _partial(run, len(pending))
        return WhatIfAnswer(run, pending, usable, warnings)

    def network(self) -> CompiledNetwork:
        """Return the model's patch network, made ready when first asked for."""
        return self._networks.of(self.engine, self.bundle)

    def _wanted(self, regions: tuple[Region, ...]) -> PatchTable:
        card, patches = self.bundle.card, self.settings.patches
        if card.mode == "dlcnbc-ws":
            if self._whole is None:
                self._whole = patches_for(card, self._slide, self._seen, regions, patches)
            return self._whole
        if self._wanted_of is None or self._wanted_of[0] is not regions:
            self._wanted_of = regions, patches_for(card, self._slide, self._seen, regions, patches)
        return self._wanted_of[1]

    def _run_of(self, cell: NDArray[np.int64], case: Case) -> Run | None:
        """Return the run of those of these cells that are known, None where none is.

        Where they are the cells of the last run, their bags stay as they were drawn and pooled. With its
        clinical values, too, only which of them lie inside the regions is new.
        """
        known = self._known
        if known is None:
            return None
        at, here = _found(known.table.cell, cell)
        at = at[here]
        if not len(at):
            return None
        last, bundle, settings = self._last, self.bundle, self.settings
        if last is None or not np.array_equal(last.at, at):
            whole = len(at) == len(known.table)
            scorer = known.scorer if whole else known.scorer.take(at)
            patches = Projected(known.table.take(at), known.entropy[at], scorer)
            drawn = Drawn.of(bundle.card, patches, settings)
        elif last.clinical == case.clinical:
            inside = belongs(last.patches.table, case.regions, settings.patches.min_roi_share)
            return replace(last.run, scores=replace(last.run.scores, in_roi=inside))
        else:
            patches, drawn = last.patches, last.drawn
        run = score_projected(bundle, patches, drawn, case, self._execution, settings)
        self._last = _Last(at, patches, drawn, case.clinical, run)
        return run

    def _is_asked(self, cell: NDArray[np.int64]) -> NDArray[np.bool_]:
        return _found(self._asked, cell)[1]


def extract_pending(
    slide: Slide, what_if: WhatIf, pending: PatchTable, cache: FeatureCache | None = None
) -> Generator[Progress, None, Extracted]:
    """Yield progress, return the features of these patches for `WhatIf.add`; closing cancels.

    Meant for a thread of its own while `what_if` goes on answering. One at a time.

    Parameters
    ----------
    slide
        An open slide to read from.
    what_if
        Whose model is run.
    pending
        `WhatIfAnswer.pending`, or as much of it as should be waited for.
    cache
        Where features are kept between runs.

    Raises
    ------
    SlideError, DeviceError
        Reading or computing failed.
    """
    engine, settings, bundle = what_if.engine, what_if.settings, what_if.bundle
    on_device = engine.device_patches(slide, bundle.card)
    decoder = on_device.decoder_name if on_device else JPEG_ON_CPU
    entry = cache.entry(engine.key(bundle, slide.info, decoder)) if cache else None
    want = want_for(bundle, pending, what_if.network, settings, entry)
    done = yield from extract(slide, [want], engine.decode_to_px, settings.engine, on_device)
    return Extracted(pending, done.features[0], done.warnings)


def _found(known: NDArray[np.int64], cell: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each cell stands among sorted ones, and whether it is there at all."""
    if not len(known):
        return np.zeros(len(cell), np.int64), np.zeros(len(cell), bool)
    at = np.searchsorted(known, cell).clip(max=len(known) - 1)
    return at, known[at] == cell


def _joined(known: Projected | None, fresh: Projected) -> Projected:
    if known is not None:
        old, new = known.table, fresh.table
        column, row = np.concatenate([old.column, new.column]), np.concatenate([old.row, new.row])
        entropy = np.concatenate([known.entropy, fresh.entropy])
        fresh = Projected(replace(old, column=column, row=row), entropy, known.scorer.join(fresh.scorer))
    order = np.argsort(fresh.table.cell)
    return Projected(fresh.table.take(order), fresh.entropy[order], fresh.scorer.take(order))


def _partial(run: Run, n_pending: int) -> Run:
    n = n_pending + run.record.n_patches
    warning = f"{n_pending} of {n} patches are pending: this rests on those read so far."
    return replace(run, record=replace(run.record, warnings=(*run.record.warnings, warning)))
