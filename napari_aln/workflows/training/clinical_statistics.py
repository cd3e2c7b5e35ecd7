"""What the training patients' clinical values are like: the statistics a model is standardised with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import CohortError
from napari_aln.mil.card import ClinicalFields, NumericField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.cohort.table import CohortRow


def clinical_fields(rows: Sequence[CohortRow]) -> ClinicalFields:
    """Return mean, standard deviation and shares over the values that are known.

    Raises
    ------
    CohortError
        Age or tumour size is unknown throughout, or the same in all patients.
    """
    values = [row.clinical for row in rows]

    def numeric(name: str) -> NumericField:
        known = [value for c in values if (value := getattr(c, name)) is not None]
        if len(set(known)) < 2:
            raise CohortError(
                f"The training patients' {name} is unknown or all the same.", "Fill in the clinical values."
            )
        return NumericField(mean=float(np.mean(known)), std=float(np.std(known)))

    def negative_share(name: str) -> float | None:
        known = [value for c in values if (value := getattr(c, name)) is not None]
        return 1.0 - float(np.mean(known)) if known else None

    return ClinicalFields(
        age_years=numeric("age_years"),
        tumor_size_cm=numeric("tumor_size_cm"),
        er_negative_share=negative_share("er"),
        pr_negative_share=negative_share("pr"),
        her2_negative_share=negative_share("her2"),
    )
