"""The nuclei of a cohort's slides, slide by slide: measured once and kept, or taken from tables at hand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from shapely.geometry import shape

from napari_aln.cohort.wording import counted
from napari_aln.errors import AlnError, CohortError, DeviceError, RegionError, StoreError, TissueError
from napari_aln.nuclei.measured_area import MeasuredArea
from napari_aln.nuclei.segmentation import DEFAULT_METHOD, stated
from napari_aln.nuclei.slide_features import PAPER_FEATURES, slide_features
from napari_aln.nuclei.table import NUCLEI_PARQUET, holds_nuclei, read_nuclei, write_nuclei
from napari_aln.patches.grid import candidates, patch_grid
from napari_aln.patches.membership import inside
from napari_aln.records import Progress
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.atomic import atomic_file
from napari_aln.store.nuclei import read_statement
from napari_aln.store.result import NUCLEI_JSON, slide_made_by
from napari_aln.workflows.nuclei.by_attention import COVERED, measured_share
from napari_aln.workflows.nuclei.measure import measure_nuclei
from napari_aln.workflows.slide.prepare import require_mpp, survey, usable_roi
from napari_aln.workflows.training.patients import PATCH_PX, LeftOut

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from shapely.geometry.base import BaseGeometry

    from napari_aln.cohort.table import CohortRow
    from napari_aln.nuclei.slide_features import SlideFeatures
    from napari_aln.records import PatchTable
    from napari_aln.settings.interpretation import InterpretSettings
    from napari_aln.settings.nuclei import NucleiSettings
    from napari_aln.settings.patches import PatchSettings
    from napari_aln.slides import Slide
    from napari_aln.workflows.slide.prepare import Overview

STEP = "nuclei of slides"
_MOST_EMPTY = 0.5
"""A table that says nothing of more patches than this was made of another part of the slide."""


@dataclass(frozen=True)
class SlideNuclei:
    """A slide of the cohort and what its nuclei are like."""

    row: CohortRow
    slide_hash: str
    made_of: dict[str, Any]  # see `slide_made_by`
    features: SlideFeatures
    method: str  # by which they were found, empty where a table at hand does not say
    is_given: bool  # from a table at hand


@dataclass(frozen=True)
class _Measured:
    """The nuclei of a slide, and what is known of them."""

    table: pd.DataFrame
    warnings: Sequence[str] = ()
    method: str = ""
    outline: BaseGeometry | None = None  # of what was measured, in level-0 pixels; None: not known


@dataclass(frozen=True)
class NucleiSource:
    """Where nuclei come from.

    Attributes
    ----------
    folder
        Where measured tables are kept, named by all they depend on.
    given
        Slide hash to a table at hand, see `tables_by_slide`; these slides are not measured.
    nuclei, patches, settings
        How nuclei are found, and which patches are taken.
    """

    folder: Path
    given: Mapping[str, Path]
    nuclei: NucleiSettings
    patches: PatchSettings
    settings: InterpretSettings


def tables_by_slide(folder: Path) -> dict[str, Path]:
    """Return the tables of nuclei in a folder and below it, by the hash of the slide each is of.

    Raises
    ------
    StoreError
        There is no folder or no table, or two are of one slide.
    """
    if not folder.is_dir():
        raise StoreError(f"There is no folder {folder}.", "Name the folder to which `nuclei measure` wrote.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.parquet")):
        if not holds_nuclei(path):
            continue
        slide_hash = pq.read_schema(path).metadata[b"slide_quick_hash"].decode()
        if slide_hash in found:
            raise StoreError(
                f"{found[slide_hash]} and {path} are tables of one slide.", "Leave one of them in the folder."
            )
        found[slide_hash] = path
    if not found:
        raise StoreError(
            f"{folder} holds no table of nuclei.", "Name the folder to which `nuclei measure` wrote."
        )
    return found


def cohort_nuclei(
    patients: Mapping[str, Sequence[CohortRow]], source: NucleiSource
) -> Generator[Progress, None, tuple[list[SlideNuclei], list[LeftOut], list[str]]]:
    """Measure all slides; yield progress, return the slides, those that failed, and warnings of the others.

    Raises
    ------
    StoreError, DeviceError
        The disk is full, or a network gave up: no slide's fault.
    CohortError
        None of the tables at hand is of a slide of the cohort.
    """
    rows = [row for own in patients.values() for row in own]
    if source.given:
        yield Progress(STEP, 0, len(rows))
        yield from _require_any_given(rows, source.given)
    found: list[SlideNuclei] = []
    left_out: list[LeftOut] = []
    doubts: list[str] = []
    for done, row in enumerate(rows):
        yield Progress(STEP, done, len(rows))
        work = _nuclei_of(row, source)
        try:
            while True:
                next(work)
                yield Progress(STEP, done, len(rows))
        except StopIteration as end:
            slide, warnings = end.value
            found.append(slide)
            doubts += warnings
        except (StoreError, DeviceError):
            raise
        except AlnError as error:
            left_out.append(LeftOut(row.patient_id, row.slide.name if row.slide else "no slide", str(error)))
        finally:
            work.close()
    yield Progress(STEP, len(rows), len(rows))
    return found, left_out, doubts


def _require_any_given(
    rows: Sequence[CohortRow], given: Mapping[str, Path]
) -> Generator[Progress, None, None]:
    """Refuse a folder of other slides, before hours go into measuring all of the cohort's."""
    for row in rows:
        assert row.slide is not None
        try:
            with (yield from opening_untried(row.slide, row.mpp)) as slide:
                if slide.info.quick_hash in given:
                    return
        except AlnError:  # it is named when its turn comes
            continue
    raise CohortError(
        f"Of {counted(len(given), 'table')} of nuclei none is of a slide of this cohort.",
        "Name the folder with this cohort's tables, or leave it out to measure the slides.",
    )


