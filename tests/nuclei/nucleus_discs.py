"""Drawn nuclei and a small network that learned them, for the tests of the learned method."""

import numpy as np
from scipy import ndimage

from napari_aln.nuclei.network import NucleusNet
from napari_aln.nuclei.training import LabelledPicture, fit_nuclei
from napari_aln.runtimes.choice import Choice
from napari_aln.settings.nuclei import NucleiTrainSettings

WIDTHS = (8, 16, 24)
MPP = 0.25


def discs(seed, side=256, n=40):
    """Violet discs on pink, some touching: RGB and labels."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for _ in range(8 * n):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(10, 15)
        disc = np.hypot(xx - x, yy - y) <= r
        if not labels[disc].any():
            labels[disc] = labels.max() + 1
        if labels.max() == n:
            break
    soft = ndimage.gaussian_filter((labels > 0).astype(float), 1.0)[..., None]
    light = (1 - soft) * (226, 170, 200) + soft * (95, 60, 140) + rng.normal(0, 4, (side, side, 3))
    return np.clip(light, 0, 255).astype(np.uint8), labels


def trained(steps=50, widths=WIDTHS):
    """A network that learned three such pictures, and its loss after each step."""
    import torch

    from napari_aln.mil.training import using_threads

    torch.manual_seed(0)
    network = NucleusNet(widths)
    pictures = [LabelledPicture(f"{seed}", *discs(seed), MPP) for seed in range(3)]
    settings = NucleiTrainSettings(steps=steps, batch=4, square_px=96, learning_rate=1e-2)
    choice = Choice("torch", "cpu", "fp32")
    with using_threads(1):
        return network, [step.loss for step in fit_nuclei(network, pictures, settings, choice)]
