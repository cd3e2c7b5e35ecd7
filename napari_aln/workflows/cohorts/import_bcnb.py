"""The BCNB download as a cohort table; every patient of whom something is missing is named."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_aln.cohort.bags import (
    bags_beside,
    patches_beside,
    patches_in,
    read_bag_list,
    write_bags,
    write_patches,
)
from napari_aln.cohort.bcnb import SLIDES, WORKBOOK, find_parts
from napari_aln.cohort.table import CohortRow, placed_beside, read_cohort, relative_to, write_cohort
from napari_aln.cohort.writing import table_suffix
from napari_aln.records import Progress
from napari_aln.slides.facts import user_mpp
from napari_aln.store.atomic import atomic_file
from napari_aln.store.cohort_run import now
from napari_aln.versions import package_versions

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from napari_aln.cohort.bags import PatchFile, ReferenceBag
    from napari_aln.cohort.bcnb import Download


@dataclass(frozen=True)
class Gap:
    """What some patients lack."""

    fact: str
    patient_ids: tuple[str, ...]


@dataclass(frozen=True)
class Imported:
    """What was imported, and what was not there to import."""

    table: Path
    n_patients: int
    n_slides: int
    n_outlines: int
    n_bags: int
    n_patches: int
    absent: tuple[str, ...]  # parts of the data set, one sentence each
    gaps: tuple[Gap, ...]


def import_bcnb(
    folder: Path, table: Path, mpp: float, *, complete_only: bool = False
) -> Generator[Progress, None, Imported]:
    """Yield progress, return what was written: a cohort table of the BCNB data set.

    Writes `table`, ``<stem>-import.json`` (what was there, who lacks what), and, where the download has them,
    ``<stem>-bags.parquet`` and ``<stem>-patches.parquet``; see `cohort.bags`. The slides stay where they are.

    Parameters
    ----------
    folder
        What the data set was unpacked into; see `find_parts`.
    table
        A name ending in .csv, .xlsx or .parquet. Paths in it are relative to its folder.
    mpp
        µm/px of the slides, for the files state none. It goes into every row that has a slide.
    complete_only
        Leave out patients without slide or without a line in the workbook. They are named all the same.

    Raises
    ------
    MppError
        The µm/px is impossible.
    UsageError
        The table's name says no format.
    CohortError
        A part is damaged or contradicts another one; names file, line and fact.
    StoreError
        The table cannot be written.
    """
    user_mpp(mpp)
    suffix = table_suffix(table)
    yield Progress("look at the download", 0, 1)
    parts = find_parts(folder)
    known = {row.patient_id: row for row in read_cohort(parts.workbook)} if parts.workbook else {}
    patient_ids = sorted(parts.slides.keys() | known.keys(), key=_by_number)
    rows = [_row(patient_id, parts, known.get(patient_id), mpp) for patient_id in patient_ids]
    gaps = _gaps(parts, known)
    if complete_only:
        rows = [row for row in rows if row.slide is not None and row.patient_id in known]
    patches = yield from _patches(parts.patches)
    bags = yield from _bags(parts, patches, gaps, {*patient_ids})
    _write_companions(table, parts.patches, bags, patches)
    with atomic_file(table) as temporary:
        write_cohort(temporary, placed_beside(rows, table), suffix)
    imported = Imported(
        table=table,
        n_patients=len(rows),
        n_slides=sum(row.slide is not None for row in rows),
        n_outlines=sum(row.roi is not None for row in rows),
        n_bags=len(bags),
        n_patches=len(patches),
        absent=parts.absent,
        gaps=tuple(gaps),
    )
    _write_record(imported, mpp, complete_only=complete_only)
    return imported


def _by_number(patient_id: str) -> tuple[int, str]:
    return (int(patient_id) if patient_id.isdecimal() else 10**9, patient_id)


def _row(patient_id: str, parts: Download, known: CohortRow | None, mpp: float) -> CohortRow:
    slide = parts.slides.get(patient_id)
    found = {
        "slide": slide,
        "roi": parts.outlines.get(patient_id) if slide else None,
        "mpp": mpp if slide else None,
        "split": parts.splits.get(patient_id),
    }
    return (known or CohortRow(patient_id=patient_id)).model_copy(update=found)


def _gaps(parts: Download, known: dict[str, CohortRow]) -> list[Gap]:
    """Return who lacks what. What is absent altogether is said once, by the parts."""
    slides, outlines, splits = parts.slides.keys(), parts.outlines.keys(), parts.splits.keys()
    everyone = slides | known.keys()
    found = {
        f"in {WORKBOOK}, but without a slide in {SLIDES}": known.keys() - slides if slides else (),
        f"with a slide, but not in {WORKBOOK}: no clinical values, no label": slides - known.keys()
        if known
        else (),
        "with a slide, but without outlines": slides - outlines if outlines else (),
        "with outlines, but without a slide": outlines - slides,
        f"in a split list, but neither in {SLIDES} nor in {WORKBOOK}": splits - everyone,
        "in no split list": everyone - splits if splits else (),
        f"without a label in {WORKBOOK}": (key for key, row in known.items() if row.label is None),
    }
    return [gap for fact, ids in found.items() if (gap := _gap(fact, ids)).patient_ids]


def _gap(fact: str, ids: Iterable[str]) -> Gap:
    return Gap(fact, tuple(sorted(ids, key=_by_number)))


def _patches(folder: Path) -> Generator[Progress, None, list[PatchFile]]:
    """Return all patches that are there, their paths relative to the folder."""
    patients = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found: list[PatchFile] = []
    for done, patient in enumerate(patients):
        yield Progress("look at patches", done, len(patients))
        found += [patch._replace(path=patch.path.relative_to(folder)) for patch in patches_in(patient)]
    return found


def _bags(
    parts: Download, patches: list[PatchFile], gaps: list[Gap], patient_ids: set[str]
) -> Generator[Progress, None, list[ReferenceBag]]:
    """Return all lists' bags; add to the gaps what is missing of them."""
    bags: list[ReferenceBag] = []
    for done, path in enumerate(parts.bag_lists):
        yield Progress("read bag lists", done, len(parts.bag_lists))
        bags += read_bag_list(path)
    there = {patch.path for patch in patches}
    incomplete = {bag.patient_id for bag in bags if not there.issuperset(bag.patches)}
    strangers = {bag.patient_id for bag in bags} - patient_ids
    gaps += [
        gap
        for fact, ids in (
            ("whose bags name patches that are not there", incomplete),
            (f"in bag lists, but neither in {SLIDES} nor in {WORKBOOK}", strangers),
        )
        if (gap := _gap(fact, ids)).patient_ids
    ]
    return bags


def _write_companions(table: Path, folder: Path, bags: list[ReferenceBag], patches: list[PatchFile]) -> None:
    """Write what stands beside a table; before it, so that it never stands without them."""
    beside = relative_to(table, folder)
    for place, there in ((bags_beside(table), bags), (patches_beside(table), patches)):
        if not there:
            place.unlink(missing_ok=True)  # that of an earlier import
    if bags:
        with atomic_file(bags_beside(table)) as temporary:
            write_bags(temporary, bags, beside)
    if patches:
        with atomic_file(patches_beside(table)) as temporary:
            write_patches(temporary, patches, beside)


def _write_record(imported: Imported, mpp: float, *, complete_only: bool) -> None:
    record = asdict(imported) | {"table": imported.table.name, "mpp": mpp, "complete_only": complete_only}
    record |= {"created": now(), "versions": package_versions()}
    with atomic_file(imported.table.with_name(f"{imported.table.stem}-import.json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