def _nuclei_of(
    row: CohortRow, source: NucleiSource
) -> Generator[Progress, None, tuple[SlideNuclei, list[str]]]:
    assert row.slide is not None  # see `labelled_rows`
    with (yield from opening_untried(row.slide, row.mpp)) as slide:
        mpp = require_mpp(slide.info)
        seen = survey(slide)
        slide_hash, made_of = slide.info.quick_hash, slide_made_by(slide.info)
        given = source.given.get(slide_hash)
        if given is not None:
            nuclei = _given(given, slide)
            patches = _patches(slide, seen, row, source, nuclei.outline)
        else:
            patches = _patches(slide, seen, row, source)
            path = source.folder / f"{slide_hash}-{_digest(slide, patches, source.nuclei)}.parquet"
            nuclei = yield from _kept(path, slide, seen, patches, source.nuclei)
    share = MeasuredArea.of(seen.mask.tissue, seen.downsample, nuclei.outline).of_patches(patches)
    features = slide_features(nuclei.table, patches, mpp, tissue_share=share)
    lacking = [one.title for one in PAPER_FEATURES if not len(features.values[one.name].value)]
    if lacking:
        raise CohortError(
            f"It has {counted(features.n_nuclei, 'nucleus', 'nuclei')} in "
            f"{counted(features.n_patches, 'patch', 'patches')}: too few for "
            f"{', '.join(lacking).lower()}.",
            "Check that it is H&E, in focus and of the right µm/px, or take it out of the table.",
        )
    empty = 1 - len(np.unique(features.values["area_um2"].patch)) / features.n_patches
    if given is not None and empty > _MOST_EMPTY:
        raise CohortError(
            f"{given.name} has no nuclei in {empty:.0%} of its patches.",
            "Measure the whole slide, or the ROI that the cohort table names.",
        )
    found = SlideNuclei(row, slide_hash, made_of, features, nuclei.method, given is not None)
    return found, list(nuclei.warnings)


