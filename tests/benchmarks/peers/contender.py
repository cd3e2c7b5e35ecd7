"""What all contenders have in common: one piece of work, one way to time it, one line of JSON as the answer.

A contender is a program in this folder. It runs in an environment of its own (see `install.py`), takes the
description of the work, computes the features of all patches of a slide with its own means, and is timed from
the closed file to features in memory: a small slide for warming up, the small one again, then the large one.
Each process is held to the given number of cores, whatever threads it starts.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[3]))
from idleness import Stopwatch
from most_memory import most_memory_mb

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

HIDDEN = 256


@dataclass(frozen=True)
class Work:
    """What is to be done; paths are strings, as JSON has them."""

    small: str  # a slide whose whole area is a grid of patches, level-0 pixels at `mpp`
    large: str  # the like, of more patches
    weights: str  # of `encoder`, a state dict
    bundle: str  # the same weights as this project's model bundle
    mpp: float
    patch_px: int
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    precision: str
    option: str  # a contender's own faster way, "" for its default
    features: str  # where they go, an .npy


def encoder(work: Work) -> torch.nn.Module:
    """Build VGG-13 with batch norm up to 256 values a patch, as a script would."""
    # Beside a CPU build of torch, torchvision's own import may fail.
    import torch

    from napari_aln.runtimes.torchvision_import import models

    network = models.vgg13_bn(weights=None)
    network.classifier = torch.nn.Sequential(torch.nn.Linear(512 * 49, HIDDEN), torch.nn.ReLU())
    network.load_state_dict(torch.load(work.weights, weights_only=True))
    return network.eval()


def patch_transform(work: Work) -> Callable:
    """Return what turns a PIL picture of a patch into a normalised tensor, as a script would."""
    from napari_aln.runtimes.torchvision_import import torchvision  # noqa: F401

    transforms = importlib.import_module("torchvision.transforms")
    return transforms.Compose(
        [
            transforms.Resize((work.input_px, work.input_px)),
            transforms.ToTensor(),
            transforms.Normalize(work.mean, work.std),
        ]
    )


def contend(prepare: Callable[[Work], Callable[[str], tuple]], packages: tuple[str, ...]) -> None:
    """Do the work and print what it took.

    Parameters
    ----------
    prepare
        Loads the network; returns what turns a slide's path into the patches' corners (n, 2), level-0
        pixels, and their features (n, 256).
    packages
        Whose versions are stated.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("work", help="Work as JSON")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    work = Work(**json.loads(given.work))
    hold_to(given.threads)
    import torch

    torch.set_num_threads(given.threads)
    run = prepare(work)
    run(work.small)
    with Stopwatch() as small:
        few = len(run(work.small)[1])
    with Stopwatch() as large:
        l0_xy, features = run(work.large)
    order = np.lexsort(np.asarray(l0_xy).T[:2])  # by row, then by column
    np.save(work.features, np.asarray(features, np.float32)[order])
    found = {
        "patches_per_s": (len(features) - few) / (large.seconds - small.seconds),
        "seconds": [small.seconds, large.seconds],
        "others_share": max(small.others_share, large.others_share),
        "cores_used": large.cores_used,
        "peak_mb": most_memory_mb(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
    }
    print("\n" + json.dumps(found))


def hold_to(threads: int) -> None:
    """Keep this process to so many cores, where the system can."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        process.cpu_affinity(process.cpu_affinity()[-threads:])
