"""What the nuclei of a patch or region have in common: how dense, how alike, how aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import shapely
from scipy.special import gammaln

from napari_aln.errors import UsageError
from napari_aln.nuclei.morphometry import FEATURES
from napari_aln.nuclei.table import L0_XY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchTable, Region

AVERAGED = tuple(name for name in FEATURES if name != "orientation_rad")

ORIENTATION_BINS = 18
"""Of 10 degrees each, for the entropy of orientations."""

DRAWN = 10
"""Nuclei whose disorder is compared between groups of any size."""


class Members(NamedTuple):
    """Which nuclei belong to which patches or regions: a nucleus may belong to several, or to none."""

    nucleus: NDArray[np.intp]  # (m,) row of the table
    group: NDArray[np.intp]  # (m,) index of the patch or region


def patch_statistics(
    table: pd.DataFrame,
    patches: PatchTable,
    mpp: Mpp,
    *,
    tissue_share: NDArray[np.float64] | None = None,
    with_border: bool = False,
) -> pd.DataFrame:
    """Summarise the nuclei of each patch; see `statistics` for the columns.

    Parameters
    ----------
    table
        From `measure`, with level-0 centroids (`placed`). A nucleus belongs where its centroid lies.
    patches
        n patches.
    mpp
        µm/px of level 0.
    tissue_share
        (n,) share of each patch that is tissue and was measured: densities are then per mm² of that. None: of
        the patch.
    with_border
        Whether nuclei that the picture's border may cut count in means, deviations and orientation.

    Returns
    -------
    DataFrame
        One row a patch, in the order of `patches`, with ``x``, ``y`` in level-0 pixels first.
    """
    step = patches.grid.step_l0
    area_mm2 = np.full(len(patches), step[0] * step[1] * mpp.x * mpp.y / 1e6)
    if tissue_share is not None:
        area_mm2 *= tissue_share
    found = statistics(table, members_of_patches(table, patches), area_mm2, with_border=with_border)
    found.insert(0, "x", patches.l0_xy[:, 0])
    found.insert(1, "y", patches.l0_xy[:, 1])
    return found


def region_statistics(
    table: pd.DataFrame,
    regions: Sequence[Region],
    mpp: Mpp,
    *,
    area_mm2: NDArray[np.float64] | None = None,
    with_border: bool = False,
) -> pd.DataFrame:
    """Summarise the nuclei of each region; see `statistics` for the columns.

    Parameters
    ----------
    table
        From `measure`, with level-0 centroids (`placed`).
    regions
        n valid regions in level-0 pixels; they may overlap, and then share nuclei.
    mpp
        µm/px of level 0.
    area_mm2
        (n,) area to which densities refer, for instance of the tissue inside. None: the outlines'.
    with_border
        As in `patch_statistics`.

    Returns
    -------
    DataFrame
        One row a region, in their order, with ``name`` first.
    """
    if area_mm2 is None:
        area_mm2 = np.array([region.geometry.area for region in regions], float) * mpp.x * mpp.y / 1e6
    found = statistics(table, members_of_regions(table, regions), area_mm2, with_border=with_border)
    found.insert(0, "name", [region.name for region in regions])
    return found


def members_of_patches(table: pd.DataFrame, patches: PatchTable) -> Members:
    """Return the patch in which each nucleus's centroid lies; upper and left edges belong to a patch."""
    xy = _l0_xy(table)
    if not len(patches):
        return _joined([])
    # Off the slide's one grid, each corner has a grid of its own, and patches of several may overlap.
    origins = np.zeros((len(patches), 2)) if patches.origin_l0 is None else patches.origin_l0
    corners, of_corner = np.unique(origins, axis=0, return_inverse=True)
    pairs = []
    for number, corner in enumerate(corners):
        here = np.flatnonzero(of_corner.ravel() == number)
        column, row = patches.column[here].astype(np.int64), patches.row[here].astype(np.int64)
        wide = int(column.max()) + 1
        order = np.argsort(row * wide + column)
        cells = (row * wide + column)[order]
        at = np.floor((xy - corner) / np.asarray(patches.grid.step_l0)).astype(np.int64)
        inside = np.flatnonzero((at >= 0).all(axis=1) & (at[:, 0] < wide))
        wanted = at[inside, 1] * wide + at[inside, 0]
        place = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
        hit = cells[place] == wanted
        pairs.append((inside[hit], here[order[place[hit]]]))
    return _joined(pairs)


