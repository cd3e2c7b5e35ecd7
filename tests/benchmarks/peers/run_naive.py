"""The loop of most scripts: OpenSlide patch by patch, torchvision transforms, tens, eager, gradients on."""

from __future__ import annotations

import numpy as np
from contender import Work, contend, encoder, patch_transform

BATCH = 10


def prepare(work: Work):
    import openslide
    import torch

    network, transform = encoder(work), patch_transform(work)

    def run(path: str):
        slide = openslide.OpenSlide(path)
        width, height = slide.dimensions
        side = work.patch_px
        l0_xy = [(x, y) for y in range(0, height, side) for x in range(0, width, side)]
        found = []
        for start in range(0, len(l0_xy), BATCH):
            patches = [
                transform(slide.read_region(corner, 0, (side, side)).convert("RGB"))
                for corner in l0_xy[start : start + BATCH]
            ]
            found.append(network(torch.stack(patches)).detach().numpy())
        return l0_xy, np.concatenate(found)

    return run


if __name__ == "__main__":
    contend(prepare, ("torch", "openslide-python"))
