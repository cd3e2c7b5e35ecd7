"""Import of a checkpoint of BALNMP, the authors' reference implementation (github.com/bupt-ai-cz/BALNMP).

The checkpoint is the ``state_dict`` of its ``MILNet…``: ``image_feature_extractor.extractor.*`` is a
torchvision backbone without its last child, ``attention_aggregator.*`` and ``classifier.*`` are the head.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from typing import TYPE_CHECKING, Any, Literal

import torch

from napari_aln.errors import BundleError, MppError
from napari_aln.geometry import plausible_mpp
from napari_aln.mil.bundle import Bundle, save_bundle
from napari_aln.mil.card import (
    CLINICAL_REPEATS,
    CLINICAL_VALUES,
    COUNTER,
    ClinicalFields,
    ModelCard,
    Threshold,
)
from napari_aln.mil.encoder_table import feature_count, resolve_pool
from napari_aln.mil.encoders import encoder_skeleton
from napari_aln.mil.misfits import describe_misfits
from napari_aln.records import BINARY, THREE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_aln.records import Mode

    State = dict[str, torch.Tensor]

_EXTRACTOR = "image_feature_extractor.extractor."
_HEAD = {
    f"{reference}.{kind}": f"head.{ours}.{kind}"
    for reference, ours in (
        ("attention_aggregator.fc1.0", "fc1.0"),
        ("attention_aggregator.attention.0", "attention.0"),
        ("attention_aggregator.attention.3", "attention.3"),
        ("classifier.0", "classifier.0"),
        ("classifier.2", "classifier.2"),
    )
    for kind in ("weight", "bias")
}
_CLASSES = {2: BINARY, 3: THREE_CLASSES}
_WRONG_FILE = "Choose a BALNMP checkpoint: a state_dict saved by its training script."


def import_balnmp(
    checkpoint: Path,
    encoder: str,
    mode: Mode,
    mpp: float,
    out: Path,
    *,
    clinical_stats: Path | None = None,
    norm_statistics: Literal["running", "bag"] = "running",
) -> Bundle:
    """Turn a reference checkpoint into a bundle, which tells the file by its content.

    Parameters
    ----------
    checkpoint
        A ``.pth`` file; read without running any code it may hold.
    encoder
        The backbone it was trained with, as torchvision calls it: ``vgg16_bn``.
    mode
        Must agree with whether the checkpoint takes clinical values.
    mpp
        µm/px of the patches it was trained on. The file does not say.
    out
        The bundle to write: a ``.alnmodel`` file or a folder.
    clinical_stats
        JSON ``{"age": {"mean", "std"}, "tumor_size": {"mean", "std"}}`` of the training cohort, in years and
        cm; needed in the clinical modes. It may also hold ``er_negative_share`` (and ``pr_``, ``her2_``).
    norm_statistics
        "bag" repeats the reference's BatchNorm behaviour, "running" is ordinary evaluation.

    Raises
    ------
    BundleError
        Unreadable or unsafe checkpoint, other encoder or mode, tensors missing or left over, or no or
        unusable clinical statistics.
    MppError
        µm/px that no scanner writes.
    """
    if plausible_mpp(mpp, mpp) is None:
        raise MppError(
            f"{mpp:g} µm/px is not a resolution of a slide.", "Give the µm/px of the training patches."
        )
    state = _read(checkpoint)
    tensors = _head_tensors(state, checkpoint) | _encoder_tensors(state, encoder, checkpoint)
    hidden = len(tensors["head.fc1.0.bias"])
    n_clinical = _clinical_values(tensors, hidden, checkpoint)
    _check_mode(mode, n_clinical, checkpoint)
    classes = len(tensors["head.classifier.2.bias"])
    if classes not in _CLASSES:
        raise BundleError(f"{checkpoint} tells {classes} classes apart, not two or three.", _WRONG_FILE)
    card = ModelCard(
        name=f"BALNMP {mode} {encoder}",
        description=f"Imported from a BALNMP checkpoint of SHA-256 {_sha256(checkpoint)}.",
        mode=mode,
        encoder=encoder,
        pool=resolve_pool(encoder),
        classes=_CLASSES[classes],
        clinical=read_clinical_stats(clinical_stats, checkpoint) if n_clinical else None,
        mpp=mpp,
        norm_statistics=norm_statistics,
        hidden=hidden,
        attention_width=len(tensors["head.attention.0.bias"]),
        classifier_hidden=len(tensors["head.classifier.0.bias"]),
        thresholds=(Threshold(value=0.5, operating_point="0.5", chosen_on="convention"),),
        licence="As the checkpoint's own; BCNB does not allow commercial use.",
        intended_use="Repeating published work.",
    )
    return save_bundle(card, tensors, out)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(checkpoint: Path) -> State:
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BundleError(
            f"The checkpoint {checkpoint} cannot be read: {error.strerror or error}.", "Check the path."
        ) from error
    except pickle.UnpicklingError as error:
        raise BundleError(
            f"{checkpoint} is not a file of plain tensors; anything else could run code and is not opened.",
            _WRONG_FILE,
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BundleError(f"{checkpoint} is no readable PyTorch checkpoint.", _WRONG_FILE) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BundleError(f"{checkpoint} is no state_dict: it holds other things than tensors.", _WRONG_FILE)
    return {str(key): value for key, value in state.items()}


def _head_tensors(state: State, checkpoint: Path) -> State:
    missing = [key for key in _HEAD if key not in state]
    extra = [key for key in state if key not in _HEAD and not key.startswith(_EXTRACTOR)]
    if missing or extra:
        facts = [f"{key} is missing" for key in missing[:2]] + [
            f"{key} is not part of one" for key in extra[:2]
        ]
        raise BundleError(f"{checkpoint} is no BALNMP checkpoint: {'; '.join(facts)}.", _WRONG_FILE)
    bad = [key for key in _HEAD if state[key].ndim != (2 if key.endswith("weight") else 1)]
    if bad:
        raise BundleError(f"In {checkpoint} the tensor {bad[0]} has the wrong rank.", _WRONG_FILE)
    return {ours: state[reference] for reference, ours in _HEAD.items()}


def _encoder_tensors(state: State, encoder: str, checkpoint: Path) -> State:
    net = encoder_skeleton(encoder)
    wanted = {key: tuple(value.shape) for key, value in net.state_dict().items() if not key.endswith(COUNTER)}
    children = {name: str(index) for index, (name, _) in enumerate(net.named_children())}
    found = {
        key.removeprefix(_EXTRACTOR): value for key, value in state.items() if key.startswith(_EXTRACTOR)
    }
    # The reference wraps a backbone's children in a Sequential, so its names become numbers, but keeps
    # GoogLeNet and Inception whole. Checkpoints of other forks keep the names throughout, or wrap `features`.
    layouts = (
        {key: ".".join([children[key.split(".")[0]], *key.split(".")[1:]]) for key in wanted},
        {key: key for key in wanted},
        {key: key.split(".", maxsplit=1)[1] for key in wanted},
    )
    layout = max(layouts, key=lambda names: sum(name in found for name in names.values()))
    head_in = state["attention_aggregator.fc1.0.weight"].shape[1]
    ours = {name: wanted[key] for key, name in layout.items()}
    theirs = {key: tuple(value.shape) for key, value in found.items() if not _plays_no_part(key, encoder)}
    misfits = describe_misfits(ours, theirs)
    if head_in != feature_count(encoder):
        misfits = "; ".join(
            filter(None, [f"its head takes {head_in} features, not {feature_count(encoder)}", misfits])
        )
    if misfits:
        raise BundleError(
            f"{checkpoint} was not trained with the encoder {encoder}: {misfits}.",
            "Name the encoder it was trained with.",
        )
    return {f"encoder.{key}": found[name] for key, name in layout.items()}


def _plays_no_part(key: str, encoder: str) -> bool:
    # Training counters; and the classifier that the reference leaves, unused, in its two whole networks.
    unused = encoder in ("googlenet", "inception_v3") and key.startswith("fc.")
    return unused or key.endswith(COUNTER)


def _clinical_values(tensors: State, hidden: int, checkpoint: Path) -> int:
    fused = tensors["head.classifier.0.weight"].shape[1]
    n_clinical, rest = divmod(fused - hidden, CLINICAL_REPEATS)
    if rest or n_clinical not in (0, CLINICAL_VALUES):
        raise BundleError(
            f"The classifier of {checkpoint} takes {fused} values, where"
            f" {hidden} or {hidden + CLINICAL_VALUES * CLINICAL_REPEATS} are known.",
            _WRONG_FILE,
        )
    return n_clinical


def _check_mode(mode: Mode, n_clinical: int, checkpoint: Path) -> None:
    if n_clinical and mode == "dlcnb":
        raise BundleError(
            f"{checkpoint} takes clinical values, mode {mode} has none.", "Import it with mode dlcnbc."
        )
    if not n_clinical and mode != "dlcnb":
        raise BundleError(
            f"{checkpoint} takes no clinical values, mode {mode} needs them.", "Import it with mode dlcnb."
        )


def read_clinical_stats(path: Path | None, checkpoint: Path) -> ClinicalFields:
    """Read the training cohort's clinical statistics; see `import_balnmp` for the file.

    Raises
    ------
    BundleError
        No file given, or one that does not hold both means and standard deviations.
    """
    form = '{"age": {"mean": …, "std": …}, "tumor_size": {"mean": …, "std": …}}'
    if path is None:
        raise BundleError(
            f"{checkpoint} takes clinical values, but not how its training cohort's were standardised.",
            f"Give a JSON file with {form}, in years and cm.",
        )
    try:
        raw: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rest = {key: value for key, value in raw.items() if key not in ("age", "tumor_size")}
        return ClinicalFields.model_validate(
            {"age_years": raw["age"], "tumor_size_cm": raw["tumor_size"], **rest}
        )
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{path} does not hold usable clinical statistics.", f"It must be: {form}."
        ) from error
