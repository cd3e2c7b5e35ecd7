"""How patches become bags: seeded partitions that are the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import TissueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_BAGS = 100


def partition_count(n_patches: int, bag_size: int, min_bags: int = MIN_BAGS) -> int:
    """Return the smallest number of partitions that gives at least `min_bags` bags.

    One partition gives ``n // bag_size`` bags (the reference's rule), several give ``ceil(n / bag_size)``
    each; see `draw_bags`. Up to as many patches as a bag holds make the same one bag in every partition: one
    then suffices.

    Parameters
    ----------
    n_patches
        Number of patches, zero included (the answer is then 1, and `draw_bags` refuses).
    bag_size
        Patches a bag holds.
    min_bags
        Number of bags wanted.
    """
    if n_patches <= bag_size or n_patches // bag_size >= min_bags:
        return 1
    bags_each = -(-n_patches // bag_size)
    return max(2, -(-min_bags // bags_each))


def draw_bags(
    cells: NDArray[np.int64], bag_size: int, partitions: int, seed: int
) -> tuple[NDArray[np.int64], ...]:
    """Shuffle the patches and cut the order into bags, `partitions` times.

    With one partition, what is left over after the last whole bag is dropped, as in the reference. With
    more, the left-over patches take part: the last bag is filled with the first patches of the same order.
    So every bag holds exactly `bag_size` patches, and none holds a patch twice, but those that fill up are in
    two bags of their partition. Fewer patches than that make
    one bag of all of them.

    The order of partition r sorts the patches, first by cell, then by the raw output of
    ``PCG64(SeedSequence([seed, r]))``. NumPy guarantees the streams of `SeedSequence` and the bit generators
    across versions and machines (NEP 19), but not those of ``Generator.permutation``, hence not that one.

    Parameters
    ----------
    cells
        (n,) flat grid index of each patch (`PatchTable.cell`), without repeats, in any order. The bags depend
        on the set of cells, not on their order in this array.
    bag_size
        Patches a bag holds, at least 1.
    partitions
        How often to shuffle and cut, at least 1; see `partition_count`.
    seed
        At least 0.

    Returns
    -------
    tuple of (bag_size,) int64
        Indices into `cells`, bags of the first partition first.

    Raises
    ------
    TissueError
        There are no patches.
    ValueError
        A count is not positive, the seed is negative, or a cell occurs twice.
    """
    if bag_size < 1 or partitions < 1 or seed < 0:
        message = f"Bags of {bag_size} in {partitions} partitions with seed {seed} cannot be drawn."
        raise ValueError(message)
    n = len(cells)
    if n == 0:
        raise TissueError("No patch is left to make a bag of.", "Lower the patch filters or enlarge the ROI.")
    by_cell = np.argsort(cells, kind="stable")
    if (np.diff(cells[by_cell]) == 0).any():
        message = "A patch occurs twice."
        raise ValueError(message)
    if n < bag_size:
        return (by_cell,)
    bags: list[NDArray[np.int64]] = []
    for partition in range(partitions):
        raw = np.random.PCG64(np.random.SeedSequence([seed, partition])).random_raw(n)
        order = by_cell[stable_order(raw)]
        if partitions > 1:
            order = np.concatenate([order, order[: -n % bag_size]])
        whole = len(order) // bag_size
        bags.extend(order[: whole * bag_size].reshape(whole, bag_size))
    return tuple(bags)


def stable_order(raw: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return the stable order of 64 random bits each; where no two are the same, every sort gives that."""
    order = np.argsort(raw)
    in_order = raw[order]
    return np.argsort(raw, kind="stable") if (in_order[1:] == in_order[:-1]).any() else order
