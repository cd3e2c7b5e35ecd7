"""The cohort check: everything that would stop or spoil a training, found before it starts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.cohort.bags import bags_beside, read_bags
from napari_aln.cohort.checks import Finding, check_bags, check_lines
from napari_aln.cohort.table import read_lines, unused_columns
from napari_aln.cohort.wording import counted, named
from napari_aln.errors import AlnError
from napari_aln.records import Progress
from napari_aln.slides.first_open import open_untried
from napari_aln.workflows.slide.prepare import usable_roi

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from napari_aln.cohort.bags import ReferenceBag
    from napari_aln.cohort.table import CohortRow, Line


@dataclass(frozen=True)
class Checked:
    """What a cohort holds and what is wrong with it, errors first."""

    n_patients: int
    n_slides: int  # that could be opened
    n_lines: int
    patients: Counter[tuple[str, str]]  # by split and class; "" where unknown
    sites: Counter[str]
    findings: tuple[Finding, ...]
    unused_columns: tuple[str, ...] = ()

    @property
    def n_errors(self) -> int:
        """How many findings are errors: with any, the cohort should not be used."""
        return sum(finding.severity == "error" for finding in self.findings)


def check_cohort(table: Path) -> Generator[Progress, None, Checked]:
    """Yield for each slide, return what is wrong with a cohort table and the files it names.

    Parameters
    ----------
    table
        CSV, XLSX or Parquet. The reference's bags beside it are checked too.

    Raises
    ------
    CohortError
        The file cannot be read, or is no table of patients. All else is a finding.
    """
    lines, unusable = read_lines(table)
    findings = [
        Finding("error", f"line {number}", error.fact, error.next_step) for number, error in unusable.items()
    ]
    findings += check_lines(lines)
    rows = [line.row for line in lines]
    with_slide = [line for line in lines if line.row.slide is not None]
    owners: dict[str, list[Line]] = defaultdict(list)
    for done, line in enumerate(with_slide):
        yield Progress("check slides", done, len(with_slide))
        quick_hash, found = _check_slide(line)
        findings += found
        if quick_hash:
            owners[quick_hash].append(line)
    findings += _same_content(owners.values())
    if bags_beside(table).exists():
        yield Progress("check bags", 0, 1)
        findings += _check_bags(table, rows)
    first = {row.patient_id: row for row in reversed(rows)}
    return Checked(
        n_patients=len(first),
        n_slides=sum(map(len, owners.values())),
        n_lines=len(lines) + len(unusable),
        patients=Counter((row.split or "", row.aln_class or row.label or "") for row in first.values()),
        sites=Counter(row.site for row in first.values() if row.site),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity)),  # "error" < "warning"
        unused_columns=unused_columns(table),
    )


def _check_slide(line: Line) -> tuple[str | None, list[Finding]]:
    """Open one slide and its outlines; return the slide's content hash, None where it cannot be opened."""
    row, where = line.row, f"line {line.number}"
    owner = (row.patient_id,)
    assert row.slide is not None  # the caller's choice
    findings = []
    try:
        with open_untried(row.slide, row.mpp) as slide:
            info = slide.info
            if info.mpp is None:
                fact = f"{row.slide.name} states no µm/px."
                step = "Fill the column mpp; the scanner's protocol or the data set's description has it."
                findings.append(Finding("error", where, fact, step, owner))
            findings += [
                Finding("warning", where, f"{row.slide.name}: {told}", "Check the slide.", owner)
                for told in info.warnings
            ]
            if row.roi is not None:
                _, warnings = usable_roi(slide, row.roi)
                findings += [
                    Finding("warning", where, f"{row.roi.name}: {told}", "Look at the outlines.", owner)
                    for told in warnings
                ]
            return info.quick_hash, findings
    except AlnError as error:
        findings.append(Finding("error", where, error.fact, error.next_step, owner))
        return None, findings


def _same_content(owners: Iterable[list[Line]]) -> Generator[Finding, None, None]:
    """Find slides of different names that hold the same pixels."""
    for lines in owners:
        patients = tuple(dict.fromkeys(line.row.patient_id for line in lines))
        names = dict.fromkeys(line.row.slide for line in lines)
        if len(names) < 2:  # the same file twice is told by the table
            continue
        numbers = f"lines {named(str(line.number) for line in lines)}"
        if len(patients) > 1:
            fact = f"Patients {named(patients)} have slides of the same content."
            yield Finding("error", numbers, fact, "Find out whose slide it is.", patients)
        else:
            fact = f"Patient {patients[0]} has several slides of the same content."
            yield Finding("warning", numbers, fact, "Keep one of them: it would count twice.", patients)


def _check_bags(table: Path, rows: list[CohortRow]) -> list[Finding]:
    try:
        bags = read_bags(table)
    except AlnError as error:
        return [Finding("error", "bags", error.fact, error.next_step)]
    findings = check_bags(bags, rows)
    missing = _without_patches(bags)
    if missing:
        fact = f"The patches of {counted(len(missing), 'patient')} with bags are not there: {named(missing)}."
        findings.append(Finding("error", "bags", fact, "Unpack paper_patches, then import again.", missing))
    return findings


def _without_patches(bags: list[ReferenceBag]) -> tuple[str, ...]:
    folders = {patch.parent for bag in bags for patch in bag.patches}
    there = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
    return tuple(dict.fromkeys(bag.patient_id for bag in bags if not there.issuperset(bag.patches)))
