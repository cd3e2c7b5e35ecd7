"""Does a result come out again? Its slide, models, settings, seed, regions and values are run once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from napari_aln.errors import DeviceError, StoreError
from napari_aln.mil.card import BF16_LIMIT
from napari_aln.records import Clinical, Progress
from napari_aln.settings.prediction import PredictSettings
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.machine import machine_facts
from napari_aln.store.stored_result import VALUES, StoredRun, read_stored
from napari_aln.versions import package_versions
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.slide.networks import ReadyNetworks, engine_for
from napari_aln.workflows.slide.prepare import survey
from napari_aln.workflows.sources import find_bundle, find_slide, sha256_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import RunRecord
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.slides import Slide
    from napari_aln.store.stored_result import StoredResult
    from napari_aln.workflows.slide.prepare import Overview

_SAME_PLACE_PX = 1e-3
_CLINICAL = TypeAdapter(Clinical)


@dataclass(frozen=True)
class Tolerance:
    """By how much a run may differ.

    Attributes
    ----------
    probability
        Of a probability, of the slide or a bag.
    value
        Of a patch's value, as a share of the map's largest absolute value, or of 1 where that is larger.
    why
        In words.
    """

    probability: float
    value: float
    why: str


def _exact() -> Tolerance:
    return Tolerance(0.0, 0.0, "exact: same versions, processor, runtime and precision")


def _rounding(what: str) -> Tolerance:
    return Tolerance(1e-4, 1e-3, f"fp32 rounding: {what}")


def _coarse(what: str) -> Tolerance:
    return Tolerance(BF16_LIMIT, 0.1, f"bf16 rounding: {what}")


@dataclass(frozen=True)
class Check:
    """One thing that was compared.

    Attributes
    ----------
    run, what
        Of which run, and what.
    agrees
        Whether it is the same, within the tolerance.
    stored, now
        What the result says and what came out, as far as that is a word or a number.
    difference, tolerance
        The largest absolute difference and the one allowed; None where it is no number.
    reason
        What the difference may come from; empty where there is none.
    """

    run: str
    what: str
    agrees: bool
    stored: str = ""
    now: str = ""
    difference: float | None = None
    tolerance: float | None = None
    reason: str = ""


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
        The result is not whole.
    SlideError, BundleError, UsageError
        The slide or a model is missing, damaged or another one.
    AlnError
        The run was refused, as `predict` refuses it.
    """
    yield Progress("read result", 0, 1)
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


def tolerance_of(
    record: RunRecord, again: RunRecord, versions: Mapping[str, str], machine: Mapping[str, str]
) -> Tolerance:
    """Return by how much a run may differ from its record.

    Exactly the same is asked where everything that rounds is the same and the processor computed; a GPU
    may choose another kernel each time. Otherwise fp32 rounding is allowed, or bf16's where either run used
    it.
    """
    here = package_versions()
    other = [name for name in sorted({*versions, *here}) if versions.get(name) != here.get(name)]
    same_way = all(
        getattr(record, name) == getattr(again, name)
        for name in ("runtime", "device", "precision", "jpeg_decoder")
    )
    same_machine = machine.get("processor") == machine_facts().get("processor")
    if same_way and same_machine and not other and record.device == "cpu":
        return _exact()
    if not same_way:
        why = "another runtime, device, precision or JPEG decoder"
    elif not same_machine:
        why = "another processor"
    elif other:
        why = "other versions: " + ", ".join(
            f"{name} {versions.get(name, 'none')} then, {here.get(name, 'none')} now" for name in other
        )
    else:
        why = f"{record.device} does not round the same each time"
    return _coarse(why) if "bf16" in (record.precision, again.precision) else _rounding(why)


def _doubts(stored: StoredResult) -> str:
    if any("tissue mask was edited by hand" in warning for warning in stored.warnings):
        return "The tissue mask was edited by hand, which the slide alone does not repeat."
    return ""


