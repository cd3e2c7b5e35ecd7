"""Which tiles a picture that is being moved will show next: those past the edges it moves towards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from napari_aln.slides.pyramid_plan import PlannedLevel
    from napari_aln.slides.tile_workers import Key


class _View(NamedTuple):
    """The tiles in view: of which level, first and last row, first and last column."""

    level: int
    top: int
    bottom: int
    left: int
    right: int

    def touches(self, other: _View) -> bool:
        """Whether both are of one level and share tiles."""
        return (
            self.level == other.level
            and self.top <= other.bottom
            and other.top <= self.bottom
            and self.left <= other.right
            and other.left <= self.right
        )


class Panning:
    """Follows the pictures of one viewer."""

    def __init__(self) -> None:
        self._view = _View(-1, 0, 0, 0, 0)
        self._down, self._right = 0, 0  # -1, 0 or 1: as it moved last along each axis

    def ahead(self, number: int, level: PlannedLevel, rows: range, columns: range) -> list[Key]:
        """Note the picture that is shown, return the tiles it is about to show; none after a jump or a zoom.

        Parameters
        ----------
        number, level
            Of the level shown.
        rows, columns
            In pixels of the level, ascending, not empty.
        """
        view = _View(
            number,
            rows[0] // level.tile_height_px,
            rows[-1] // level.tile_height_px,
            columns[0] // level.tile_width_px,
            columns[-1] // level.tile_width_px,
        )
        before, self._view = self._view, view
        if not view.touches(before):
            self._down = self._right = 0
            return []
        self._down = _sign(view.top + view.bottom - before.top - before.bottom) or self._down
        self._right = _sign(view.left + view.right - before.left - before.right) or self._right
        below = view.bottom + 1 if self._down > 0 else view.top - 1
        beside = view.right + 1 if self._right > 0 else view.left - 1
        across = range(view.left, view.right + 1) if self._down else ()
        along = range(view.top, view.bottom + 1) if self._right else ()
        past = [*((below, column) for column in across), *((row, beside) for row in along)]
        if self._down and self._right:
            past.append((below, beside))
        return [
            (number, row, column)
            for row, column in past
            if 0 <= row < level.rows and 0 <= column < level.columns
        ]


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
