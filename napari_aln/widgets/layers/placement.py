"""Where a layer lies: world coordinates are micrometres from the level-0 corner, (row, column).

napari puts the centre of a picture's first pixel at a layer's origin; ours is that pixel's corner, so
pictures are moved by half a pixel of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_aln.geometry import Mpp, l0_to_world_um, world_um_to_l0

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

MICROMETRE, PIXEL = "µm", "pixel"


@dataclass(frozen=True)
class Frame:
    """The µm/px of the slide that layers are laid on; None: unknown, and the world is level-0 pixels."""

    mpp: Mpp | None = None

    @property
    def units(self) -> tuple[str, str]:
        """Units of both axes."""
        unit = PIXEL if self.mpp is None else MICROMETRE
        return unit, unit

    @property
    def _mpp(self) -> Mpp:
        return self.mpp or Mpp(1.0, 1.0)

    def of_l0_yx(self) -> dict[str, Any]:
        """Return how a layer lies whose data are level-0 pixels as (y, x)."""
        return {"scale": (self._mpp.y, self._mpp.x), "translate": (0.0, 0.0), "units": self.units}

    def of_picture(self, pixel_l0: tuple[float, float]) -> dict[str, Any]:
        """Return how a picture lies whose pixels span `pixel_l0` (x, y) level-0 pixels."""
        scale = (pixel_l0[1] * self._mpp.y, pixel_l0[0] * self._mpp.x)
        return {"scale": scale, "translate": (scale[0] / 2, scale[1] / 2), "units": self.units}

    def l0_xy(self, world_yx: ArrayLike) -> NDArray[np.float64]:
        """Convert a place in the world to level-0 pixels."""
        return world_um_to_l0(world_yx, self._mpp)

    def world_yx(self, l0_xy: ArrayLike) -> NDArray[np.float64]:
        """Convert level-0 pixels to a place in the world."""
        return l0_to_world_um(l0_xy, self._mpp)
