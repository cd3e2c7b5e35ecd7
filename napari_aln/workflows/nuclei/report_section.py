"""The report's section on nuclei, made from what lies in a result folder."""

from __future__ import annotations

import base64
import io
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from napari_aln.annotations import read_annotations
from napari_aln.errors import AnnotationError, StoreError, UsageError
from napari_aln.evaluation.group_differences import spread
from napari_aln.nuclei.table import NUCLEI_PARQUET, read_nuclei
from napari_aln.records import ATTENTION_NOTICE
from napari_aln.store.atomic import atomic_file
from napari_aln.store.nuclei import FILES, PATCHES_CSV, public_settings, read_statement, write_statement
from napari_aln.store.result import NUCLEI_JSON
from napari_aln.store.scored_patches import runs_of
from napari_aln.workflows.nuclei.by_attention import (
    INDEPENDENCE_NOTICE,
    PATCH_COLUMNS,
    TITLES,
    contrast_of_result,
)
from napari_aln.workflows.pages import environment

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from jinja2 import Template
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.store.nuclei import NucleiDocument
    from napari_aln.workflows.nuclei.by_attention import NucleiContrast

BEGIN, END = "<!-- nuclei -->", "<!-- /nuclei -->"
"""Between them the section stands in the report."""

OF_NUCLEI = tuple(name for name in TITLES if name not in PATCH_COLUMNS)
REGIONS_GEOJSON, REPORT_HTML = "regions.geojson", "report.html"


def nuclei_section(folder: Path) -> str:
    """Return the section as HTML; empty where the folder holds no measured nuclei.

    Parameters
    ----------
    folder
        A result folder: its nuclei, patches and regions are read.

    Raises
    ------
    StoreError
        The nuclei are damaged.
    """
    if not (folder / NUCLEI_JSON).is_file():
        return ""
    about, table = read_statement(folder), read_nuclei(folder / NUCLEI_PARQUET).table
    return _template().render(
        about=about,
        zones=_zones(folder, about, table),
        titles={name: TITLES[name] for name in OF_NUCLEI},
        contrasts=_contrasts(folder),
        attention_notice=ATTENTION_NOTICE,
        independence=INDEPENDENCE_NOTICE,
    )


def renew_report(folder: Path) -> bool:
    """Put the section on the folder's present nuclei into its report; return whether there is a place for it.

    Raises
    ------
    StoreError
        The nuclei are damaged, or the report cannot be written.
    """
    path = folder / REPORT_HTML
    if not path.is_file():
        return False
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        return False
    with atomic_file(path) as temporary:
        temporary.write_text(f"{before}{BEGIN}{nuclei_section(folder)}{END}{after}", encoding="utf-8")
    return True


def keep_nuclei(earlier: Path, folder: Path, slide_hash: str) -> None:
    """Copy the nuclei of an earlier result of the same slide into the folder that replaces it."""
    try:
        about = read_statement(earlier)
    except StoreError:
        return
    if about.slide.quick_hash != slide_hash:
        return
    for name in FILES:
        if (earlier / name).is_file() and name != NUCLEI_JSON:
            shutil.copyfile(earlier / name, folder / name)
    settings = public_settings(about.settings, about.method)  # an earlier version wrote a model's path
    write_statement(about.model_copy(update={"settings": settings}), folder)


def _zones(folder: Path, about: NucleiDocument, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what was measured, and where an ROI divides it, each part."""
    zones = [_zone("All measured", table, about.density_per_mm2)]
    roi = _roi(folder)
    if about.what != "tissue" or roi is None:
        return zones
    within = shapely.contains_xy(roi, table["x"].to_numpy(), table["y"].to_numpy())
    if not within.any() or within.all():
        return zones
    inside, outside = _densities(folder, roi)
    return [
        *zones,
        _zone("Inside the ROI", table[within], inside),
        _zone("Outside the ROI", table[~within], outside),
    ]


def _roi(folder: Path) -> BaseGeometry | None:
    try:
        regions = read_annotations(folder / REGIONS_GEOJSON).regions
    except AnnotationError:  # a run of the whole slide alone has none
        return None
    roi = shapely.union_all([region.geometry for region in regions])
    shapely.prepare(roi)
    return roi


def _zone(name: str, table: pd.DataFrame, density: float | None) -> dict[str, Any]:
    whole = table[~table["on_border"].to_numpy(bool)]
    features = {feature: spread(whole[feature].to_numpy()) for feature in OF_NUCLEI}
    return {"name": name, "n": len(table), "density": density, "features": features}


def _densities(folder: Path, roi: BaseGeometry) -> tuple[float | None, float | None]:
    """Return nuclei per mm² of tissue in the patches whose middle lies inside the ROI, and of the others."""
    import pandas as pd

    patches = pd.read_csv(folder / PATCHES_CSV, encoding="utf-8-sig")
    x, y = patches["x"] + patches["width"] / 2, patches["y"] + patches["height"] / 2
    within: NDArray[np.bool_] = shapely.contains_xy(roi, x.to_numpy(float), y.to_numpy(float))
    found = []
    for part in (within, ~within):
        area = float(patches["area_mm2"].to_numpy()[part].sum())
        found.append(float(patches["n_nuclei"].to_numpy()[part].sum()) / area if area > 0 else None)
    return found[0], found[1]


def _contrasts(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for run in runs_of(folder):
        try:
            contrast = contrast_of_result(folder, run)
        except UsageError as error:
            found.append({"run": run, "reason": error.fact, "contrast": None})
            continue
        found.append({"run": run, "contrast": contrast, "rows": _rows(contrast), "svg": _svg(contrast)})
    return found


def _rows(contrast: NucleiContrast) -> list[dict[str, Any]]:
    rows = contrast.rows.to_dict("records")
    return [{str(k): v for k, v in row.items()} | {"title": TITLES[row["feature"]]} for row in rows]


def _svg(contrast: NucleiContrast) -> str:
    buffer = io.BytesIO()
    contrast.figure().savefig(buffer, format="svg", metadata={"Date": None})
    return base64.b64encode(buffer.getvalue()).decode()


def _number(value: float | None, form: str = "") -> str:
    """Return a number as a person reads it, by itself with three digits; a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    form = form or ("{:.0f}" if abs(value) >= 100 else "{:#.3g}")
    return form.format(value).replace("-", "\N{MINUS SIGN}")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else _number(value, "{:.3f}")


@cache
def _template() -> Template:
    with_filters = environment()
    with_filters.filters |= {"number": _number, "p": _p}
    return with_filters.get_template("nuclei.html.j2")