def _patches(
    slide: Slide, seen: Overview, row: CohortRow, source: NucleiSource, outline: BaseGeometry | None = None
) -> PatchTable:
    """Return the patches of the ROI, or of the tissue where none is named; a seeded draw of too many.

    `outline`: of what was measured before, in level-0 pixels; patches elsewhere are left out.
    """
    side_um = source.nuclei.patch_um
    grid = patch_grid(slide.info.size_px, require_mpp(slide.info), PATCH_PX, side_um / PATCH_PX)
    if row.roi is None:
        table = candidates(grid, seen.mask, seen.downsample, source.patches)
        if not len(table):
            raise TissueError(
                "No tissue was found on it.", "Check that it is a tissue slide and that its µm/px is right."
            )
    else:
        regions, _ = usable_roi(slide, row.roi)
        table = inside(grid, regions, source.patches.min_roi_share)
        table = table.take(~seen.penned(grid)[table.row, table.column])
        if not len(table):
            raise RegionError(
                f"Its ROI holds no patch of {side_um:g} µm.",
                "Draw a larger region, or ask for smaller patches.",
            )
    if outline is not None:
        table = table.take(measured_share(table, outline) >= COVERED)
        if not len(table):
            raise CohortError(
                "The nuclei at hand were measured elsewhere on it than where its patches are.",
                "Measure the whole slide, or the ROI that the cohort table names.",
            )
    most = source.settings.patches_per_slide
    if len(table) <= most:
        return table
    words = hashlib.sha256(slide.info.quick_hash.encode()).digest()[:8]
    rng = np.random.default_rng([source.settings.seed, int.from_bytes(words)])
    return table.take(np.sort(rng.choice(len(table), most, replace=False)))


def _kept(
    path: Path, slide: Slide, seen: Overview, patches: PatchTable, nuclei: NucleiSettings
) -> Generator[Progress, None, _Measured]:
    """Return the nuclei of patches, from disk where they were measured before."""
    beside = path.with_suffix(".json")
    if not (path.is_file() and beside.is_file()):
        measured = yield from measure_nuclei(slide, nuclei, patches=patches, seen=seen)
        with atomic_file(beside) as temporary:
            temporary.write_text(json.dumps({"warnings": measured.warnings}), encoding="utf-8")
        with atomic_file(path) as temporary:
            write_nuclei(measured.table, temporary, mpp=measured.mpp, slide_hash=measured.slide_hash)
    # Always from disk, where measures have fewer digits: a second run gives the same numbers.
    warnings = json.loads(beside.read_text(encoding="utf-8"))["warnings"]
    return _Measured(read_nuclei(path).table, warnings, stated(nuclei.method or DEFAULT_METHOD)[0])


def _given(path: Path, slide: Slide) -> _Measured:
    """Return the nuclei of a table at hand, with what lies beside it in a folder of `nuclei measure`."""
    try:
        read = read_nuclei(path)
        beside = read_statement(path.parent) if (path.parent / NUCLEI_JSON).is_file() else None
    except StoreError as error:  # this slide's fault, not the disk's
        raise CohortError(error.fact, error.next_step) from error
    if not np.allclose(read.mpp, require_mpp(slide.info), rtol=1e-3):
        raise CohortError(
            f"{path.name} was measured at {read.mpp.x:g} x {read.mpp.y:g} µm/px, and the slide has "
            f"{require_mpp(slide.info).x:g} x {require_mpp(slide.info).y:g}.",
            "Measure it again with the right µm/px.",
        )
    if beside is None or path.name != NUCLEI_PARQUET or beside.slide.quick_hash != read.slide_hash:
        return _Measured(read.table)
    outline = None if beside.outline is None else shape(beside.outline)
    return _Measured(read.table, beside.warnings, beside.method, outline)


def _digest(slide: Slide, patches: PatchTable, nuclei: NucleiSettings) -> str:
    """Return what a table of nuclei depends on besides the slide."""
    name, model_sha256 = stated(nuclei.method or DEFAULT_METHOD)
    way = [model_sha256 or name, nuclei.min_area_um2, nuclei.max_area_um2, nuclei.patch_um]
    about = [*way, *require_mpp(slide.info)]
    digest = hashlib.sha256(json.dumps(about).encode() + patches.cell.tobytes())
    return digest.hexdigest()[:16]