def members_of_regions(table: pd.DataFrame, regions: Sequence[Region]) -> Members:
    """Return the regions in which each nucleus's centroid lies."""
    x, y = _l0_xy(table).T
    pairs = []
    for number, region in enumerate(regions):
        shapely.prepare(region.geometry)
        inside = np.flatnonzero(shapely.contains_xy(region.geometry, x, y))
        pairs.append((inside, np.full(len(inside), number)))
    return _joined(pairs)


def _joined(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> Members:
    none = (np.zeros(0, np.intp), np.zeros(0, np.intp))
    nucleus, group = (np.concatenate(column) for column in zip(none, *pairs, strict=True))
    return Members(nucleus, group)


def statistics(
    table: pd.DataFrame, members: Members, area_mm2: NDArray[np.float64], *, with_border: bool = False
) -> pd.DataFrame:
    """Summarise groups of nuclei.

    Parameters
    ----------
    table
        From `measure`.
    members
        Which nuclei belong to which of n groups.
    area_mm2
        (n,) their areas.
    with_border
        Whether nuclei on the picture's border count in more than number and density.

    Returns
    -------
    DataFrame
        One row a group:

        ``n_nuclei``, ``area_mm2``, ``density_per_mm2``
            Nuclei whose centroid lies inside, those on the picture's border too; NaN without area.
        ``n_measured``
            Nuclei the columns below rest on.
        ``orientation_coherence``
            Polarity, 0 (all ways alike) to 1 (parallel): the resultant length of the doubled angles,
            ``R = |sum exp(2i o)| / n``: an axis is the same after half a turn (Mardia and Jupp, Directional
            Statistics, 2000, sections 1.1 and 2.3). Nuclei without a direction are left out. R of n
            random directions is about ``sqrt(pi / 4n)``: compare groups of like size, or the next.
        ``orientation_coherence_unbiased``
            ``sqrt((n R^2 - 1) / (n - 1))``, zero where R is below chance: ``n R^2`` of random directions is
            1 in the mean.
        ``orientation_mean_rad``
            ``arg(sum exp(2i o)) / 2``, zero and sense as of `orientation_rad`.
        ``orientation_disorder``
            Shannon's entropy of the orientations in 18 bins of 10 degrees, over its largest value: 0 (one
            bin) to 1 (all alike). With Miller's correction for few values, ``(bins hit - 1) / 2n`` (Miller,
            Information Theory in Psychology, 1955). Entropy of nuclear orientation as a measure of disorder:
            Lee et al., MICCAI 2013, who take it from co-occurring neighbours. It still grows with the number
            of nuclei, up to some hundred: compare groups of like size, or the next.
        ``orientation_disorder_of_10``
            Mean entropy of 10 of the nuclei, drawn at random, over that of 10 in as many bins: the same
            number everywhere, so that sparse and dense groups compare (rarefaction, as Hurlbert, Ecology
            1971, for species). NaN of fewer.
        ``mean_<feature>``, ``sd_<feature>``
            Of each of `AVERAGED`, values that are not known left out; the deviation with n - 1.
    """
    n = len(area_mm2)
    count = np.bincount(members.group, minlength=n)
    columns: dict[str, NDArray[Any]] = {
        "n_nuclei": count,
        "area_mm2": area_mm2,
        "density_per_mm2": _over(count, area_mm2),
    }
    if not with_border:
        whole = ~table["on_border"].to_numpy(bool)[members.nucleus]
        members = Members(members.nucleus[whole], members.group[whole])
    columns["n_measured"] = np.bincount(members.group, minlength=n)
    columns |= _orientations(table["orientation_rad"].to_numpy(float)[members.nucleus], members.group, n)
    for name in AVERAGED:
        mean, deviation = _mean_and_deviation(table[name].to_numpy(float)[members.nucleus], members.group, n)
        columns |= {f"mean_{name}": mean, f"sd_{name}": deviation}
    return pd.DataFrame(columns)


def _orientations(angle: NDArray[np.float64], group: NDArray[np.intp], n: int) -> dict[str, NDArray[Any]]:
    known = np.isfinite(angle)
    angle, group = angle[known], group[known]
    count = np.bincount(group, minlength=n).astype(float)
    cosine = np.bincount(group, weights=np.cos(2 * angle), minlength=n)
    sine = np.bincount(group, weights=np.sin(2 * angle), minlength=n)
    length = _over(np.hypot(cosine, sine), np.where(count > 1, count, 0))
    excess = _over(count * length**2 - 1, count - 1)
    mean = np.where(count > 1, np.arctan2(sine, cosine) / 2, np.nan)
    return {
        "orientation_coherence": length,
        "orientation_coherence_unbiased": np.sqrt(np.maximum(excess, 0.0)),
        "orientation_mean_rad": mean,
    } | _disorders(angle, group, count)


def _disorders(
    angle: NDArray[np.float64], group: NDArray[np.intp], count: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    share_of_turn = (angle / np.pi + 0.5) % 1.0
    which = np.minimum((share_of_turn * ORIENTATION_BINS).astype(np.intp), ORIENTATION_BINS - 1)
    hits = np.bincount(group * ORIENTATION_BINS + which, minlength=len(count) * ORIENTATION_BINS)
    hits = hits.reshape(-1, ORIENTATION_BINS)
    share = hits / np.maximum(count, 1)[:, None]
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    entropy += ((hits > 0).sum(axis=1) - 1) / (2 * np.maximum(count, 1))
    return {
        "orientation_disorder": np.where(
            count > 1, np.clip(entropy / np.log(ORIENTATION_BINS), 0.0, 1.0), np.nan
        ),
        "orientation_disorder_of_10": _drawn_disorder(hits, count.astype(np.intp)),
    }


def _drawn_disorder(hits: NDArray[np.intp], count: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean entropy of `DRAWN` nuclei of each group; `hits`: (n, bins), `count`: their sums."""
    found = np.full(len(count), np.nan)
    enough = count >= DRAWN
    hits, n = hits[enough], count[enough, None]
    log_factorial = gammaln(np.arange(int(count.max(initial=DRAWN)) + 1) + 1.0)

    def log_choose(of: NDArray[np.intp], k: int) -> NDArray[np.float64]:
        drawn = log_factorial[of] - log_factorial[k] - log_factorial[np.maximum(of - k, 0)]
        return np.where(of >= k, drawn, -np.inf)

    entropy = np.zeros(len(hits))
    for k in range(1, DRAWN):  # drawn from one bin; all of them from one are no disorder
        chance = np.exp(log_choose(hits, k) + log_choose(n - hits, DRAWN - k) - log_choose(n, DRAWN))
        entropy -= chance.sum(axis=1) * (k / DRAWN) * np.log(k / DRAWN)
    found[enough] = np.clip(entropy / np.log(DRAWN), 0.0, 1.0)
    return found


def _mean_and_deviation(
    values: NDArray[np.float64], group: NDArray[np.intp], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = np.isfinite(values)
    values, group = values[known], group[known]
    count = np.bincount(group, minlength=n)
    mean = _over(np.bincount(group, weights=values, minlength=n), count)
    spread = np.bincount(group, weights=(values - mean[group]) ** 2, minlength=n)
    return mean, np.sqrt(_over(spread, count - 1))


def _over(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Divide; NaN where there is nothing to divide by."""
    quotient = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=quotient, where=np.asarray(below) > 0)
    return quotient


def _l0_xy(table: pd.DataFrame) -> NDArray[np.float64]:
    if not set(L0_XY) <= set(table.columns):
        raise UsageError(
            "The table does not say where its nuclei lie on the slide.",
            f"Add {' and '.join(L0_XY)} with `placed`.",
        )
    return table[list(L0_XY)].to_numpy(np.float64)
