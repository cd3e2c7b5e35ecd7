"""From what a command names (slides, folders, cohort tables, flags) to one task for each slide."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from napari_aln.cohort.spreadsheet import READABLE_SUFFIXES
from napari_aln.cohort.table import find_patient, read_cohort
from napari_aln.errors import AlnError, CohortError, RegionError, UsageError
from napari_aln.store.result import folder_safe, public_name
from napari_aln.workflows.cohorts.slide_tasks import SlideTask
from napari_aln.workflows.cohorts.summary import CSV_NAME
from napari_aln.workflows.folders import slides_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_aln.cohort.table import CohortRow
    from napari_aln.records import Clinical

REGION_SUFFIXES = (".geojson", ".json", ".xml", ".ndpa")


@dataclass(frozen=True)
class Listed:
    """One slide of a run: its task, or why there can be none."""

    path: Path
    patient_id: str
    task: SlideTask | AlnError
    case_id: str | None = None


class TaskMaker:
    """Makes tasks of slides by what flags say of them.

    Parameters
    ----------
    roi
        The ROI file of the slide, or a folder of ``<slide stem>.geojson``.
    needs_roi
        Whether a mode cannot do without.
    clinical_table
        Cohort table with a row for each slide or patient.
    clinical
        The same values for all slides.
    mpp
        µm/px of level 0; wins over the table's.

    Raises
    ------
    CohortError
        The table cannot be used.
    """

    def __init__(
        self,
        roi: Path | None = None,
        *,
        needs_roi: bool = False,
        clinical_table: Path | None = None,
        clinical: Clinical | None = None,
        mpp: float | None = None,
    ) -> None:
        self._roi, self._needs_roi, self._clinical, self._mpp = roi, needs_roi, clinical, mpp
        self.clinical_table = clinical_table
        self._rows = None if clinical_table is None else read_cohort(clinical_table)
        self._by_name: dict[str, list[CohortRow]] = defaultdict(list)
        self._roi_fits = False  # any file of the folder any slide
        for row in self._rows or ():
            for name in {row.patient_id, row.slide.stem if row.slide else row.patient_id}:
                self._by_name[name].append(row)

    @cached_property
    def _roi_files(self) -> dict[str, list[Path]]:
        """Return the files of the ROI folder by stem: looked through once, not for each of thousands."""
        files: dict[str, list[Path]] = defaultdict(list)
        for path in self._roi.iterdir() if self._roi else ():
            if path.suffix.lower() in REGION_SUFFIXES:
                files[path.stem].append(path)
        return files

    @property
    def unfitting_rois(self) -> Path | None:
        """The folder of ROI files where none of them fitted any slide so far."""
        is_folder = self._roi is not None and self._roi.is_dir()
        return self._roi if is_folder and not self._roi_fits else None

    @property
    def has_clinical(self) -> bool:
        """Whether flags give clinical values."""
        return self._rows is not None or self._clinical is not None

    def of(self, path: Path, row: CohortRow | None = None, case_id: str | None = None) -> SlideTask:
        """Return the task of a slide; `row` and `case_id`: as a cohort that names the slide has them.

        Raises
        ------
        RegionError
            The folder of ROI files has none of this slide, or several.
        ClinicalError
            The table has no row of it, or several.
        """
        if row is None and self._rows is not None:
            row = find_patient(self._by_name.get(path.stem, self._rows), path.stem)
            case_id = row.case_id
        return SlideTask(
            path.absolute(),
            mpp=row.mpp if row and self._mpp is None else self._mpp,
            roi=_absolute(self._roi_of(path, row)),
            clinical=row.clinical if row else self._clinical,
            case_id=case_id,
            patient_id=row.patient_id if row else "",
        )

    def _roi_of(self, slide: Path, row: CohortRow | None) -> Path | None:
        """Return the ROI file of a slide: the file given, that of its name in the folder given, the row's."""
        known = row.roi if row else None
        if self._roi is None or not self._roi.is_dir():
            return self._roi or known
        stems = {slide.stem, slide.name}  # NDP.view names its files slide.ndpi.ndpa
        found = [path for stem in stems for path in self._roi_files.get(stem, ())]
        self._roi_fits |= bool(found)
        if len(found) > 1:
            names = ", ".join(sorted(p.name for p in found))
            raise RegionError(
                f"{self._roi} holds several region files for {slide.name}: {names}.", "Keep one of them."
            )
        if not found and self._needs_roi:
            raise RegionError(
                f"{self._roi} holds no region file for {slide.name}.", f"Put {slide.stem}.geojson there."
            )
        return found[0] if found else known


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def list_slides(sources: Sequence[Path], maker: TaskMaker, out: Path) -> tuple[list[Listed], bool]:
    """Return the slides that sources name, and whether one of these is a folder of slides or a table.

    Parameters
    ----------
    sources
        Slides, folders to search with all folders below, cohort tables.
    maker
        Says what belongs to each slide.
    out
        Where results go; nothing below counts as a slide.

    Raises
    ------
    CohortError, WorkListError
        A table or folder cannot be read.
    UsageError
        Clinical values were given beside a table, or the summary would overwrite it.
    """
    found: list[Listed] = []
    known: set[Path] = set()  # a folder may hold slides that a table names, too
    is_cohort = False
    for source in sources:
        if source.suffix.lower() in READABLE_SUFFIXES:
            if source.resolve() == (out / CSV_NAME).resolve():
                raise UsageError(
                    f"The cohort table {source} would be overwritten: the summary has its place and name.",
                    "Choose another output folder.",
                )
            is_cohort = True
            more = [one for one in _of_table(source, maker) if one.path.absolute() not in known]
        elif below := _slides_in(source, out):
            is_cohort = True
            more = [_listed(path, maker) for path in below if path.absolute() not in known]
        else:
            more = [_listed(source, maker)]
        found += more
        known |= {one.path.absolute() for one in more}
    return found, is_cohort


