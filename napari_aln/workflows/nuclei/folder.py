"""From a slide to its folder of nuclei: tables, QuPath's detections, sums by patch and region."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_aln.annotations.statement import MEMBER, Statement
from napari_aln.cohort.writing import harmless
from napari_aln.errors import UsageError
from napari_aln.nuclei.aggregates import Members, patch_statistics, region_statistics, statistics
from napari_aln.nuclei.detections import write_detections
from napari_aln.nuclei.table import NUCLEI_PARQUET, write_nuclei, write_nuclei_csv
from napari_aln.patches.grid import candidates, patch_grid
from napari_aln.patches.membership import inside
from napari_aln.records import Progress
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.settings.patches import PatchSettings
from napari_aln.store.atomic import atomic_file, check_writable
from napari_aln.store.nuclei import (
    NUCLEI_CSV,
    NUCLEI_GEOJSON,
    PATCHES_CSV,
    REGIONS_CSV,
    NucleiDocument,
    write_statement,
)
from napari_aln.store.result import NUCLEI_JSON, RESULT_JSON, SlideFacts, alias_of, read_document
from napari_aln.versions import package_versions
from napari_aln.workflows.nuclei.label_file import read_label_image
from napari_aln.workflows.nuclei.measure import measure_labels, measure_nuclei
from napari_aln.workflows.nuclei.report_section import renew_report
from napari_aln.workflows.slide.prepare import require_mpp, survey, usable_roi

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    import pandas as pd

    from napari_aln.annotations import Origin
    from napari_aln.records import PatchGrid, PatchTable, Region
    from napari_aln.slides import Slide
    from napari_aln.workflows.nuclei.measure import MeasuredNuclei
    from napari_aln.workflows.slide.prepare import Overview

ALL = "all"
GRID_PX = 256  # a patch's side at the grid's own µm/px; only its side in µm matters here


@dataclass(frozen=True)
class NucleiRequest:
    """What is asked of one slide's nuclei.

    Parameters
    ----------
    settings
        How they are found and which count.
    regions
        In level-0 pixels, or the file that holds them. None: all tissue.
    origin
        What that file's coordinates start at, unless it says so itself.
    labels
        A label image of another program to measure instead of finding nuclei.
    detections_origin
        What ``nuclei.geojson`` counts from; QuPath counts from the slide's bounds.
    private
        Name the slide's file and its regions nowhere.
    alias
        Names the slide where its file does not; None: by its content.
    """

    settings: NucleiSettings = field(default_factory=NucleiSettings)
    regions: Sequence[Region] | Path | str | None = None
    origin: Origin | None = None
    labels: Path | None = None
    detections_origin: Origin = "level0"
    private: bool = False
    alias: str | None = None


def nuclei_to_folder(
    slide: Slide, request: NucleiRequest, folder: Path
) -> Generator[Progress, None, MeasuredNuclei]:
    """Yield progress, return the nuclei that were written; see `measure_nuclei` and `write_measured`.

    Raises
    ------
    StoreError
        The folder cannot be written to.
    UsageError
        It is the result of another slide.
    MppError, AnnotationError, RegionError, SlideError
        As `measure_nuclei` and `usable_roi`.
    """
    require_mpp(slide.info)
    is_result = (folder / RESULT_JSON).is_file()
    if is_result:
        result = read_document(folder)
        if result.slide.quick_hash != slide.info.quick_hash:
            raise UsageError(f"{folder} is the result of another slide.", "Give the folder of this slide.")
        private = request.private or result.slide.file is None
        request = replace(request, private=private, alias=result.alias)
    check_writable(folder)
    regions, warnings = usable_roi(slide, request.regions, request.origin)
    labels = None if request.labels is None else read_label_image(request.labels)
    yield Progress("survey", 0, 1)
    seen = survey(slide)
    if labels is None:
        measured = yield from measure_nuclei(slide, request.settings, regions or None, seen=seen)
    else:
        measured = yield from measure_labels(slide, labels, request.settings, regions or None, seen=seen)
    yield Progress("write", 0, 1)
    write_measured(slide, measured, request, folder, regions, warnings)
    if is_result:
        renew_report(folder)
    return measured


def write_measured(
    slide: Slide,
    measured: MeasuredNuclei,
    request: NucleiRequest,
    folder: Path,
    regions: Sequence[Region] = (),
    warnings: Sequence[str] = (),
) -> None:
    """Write a slide's nuclei; each file appears whole, and ``nuclei.json`` when all others are there.

    Parameters
    ----------
    slide
        Whose nuclei they are.
    measured
        From `measure_nuclei`.
    request
        What was asked.
    folder
        Where to; files of an earlier time are replaced, others left as they are.
    regions
        Those inside which nuclei were measured, in level-0 pixels.
    warnings
        Further ones, on the regions.

    Raises
    ------
    StoreError
        They cannot be written.
    """
    info, table = slide.info, measured.table
    bounds_xy = info.bounds.x, info.bounds.y
    stated = Statement.to_write(request.detections_origin, bounds_xy, info.mpp, info.quick_hash)
    (folder / NUCLEI_JSON).unlink(missing_ok=True)
    files: dict[str, Callable[[Path], None]] = {
        NUCLEI_PARQUET: lambda path: write_nuclei(
            table,
            path,
            mpp=measured.mpp,
            slide_hash=measured.slide_hash,
            outlines=measured.outlines,
        ),
        NUCLEI_CSV: lambda path: write_nuclei_csv(table, path),
        NUCLEI_GEOJSON: lambda path: write_detections(
            table,
            measured.outlines,
            path,
            members={MEMBER: stated.as_json()},
            origin_l0_xy=stated.origin_l0_xy,
        ),
        PATCHES_CSV: lambda path: write_nuclei_csv(by_patch(slide, measured, request.settings), path),
        REGIONS_CSV: lambda path: write_nuclei_csv(by_region(measured, regions, request.private), path),
    }
    for name, write in files.items():
        with atomic_file(folder / name) as temporary:
            write(temporary)
    write_statement(_statement(slide, measured, request, warnings), folder)


def by_patch(slide: Slide, measured: MeasuredNuclei, settings: NucleiSettings) -> pd.DataFrame:
    """Return the sums of each patch that was measured, see `aggregates.patch_statistics`.

    The patches are those of the slide's grid of `patch_um` with enough tissue, or inside the regions by
    enough, or those that were measured themselves. ``share`` says how much of each was measured (its tissue,
    inside the regions where there are any), and densities refer to that.
    """
    scope, mpp = measured.scope, measured.mpp
    patches = scope.patches
    if patches is None:
        grid = patch_grid(slide.info.size_px, mpp, GRID_PX, settings.patch_um / GRID_PX)
        patches = _on_grid(grid, scope.regions, scope.seen)
    share = scope.measured.of_patches(patches)
    found = patch_statistics(measured.table, patches, mpp, tissue_share=share)
    step = patches.grid.step_l0
    for place, (name, value) in enumerate(zip(("width", "height"), step, strict=True)):
        found.insert(2 + place, name, value)
    found.insert(4, "share", share)
    return found


def _on_grid(grid: PatchGrid, regions: Sequence[Region] | None, seen: Overview) -> PatchTable:
    if regions is not None:
        return inside(grid, regions, PatchSettings().min_roi_share)
    return candidates(grid, seen.mask, seen.downsample, PatchSettings())


def by_region(measured: MeasuredNuclei, regions: Sequence[Region], private: bool = False) -> pd.DataFrame:
    """Return the sums of all that was measured, then of each region, see `aggregates.statistics`."""
    import pandas as pd

    n = len(measured.table)
    every = Members(np.arange(n), np.zeros(n, np.intp))
    whole = statistics(measured.table, every, np.array([measured.area_mm2]))
    whole.insert(0, "name", ALL)
    if not regions:
        return whole
    own = region_statistics(measured.table, regions, measured.mpp)
    names = [f"region {k}" for k in range(1, len(regions) + 1)]
    if not private:
        names = [harmless(region.name) or name for region, name in zip(regions, names, strict=True)]
    return pd.concat([whole, own.assign(name=names)], ignore_index=True)


def _statement(
    slide: Slide, measured: MeasuredNuclei, request: NucleiRequest, warnings: Sequence[str]
) -> NucleiDocument:
    scope, density, ran_on = measured.scope, measured.density_per_mm2, measured.ran_on
    return NucleiDocument(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=package_versions(),
        alias=request.alias or alias_of(slide.info),
        slide=SlideFacts.of(slide.info, private=request.private),
        method=measured.method,
        model_sha256=measured.model_sha256,
        runtime=ran_on.runtime,
        device=ran_on.device,
        precision=ran_on.precision,
        machine=measured.machine,
        settings=measured.stated_settings,
        read_mpp=measured.read_mpp,
        what=scope.what,
        outline=None if scope.outline is None else shapely.geometry.mapping(scope.outline),
        area_mm2=measured.area_mm2,
        tissue_mm2=measured.tissue_mm2,
        n_nuclei=len(measured.table),
        density_per_mm2=density if np.isfinite(density) else None,
        counts=measured.counts,
        seconds=measured.seconds,
        warnings=tuple(dict.fromkeys([*warnings, *measured.warnings])),
    )
