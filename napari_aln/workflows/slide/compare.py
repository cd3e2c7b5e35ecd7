"""Two runs of one slide side by side, in numbers. Each is defined here; one that is undefined says why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.patches.membership import belongs
from napari_aln.workflows.slide.maps import MAP_STYLES, MapStyle, from_the_top, mean_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.records import PatchScores, PatchTable, Region, RunRecord

    Float64 = NDArray[np.float64]

TOP_K = 50
MIN_SHARED = 3
"""Two values always correlate by 1 or -1."""

COMPARED_MAPS = ("attention_slide", "attention_bag", "contribution", "probability")
"""Maps whose values mean the same in both runs. A logit has no zero of its own, and entropy is of the pixels,
not of a model."""

_NOT_ON_ONE_GRID = (
    "The two runs do not cut the slide by one grid, so no patch of one is a patch of the other."
)
_OFF_GRID = (
    "Reference patching cuts patches off the slide's grid: no patch of one run is a patch of the other."
)


@dataclass(frozen=True)
class SharedPatches:
    """The patches of both runs, and one map's values in each, made comparable.

    Attributes
    ----------
    table
        The n shared patches, in row-major order.
    first, second
        (n,) values. Attention is relative to the patches of its own run, which differ; so it is divided by
        its mean over the shared patches, in each run: 1 = uniform on the shared patches. Contribution and
        probability are taken as they are: log-odds and probabilities have one meaning in both.
    difference
        (n,) first - second; NaN where either has none.
    """

    table: PatchTable
    first: Float64
    second: Float64

    @property
    def difference(self) -> Float64:
        """Return first - second."""
        return self.first - self.second


@dataclass(frozen=True)
class Comparison:
    """What two runs of one slide have in common. None: undefined, `reasons` says why.

    Attributes
    ----------
    runs
        Names of the first and the second run.
    map_name
        The map that is compared patch by patch.
    probability_difference
        Class name -> probability in the first run minus that in the second.
    attention_in_roi
        Share of the whole-slide run's attention that lies in the ROI: the sum of its softmax over all of its
        patches (`attention_slide` / n), taken over those inside.
    patches_in_roi
        Share of the whole-slide run's patches that lie in the ROI: what `attention_in_roi` would be if the
        model looked everywhere alike.
    n_shared, n_only_first, n_only_second
        Numbers of patches.
    top_k
        How many top patches of each run were compared: as asked, at most as many as either run has.
    top_overlap
        Jaccard index ``|A and B| / |A or B|`` (Jaccard 1912) of each run's own `top_k` patches by the map;
        equal values are taken in the grid's order.
    rank_correlation
        Spearman's rho (Spearman 1904) of the map on the shared patches: Pearson's r of their ranks, ties
        sharing their mean rank. None with fewer than three, or where one run gives all the same value.
    shared
        The shared patches with their values.
    reasons
        Name of an attribute -> why it is None.
    """

    runs: tuple[str, str]
    map_name: str
    probability_difference: dict[str, float] | None
    attention_in_roi: float | None
    patches_in_roi: float | None
    n_shared: int | None
    n_only_first: int | None
    n_only_second: int | None
    top_k: int | None
    top_overlap: float | None
    rank_correlation: float | None
    shared: SharedPatches | None
    reasons: dict[str, str]


def compare(
    first: tuple[RunRecord, PatchScores],
    second: tuple[RunRecord, PatchScores],
    regions: Sequence[Region] = (),
    *,
    map_name: str = "attention_slide",
    top_k: int = TOP_K,
) -> Comparison:
    """Compare two runs of one slide.

    Parameters
    ----------
    first, second
        Record and per-patch values of each. For ROI against whole slide: the ROI's first.
    regions
        The tumour ROI, as the runs used it (`SlideResult.regions`).
    map_name
        One of `COMPARED_MAPS`.
    top_k
        How many top patches of each run to compare, at least 1.

    Raises
    ------
    ValueError
        Another map, or no top patch.
    """
    if map_name not in COMPARED_MAPS or top_k < 1:
        raise ValueError(f"{map_name} of the top {top_k} patches cannot be compared")
    (record_a, a), (record_b, b) = first, second
    reasons: dict[str, str] = {}
    probabilities = None
    if record_a.classes == record_b.classes:
        probabilities = {
            name: record_a.probabilities[name] - record_b.probabilities[name] for name in record_a.classes
        }
    else:
        reasons["probability_difference"] = "The two models tell different classes apart."
    inside = _in_roi((first, second), regions, reasons)
    n_shared = n_only_a = n_only_b = k = overlap = rho = shared = None
    apart = _why_apart(a.table, b.table)
    if apart:
        of_patches = ("n_shared", "n_only_first", "n_only_second", "top_k", "top_overlap")
        reasons |= dict.fromkeys((*of_patches, "rank_correlation", "shared"), apart)
    else:
        _, at_a, at_b = np.intersect1d(a.table.cell, b.table.cell, assume_unique=True, return_indices=True)
        n_shared, n_only_a, n_only_b = len(at_a), len(a.table) - len(at_a), len(b.table) - len(at_a)
        k, overlap = _top_overlap(a, b, map_name, top_k, reasons)
        shared = _shared(a, b, map_name, (at_a, at_b), reasons)
        rho = _rank_correlation(shared, reasons)
    return Comparison(
        runs=(record_a.run, record_b.run),
        map_name=map_name,
        probability_difference=probabilities,
        attention_in_roi=inside[0],
        patches_in_roi=inside[1],
        n_shared=n_shared,
        n_only_first=n_only_a,
        n_only_second=n_only_b,
        top_k=k,
        top_overlap=overlap,
        rank_correlation=rho,
        shared=shared,
        reasons=reasons,
    )


def difference_style(map_name: str) -> MapStyle:
    """Return how the difference of a map between two runs is shown: diverging, centred on zero."""
    style = MAP_STYLES[map_name]
    unit = "x uniform on shared patches" if style.unit == "x uniform" else style.unit
    if style.limits:
        reach = style.limits[1] - style.limits[0]
        unit = f"\N{MINUS SIGN}{reach:g} to {reach:g}"
    colours = MAP_STYLES["contribution"].colour_map
    return replace(
        style,
        quantity=f"difference of {style.quantity}",
        unit=unit,
        colour_map=colours,
        signed=True,
        limits=None,
    )


def _in_roi(
    runs: tuple[tuple[RunRecord, PatchScores], tuple[RunRecord, PatchScores]],
    regions: Sequence[Region],
    reasons: dict[str, str],
) -> tuple[float | None, float | None]:
    """Return the share of the whole-slide run's attention and of its patches that lie in the ROI."""
    whole = next((run for run in runs if run[0].mode == "dlcnbc-ws"), None)
    if whole is None or not regions:
        why = "There is no ROI." if not regions else "Neither run is of the whole slide."
        reasons |= dict.fromkeys(("attention_in_roi", "patches_in_roi"), why)
        return None, None
    # What the ROI's own run takes to be inside; its settings may differ from those of the whole slide's.
    ruling = next((record for record, _ in runs if record.mode != "dlcnbc-ws"), whole[0])
    scores = whole[1]
    inside = belongs(scores.table, regions, ruling.settings["patches"]["min_roi_share"])
    of_patches = float(inside.mean())
    attention = scores.attention_slide
    if not np.isfinite(attention).all():
        reasons["attention_in_roi"] = (
            "With the norm statistics of each bag there is no attention of the slide."
        )
        return None, of_patches
    return float(attention[inside].sum() / attention.sum()), of_patches


