"""What tests import rather than get as fixtures."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

MPP = 0.5
SLIDE_SIZE_PX = (3000, 2200)
TISSUE_L0 = (500, 400, 2000, 1300)  # x, y, width, height


def why_no_window() -> str | None:
    """Return why no window can be opened here, or None."""
    from napari_aln.workflows.doctor import has_display

    if not has_display():
        return "there is no display (xvfb-run gives one)"
    try:
        import qtpy.QtGui  # noqa: F401
    except ImportError as error:
        return f"Qt cannot be loaded: {error}"
    return None


def collect(work):
    """Run a generator to its end; return what it yielded and its result."""
    seen = []
    while True:
        try:
            seen.append(next(work))
        except StopIteration as end:
            return seen, end.value


def drain(work):
    """Run a generator to its end and return its result."""
    return collect(work)[1]


def draw_tissue(rng: np.random.Generator) -> np.ndarray:
    """Return grey glass with one block of pink stroma full of purple nuclei, (H, W, 3) uint8."""
    width, height = SLIDE_SIZE_PX
    rgb = np.full((height, width, 3), 215, np.uint8)
    x0, y0, w, h = TISSUE_L0
    tissue = np.add((222, 160, 190), rng.normal(0, 14, (h, w, 1)))
    yy, xx = np.mgrid[-7:8, -7:8]
    disc = xx**2 + yy**2 <= 45
    for _ in range(w * h // 900):
        x, y = rng.integers(8, w - 8), rng.integers(8, h - 8)
        tissue[y - 7 : y + 8, x - 7 : x + 8][disc] = np.array((95, 60, 140)) + rng.normal(0, 12)
    rgb[y0 : y0 + h, x0 : x0 + w] = tissue.clip(0, 255)
    return rgb


@contextmanager
def decoders_that(monkeypatch, do: str):
    """Have the process that opens slides first do something, written in Python, at every slide."""
    from napari_aln.slides import first_open

    harm = f"f.try_slide = lambda _: {do}"
    program = f"import os, time; from napari_aln.slides import first_open as f; {harm}; f.serve()"
    with monkeypatch.context() as patched:
        patched.setattr(first_open, "_PROGRAM", program)
        patched.setattr(first_open, "_process", first_open._Process())
        patched.setattr(first_open, "_harmless", set())
        yield first_open
        first_open._process.stop()


def write_slide(path: Path, rgb: np.ndarray, mpp: float | None = MPP) -> Path:
    """Write a tiled two-level JPEG TIFF that states its µm/px (or does not)."""
    where = {} if mpp is None else {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    half = {k: tuple(v / 2 for v in val) if k == "resolution" else val for k, val in where.items()}
    common = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb"}
    with tifffile.TiffWriter(path) as tif:
        tif.write(rgb, **common, **where)
        tif.write(rgb[::2, ::2], subfiletype=1, **common, **half)
    return path


def write_random_bundle(path: Path, mode: str = "dlcnbc-ws", seed: int = 0, **card_fields: object) -> Path:
    """Write a bundle of the smallest encoder with seeded random weights."""
    import torch

    from napari_aln.mil.architecture import build_network
    from napari_aln.mil.bundle import save_bundle
    from napari_aln.mil.card import ClinicalFields, ModelCard, NumericField

    clinical = ClinicalFields(
        age_years=NumericField(mean=55, std=11),
        tumor_size_cm=NumericField(mean=2.2, std=1.1),
        er_negative_share=0.25,
        pr_negative_share=0.35,
        her2_negative_share=0.7,
    )
    fields = {"encoder": "squeezenet1_1", "pool": "gap", "mpp": MPP, "name": f"random {mode}"} | card_fields
    card = ModelCard(mode=mode, clinical=None if mode == "dlcnb" else clinical, **fields)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(card)
        # Random weights hardly tell patches apart; a steeper attention does.
        network.head.attention[3].weight.data *= 40
        network.head.attention[0].weight.data *= 8
    save_bundle(card, network.state_dict(), path)
    return path
