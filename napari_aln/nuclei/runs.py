"""A label image as runs: what every measure of a nucleus is computed from.

A run is a stretch of pixels of one label along one row. A nucleus of a thousand pixels has some thirty runs,
and areas, moments, hulls and crossings all follow from where they start and stop: the picture itself is
passed over once, whatever is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BAND_PX = 1 << 23
"""Pixels that are looked at together: large enough for speed, small beside the picture."""

PART_RUNS = 1 << 19
"""Runs that are measured together: their columns stay in the processor's cache."""


@dataclass(frozen=True)
class Runs:
    """The runs of n labels, sorted by label, row and start. Pixels, (0, 0) is the picture's first."""

    label: NDArray[np.int64]  # (n,) the labels, ascending; numbers that are not in the picture are skipped
    first: NDArray[np.intp]  # (n + 1,) where each label's runs begin; the last is their number
    row: NDArray[np.int64]  # (m,)
    start: NDArray[np.int64]  # (m,) first column
    stop: NDArray[np.int64]  # (m,) the column after the last
    order: NDArray[np.intp]  # (m,) place of each run in the picture's own order, row by row

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def of(self) -> NDArray[np.intp]:
        """Return the (m,) index of each run's label."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the (n,) sums over each label's runs of a value per run."""
        total: NDArray[Any] = np.add.reduceat(values, self.first[:-1])
        return total

    def parts(self) -> Iterator[Runs]:
        """Yield the labels in parts of about `PART_RUNS` runs, in order; a label is never divided."""
        begin = 0
        while begin < len(self):
            end = int(np.searchsorted(self.first, self.first[begin] + PART_RUNS, side="right")) - 1
            end = min(max(end, begin + 1), len(self))
            at = slice(self.first[begin], self.first[end])
            yield Runs(
                self.label[begin:end],
                self.first[begin : end + 1] - self.first[begin],
                self.row[at].astype(np.int64),
                self.start[at].astype(np.int64),
                self.stop[at].astype(np.int64),
                self.order[at],
            )
            begin = end


def checked_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return a label image as an array.

    Raises
    ------
    UsageError
        It is not (H, W), not of integers, or holds a negative number.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"A label image is (H, W) of integers, not {labels.shape} of {labels.dtype}.",
            "Number the nuclei 1, 2, …, 0 is background; a mask of yes and no has to be labelled first.",
        )
    return labels


def runs_of(labels: NDArray[Any]) -> Runs:
    """Take the runs from a label image.

    Parameters
    ----------
    labels
        (H, W) of integers, 0 is background.

    Raises
    ------
    UsageError
        It is no label image.
    """
    labels = checked_labels(labels)
    height, width = labels.shape
    step = max(1, BAND_PX // max(width, 1))
    bands = [_band(labels[top : top + step], top) for top in range(0, height, step)] if width else []
    if not bands:
        bands = [_band(labels[:0], 0)]
    value, row, start, stop = (np.concatenate(column) for column in zip(*bands, strict=True))
    del bands
    if len(value) and value.min() < 0:
        raise UsageError(
            f"The label image holds the negative number {value.min()}.", "Number the nuclei 1, 2, …."
        )
    order = np.argsort(value, kind="stable")
    value = value[order]
    begins = np.flatnonzero(np.diff(value, prepend=-1))
    return Runs(
        label=value[begins].astype(np.int64),
        first=np.append(begins, len(value)),
        row=row[order],
        start=start[order],
        stop=stop[order],
        order=order,
    )


def _band(labels: NDArray[Any], top: int) -> tuple[NDArray[Any], ...]:
    """Return label, row, start and stop of the runs of some rows, background left out."""
    height, width = labels.shape
    turns = np.ones((height, width), bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=turns[:, 1:])
    begin = np.flatnonzero(turns)
    end = np.append(begin[1:], height * width)
    value = labels.ravel()[begin] if labels.flags.c_contiguous else labels[begin // width, begin % width]
    kept = value != 0
    begin, end, value = begin[kept], end[kept], value[kept]
    row = begin // width if width else begin
    start = begin - row * width
    wide = value.astype(np.int64) if value.dtype.kind == "u" else value
    return wide, (row + top).astype(np.int32), start.astype(np.int32), (start + end - begin).astype(np.int32)
