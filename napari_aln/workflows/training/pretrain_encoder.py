"""An encoder learns from the truth of synthetic slides: a file for `train --frozen --encoder-weights`.

Only training patients are seen, whole slides, the patches that a whole-slide model would take.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.cohort.table import read_cohort
from napari_aln.cohort.truth import nuclei_path, patch_targets, read_nuclei
from napari_aln.cohort.wording import counted
from napari_aln.errors import CohortError
from napari_aln.mil.card import COUNTER, ModelCard
from napari_aln.records import Progress
from napari_aln.slides.first_open import open_untried
from napari_aln.store.atomic import atomic_file, check_writable
from napari_aln.store.machine import machine_facts
from napari_aln.store.result import made_of_table
from napari_aln.workflows.slide.decode import decoded
from napari_aln.workflows.slide.prepare import patches_for, require_mpp, survey
from napari_aln.workflows.training.encoder_weights import TRAINED_ON
from napari_aln.workflows.training.patients import INPUT_PX, PATCH_PX

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.mil.pretraining import LabelledPatches
    from napari_aln.settings.training import PretrainSettings

_CHUNK = 16
_LEARNED = (
    "synthetic patch labels (cell densities; area, circularity, aspect, spacing and alignment of the tumour "
    "nuclei)"
)


def pretrain_encoder(
    cohort_csv: Path, out: Path, settings: PretrainSettings, *, private: bool = False
) -> Generator[Progress, None, Path]:
    """Train an encoder; yield progress, return the file, safetensors with what it was trained on beside.

    Matrices are stored as fp16, so that a bundle can hold them as they are.

    Parameters
    ----------
    cohort_csv
        As `cohort synthesize` writes it: splits, slides, outlines and, beside these, the nuclei's truth.
    out
        A new ``.safetensors`` file.
    settings
        See `PretrainSettings`.
    private
        Name the cohort table nowhere in the file.

    Raises
    ------
    CohortError
        There is no training patient, or no slide or truth of one.
    StoreError
        The file cannot be written there; found out before the work begins.
    DeviceError
        Torch gave up, for lack of memory most likely.
    AlnError
        A slide cannot be read.
    """
    import torch

    from napari_aln.mil.architecture import build_network
    from napari_aln.mil.pretraining import fit_encoder
    from napari_aln.mil.training import using_threads
    from napari_aln.runtimes.torch_runtime import torch_errors

    rows = _with_truth(cohort_csv)
    check_writable(out.parent)
    with using_threads(settings.threads), torch_errors("training"):
        card = ModelCard(
            name=out.stem,
            mode="dlcnb",  # the smallest head; it is thrown away
            encoder=settings.encoder,
            pool="gap",
            patch_px=PATCH_PX,
            mpp=settings.mpp,
            input_px=INPUT_PX,
        )
        torch.manual_seed(settings.seed)
        network = build_network(card)
        patches = yield from _labelled(card, rows, settings)
        total = settings.steps + settings.whole_steps
        for done, misfit, apart in fit_encoder(network, patches, settings):
            yield Progress(f"train encoder, misfit {misfit:.3f}, renditions apart {apart:.3f}", done, total)
    trained_on = f"{_LEARNED} of {counted(len(rows), 'training patient')}"
    trained_on += "" if private else f" of {cohort_csv.name}"
    facts = {"encoder": settings.encoder, TRAINED_ON: trained_on}
    made_by = made_of_table(cohort_csv, settings.model_dump(mode="json"), private=private)
    made_by |= {"machine": machine_facts()}
    return _save(network.encoder.state_dict(), out, facts | {"made_by": json.dumps(made_by)})


def _with_truth(cohort_csv: Path) -> list[tuple[CohortRow, Path]]:
    """Return the training patients, and where the truth of each lies."""
    found = []
    for row in read_cohort(cohort_csv):
        if row.split != "train":
            continue
        truth = nuclei_path(row)
        if row.slide is None or truth is None:
            lacking = "slide" if row.slide is None else "truth of the nuclei"
            raise CohortError(
                f"There is no {lacking} of patient {row.patient_id} of {cohort_csv} to train an encoder on.",
                "Train on a cohort drawn by `napari-aln cohort synthesize`.",
            )
        found.append((row, truth))
    if not found:
        raise CohortError(
            f"{cohort_csv} has no training patient.", "Put `train` into the column split of some patients."
        )
    return found


def _labelled(
    card: ModelCard, rows: Sequence[tuple[CohortRow, Path]], settings: PretrainSettings
) -> Generator[Progress, None, LabelledPatches]:
    """Read some patches of each slide, and what the truth says of them."""
    from napari_aln.mil.pretraining import LabelledPatches

    rng = np.random.default_rng(settings.seed)
    most = len(rows) * settings.patches_per_slide
    pixels = np.empty((most, INPUT_PX, INPUT_PX, 3), np.uint8)
    targets, n = [], 0
    for done, (row, truth) in enumerate(rows, start=1):
        read, l0_xy, side_l0, mpp_um = _read(card, row, settings)
        some = np.sort(rng.permutation(len(read))[: settings.patches_per_slide])
        pixels[n : n + len(some)] = read[some]
        targets.append(patch_targets(read_nuclei(truth), l0_xy[some], side_l0, mpp_um))
        n += len(some)
        yield Progress("read patches", done, len(rows))
    return LabelledPatches(pixels[:n], np.concatenate(targets))


def _read(
    card: ModelCard, row: CohortRow, settings: PretrainSettings
) -> tuple[NDArray[np.uint8], NDArray[np.float64], float, float]:
    """Return the patches that a whole-slide model takes, their corners, side (level-0 px) and µm/px."""
    assert row.slide is not None  # see `_with_truth`
    card = card.model_copy(update={"mode": "dlcnbc-ws"})
    with open_untried(row.slide, row.mpp) as slide:
        table = patches_for(card, slide, survey(slide), (), settings.patches)
        chunks = list(decoded(slide, table, card.input_px, threads=1, chunk=_CHUNK))
        mpp_um = require_mpp(slide.info).mean
    entropy = np.concatenate([chunk.entropy for chunk in chunks if chunk.entropy is not None])
    rich = entropy >= settings.patches.min_entropy_bits
    if not rich.any():
        raise CohortError(f"{row.slide} has no patch to train on.", "Take the patient out of the table.")
    pixels = np.concatenate([chunk.pixels for chunk in chunks])[rich]
    return pixels, table.l0_xy[rich], table.grid.step_l0[0], mpp_um


def _save(state: dict[str, Any], out: Path, facts: dict[str, str]) -> Path:
    """Write weights and facts; matrices as fp16, the rest as it is."""
    from safetensors.torch import save_file

    tensors = {
        key: (value.half() if value.ndim >= 2 else value).contiguous()
        for key, value in state.items()
        if not key.endswith(COUNTER)
    }
    with atomic_file(out) as temporary:
        save_file(tensors, temporary, metadata=facts)
    return out
