"""Splits by patient, stratified by class, the same at a seed on any machine.

A patient's place depends on the seed and the patient's id alone (SHA-256), so that neither the order of the
table nor a patient more or less reshuffles the others within a class.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from napari_aln.errors import CohortError
from napari_aln.records import THREE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_aln.cohort.table import CohortRow, Split
    from napari_aln.settings.cohorts import SplitSettings

_FEWEST = 3  # patients of a class: one for each of train, val and test


def split_patients(rows: Sequence[CohortRow], settings: SplitSettings) -> list[dict[str, Split]]:
    """Divide patients.

    Parameters
    ----------
    rows
        One or more a patient. Patients whose class is not known belong to no split.
    settings
        See `SplitSettings`.

    Returns
    -------
    list of dict
        Patient id -> split; one for each fold of kfold, else one.

    Raises
    ------
    CohortError
        No patient's class is known, a class has too few patients, or the table's own split is incomplete.
    """
    classes = {row.patient_id: known for row in rows if (known := getattr(row, settings.stratify_by))}
    if not classes:
        raise CohortError(
            f"No patient has a {settings.stratify_by}.", "Fill that column, or that of the positive nodes."
        )
    if settings.method == "official":
        return [_official(rows, classes)]
    if settings.method == "holdout":
        return [holdout(classes, settings.test_share, settings.val_share, settings.seed)]
    return k_folds(classes, settings.folds, settings.val_share, settings.seed)


def _official(rows: Sequence[CohortRow], classes: Mapping[str, str]) -> dict[str, Split]:
    splits = {row.patient_id: row.split for row in rows if row.split and row.patient_id in classes}
    without = sorted(classes.keys() - splits.keys())
    if without:
        raise CohortError(
            f"{len(without)} of {len(classes)} patients have no split, {without[0]} among them.",
            "Use the method holdout or kfold, or fill the column split.",
        )
    return splits


def holdout(classes: Mapping[str, str], test_share: float, val_share: float, seed: int) -> dict[str, Split]:
    """Divide once: `test_share` of each class is tested, `val_share` of its rest selects.

    Shares are rounded to whole patients, at least one each.

    Parameters
    ----------
    classes
        Patient id -> class.
    test_share, val_share
        Between 0 and 1; 0.2 and 0.25 in the papers.
    seed
        Draws the order.

    Raises
    ------
    CohortError
        A class has fewer than three patients.
    """
    splits: dict[str, Split] = {}
    for members in _members(classes, _FEWEST, seed, "test").values():
        n_test = min(max(round(test_share * len(members)), 1), len(members) - 2)
        splits |= dict.fromkeys(members[:n_test], "test")
        splits |= _train_and_val(members[n_test:], val_share)
    return {patient_id: splits[patient_id] for patient_id in classes}


def k_folds(classes: Mapping[str, str], folds: int, val_share: float, seed: int) -> list[dict[str, Split]]:
    """Divide `folds` times so that each patient is tested once; of the others, `val_share` selects.

    Fold sizes differ by one patient at most, and so does a class's share of them.

    Raises
    ------
    CohortError
        A class has fewer patients than folds, or fewer than three.
    """
    fold_of: dict[str, int] = {}
    for members in _members(classes, max(folds, _FEWEST), seed, "test").values():
        start = len(fold_of)  # go on dealing where the last class ended
        fold_of |= {patient_id: (start + rank) % folds for rank, patient_id in enumerate(members)}
    divided = []
    for fold in range(folds):
        rest = {key: name for key, name in classes.items() if fold_of[key] != fold}
        splits: dict[str, Split] = dict.fromkeys(classes, "test")
        for members in _members(rest, 2, seed, f"val {fold}").values():
            splits |= _train_and_val(members, val_share)
        divided.append(splits)
    return divided


def _train_and_val(members: Sequence[str], val_share: float) -> dict[str, Split]:
    n_val = min(max(round(val_share * len(members)), 1), len(members) - 1)
    return {patient_id: "val" if rank < n_val else "train" for rank, patient_id in enumerate(members)}


def _members(classes: Mapping[str, str], fewest: int, seed: int, purpose: str) -> dict[str, list[str]]:
    """Return each class's patients in the order that the seed gives them."""
    members = defaultdict(list)
    for patient_id, name in classes.items():
        members[name].append(patient_id)
    for name, ids in members.items():
        if len(ids) < fewest:
            steps = ["Add patients of it"]
            if fewest > _FEWEST:
                steps.append("ask for fewer folds")
            if name in THREE_CLASSES[1:]:
                steps.append("stratify by label")
            raise CohortError(
                f"The class {name} has too few patients ({len(ids)}) for {fewest} parts that all hold it.",
                f"{', or '.join(steps)}.",
            )
        ids.sort(key=lambda patient_id: hashlib.sha256(f"{seed}\n{purpose}\n{patient_id}".encode()).digest())
    return {name: members[name] for name in sorted(members)}
