"""Clinical values by patient, from a table: as many lines as can be used, and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.cohort.table import read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_aln.cohort.table import Line
    from napari_aln.records import Clinical


@dataclass(frozen=True)
class ClinicalTable:
    """The patients of one file.

    Attributes
    ----------
    path
        The file.
    clinical
        Patient id, as text -> the five values, each None where the cell is empty.
    patient_of_slide
        File stem of a slide that the table names for one patient alone -> patient id.
    problems
        Of each line or patient that is left out: where and why, without the file's name.
    """

    path: Path
    clinical: Mapping[str, Clinical]
    patient_of_slide: Mapping[str, str]
    problems: tuple[str, ...]

    def find(self, stem: str) -> str | None:
        """Return the patient whose id is this file stem letter by letter, or whose slide has it; or None."""
        return stem if stem in self.clinical else self.patient_of_slide.get(stem)


def read_clinical_table(path: Path) -> ClinicalTable:
    """Read a CSV, XLSX or Parquet table of patients; see `read_cohort` for its columns.

    Raises
    ------
    CohortError
        The file cannot be read, or is no table of patients.
    """
    lines, unusable = read_lines(path)
    problems = [error.fact.removeprefix(f"{path}, ") for error in unusable.values()]
    by_patient: dict[str, list[Line]] = {}
    for line in lines:
        by_patient.setdefault(line.row.patient_id, []).append(line)
    for patient, own in list(by_patient.items()):
        if any(line.row.clinical != own[0].row.clinical for line in own):
            numbers = ", ".join(str(line.number) for line in own)
            problems.append(f"lines {numbers}: patient {patient} has different values.")
            del by_patient[patient]
    patients_of: dict[str, set[str]] = {}
    for patient, own in by_patient.items():
        for line in own:
            if line.row.slide is not None:
                patients_of.setdefault(line.row.slide.stem, set()).add(patient)
    return ClinicalTable(
        path,
        {patient: own[0].row.clinical for patient, own in by_patient.items()},
        {stem: patients.pop() for stem, patients in patients_of.items() if len(patients) == 1},
        tuple(problems),
    )