def compare_runs(stored: StoredRun, again: StoredRun, tolerance: Tolerance, doubts: str = "") -> list[Check]:
    """Compare a stored run with the same run made again.

    Parameters
    ----------
    stored, again
        The two.
    tolerance
        What may differ.
    doubts
        A reason known beforehand for which they may differ.
    """
    run = stored.record.run
    changed = doubts or (
        "The result was changed after it was written, or this program computes otherwise."
        if tolerance.probability == 0
        else f"More than {tolerance.why} explains."
    )
    at, at_again = _shared(stored.l0_xy, again.l0_xy)
    n, n_again, n_shared = len(stored.l0_xy), len(again.l0_xy), len(at)
    same_patches = n == n_again == n_shared
    reason = doubts or f"{n - n_shared} patches are gone, {n_again - n_shared} are new: {_OTHER_PATCHES}"
    checks = [
        Check(run, "patches", same_patches, str(n), str(n_again), reason="" if same_patches else reason)
    ]
    if stored.bags is not None and again.bags is not None:
        same_bags = _same_bags(stored.bags, again.bags)
        reason = changed if same_patches else "The patches differ, so bags are drawn from others."
        counts = str(len(stored.bags)), str(len(again.bags))
        checks.append(Check(run, "bags", same_bags, *counts, reason="" if same_bags else reason))
    old, new = stored.record, again.record
    for name, value in old.probabilities.items():
        now = new.probabilities.get(name, float("nan"))
        checks.append(_number(run, f"probability {name}", value, now, tolerance.probability, changed))
    bags = np.asarray(old.bag_probabilities), np.asarray(new.bag_probabilities)
    checks.append(_numbers(run, "bag probabilities", *bags, tolerance.probability, changed))
    same = old.prediction == new.prediction
    checks.append(
        Check(run, "decision", same, old.prediction, new.prediction, reason="" if same else changed)
    )
    for name in VALUES:
        values = stored.values[name][at].astype(float), again.values[name][at_again].astype(float)
        scale = max(1.0, float(np.nanmax(np.abs(values[0]), initial=0.0)))
        allowed = 0.0 if name == "in_roi" else tolerance.value * scale
        checks.append(_numbers(run, name, *values, allowed, changed))
    return checks


_OTHER_PATCHES = "the ROI file, the slide's tissue or the settings are not those of the run."


def _shared(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the patches that lie at the same place, pair by pair.

    Patches cut from several regions may lie at one place: they are paired in their order.
    """
    if len(first) == len(second) and np.allclose(first, second, rtol=0, atol=_SAME_PLACE_PX):
        return np.arange(len(first)), np.arange(len(first))
    places: dict[tuple[int, ...], list[int]] = {}
    for index, place in enumerate(np.rint(second / _SAME_PLACE_PX).astype(np.int64).tolist()):
        places.setdefault(tuple(place), []).append(index)
    pairs = [
        (index, places[key].pop(0))
        for index, place in enumerate(np.rint(first / _SAME_PLACE_PX).astype(np.int64).tolist())
        if places.get(key := tuple(place))
    ]
    both = np.array(pairs, np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _same_bags(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def _number(run: str, what: str, stored: float, now: float, allowed: float, reason: str) -> Check:
    found = _numbers(run, what, np.array([stored]), np.array([now]), allowed, reason)
    return Check(
        run, what, found.agrees, f"{stored:.6f}", f"{now:.6f}", found.difference, allowed, found.reason
    )


def _numbers(
    run: str, what: str, stored: NDArray[Any], now: NDArray[Any], allowed: float, reason: str
) -> Check:
    if stored.shape != now.shape:
        sizes = f"{len(stored)}", f"{len(now)}"
        return Check(run, what, agrees=False, stored=sizes[0], now=sizes[1], reason=reason)
    apart = np.where(stored == now, 0.0, np.abs(stored - now))
    apart[np.isnan(stored) & np.isnan(now)] = 0.0
    worst = float(np.max(apart, initial=0.0))  # NaN where one of the two has no value
    agrees = bool(worst <= allowed)
    return Check(run, what, agrees, difference=worst, tolerance=allowed, reason="" if agrees else reason)