def _why_apart(a: PatchTable, b: PatchTable) -> str | None:
    """Return why patches cannot be compared one by one, or None."""
    if a.origin_l0 is not None or b.origin_l0 is not None:
        return _OFF_GRID
    return None if a.grid == b.grid else _NOT_ON_ONE_GRID


def _top_overlap(
    a: PatchScores, b: PatchScores, map_name: str, top_k: int, reasons: dict[str, str]
) -> tuple[int | None, float | None]:
    """Return how many top patches were compared, and their Jaccard index."""
    top_a, top_b = (from_the_top(getattr(scores, map_name), top_k) for scores in (a, b))
    k = min(top_k, len(top_a), len(top_b))
    if not k:
        reasons |= dict.fromkeys(("top_k", "top_overlap"), _no_map(map_name))
        return None, None
    cells_a, cells_b = a.table.cell[top_a[:k]], b.table.cell[top_b[:k]]
    n_both = len(np.intersect1d(cells_a, cells_b, assume_unique=True))
    return k, n_both / (2 * k - n_both)


def _shared(
    a: PatchScores,
    b: PatchScores,
    map_name: str,
    at: tuple[NDArray[np.int64], NDArray[np.int64]],
    reasons: dict[str, str],
) -> SharedPatches | None:
    first, second = getattr(a, map_name)[at[0]], getattr(b, map_name)[at[1]]
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        reasons["shared"] = _no_map(map_name) if len(both) else "The two runs share no patch."
        return None
    if MAP_STYLES[map_name].unit == "x uniform":
        mean_a, mean_b = first[both].mean(), second[both].mean()
        if not (mean_a and mean_b):
            reasons["shared"] = "One run looks nowhere on the shared patches: its attention there is 0."
            return None
        first, second = first / mean_a, second / mean_b
    return SharedPatches(a.table.take(at[0]), first, second)


def _rank_correlation(shared: SharedPatches | None, reasons: dict[str, str]) -> float | None:
    if shared is None:
        reasons["rank_correlation"] = reasons["shared"]
        return None
    both = np.isfinite(shared.difference)
    if both.sum() < MIN_SHARED:
        reasons["rank_correlation"] = f"Fewer than {MIN_SHARED} shared patches have a value in both runs."
        return None
    ranks_a, ranks_b = mean_ranks(shared.first[both]), mean_ranks(shared.second[both])
    if not (np.ptp(ranks_a) and np.ptp(ranks_b)):
        reasons["rank_correlation"] = "One run gives all shared patches the same value."
        return None
    return float(np.clip(np.corrcoef(ranks_a, ranks_b)[0, 1], -1.0, 1.0))


def _no_map(map_name: str) -> str:
    return f"One run has no {MAP_STYLES[map_name].quantity}."
