import numpy as np
import pytest

from napari_aln.patches.outlines import outlines
from napari_aln.records import PatchGrid, PatchTable

GRID = PatchGrid(256, 0.5, (10.0, 20.0), 400, 400)


def table(cells, origin_l0=None):
    column, row = np.array(cells, np.int32).reshape(-1, 2).T
    return PatchTable(GRID, column, row, origin_l0)


def as_lists(lines):
    return [[tuple(end) for end in line] for line in lines.tolist()]


def test_one_patch_has_its_four_sides():
    assert as_lists(outlines(table([(2, 3)]))) == [
        [(20, 60), (30, 60)],
        [(20, 80), (30, 80)],
        [(20, 60), (20, 80)],
        [(30, 60), (30, 80)],
    ]


def test_shared_sides_are_drawn_once_and_sides_in_a_row_are_one_line():
    #  X X .      at columns 0, 1 and rows 0, 1, and one apart in the first row's line
    #  . X . X
    assert as_lists(outlines(table([(0, 0), (1, 0), (1, 1), (3, 1)]))) == [
        [(0, 0), (20, 0)],
        [(0, 20), (20, 20)],
        [(30, 20), (40, 20)],
        [(10, 40), (20, 40)],
        [(30, 40), (40, 40)],
        [(0, 0), (0, 20)],
        [(10, 0), (10, 40)],
        [(20, 0), (20, 40)],
        [(30, 20), (30, 40)],
        [(40, 20), (40, 40)],
    ]


def test_a_hole_keeps_its_edges_and_no_line_crosses_it():
    cells = [(x, y) for y in range(3) for x in range(3) if (x, y) != (1, 1)]
    lines = outlines(table(cells))
    assert len(lines) == 8  # four each way: the hole's sides are parts of long ones
    apart = [cell for cell in cells if cell not in ((1, 0), (0, 1))]
    broken = as_lists(outlines(table(apart)))
    assert [(10, 20), (10, 40)] not in broken
    assert [(0, 20), (10, 20)] in broken


@pytest.mark.parametrize("side", [1, 10, 316])
def test_a_filled_square_has_two_lines_more_than_rows_and_columns(side):
    row, column = np.divmod(np.arange(side * side, dtype=np.int32), side)
    assert len(outlines(PatchTable(GRID, column, row))) == 2 * (side + 1)


def test_patches_of_reference_patching_lie_where_their_regions_do():
    origin = np.array([[5.5, 7.25], [5.5, 7.25], [100.0, 0.0]])
    lines = as_lists(outlines(table([(0, 0), (1, 0), (0, 0)], origin)))
    assert len(lines) == 5 + 4
    assert lines[0] == [(5.5, 7.25), (25.5, 7.25)]
    assert lines[5] == [(100, 0), (110, 0)]


def test_no_patch_has_no_line():
    assert outlines(table([])).shape == (0, 2, 2)
