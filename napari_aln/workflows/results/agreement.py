"""Whether two runs of the same slide and model agree, number by number, and by how much they may differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.cohort.wording import counted
from napari_aln.mil.card import BF16_LIMIT
from napari_aln.store.machine import machine_facts
from napari_aln.store.stored_result import VALUES
from napari_aln.versions import package_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_aln.records import RunRecord
    from napari_aln.store.stored_result import StoredRun

_SAME_PLACE_PX = 1e-3


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
    reason = (
        doubts
        or f"{counted(n - n_shared, 'patch', 'patches')} gone, {n_again - n_shared} new: {_OTHER_PATCHES}"
    )
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
