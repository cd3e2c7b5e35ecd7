"""Runs with chosen numbers, for tests of what is made of them."""

from types import SimpleNamespace

import numpy as np

from napari_aln.records import PatchGrid, PatchScores, PatchTable

GRID = PatchGrid(256, 0.5, (100.0, 100.0), columns=4, rows=3)


def scores_of(cell, grid=GRID, origin_l0=None, **maps):
    """Return per-patch values; maps that are not given are NaN."""
    cell = np.asarray(cell)
    table = PatchTable(
        grid, (cell % grid.columns).astype(np.int32), (cell // grid.columns).astype(np.int32), origin_l0
    )
    nothing = np.full(len(cell), np.nan)
    names = ("entropy", "attention_logit", "attention_slide", "attention_bag", "contribution", "probability")
    values = {name: np.asarray(maps.get(name, nothing), float) for name in names}
    return PatchScores(table, np.zeros(len(cell), bool), **values)


def record_of(mode="dlcnbc", n_pos=0.5, classes=("N0", "N(+)"), min_roi_share=0.7):
    """Return what of a record a comparison reads."""
    share = (1 - n_pos, *[n_pos / (len(classes) - 1)] * (len(classes) - 1))
    return SimpleNamespace(
        run=mode,
        mode=mode,
        classes=classes,
        probabilities=dict(zip(classes, share, strict=True)),
        settings={"patches": {"min_roi_share": min_roi_share}},
    )
