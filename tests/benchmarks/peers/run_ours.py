"""This project: the engine as the command line and the window run it, with its entropy and attention too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from contender import HIDDEN, Work, contend


def prepare(work: Work):
    from napari_aln import open_slide
    from napari_aln.mil.bundle import open_bundle
    from napari_aln.patches.grid import patch_grid
    from napari_aln.records import PatchTable
    from napari_aln.settings.engine import EngineSettings
    from napari_aln.workflows.slide.extract import Want, extract
    from napari_aln.workflows.slide.networks import engine_for

    bundle, settings = open_bundle(Path(work.bundle)), EngineSettings(device="cpu", precision=work.precision)
    engine = engine_for(bundle, settings)
    network = engine.compile(bundle)

    def run(path: str):
        with open_slide(path) as slide:
            grid = patch_grid(slide.info.size_px, slide.info.mpp, work.patch_px, work.mpp)
            row, column = np.divmod(np.arange(grid.rows * grid.columns, dtype=np.int32), grid.columns)
            table = PatchTable(grid, column, row)
            extraction = _result(
                extract(slide, [Want(lambda: network, table, HIDDEN)], engine.decode_to_px, settings)
            )
        (features,) = extraction.features
        return features.table.l0_xy, features.h

    return run


def _result(work):
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


if __name__ == "__main__":
    contend(prepare, ("napari-aln", "openvino", "numba", "torch"))
