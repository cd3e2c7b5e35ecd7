"""Frozen records that cross from one room to another: plain values and NumPy arrays, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.geometry import Mpp, Rect, ScannerFrame

Mode = Literal["dlcnb", "dlcnbc", "dlcnbc-ws"]
"""The published modes: inside the ROI without and with clinical data, and whole slide with clinical data."""

BINARY = ("N0", "N(+)")
THREE_CLASSES = ("N0", "N+(1-2)", "N+(>2)")
"""What models and readers tell apart: no metastatic node or some; none, one or two, more. N0 stands first."""

RESEARCH_NOTICE = "Research use only. Not a diagnosis."
ATTENTION_NOTICE = "Attention = where the model looked, not tumour probability."


@dataclass(frozen=True, slots=True)
class Level:
    """One pyramid level: its size in its own pixels and its exact downsample against level 0."""

    width_px: int
    height_px: int
    downsample: tuple[float, float]  # x, y


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What is known of a slide without reading its pixels."""

    path: Path
    vendor: str
    reader: str  # what reads it: "openslide", "openslide+tiles", "tifffile" or "image"
    levels: tuple[Level, ...]
    mpp: Mpp | None
    mpp_origin: Literal["file", "user", "missing"]
    bounds: Rect  # level-0 px: the part that holds tissue (openslide.bounds-*), else the whole slide
    background_rgb: tuple[int, int, int]
    quick_hash: str  # fast content hash, identifies the slide in caches and results
    objective_power: float | None = None  # as the file states it; shown, never computed with
    associated: tuple[str, ...] = ()  # names of label, macro, thumbnail; never read unasked
    warnings: tuple[str, ...] = ()
    scanner: ScannerFrame | None = None  # where level 0 lies on the glass; None where the file does not say

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of level 0 in pixels."""
        return self.levels[0].width_px, self.levels[0].height_px


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """The one grid of a slide: squares of `patch_px` at `mpp`, anchored at the level-0 corner, no overlap.

    Cell (column, row) covers level-0 x from ``column * step_l0[0]`` and y from ``row * step_l0[1]``.
    Only cells wholly inside the slide belong to the grid.
    """

    patch_px: int
    mpp: float
    step_l0: tuple[float, float]  # level-0 px that one cell spans along x and y, exact floats
    columns: int
    rows: int


@dataclass(frozen=True)
class PatchTable:
    """Patches of one size.

    On the slide's one grid they stand in row-major order and `origin_l0` is None. Reference patching cuts
    each region's own bounding box instead: there `origin_l0` holds, per patch, the box's corner.
    """

    grid: PatchGrid
    column: NDArray[np.int32]  # (n,)
    row: NDArray[np.int32]  # (n,)
    origin_l0: NDArray[np.float64] | None = None  # (n, 2)

    def __len__(self) -> int:
        return len(self.column)

    @property
    def l0_xy(self) -> NDArray[np.float64]:
        """Return the (n, 2) upper-left corners in level-0 pixels."""
        import numpy as np  # here: a Tab on the command line loads this module, and computes nothing

        corners: NDArray[np.float64] = np.column_stack([self.column, self.row]) * np.asarray(
            self.grid.step_l0
        )
        return corners if self.origin_l0 is None else corners + self.origin_l0

    @property
    def cell(self) -> NDArray[np.int64]:
        """Return the (n,) identities of the patches: flat grid indices, or running numbers off the grid."""
        import numpy as np

        if self.origin_l0 is not None:
            return np.arange(len(self), dtype=np.int64)
        return self.row.astype(np.int64) * self.grid.columns + self.column

    def take(self, where: NDArray[Any]) -> PatchTable:
        """Return the patches at an index or boolean array, in that order."""
        origin_l0 = None if self.origin_l0 is None else self.origin_l0[where]
        return PatchTable(self.grid, self.column[where], self.row[where], origin_l0)


@dataclass(frozen=True)
class Features:
    """What the network says of each patch by itself: enough to score any set of patches."""

    table: PatchTable
    entropy: NDArray[np.float32]  # (n,) bits, of the 8-bit grey patch
    h: NDArray[np.float32]  # (n, K) instance embedding after ReLU; K: `hidden` of the model's card
    e: NDArray[np.float32]  # (n,) attention logit, before softmax

    def __len__(self) -> int:
        return len(self.e)

    def take(self, where: NDArray[Any]) -> Features:
        """Return the patches at an index or boolean array, in that order."""
        return Features(self.table.take(where), self.entropy[where], self.h[where], self.e[where])


@dataclass(frozen=True)
class Region:
    """A named region of a slide: a polygon or multipolygon, with holes, in level-0 pixels."""

    geometry: BaseGeometry
    name: str = ""
    classification: str = "tumour ROI"
    color_rgb: tuple[int, int, int] | None = None
    locked: bool = False  # as QuPath marks it; kept for it, without meaning here
    in_use: bool = True  # False: set aside in a review; what runs or is written never has such


AGE_LIMIT_YEARS = 120.0
TUMOR_SIZE_LIMIT_CM = 30.0
"""Age and tumour size lie above 0 and at most here; anything else is a slip of the keyboard or the unit."""


@dataclass(frozen=True, slots=True)
class Clinical:
    """The five clinical values of a patient. None: unknown. Receptors: True = positive."""

    age_years: float | None = None
    tumor_size_cm: float | None = None
    er: bool | None = None
    pr: bool | None = None
    her2: bool | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of long work: what is being done and how far it is."""

    step: str
    done: int
    total: int
    per_second: float | None = None

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the present rate, or None while unknown."""
        return (self.total - self.done) / self.per_second if self.per_second else None


@dataclass(frozen=True)
class PatchScores:
    """Per-patch values of one run, each of shape (n,), named as in the legend, the files and the report."""

    table: PatchTable
    in_roi: NDArray[np.bool_]  # whether the patch belongs to the drawn regions, where any are
    entropy: NDArray[np.float32]  # bits
    attention_logit: NDArray[np.float64]  # e_i, raw
    attention_slide: NDArray[np.float64]  # softmax over all patches of the run x their number; 1 = uniform
    attention_bag: NDArray[np.float64]  # mean over partitions of softmax within the bag x bag size
    contribution: NDArray[np.float64]  # f(all) - f(all without i), f = log-odds of N(+)
    probability: NDArray[np.float64]  # of N(+) when the bag is this patch alone


@dataclass(frozen=True)
class BagPrediction:
    """The bags of a run and what the model said of each."""

    bags: tuple[NDArray[np.int64], ...]  # indices into the run's patches
    partitions: int
    probabilities: NDArray[np.float64]  # (n_bags, n_classes)


@dataclass(frozen=True)
class RunRecord:
    """One model on one slide: the numbers, and everything needed to get them again."""

    run: str  # "dlcnbc", "dlcnbc-ws", ...; unique within a result
    mode: Mode
    model_name: str
    model_sha256: str
    card_sha256: str  # thresholds and clinical statistics stand in the card, not in the weights
    classes: tuple[str, ...]
    probabilities: dict[str, float]  # class name -> probability, in the card's class order
    bag_spread: dict[str, float]  # standard deviation over bags; says how much the draw of patches matters
    prediction: str
    threshold: float | None  # of N(+); None with three classes
    operating_point: str
    default_map: str
    n_patches: int
    n_bags: int
    n_partitions: int
    bag_probabilities: tuple[tuple[float, ...], ...]  # (n_bags, n_classes); members in bags.parquet
    seed: int
    mpp_used: float
    patch_px: int
    clinical: dict[str, Any] | None
    clinical_filled: dict[str, float | bool]  # value used in place of a missing one
    settings: dict[str, Any]
    runtime: str
    device: str
    precision: str
    norm_statistics: str
    seconds: dict[str, float]
    warnings: tuple[str, ...] = ()
    jpeg_decoder: str = "cpu"  # or what decoded the slide's tiles on the GPU


@dataclass(frozen=True)
class SlideResult:
    """All runs of one slide, with their per-patch values."""

    slide: SlideInfo
    alias: str
    runs: tuple[RunRecord, ...]
    scores: dict[str, PatchScores] = field(default_factory=dict)  # run -> values
    bags: dict[str, BagPrediction] = field(default_factory=dict)  # run -> bags
    regions: tuple[Region, ...] = ()
    warnings: tuple[str, ...] = ()
    features: dict[str, Features] = field(default_factory=dict)  # run -> what it rests on; not on disk
