"""The clinical vector: five values in a fixed order, standardised with the training cohort's statistics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import ClinicalError
from napari_aln.records import AGE_LIMIT_YEARS, TUMOR_SIZE_LIMIT_CM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.mil.card import ClinicalFields, NumericField
    from napari_aln.records import Clinical

_NAMES = {
    "age_years": "age",
    "tumor_size_cm": "tumour size",
    "er": "ER",
    "pr": "PR",
    "her2": "HER2",
}


def check_clinical(clinical: Clinical) -> None:
    """Refuse values that no patient has; missing ones pass.

    Raises
    ------
    ClinicalError
        Age or tumour size is not above 0, is above the limit in `records`, or is not a number.
    """
    limits = (
        ("age", clinical.age_years, AGE_LIMIT_YEARS, "years"),
        ("tumour size", clinical.tumor_size_cm, TUMOR_SIZE_LIMIT_CM, "cm"),
    )
    for name, value, high, unit in limits:
        if value is not None and not (math.isfinite(value) and 0 < value <= high):
            raise ClinicalError(
                f"The {name} is {value:g} {unit}, which is outside 0-{high:g} {unit}.",
                f"Give the {name} in {unit}.",
            )


def missing_values(clinical: Clinical) -> tuple[str, ...]:
    """Return the names of the values that are not known, as attributes of `Clinical`."""
    return tuple(name for name in _NAMES if getattr(clinical, name) is None)


def encode(
    clinical: Clinical | None, fields: ClinicalFields, *, fill: bool = False
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Turn a patient's values into the network's clinical vector.

    Parameters
    ----------
    clinical
        The values; None is a patient of whom nothing is known.
    fields
        The card's statistics of the training cohort.
    fill
        Whether a missing value may become the cohort mean or the more frequent category.

    Returns
    -------
    vector
        float64 (5,): age and tumour size in standard deviations from the training cohort's mean, then
        ER, PR and HER2 as 1 = negative, 0 = positive.
    filled
        Names of the values that were filled, as attributes of `Clinical`.

    Raises
    ------
    ClinicalError
        A value is out of range; or missing and `fill` is false, or the card does not know what to fill in.
    """
    if clinical is None:
        filled: tuple[str, ...] = tuple(_NAMES)
        values: dict[str, float | bool | None] = dict.fromkeys(_NAMES)
    else:
        check_clinical(clinical)
        filled = missing_values(clinical)
        values = {name: getattr(clinical, name) for name in _NAMES}
    if filled and not fill:
        missing = ", ".join(_NAMES[name] for name in filled)
        raise ClinicalError(
            f"This model needs clinical values that are missing: {missing}.",
            "Give them (in the window, with --age --tumor-size --er --pr --her2, or in a table), or allow"
            " them to be filled (--fill-clinical) with the training cohort's mean or more frequent category.",
        )
    vector = [
        _standardised(values["age_years"], fields.age_years),
        _standardised(values["tumor_size_cm"], fields.tumor_size_cm),
    ]
    shares = (fields.er_negative_share, fields.pr_negative_share, fields.her2_negative_share)
    for name, negative_share in zip(("er", "pr", "her2"), shares, strict=True):
        vector.append(_is_negative(_NAMES[name], values[name], negative_share))
    return np.array(vector, dtype=np.float64), filled


def _standardised(value: float | bool | None, field: NumericField) -> float:
    return 0.0 if value is None else (float(value) - field.mean) / field.std


def _is_negative(name: str, positive: float | bool | None, negative_share: float | None) -> float:
    if positive is not None:
        return float(not positive)
    if negative_share is None:
        raise ClinicalError(
            f"{name} is missing and the model's card does not say which {name} status was more frequent.",
            f"Give the {name} status.",
        )
    return float(negative_share >= 0.5)