def _slides_in(source: Path, out: Path) -> list[Path]:
    """Return the slides in a folder and below; nothing where it is none, or is one slide by itself."""
    try:
        is_folder = source.is_dir()
    except OSError:  # the slide reader says so
        is_folder = False
    found = slides_below(source) if is_folder else ()
    return [path for path in found if path != source and not path.absolute().is_relative_to(out)]


def _listed(path: Path, maker: TaskMaker, row: CohortRow | None = None, case_id: str | None = None) -> Listed:
    task: SlideTask | AlnError
    try:
        task = maker.of(path, row, case_id)
    except AlnError as error:
        task = error
    patient_id = row.patient_id if row else ""
    if isinstance(task, SlideTask):
        patient_id, case_id = task.patient_id, task.case_id
    return Listed(path, patient_id, task, case_id)


def _of_table(table: Path, maker: TaskMaker) -> Iterator[Listed]:
    if maker.has_clinical:
        raise UsageError(
            f"Clinical values were given beside the cohort table {table}.", "Write them into the table."
        )
    rows = read_cohort(table, several_slides=True)
    for row, case_id in zip(rows, case_ids(rows), strict=True):
        if row.slide is None:
            missing = CohortError(
                f"{table} names no slide of patient {row.patient_id}.", "Fill its cell in the column slide."
            )
            yield Listed(table, row.patient_id, missing, row.case_id)
            continue
        yield _listed(row.slide, maker, row, case_id)


def case_ids(rows: Sequence[CohortRow]) -> list[str | None]:
    """Return what slides of a table are called in private mode: the case id, of several numbered."""
    slides_of = Counter(row.case_id for row in rows)
    place_of: Counter[str | None] = Counter()
    named = []
    for row in rows:
        place_of[row.case_id] += row.slide is not None
        several = row.case_id is not None and row.slide is not None and slides_of[row.case_id] > 1
        named.append(f"{row.case_id}-{place_of[row.case_id]}" if several else row.case_id)
    return named


def check_names(listed: Sequence[Listed], *, private: bool) -> None:
    """Refuse slides whose result folders would overwrite each other.

    Raises
    ------
    UsageError
        There are such slides, one of them stands there twice, or there is none at all.
    """
    if not listed:
        raise UsageError("No slide was given.", "Name at least one slide before --model.")
    names = [folder_of(one.task, private=private) for one in listed if isinstance(one.task, SlideTask)]
    counted = Counter(name.casefold() for name in names if name)  # some systems do not tell A from a
    twice = sorted(name for name, times in counted.items() if times > 1)
    if twice:
        path, times = Counter(one.path for one in listed).most_common(1)[0]
        if times > 1:
            raise UsageError(f"{path} was given {times} times.", "Name each slide once.")
        raise UsageError(
            f"The results of several slides would be named {twice[0]} and overwrite each other.",
            "Give each patient a case_id of its own."
            if private
            else "Run them into different --out folders, or use --private, which names results by case id or "
            "content.",
        )


def folder_of(task: SlideTask | AlnError, *, private: bool) -> str | None:
    """Return the name of a slide's result folder; None where only its content says it."""
    if not isinstance(task, SlideTask):
        return None
    if not private:
        return public_name(task.path)
    return folder_safe(task.case_id) if task.case_id else None
