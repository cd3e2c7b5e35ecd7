"""Results as the papers print them, to stand beside one's own.

Xu F, Zhu C, Tang W, et al. Predicting axillary lymph node metastasis in early breast cancer using deep
learning on primary tumor biopsy slides. Front Oncol 2021;11:759007, Table 2.
Shkembi G, Müller JP, Li Z, Breininger K, Schüffler P, Kainz B. Whole slide multiple instance learning for
predicting axillary lymph node metastasis. 2023, Tables 3 and 5.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from napari_aln.evaluation.metrics import Estimate

XU = "Xu et al. 2021, Table 2"
SHKEMBI = "Shkembi et al. 2023, Table 3"
SHKEMBI_CLASSES = "Shkembi et al. 2023, Table 5"
MEASURES = ("auc", "acc", "sens", "spec", "ppv", "npv", "f1")


class PublishedRow(NamedTuple):
    """One printed row: measures as shares of 1, NaN where a value or an interval is not printed."""

    source: str
    model: str
    cohort: str  # T, V, I-T
    group: str  # the class that stands against the others; N(+) with two
    n: int | None  # None where the counts are not printed and do not follow from the measures
    n_positive: int | None
    measures: dict[str, Estimate]


class PublishedFeature(NamedTuple):
    """What Xu et al., section 3.6, say of a nucleus feature."""

    direction: str  # of N(+) against N0
    p: float  # Mann-Whitney U


XU_NUCLEI = {
    "density_per_mm2": PublishedFeature("higher", 0.015),
    "orientation_coherence": PublishedFeature("higher", 0.012),
    "circumference_um": PublishedFeature("lower", 0.009),
    "circularity": PublishedFeature("lower", 0.010),
    "area_um2": PublishedFeature("lower", 0.024),
    "major_axis_um": PublishedFeature("no difference", 0.083),
    "minor_axis_um": PublishedFeature("no difference", 0.065),
    "rectangularity": PublishedFeature("no difference", 0.149),
}
"""By the name of our feature; what their orientation was of a slide is not printed."""

_SIZES = {"T": (630, 240), "V": (210, 79), "I-T": (218, 84)}

_ALL = """
Clinical data only | T   | 66.1 62.2 69.8 | 64.13 60.24 67.88 | 64.58 58.17 70.63 | 63.85 58.86 68.62 | 52.36 48.32 56.38 | 74.55 70.85 77.92
Clinical data only | V   | 70.9 64.3 77.0 | 67.62 60.84 73.90 | 65.82 54.29 76.13 | 68.70 60.02 76.52 | 55.91 48.46 63.11 | 76.92 70.62 82.22
Clinical data only | I-T | 61.3 54.5 67.8 | 61.93 55.12 68.40 | 50.00 38.89 61.11 | 69.40 60.86 77.07 | 50.60 42.34 58.83 | 68.89 63.49 73.82
DL-CNB             | T   | 90.1 87.5 92.3 | 80.32 76.99 83.35 | 94.17 90.41 96.77 | 71.79 67.05 76.21 | 67.26 63.61 70.71 | 95.24 92.30 97.09
DL-CNB             | V   | 80.8 74.8 85.9 | 72.86 66.31 78.75 | 77.22 66.40 85.90 | 70.23 61.62 77.90 | 61.00 53.95 67.62 | 83.64 77.04 88.62
DL-CNB             | I-T | 81.6 75.8 86.5 | 74.77 68.46 80.39 | 80.95 70.92 88.70 | 70.90 62.43 78.42 | 63.55 56.76 69.84 | 85.59 79.04 90.34
DL-CNB+C           | T   | 87.8           | 76.51 73.00 79.77 | 93.33 89.40 96.14 | 66.15 61.22 70.84 | 62.92 59.53 66.19 | 94.16 90.90 96.30
DL-CNB+C           | V   | 82.3 76.5 87.2 | 75.71 69.34 81.35 | 74.68 63.64 83.80 | 76.34 68.12 83.32 | 65.56 57.69 72.65 | 83.33 77.19 88.08
DL-CNB+C           | I-T | 83.1 77.5 87.8 | 75.69 69.44 81.23 | 89.29 80.63 94.98 | 67.16 58.53 75.03 | 63.03 56.96 68.71 | 90.91 84.21 94.94
"""  # noqa: E501 - one printed row a line. The interval printed for 87.8 does not hold it: left out.

_MODES = """
DLCNBC    | T   | 90.3 | 81.4 | 81.2 | 81.5 | 73.0 | 87.6 | 76.9
DLCNBC    | V   | 84.7 | 76.7 | 73.4 | 78.6 | 67.4 | 83.1 | 70.3
DLCNBC    | I-T | 83.7 | 73.9 | 54.8 | 85.8 | 70.8 | 75.2 | 61.7
DLCNBC-WS | T   | 98.3 | 93.8 | 94.1 | 93.5 | 89.9 | 96.3 | 92.0
DLCNBC-WS | V   | 86.3 | 78.1 | 82.3 | 75.6 | 67.0 | 87.6 | 73.9
DLCNBC-WS | I-T | 86.2 | 80.3 | 83.3 | 78.4 | 70.7 | 88.2 | 76.5
"""

_CLASSES = """
VGG-11 BN | N0      | 84 | 76.1 | 85.5 | 62.1 | 77.2 | 74.0
VGG-11 BN | N+(1-2) | 80 | 78.4 | 44.0 | 88.7 | 53.7 | 84.2
VGG-11 BN | N+(>2)  | 68 | 76.6 | 24.3 | 87.3 | 28.1 | 84.9
VGG-13 BN | N0      | 84 | 75.7 | 84.7 | 62.1 | 77.1 | 73.0
VGG-13 BN | N+(1-2) | 79 | 78.4 | 42.0 | 89.3 | 53.8 | 83.8
VGG-13 BN | N+(>2)  | 71 | 76.1 | 27.0 | 86.2 | 28.6 | 85.2
VGG-16 BN | N0      | 85 | 74.8 | 93.1 | 47.1 | 72.6 | 82.0
VGG-16 BN | N+(1-2) | 79 | 78.4 | 36.0 | 91.1 | 54.5 | 82.7
VGG-16 BN | N+(>2)  | 71 | 80.7 | 16.2 | 93.9 | 35.3 | 84.6
"""


def published_binary(cohort: str) -> list[PublishedRow]:
    """Return the rows on N0 against N(+) for the cohort T, V or I-T."""
    rows = [*_rows(XU, _ALL), *_rows(SHKEMBI, _MODES)]
    return [row for row in rows if row.cohort == cohort]


def published_classes() -> list[PublishedRow]:
    """Return the rows of three classes, each against the others, on the independent test."""
    return [row._replace(cohort="I-T", group=row.cohort) for row in _rows(SHKEMBI_CLASSES, _CLASSES)]


def _rows(source: str, text: str) -> list[PublishedRow]:
    rows = []
    n: int | None
    n_positive: int | None
    for line in text.strip().splitlines():
        model, cohort, *cells = (cell.strip() for cell in line.split("|"))
        n, n_positive = _SIZES.get(cohort, (_SIZES["I-T"][0], None))
        if source == SHKEMBI and cohort == "T":
            n, n_positive = None, None
        measures = dict(zip(MEASURES, map(_estimate, cells), strict=False))
        rows.append(PublishedRow(source, model, cohort, "N(+)", n, n_positive, measures))
    return rows


def _estimate(cell: str) -> Estimate:
    """Return a value in percent, and its interval where it has one, as shares."""
    value, *ends = (float(number) / 100 for number in cell.split())
    return Estimate(value, *ends) if ends else Estimate(value, math.nan, math.nan)
