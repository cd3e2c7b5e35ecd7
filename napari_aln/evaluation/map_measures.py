"""Maps over a cohort: how faithful they are, how well they find tumour; means over patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.evaluation.auc import roc_auc
from napari_aln.evaluation.metrics import CONFIDENCE, UNDEFINED, Estimate
from napari_aln.evaluation.tables import NOT_DEFINED, PaperTable, fraction, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]

TITLES = {
    "attention_slide": "attention (slide)",
    "attention_bag": "attention (bag)",
    "contribution": "contribution",
    "probability": "patch probability",
    "entropy": "entropy",
}
REFERENCE = "attention_slide"
"""The map that the others are compared with, on the same patients."""

RANDOM = "random"
"""What random orders are called beside the maps."""

OF_MASS = ("attention_slide", "attention_bag", "contribution")
"""Maps of which a share is a share of something: of attention, or of how far log-odds are moved."""

_TAILS = ((1.0 - CONFIDENCE) / 2, (1.0 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Areas:
    """Areas under deletion and insertion curves of p patients.

    Attributes
    ----------
    deletion, insertion
        Map -> (p,).
    random_deletion, random_insertion
        (p,): of random orders of the same patches.
    """

    deletion: Mapping[str, Float64]
    insertion: Mapping[str, Float64]
    random_deletion: Float64
    random_insertion: Float64

    def __len__(self) -> int:
        return len(self.random_deletion)

    def gain(self, name: str) -> Float64:
        """Return (p,): by how much the map beats random orders, mean of deletion (lower) and insertion."""
        deleted = self.random_deletion - self.deletion[name]
        inserted = self.insertion[name] - self.random_insertion
        gained: Float64 = (deleted + inserted) / 2
        return gained


def areas_of(slides: Sequence[Mapping[str, tuple[float, float]]]) -> Areas:
    """Put slides (or patients) together: each map -> areas of deletion and insertion, and `RANDOM`'s.

    A map that is not known of all of them is left out.
    """
    names = [name for name in slides[0] if name != RANDOM and all(name in one for one in slides)]
    by_map = {name: np.array([one[name] for one in slides], np.float64).T for name in (*names, RANDOM)}
    deletion, insertion = ({name: by_map[name][k] for name in names} for k in (0, 1))
    return Areas(deletion, insertion, *by_map[RANDOM])


class Faithfulness(NamedTuple):
    """One map over a cohort: means over patients, percentile bootstrap intervals."""

    name: str
    n: int
    deletion: Estimate
    insertion: Estimate
    gain: Estimate
    over_attention: Estimate  # gain less that of `REFERENCE`, paired by patient
    share_over_attention: float  # of patients on whom it gains more


class Band(NamedTuple):
    """A mean curve over patients and its pointwise interval, each (t,)."""

    mean: Float64
    low: Float64
    high: Float64


class Finding(NamedTuple):
    """A map as a detector of tumour patches on one slide."""

    auc: float
    mass_share: float  # NaN for a map that is no share of anything
    area_share: float


def mean_interval(values: Float64, bootstraps: int, rng: np.random.Generator) -> Estimate:
    """Return the mean over patients with its percentile bootstrap interval; of one patient, none."""
    if not len(values):
        return UNDEFINED
    if len(values) == 1:
        return UNDEFINED._replace(value=float(values[0]))
    mean, low, high = band(values[:, None], bootstraps, rng)
    return Estimate(float(mean[0]), float(low[0]), float(high[0]))


def band(curves: Float64, bootstraps: int, rng: np.random.Generator) -> Band:
    """Return the mean of (p, t) patients' curves with its pointwise percentile bootstrap interval."""
    p = len(curves)
    times = rng.multinomial(p, np.full(p, 1.0 / p), size=bootstraps)  # how often each patient is drawn
    low, high = np.quantile(times @ curves / p, _TAILS, axis=0)
    return Band(curves.mean(axis=0), low, high)


def faithfulness(areas: Areas, bootstraps: int, seed: int) -> list[Faithfulness]:
    """Return the maps, the most faithful first."""
    found = []
    for name in areas.deletion:
        # The same draws for every map, so that rows can be compared.
        ahead = areas.gain(name) - areas.gain(REFERENCE)
        deletion, insertion, gain, over = (
            mean_interval(values, bootstraps, np.random.default_rng(seed))
            for values in (areas.deletion[name], areas.insertion[name], areas.gain(name), ahead)
        )
        found.append(
            Faithfulness(name, len(areas), deletion, insertion, gain, over, float(np.mean(ahead > 0)))
        )
    return sorted(found, key=lambda one: -one.gain.value)


