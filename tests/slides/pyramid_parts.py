"""What tests of the viewer's pyramid share: a slide in memory, and means made by matrices."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np

from napari_aln.errors import SlideError
from napari_aln.geometry import Rect
from napari_aln.records import Level, SlideInfo
from napari_aln.slides.base import BaseSlide

BACKGROUND = (250, 251, 252)
TIMEOUT_S = 20  # only ever waited for where something is broken


class ArraySlide(BaseSlide):
    """A slide in memory that counts its reads and can hold them back."""

    def __init__(self, levels: list[np.ndarray], tile_px: int | None = 64) -> None:
        height, width = levels[0].shape[:2]
        super().__init__(
            SlideInfo(
                path=Path("in memory.svs"),
                vendor="test",
                reader="test",
                levels=tuple(
                    Level(p.shape[1], p.shape[0], (width / p.shape[1], height / p.shape[0])) for p in levels
                ),
                mpp=None,
                mpp_origin="missing",
                bounds=Rect(0, 0, width, height),
                background_rgb=BACKGROUND,
                quick_hash="",
            ),
            None,
        )
        self.pixels = levels
        self.tile_px = tile_px
        self.reads: Counter = Counter()
        self.order: list[tuple[int, int, int]] = []
        self.begun = threading.Semaphore(0)
        self.gates = {level: threading.Event() for level in range(len(levels))}
        for gate in self.gates.values():
            gate.set()
        self.broken: set[tuple[int, int, int]] = set()

    def tile_size(self, level):
        return (self.tile_px, self.tile_px) if self.tile_px else None

    def _read_inside(self, level, x, y, width, height):
        self.reads[level, x, y, width, height] += 1
        self.order.append((level, x, y))
        self.begun.release()
        assert self.gates[level].wait(TIMEOUT_S)
        if (level, x, y) in self.broken:
            raise SlideError(f"Tile {x} {y} is damaged.", "Copy the file again.")
        return self.pixels[level][y : y + height, x : x + width].copy()

    def _release(self):
        pass


def wait(event: threading.Event) -> None:
    assert event.wait(TIMEOUT_S)


def shares_of(n_fine: int, n_coarse: int) -> np.ndarray:
    """Return (n_coarse, n_fine): the share of each fine pixel in the area of each coarse one."""
    edges = np.linspace(0, n_fine, n_coarse + 1)
    low, high = edges[:-1, None], edges[1:, None]
    fine = np.arange(n_fine)
    return (np.minimum(high, fine + 1) - np.maximum(low, fine)).clip(0) * (n_coarse / n_fine)


def mean_of(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the area mean by matrices, in doubles."""
    rows, columns = shares_of(pixels.shape[0], height), shares_of(pixels.shape[1], width)
    return np.stack([rows @ pixels[..., color] @ columns.T for color in range(3)], axis=-1)


def assert_mean_of(level: np.ndarray, finer: np.ndarray) -> None:
    """Check values rounded to the nearest; at exact halves either neighbour is right."""
    exact = mean_of(finer, *level.shape[:2])
    assert np.abs(level - exact).max() <= 0.5 + 1e-4
