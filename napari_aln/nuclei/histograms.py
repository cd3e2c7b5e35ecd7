"""Histogram matrices: the nuclei of a slide as the instances of one bag (Xu et al. 2021, Figure 3).

The paper says that all values of a feature on a slide are quantised into distribution histograms, saved to
one matrix a feature, and that the matrices are the instances of the slide's bag. It leaves open how many
bins, over which range, and how slides of different numbers of patches give matrices of one size. Here:

- The bins of a feature hold equally many of the training patients' values (each patient weighing the same),
  so that no feature's matrix is larger than another's and outliers widen no bin. The outer bins are open.
- Each patch gives one histogram, as shares. The patches are put in the order of their mean, and the
  histograms of each 1/R of them are averaged into one of R rows, a patch across a border with the part that
  belongs to either. So the order in which patches were cut, and how many there are, do not enter.
- An instance is its matrix row by row, and which feature it is of (one of n): all instances go through the
  same layer, which could not tell fewer small from more small nuclei otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_aln.nuclei.slide_features import SlideFeatures, Values

_VALUES_A_SLIDE = 2000
"""Quantiles of each slide that stand for its values, so that all slides weigh the same."""


@dataclass(frozen=True)
class Quantisation:
    """How values become histograms.

    Attributes
    ----------
    edges
        (bins - 1,) rising inner edges of each feature, in its unit; a value on an edge is in the upper bin.
    rows
        Rows of a matrix.
    """

    edges: Mapping[str, NDArray[np.float64]]
    rows: int

    @property
    def width(self) -> int:
        """Values of an instance."""
        bins = len(next(iter(self.edges.values()))) + 1
        return self.rows * bins + len(self.edges)

    def bag(self, features: SlideFeatures) -> NDArray[np.float32]:
        """Return the (n features, width) instances of a slide, features in the order of `edges`.

        Raises
        ------
        CohortError
            A feature has no value on this slide.
        """
        instances = np.zeros((len(self.edges), self.width), np.float32)
        for place, (name, edges) in enumerate(self.edges.items()):
            flat = histogram_matrix(features.values[name], edges, self.rows).ravel()
            instances[place, : len(flat)] = flat
            instances[place, len(flat) + place] = 1.0
        return instances


def fit_quantisation(
    training: Sequence[SlideFeatures], names: Sequence[str], *, bins: int, rows: int
) -> Quantisation:
    """Choose the bins of each feature from the slides of training patients alone.

    Parameters
    ----------
    training
        At least one slide.
    names
        Of features, in the order of the instances.
    bins, rows
        Of a matrix.

    Raises
    ------
    CohortError
        A feature has no value on any of the slides.
    """
    at = (np.arange(_VALUES_A_SLIDE) + 0.5) / _VALUES_A_SLIDE
    edges = {}
    for name in names:
        known = [slide.values[name].value for slide in training if len(slide.values[name].value)]
        if not known:
            raise _without_value(name)
        pooled = np.concatenate([np.quantile(value, at) for value in known])
        edges[name] = np.quantile(pooled, np.arange(1, bins) / bins)
    return Quantisation(edges, rows)


def histogram_matrix(values: Values, edges: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return the (rows, bins) matrix of one feature; each row adds up to 1.

    Raises
    ------
    CohortError
        There is no value.
    """
    if not len(values.value):
        raise _without_value()
    _, patch = np.unique(values.patch, return_inverse=True)
    n, bins = int(patch.max()) + 1, len(edges) + 1
    which = np.searchsorted(edges, values.value, side="right")
    counts = np.bincount(patch * bins + which, minlength=n * bins).reshape(n, bins).astype(np.float64)
    size = counts.sum(axis=1)
    mean = np.bincount(patch, weights=values.value, minlength=n) / size
    shares = (counts / size[:, None])[np.argsort(mean, kind="stable")]
    matrix: NDArray[np.float64] = _parts(n, rows) @ shares
    return matrix


def _parts(n: int, rows: int) -> NDArray[np.float64]:
    """Return the (rows, n) weights by which n ordered patches are averaged into rows."""
    patch, row = np.arange(n) / n, np.arange(rows)[:, None] / rows
    common = np.minimum(patch + 1 / n, row + 1 / rows) - np.maximum(patch, row)
    weights: NDArray[np.float64] = np.maximum(common, 0.0) * rows
    return weights


def _without_value(name: str = "") -> CohortError:
    of = f" of {name}" if name else ""
    return CohortError(
        f"There are too few nuclei for a histogram{of}.",
        "Take more patches, or check stain, focus and µm/px.",
    )