def tumour_finding(name: str, strength: Float64, is_tumour: NDArray[np.bool_]) -> Finding | None:
    """Judge a map as a detector of tumour patches; None where all patches are tumour, or none.

    Parameters
    ----------
    name
        Of the map.
    strength
        (n,) how much the map makes of each patch; unknown (NaN) ones are left out.
    is_tumour
        (n,) the truth.
    """
    known = np.isfinite(strength)
    strength, is_tumour = strength[known], is_tumour[known]
    if not is_tumour.any() or is_tumour.all():
        return None
    total = strength.sum()
    has_mass = name in OF_MASS and total > 0
    mass = float(strength[is_tumour].sum() / total) if has_mass else float("nan")
    return Finding(roc_auc(is_tumour, strength), mass, float(is_tumour.mean()))


def faithfulness_table(
    found: Sequence[Faithfulness], areas: Areas, name: str, title: str, notes: Sequence[str]
) -> PaperTable:
    """Return the maps by faithfulness; random orders last."""
    rows: list[tuple[str, ...]] = [
        (
            TITLES[one.name],
            str(one.n),
            fraction(one.deletion),
            fraction(one.insertion),
            fraction(one.gain),
            NOT_DEFINED if one.name == REFERENCE else fraction(one.over_attention),
            NOT_DEFINED if one.name == REFERENCE else f"{one.share_over_attention:.0%}",
        )
        for one in found
    ]
    random = float(areas.random_deletion.mean()), float(areas.random_insertion.mean())
    area = tuple(f"{value:.3f}" for value in random)
    rows.append(("random orders", str(len(areas)), *area, "0", NOT_DEFINED, NOT_DEFINED))
    head = (
        "Map",
        "n",
        "Deletion area",
        "Insertion area",
        "Gain over random",
        "Gain over attention (slide)",
        "Patients with more gain than attention (slide)",
    )
    numbers = [
        {
            "map": one.name,
            "n": one.n,
            "deletion_area": plain(one.deletion),
            "insertion_area": plain(one.insertion),
            "gain": plain(one.gain),
            "gain_over_attention_slide": plain(one.over_attention),
            "share_over_attention_slide": one.share_over_attention,
        }
        for one in found
    ]
    numbers.append({"map": RANDOM, "n": len(areas), "deletion_area": random[0], "insertion_area": random[1]})
    fixed = (
        "Patches are taken away, or put in, the most important first; all that are there are pooled as one "
        "bag. Area: mean probability, over the patches taken away or put in, of the side (N0, N(+); at 0.5) "
        "that the model is on with all of them (Petsiuk et al. 2018; Samek et al. 2017).",
        "Lower deletion and higher insertion areas are better. Gain: mean of both differences from random "
        "orders of the same patches.",
        "Signed maps (contribution, patch probability) descend on slides called N(+) and ascend on those "
        "called N0; the others descend on both.",
        "n: patients. Brackets: 95 % interval, bootstrap over patients; gain over attention paired.",
    )
    return PaperTable(name, title, head, tuple(rows), (*fixed, *notes), tuple(numbers))


def tumour_table(
    found: Mapping[str, Sequence[Finding]],
    name: str,
    title: str,
    notes: Sequence[str],
    bootstraps: int,
    seed: int,
) -> PaperTable:
    """Return the maps as detectors of tumour patches: means over patients."""
    rows, numbers = [], []
    for map_name, findings in found.items():
        auc, mass, area = (
            mean_interval(values[np.isfinite(values)], bootstraps, np.random.default_rng(seed))
            for values in np.array(findings, np.float64).reshape(-1, 3).T
        )
        rows.append((TITLES[map_name], str(len(findings)), *(fraction(value) for value in (auc, mass, area))))
        numbers.append(
            {
                "map": map_name,
                "n": len(findings),
                "auc": plain(auc),
                "mass_share": plain(mass),
                "area_share": plain(area),
            }
        )
    head = ("Map", "n", "AUC for tumour patches", "Share of the map on tumour", "Share of patches in tumour")
    fixed = (
        "The AUC is that of each patient's patches, tumour against others; signed maps count by their "
        "distance from neutral. Attention says where the model looked; it is trained on no outline.",
        "n: patients with patches inside and outside the tumour. Brackets: 95 % interval, bootstrap over "
        "patients.",
    )
    return PaperTable(name, title, head, tuple(rows), (*fixed, *notes), tuple(numbers))
