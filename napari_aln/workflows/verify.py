"""Does a result come out again? Its slide, models, settings, seed, regions and values are run once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from napari_aln.errors import DeviceError, StoreError
from napari_aln.records import Clinical, Progress
from napari_aln.settings.prediction import PredictSettings
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.stored_result import StoredRun, read_stored
from napari_aln.workflows.folders import require_one_result
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.results.agreement import Check, Tolerance, compare_runs, tolerance_of
from napari_aln.workflows.slide.networks import ReadyNetworks, engine_for
from napari_aln.workflows.slide.prepare import survey
from napari_aln.workflows.sources import find_bundle, find_slide, sha256_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import RunRecord
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.slides import Slide
    from napari_aln.store.stored_result import StoredResult
    from napari_aln.workflows.slide.prepare import Overview

_CLINICAL = TypeAdapter(Clinical)


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    notes
        What is worth knowing and no difference by itself.
    full_hash
        SHA-256 of the whole slide and the number of its files, where it was asked for.
    """

    alias: str
    slide_quick_hash: str
    tolerances: dict[str, Tolerance]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    full_hash: tuple[str, int] | None = None

    @property
    def equal(self) -> bool:
        """Whether everything agrees."""
        return all(check.agrees for check in self.checks)


def verify(
    place: Path,
    *,
    slide: Path | None = None,
    models: Sequence[Path] = (),
    full_hash: bool = False,
    networks: ReadyNetworks | None = None,
) -> Generator[Progress, None, Verification]:
    """Yield progress, return how a result compares with running it again. No feature cache is used.

    Parameters
    ----------
    place
        A result folder, or a packed result.
    slide
        The slide, or a folder to look for it in; see `find_slide`.
    models
        Bundles, or folders to look for them in; see `find_bundle`.
    full_hash
        Whether to take the SHA-256 of every byte of the slide.
    networks
        Kept from result to result, where one is handed on.

    Raises
    ------
    StoreError
        The result is not whole, or a folder of several.
    SlideError, BundleError, UsageError
        The slide or a model is missing, damaged or another one.
    AlnError
        The run was refused, as `predict` refuses it.
    """
    yield Progress("read result", 0, 1)
    require_one_result(place)
    stored = read_stored(place)
    folders = list(dict.fromkeys(_folders_near(place.absolute())))
    path = find_slide(stored.quick_hash, slide, folders, stored.slide_file)
    bundles = [
        find_bundle(run.record.model_sha256, run.record.card_sha256, models, folders) for run in stored.runs
    ]
    notes: list[str] = []
    checks: list[Check] = []
    tolerances: dict[str, Tolerance] = {}
    given = stored.mpp if stored.mpp_origin == "user" else None
    with (yield from opening_untried(path, given)) as opened:
        checks.append(_same_mpp(stored, opened))
        again = _Again(stored, opened, survey(opened), networks or ReadyNetworks(), notes)
        for run, bundle in zip(stored.runs, bundles, strict=True):
            made, tolerance = yield from again.run(run.record, bundle)
            tolerances[run.record.run] = tolerance
            checks += compare_runs(run, made, tolerance, doubts=_doubts(stored))
    if full_hash:
        yield Progress("hash the whole slide", 0, 1)
    return Verification(
        alias=stored.alias,
        slide_quick_hash=stored.quick_hash,
        tolerances=tolerances,
        checks=tuple(checks),
        notes=tuple(dict.fromkeys(notes)),
        full_hash=sha256_of(path) if full_hash else None,
    )


def _folders_near(place: Path) -> list[Path]:
    folder = place if place.is_dir() else place.parent
    return [folder.parent, folder.parent.parent, Path.cwd()]


def _same_mpp(stored: StoredResult, slide: Slide) -> Check:
    now = slide.info.mpp
    agrees = stored.mpp is None or stored.mpp == now
    reason = "" if agrees else "The file states another µm/px to this version than to the one that ran."
    return Check("", "µm/px", agrees, _pair(stored.mpp), _pair(now), reason=reason)


def _pair(mpp: tuple[float, float] | None) -> str:
    return "" if mpp is None else f"{mpp[0]:g} x {mpp[1]:g}"


@dataclass(frozen=True)
class _Again:
    """What is the same for every run of a result that is made again."""

    stored: StoredResult
    slide: Slide
    seen: Overview
    networks: ReadyNetworks
    notes: list[str]

    def run(
        self, record: RunRecord, bundle: Bundle
    ) -> Generator[Progress, None, tuple[StoredRun, Tolerance]]:
        """Run one model as its record says; what has to be otherwise goes to the notes."""
        if bundle.card_sha256 != record.card_sha256:
            self.notes.append(
                f"{record.run}: the model's card is not the one that was used: thresholds, clinical "
                "statistics or wording may have changed; its weights are the same."
            )
        settings, clinical = _asked(record)
        engine = _engine(bundle, record, settings.engine, self.notes)
        settings = settings.model_copy(update={"engine": engine})
        regions = self.stored.regions or None
        request = Request([bundle], regions, clinical=clinical, settings=settings, networks=self.networks)
        result = yield from predict_slide(self.slide, request, self.seen)
        (again,) = result.runs
        made = StoredRun.of(again, result.scores[again.run], result.bags[again.run])
        return made, tolerance_of(record, again, self.stored.versions, self.stored.machine)


def _asked(record: RunRecord) -> tuple[PredictSettings, Clinical | None]:
    try:
        settings = PredictSettings.model_validate(record.settings)
        clinical = None if record.clinical is None else _CLINICAL.validate_python(record.clinical)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"The run {record.run} says something that cannot be set ({where}: {first['msg']}).",
            "Run predict again for this slide.",
        ) from error
    return settings, clinical


def _engine(bundle: Bundle, record: RunRecord, asked: EngineSettings, notes: list[str]) -> EngineSettings:
    """Return the settings that give the recorded runtime, device and precision, as far as they are here."""
    was = {"runtime": record.runtime, "device": record.device, "precision": record.precision}
    wishes = [
        was,
        {**was, "device": "auto"},  # MPS is no device that can be asked for by name
        {"runtime": "auto", "device": "auto", "precision": record.precision},
        {"runtime": "auto", "device": "auto", "precision": "auto"},
    ]
    for wish in wishes:
        try:
            settings = type(asked).model_validate(asked.model_dump() | wish)
            choice = engine_for(bundle, settings).choice
        except (DeviceError, ValidationError):
            continue
        if choice._asdict() != was:
            notes.append(
                f"{record.run}: made by {' '.join(was.values())}, which is not here; run again by "
                f"{' '.join(choice)}."
            )
        return settings
    return asked


def _doubts(stored: StoredResult) -> str:
    if any("tissue mask was edited by hand" in warning for warning in stored.warnings):
        return "The tissue mask was edited by hand, which the slide alone does not repeat."
    return ""
