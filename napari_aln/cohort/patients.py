"""Synthetic patients: label, clinical values, and the law their tumour nuclei follow.

The label enters a slide only here, through four latent traits of the tumour nuclei (size, shape, density,
alignment) in the direction that Xu et al. report for N(+), and weakly through the clinical values. Everything
else of a slide (stain, scanner, core, tumour share, growth pattern) is drawn without knowing the label. Among
N(+) patients those with more marked traits tend to have more than two metastatic nodes, so that three classes
can be told apart as well.

Shape is the ratio of the axes and how wavy the contour is: where it is planted, circularity is lower in N(+),
and so are rectangularity and solidity, of what is segmented as of what was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from napari_aln.records import Clinical
from napari_aln.settings.cohorts import TRAITS

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_aln.cohort.table import Split
    from napari_aln.settings.cohorts import SynthesizeSettings

TRAIT_EFFECT = 1.3
"""Difference of each latent trait between N(+) and N0, in standard deviations within a class.

Four independent traits known exactly would give AUC = Phi(1.3 * sqrt(4) / sqrt(2)) = 0.967.
"""

_NODE_NOISE = 0.6
"""Standard deviation of what else decides on the number of nodes, against 1 of the mean trait."""

_MANY_NODES = 0.42
"""Above this sum of both a N(+) patient has more than two nodes: 36 in 100 do."""


@dataclass(frozen=True, slots=True)
class NucleusLaw:
    """How the tumour nuclei of one patient are drawn."""

    area_um2: float  # median
    area_spread: float  # standard deviation of the logarithm: pleomorphism
    aspect: float  # mean ratio of the axes
    irregularity: float  # mean amplitude of the contour's waves, relative to the radius
    density_per_mm2: float  # inside tumour nests
    alignment: float  # von Mises concentration of the doubled angle about the local direction


@dataclass(frozen=True, slots=True)
class Patient:
    """One synthetic patient."""

    patient_id: str
    positive: bool
    n_positive_nodes: int
    clinical: Clinical
    law: NucleusLaw


def draw_patient(
    rng: np.random.Generator, index: int, positive: bool, planted: Collection[str] = TRAITS
) -> Patient:
    """Draw the patient of one index; the label is given, so that classes can be balanced.

    Parameters
    ----------
    rng
        See `patient_rng`.
    index, positive
        Number from 0, and label.
    planted
        Traits that differ between the labels; the others are drawn without knowing it.
    """
    sign = 0.5 if positive else -0.5
    own = rng.standard_normal(len(TRAITS))  # as they differ among patients of one label
    differs = np.array([trait in planted for trait in TRAITS])
    size, shape, density, alignment = sign * TRAIT_EFFECT * differs + own
    law = NucleusLaw(
        area_um2=float(np.clip(60.0 * np.exp(-0.17 * size), 34.0, 100.0)),
        area_spread=float(rng.uniform(0.18, 0.30)),
        aspect=float(np.clip(1.32 + 0.13 * shape, 1.08, 1.85)),
        irregularity=float(np.clip(0.050 + 0.018 * shape, 0.015, 0.11)),
        density_per_mm2=float(np.clip(4300.0 * np.exp(0.17 * density), 2600.0, 6800.0)),
        alignment=float(np.clip(np.exp(0.1 + 0.8 * alignment), 0.15, 6.0)),
    )
    clinical = Clinical(
        age_years=float(np.clip(round(57.0 - 3.0 * sign + 11.0 * rng.standard_normal()), 26, 90)),
        tumor_size_cm=float(
            np.clip(round(2.3 * np.exp(0.14 * sign + 0.42 * rng.standard_normal()), 1), 0.5, 8)
        ),
        er=bool(rng.random() < 0.76 - 0.08 * sign),
        pr=bool(rng.random() < 0.70 - 0.08 * sign),
        her2=bool(rng.random() < 0.27 + 0.10 * sign),
    )
    nodes = _node_count(rng, float(own.sum() / 2))
    return Patient(f"S{index + 1:04d}", positive, nodes if positive else 0, clinical, law)


def _node_count(rng: np.random.Generator, marked: float) -> int:
    """Return the metastatic nodes, were the patient N(+); `marked`: the own traits as one, of deviation 1."""
    luck = rng.random()
    further = int(rng.geometric(0.4)) if luck < 0.6 else 0
    if marked - _NODE_NOISE * float(ndtri(luck)) > _MANY_NODES:
        return 2 + max(further, 1)
    return 1 + min(further, 1)


def draw_labels(seed: int, n_patients: int, settings: SynthesizeSettings) -> list[bool]:
    """Return which patients are N(+): the asked-for share, in an order drawn from the seed."""
    n_positive = min(max(round(n_patients * settings.positive_share), 1), n_patients - 1)
    order = np.random.default_rng(np.random.SeedSequence([seed, n_patients])).permutation(n_patients)
    return [bool(rank < n_positive) for rank in order]


def split_labels(labels: list[bool], settings: SynthesizeSettings) -> list[Split]:
    """Assign each patient to train, val or test, keeping the shares within either label."""
    splits: list[Split] = ["test"] * len(labels)
    for wanted in (False, True):
        members = [i for i, positive in enumerate(labels) if positive == wanted]
        n_train = round(len(members) * settings.train_share)
        n_val = round(len(members) * settings.val_share)
        for rank, i in enumerate(members):
            splits[i] = "train" if rank < n_train else "val" if rank < n_train + n_val else "test"
    return splits


def patient_rng(seed: int, index: int) -> np.random.Generator:
    """Return the generator of one patient: the same patient whatever is drawn before."""
    return np.random.default_rng(np.random.SeedSequence([seed, index, 7]))
