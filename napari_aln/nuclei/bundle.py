"""A nucleus model as a bundle: its card and weights, checked when read, and the method it gives."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_aln.errors import BundleError
from napari_aln.mil.bundle_file import checked_tensors, packed, read_bundle_file, write_bundle_file
from napari_aln.nuclei.learned import Learned
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.settings.engine import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.nuclei.learned import Run
    from napari_aln.nuclei.network import NucleusNet

SCHEMA_VERSION = 2  # 2 says how it was trained
_KEPT_SHAPES = 8  # compiled networks, one a size of window


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Source(_Part):
    """Pictures that a model learned from, or was measured on."""

    name: str
    pictures: int = Field(ge=0)
    nuclei: int = Field(ge=0)


class Figures(_Part):
    """How well a model did on a source's pictures that it did not learn from."""

    source: Source
    f1: float = Field(ge=0, le=1)
    aji: float = Field(ge=0, le=1)
    pq: float = Field(ge=0, le=1)
    remarks: str = ""


class NucleusTraining(_Part):
    """What repeats a training: given the same pictures, these settings give these weights."""

    settings: dict[str, Any]  # of `NucleiTrainSettings`, the seed among them
    pictures_sha256: str = Field(pattern="^[0-9a-f]{64}$")  # see `training.digest`
    runtime: str
    device: str
    precision: str
    versions: dict[str, str]
    machine: dict[str, str]
    created: str


class NucleusCard(_Part):
    """Everything that must be known to use a nucleus model's weights."""

    schema_version: Literal[1, 2] = 2
    kind: Literal["nuclei"] = "nuclei"
    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    widths: tuple[int, ...] = Field(min_length=2, max_length=6)
    mpp: float = Field(ge=0.05, le=2)  # µm/px at which it learned
    seen_mpp: float = Field(default=0.0, ge=0, le=2)  # of the pictures it learned from, median
    sources: tuple[Source, ...] = ()
    held_out: tuple[str, ...] = ()  # pictures that were measured on
    metrics: tuple[Figures, ...] = ()
    steps: int = Field(default=0, ge=0)
    training: NucleusTraining | None = None  # None: made by version 1, or elsewhere
    bf16_safe_on: tuple[tuple[str, str], ...] = ()  # (runtime, device) on which the nuclei were the same
    licence: str = ""
    notice: str = RESEARCH_NOTICE
    weights_dtype: Literal["fp32", "fp16"] = "fp16"
    weights_sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")


@dataclass(frozen=True)
class NucleusBundle:
    """An opened nucleus model whose hash and tensors were checked."""

    path: Path
    card: NucleusCard
    tensors: Mapping[str, NDArray[Any]] = field(repr=False)

    def network(self) -> NucleusNet:
        """Build the network with these weights, as float32 and in eval mode.

        Raises
        ------
        BundleError
            The tensors are not those of the card's widths.
        """
        return _network(self.card, self.tensors, self.path)

    def method(self, engine: EngineSettings | None = None) -> Learned:
        """Return the method to segment with, on the runtime and device of the settings.

        None: on torch, which takes pictures of any size; OpenVINO builds a network for each size.

        Raises
        ------
        BundleError
            As `network`.
        DeviceError
            A wish that this machine cannot grant.
        """
        from napari_aln.nuclei.network import reach_px, stride_px  # torch is loaded only where it is used
        from napari_aln.runtimes.base import compile_network
        from napari_aln.runtimes.choice import choose

        network, card = self.network(), self.card
        wanted = engine or EngineSettings(runtime="torch")
        choice = choose(wanted, bf16_safe_on=card.bf16_safe_on)

        @functools.lru_cache(maxsize=_KEPT_SHAPES)
        def compiled(shape: tuple[int, int]) -> Run:
            return compile_network(network, shape, wanted, bf16_safe_on=card.bf16_safe_on)

        return Learned(
            compiled,
            card.mpp,
            stride_px(card.widths),
            reach_px(card.widths),
            card.seen_mpp,
            runs_on=choice,
        )


def save_nucleus_bundle(card: NucleusCard, tensors: Mapping[str, Any], path: Path) -> NucleusBundle:
    """Write a bundle and open it again.

    Parameters
    ----------
    card
        Its hash is filled in here; ``weights_dtype`` says how matrices are stored.
    tensors
        ``NucleusNet.state_dict()``.
    path
        A new ``.alnmodel`` file, or a folder (any other suffix).

    Raises
    ------
    BundleError
        Weights that are not finite or do not fit the card.
    StoreError
        The place cannot be written.
    """
    arrays = packed(tensors, card.weights_dtype)
    _network(card, arrays, path)
    weights = safetensors.numpy.save(arrays)
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    write_bundle_file(card.model_dump_json(indent=2).encode(), weights, path)
    return open_nucleus_bundle(path)


def holds_nucleus_model(path: Path) -> bool:
    """Whether a bundle is of this kind; of a card that cannot be read, it is not.

    Raises
    ------
    BundleError
        There is no bundle.
    """
    text, _ = read_bundle_file(path)
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return _is_of_nuclei(card)


def open_nucleus_bundle(path: Path) -> NucleusBundle:
    """Open a nucleus model and check its card, hash and values.

    Raises
    ------
    BundleError
        Anything but a whole, unchanged nucleus model that this version can read.
    """
    text, weights = read_bundle_file(path)
    card = _card(text, path)
    return NucleusBundle(path, card, checked_tensors(weights, card.weights_sha256, path))


def _is_of_nuclei(card: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    return isinstance(card, dict) and card.get("kind") == "nuclei"


def _card(text: bytes, path: Path) -> NucleusCard:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"The card of {path} is not valid JSON.", "Ask for the bundle again: it is damaged."
        ) from error
    if not _is_of_nuclei(raw):
        raise BundleError(f"{path} is no nucleus model.", "Choose one that `nuclei train` wrote.")
    version = raw.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(f"{path} was made by a newer version of napari-aln.", "Update napari-aln.")
    try:
        return NucleusCard.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "card"
        raise BundleError(
            f"The card of {path} is not usable: {where}: {first['msg']}.",
            "Ask the maker of the bundle for a corrected one.",
        ) from error


def _network(card: NucleusCard, tensors: Mapping[str, NDArray[Any]], path: Path) -> NucleusNet:
    import torch

    from napari_aln.mil.card import COUNTER
    from napari_aln.mil.meta_device import on_meta_device
    from napari_aln.nuclei.network import MAX_PARAMETERS, NucleusNet, parameter_count

    if min(card.widths) < 1 or max(card.widths) > 1024:
        raise BundleError(f"{path} asks for widths {card.widths}.", "Choose a model of usual size.")
    with on_meta_device():
        network = NucleusNet(card.widths)
    if parameter_count(network) > MAX_PARAMETERS:
        raise BundleError(f"{path} has more than {MAX_PARAMETERS} parameters.", "Choose a smaller one.")
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.endswith(COUNTER)}
    for name, shape in wanted.items():
        given = tuple(tensors[name].shape) if name in tensors else None
        if given != shape:
            raise BundleError(
                f"Tensor {name} of {path} is {given or 'missing'}, not {shape}.",
                "Ask for the bundle again: it is damaged or was changed after it was made.",
            )
    unknown = sorted(set(tensors) - set(wanted))
    if unknown:
        raise BundleError(f"{path} holds a tensor {unknown[0]} of no layer.", "Ask its maker for another.")
    network = NucleusNet(card.widths)
    network.load_state_dict({k: torch.from_numpy(tensors[k].astype("float32")) for k in wanted}, strict=False)
    return network.eval()
