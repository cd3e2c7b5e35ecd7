"""Where the model looked against what the nuclei there look like: high- against low-attention patches."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely

from napari_aln.cohort.wording import counted
from napari_aln.errors import StoreError, UsageError
from napari_aln.evaluation.group_differences import adjusted_p, group_difference
from napari_aln.evaluation.plots import DPI
from napari_aln.evaluation.violins import violin_figure
from napari_aln.nuclei.aggregates import members_of_patches, patch_statistics
from napari_aln.nuclei.slide_features import DENSITY, MIN_NUCLEI, ORIENTATION, SLIDE_FEATURES, SlideFeature
from napari_aln.nuclei.table import NUCLEI_PARQUET, read_nuclei, write_nuclei_csv
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_file
from napari_aln.store.nuclei import read_statement
from napari_aln.store.result import NUCLEI_JSON
from napari_aln.store.scored_patches import scored_patches
from napari_aln.versions import package_versions
from napari_aln.workflows.slide.maps import MAP_STYLES, from_the_top

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.evaluation.group_differences import Difference
    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchTable

CONTRAST_CSV, CONTRAST_JSON, CONTRAST_STEM = "contrast.csv", "contrast.json", "contrast"

COVERED = 0.5
"""A patch takes part if so much of it lies inside what was measured."""

DISORDER = "orientation_disorder"
PATCH_COLUMNS = {
    DENSITY: "density_per_mm2",
    ORIENTATION: "orientation_coherence_unbiased",
    DISORDER: "orientation_disorder_of_10",
}
"""What a patch has and a nucleus has not; coherence and disorder by what does not grow with their number."""

_FEATURES = list(SLIDE_FEATURES)
_FEATURES.insert(2, SlideFeature(DISORDER, "Orientation (disorder)", ""))
TITLES = {one.name: f"{one.title} ({one.unit})" if one.unit else one.title for one in _FEATURES}

INDEPENDENCE_NOTICE = (
    "Nuclei of one slide are not independent: with thousands of them small differences have tiny p. The test "
    "between patches, on the mean of each, is the cautious one; size tells more than p."
)


class Ends(NamedTuple):
    """How many patches are taken from the top, and as many from the bottom."""

    share: float = 0.1  # of all
    k: int | None = None  # this many instead

    def of(self, n: int) -> int:
        """Return how many of n patches; at most half of them.

        Raises
        ------
        UsageError
            A share or number of nothing, or fewer than two patches.
        """
        if self.k is not None and self.k < 1:
            raise UsageError(f"{self.k} patches cannot be compared.", "Give at least 1.")
        if not 0 < self.share <= 0.5:
            raise UsageError(
                f"A share of {self.share:g} has no two ends.", "Give more than 0 and at most 0.5."
            )
        if n < 2:
            raise UsageError(
                f"Patches with attention that were measured: {n}. Two are the fewest that can be compared.",
                "Measure the nuclei of the whole slide, or where the run's patches are.",
            )
        return min(self.k if self.k is not None else max(1, round(self.share * n)), n // 2)


DECILES = Ends()


@dataclass(frozen=True)
class NucleiContrast:
    """Nuclei of high- against low-attention patches of one run.

    Attributes
    ----------
    run, map_name
        Whose attention, and which.
    n_patches
        Patches that could be chosen.
    k
        How many were, at each end.
    nuclei
        How many nuclei lie in the high and in the low patches.
    rows
        One row a feature: ``feature``; of the nuclei ``n_high``, ``median_high``, ``q1_high``, ``q3_high``
        and the same of low, ``effect`` (rank-biserial correlation, which is Cliff's delta: share of pairs in
        which the high patch's is larger less the share in which it is smaller, -1 to 1), ``p``
        (Mann-Whitney U, two-sided), ``p_adjusted`` (Benjamini and Hochberg, over the features); of the
        patches' means ``n_patches_high``, ``mean_high``, and low, ``effect_patches``, ``p_patches``,
        ``p_patches_adjusted``. Features that only a patch has are NaN among the nuclei's.
    values
        Feature -> values of the high and of the low patches' nuclei (or of the patches), for figures.
    made_by
        What made the run and the nuclei, as plain values; empty where nobody knows.
    """

    run: str
    map_name: str
    n_patches: int
    k: int
    nuclei: tuple[int, int]
    rows: pd.DataFrame
    values: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    made_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What is compared, in a line."""
        high = counted(self.k, "patch", "patches")
        return (
            f"{self.run.upper()}: {high} of highest against {self.k} of lowest "
            f"{MAP_STYLES[self.map_name].quantity}"
        )

    def figure(self) -> Figure:
        """Draw the values of each feature, high beside low."""
        notes = {TITLES[row["feature"]]: _note(row) for row in self.rows.to_dict("records")}
        values = {TITLES[name]: both for name, both in self.values.items()}
        return violin_figure(values, ("high", "low"), notes, self.title, INDEPENDENCE_NOTICE)


def _note(row: Mapping[Hashable, Any]) -> str:
    text = f"effect {row['effect_patches']:+.2f}, p {row['p_patches_adjusted']:.2g}, by patch"
    return text.replace("-", "\N{MINUS SIGN}")


def contrast(  # noqa: PLR0913 - nuclei, patches and what ranks them, then by name
    table: pd.DataFrame,
    mpp: Mpp,
    patches: PatchTable,
    attention: ArrayLike,
    *,
    ends: Ends = DECILES,
    share: NDArray[np.float64] | None = None,
    run: str = "",
    map_name: str = "attention_slide",
) -> NucleiContrast:
    """Compare the nuclei of the patches of highest attention with those of the lowest.

    Parameters
    ----------
    table
        Nuclei with level-0 centroids (`placed`).
    mpp
        µm/px of level 0.
    patches, attention
        n patches and the (n,) values that rank them; patches without a value take no part.
    ends
        How many of them are high, and how many low.
    share
        (n,) share of each that lies inside what was measured, to which densities refer; patches of less than
        `COVERED` take no part. None: all of each.
    run, map_name
        What the result is to say of itself.

    Raises
    ------
    UsageError
        Fewer than two patches, a share or k of nothing, or no nuclei in the chosen patches.
    """
    values = np.asarray(attention, np.float64)
    if share is not None:
        values = np.where(share >= COVERED, values, np.nan)
    ranked = from_the_top(values)
    k = ends.of(len(ranked))
    high, low = ranked[:k], ranked[-k:]
    sums = patch_statistics(table, patches, mpp, tissue_share=share)
    whole = table[~table["on_border"].to_numpy(bool)]
    members = members_of_patches(whole, patches)
    in_high, in_low = (whole.iloc[members.nucleus[np.isin(members.group, chosen)]] for chosen in (high, low))
    if not len(in_high) and not len(in_low):
        raise UsageError(
            "There are no nuclei in these patches.",
            "Measure the nuclei of the whole slide, or take more patches.",
        )
    sums.loc[sums["n_measured"] < MIN_NUCLEI, PATCH_COLUMNS[ORIENTATION]] = np.nan
    rows, shown = [], {}
    for name in TITLES:
        of_patch = sums[PATCH_COLUMNS.get(name, f"mean_{name}")].to_numpy(float)
        by_patch = of_patch[high], of_patch[low]
        own = by_patch
        if name not in PATCH_COLUMNS:
            own = in_high[name].to_numpy(float), in_low[name].to_numpy(float)
        if not any(np.isfinite(part).any() for part in own):
            continue  # haematoxylin of given labels without a picture
        rows.append(_row(name, None if name in PATCH_COLUMNS else own, by_patch))
        shown[name] = own
    found = _with_adjusted(rows)
    counted = tuple(int(sums["n_nuclei"].to_numpy()[chosen].sum()) for chosen in (high, low))
    return NucleiContrast(run, map_name, len(ranked), k, (counted[0], counted[1]), found, shown)


def _row(
    name: str,
    nuclei: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    patches: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> dict[str, Any]:
    high, low = nuclei or (np.zeros(0), np.zeros(0))
    found, means = group_difference(low, high), group_difference(patches[1], patches[0])
    row: dict[str, Any] = {"feature": name}
    for end, part in (("high", found.second), ("low", found.first)):
        row |= {
            f"n_{end}": part.n,
            f"median_{end}": part.median,
            f"q1_{end}": part.low,
            f"q3_{end}": part.high,
        }
    row |= {"effect": _effect(found), "p": found.p, "p_adjusted": np.nan}
    for end, part in (("high", means.second), ("low", means.first)):
        row |= {f"n_patches_{end}": part.n, f"mean_{end}": part.mean}
    return row | {"effect_patches": _effect(means), "p_patches": means.p, "p_patches_adjusted": np.nan}


def _effect(found: Difference) -> float:
    return 2 * found.superiority - 1


def _with_adjusted(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows)
    for name in ("p", "p_patches"):
        table[f"{name}_adjusted"] = adjusted_p(table[name].tolist())
    return table


def contrast_of_result(
    folder: Path,
    run: str | None = None,
    nuclei: Path | None = None,
    *,
    ends: Ends = DECILES,
) -> NucleiContrast:
    """Compare nuclei by the attention of a stored run; see `contrast`.

    Parameters
    ----------
    folder
        A result folder.
    run
        As of `scored_patches`.
    nuclei
        Their table; None: the folder's own. Where ``nuclei.json`` lies beside it, only patches that were
        measured take part.
    ends
        As of `contrast`.

    Raises
    ------
    StoreError
        Result or nuclei cannot be read.
    UsageError
        They are of different slides; or as `contrast`.
    """
    scored = scored_patches(folder, run)
    path = nuclei or folder / NUCLEI_PARQUET
    if path.is_dir():
        raise StoreError(f"{path} is a folder, no table.", f"Name the table in it: {path / NUCLEI_PARQUET}.")
    if not path.is_file():
        raise StoreError(
            f"There is no table of nuclei {path}.",
            f"Measure the slide's nuclei first: `napari-aln nuclei measure SLIDE --result {folder}`. A table "
            "that lies elsewhere is named by --nuclei.",
        )
    table = read_nuclei(path)
    if scored.slide_hash != table.slide_hash:
        raise UsageError(f"{path} and {folder} are of different slides.", "Give the nuclei of this slide.")
    attention = scored.values[scored.attention_name].to_numpy(float)
    made_by: dict[str, Any] = {"run": scored.made_by, "nuclei": {"slide_quick_hash": table.slide_hash}}
    share = None
    if (path.parent / NUCLEI_JSON).is_file():
        stated = read_statement(path.parent)
        made_by["nuclei"] |= stated.found_by
        if stated.outline is not None:
            share = measured_share(scored.patches, shapely.geometry.shape(stated.outline))
    found = contrast(
        table.table,
        table.mpp,
        scored.patches,
        attention,
        ends=ends,
        share=share,
        run=scored.run,
        map_name=scored.attention_name,
    )
    return replace(found, made_by=made_by)


def measured_share(patches: PatchTable, outline: BaseGeometry | None) -> NDArray[np.float64]:
    """Return the (n,) share of each patch inside an outline in level-0 pixels; None: all of it."""
    if outline is None:
        return np.ones(len(patches))
    step_x, step_y = patches.grid.step_l0
    x, y = patches.l0_xy.T
    boxes = shapely.box(x, y, x + step_x, y + step_y)
    share: NDArray[np.float64] = shapely.area(shapely.intersection(boxes, outline)) / (step_x * step_y)
    return np.minimum(share, 1.0)


def write_contrast(found: NucleiContrast, folder: Path, alias: str) -> None:
    """Write ``contrast.csv``, the violin plots as SVG and PNG, and ``contrast.json``, which says what it is.

    Raises
    ------
    StoreError
        They cannot be written.
    """
    figure = found.figure()
    with atomic_file(folder / CONTRAST_CSV) as temporary:
        write_nuclei_csv(found.rows, temporary)
    for kind in ("svg", "png"):
        with atomic_file(folder / f"{CONTRAST_STEM}.{kind}") as temporary:
            figure.savefig(
                temporary, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None
            )
    about = {
        "notice": f"{RESEARCH_NOTICE} {ATTENTION_NOTICE}",
        "independence": INDEPENDENCE_NOTICE,
        "alias": alias,
        "run": found.run,
        "map": found.map_name,
        "patches_to_choose_from": found.n_patches,
        "patches_at_each_end": found.k,
        "nuclei_high": found.nuclei[0],
        "nuclei_low": found.nuclei[1],
        "tests": "Mann-Whitney U, two-sided; p_adjusted: Benjamini and Hochberg over the features",
        "effect": "rank-biserial correlation = Cliff's delta; above 0: larger where attention is high",
        "made_by": {**found.made_by, "versions": package_versions()},
    }
    with atomic_file(folder / CONTRAST_JSON) as temporary:
        temporary.write_text(json.dumps(about, indent=2, ensure_ascii=False), encoding="utf-8")
