"""The model card: everything a bundle says of its weights, checked when it is read."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_aln.errors import BundleError
from napari_aln.records import RESEARCH_NOTICE, Mode

SCHEMA_VERSION = 1  # the newest card this version reads; the only one so far
BF16_LIMIT = 0.01
"""bf16 is chosen automatically where it changes no probability by more than this on the check patches."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

BAG_SIZE = 10
"""Patches in a bag, in the reference and both papers."""

COUNTER = "num_batches_tracked"
"""Ends the names of tensors that count training steps: they play no part in scoring and are not stored."""

CLINICAL_VALUES = 5
"""Age, tumour size, ER-, PR-, HER2-, in this order."""

CLINICAL_REPEATS = 10
"""How often the clinical vector is repeated before it meets the pooled image vector (reference)."""

EncoderPool = Literal["7x7", "6x6", "gap", "token", "token+gap"]
"""How the last feature map becomes a vector: averaged to a grid and flattened, or to one value a channel.

Of transformers: the class token, or it and after it the average of the others.
"""

TIMM_PREFIX = "timm:"
"""Begins the names of encoders that timm builds."""

MOST_TOKENS = 8192
"""Of a picture that an encoder's arguments cut into patches; published ones have up to 1 369."""

Pooling = Literal["attention", "mean", "max", "random"]
"""How a bag's embeddings become one; all but attention are baselines to compare with."""

MapName = Literal["attention_slide", "attention_bag", "attention_logit", "contribution", "probability"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NumericField(_Part):
    """A clinical value's mean and standard deviation in the training cohort."""

    mean: float
    std: float = Field(gt=0)


class ClinicalFields(_Part):
    """How clinical values are standardised, and what stands in for a missing one.

    The shares are those of receptor-negative patients in the training cohort; None: unknown, so that a
    missing status cannot be filled.
    """

    age_years: NumericField
    tumor_size_cm: NumericField
    er_negative_share: float | None = Field(default=None, ge=0, le=1)
    pr_negative_share: float | None = Field(default=None, ge=0, le=1)
    her2_negative_share: float | None = Field(default=None, ge=0, le=1)


class Threshold(_Part):
    """From this probability of N(+) on, a binary model calls a slide N(+)."""

    value: float = Field(ge=0, le=1)
    operating_point: str  # "Youden", "0.5", "sensitivity 0.95", ...
    chosen_on: str  # "validation", never "test"


class PrecisionCheck(_Part):
    """By how much bf16 changed the probability of any check patch at most, and where; None: never checked."""

    bf16_max_change: float | None = Field(default=None, ge=0, le=1)
    n_patches: int = Field(default=0, ge=0)
    runtime: str | None = None  # as `CompiledNetwork.name`
    device: str | None = None  # "cpu" or "cuda"


class StainStatistics(_Part):
    """Optical density of the training cohort's tissue, per colour channel."""

    od_mean: tuple[float, float, float]
    od_sd: tuple[float, float, float]


class TrainingCohort(_Part):
    """What the model was trained on, in numbers."""

    name: str = ""
    n_patients: int | None = Field(default=None, ge=0)
    n_per_class: dict[str, int] = {}
    stain: StainStatistics | None = None
    remarks: str = ""


class Metric(_Part):
    """One measured figure, with the number of patients behind it."""

    name: str  # "AUC", "ACC", ...
    value: float
    n: int = Field(ge=0)
    cohort: str  # "validation", "test", ...
    low: float | None = None
    high: float | None = None


class TimmArguments(_Part):
    """By what an encoder differs from timm's network of its name; None: as there.

    Only numbers and a few names: nothing here can make timm read a file, fetch one or look up other code.
    """

    img_size: int | None = Field(default=None, ge=32, le=1024)
    patch_size: int | None = Field(default=None, ge=4, le=64)
    embed_dim: int | None = Field(default=None, ge=8, le=8192)
    depth: int | None = Field(default=None, ge=1, le=128)
    num_heads: int | None = Field(default=None, ge=1, le=128)
    mlp_ratio: float | None = Field(default=None, gt=0, le=16)
    init_values: float | None = Field(default=None, gt=0, le=10)  # layer scale
    reg_tokens: int | None = Field(default=None, ge=0, le=64)
    class_token: bool | None = None
    no_embed_class: bool | None = None
    qkv_bias: bool | None = None
    qk_norm: bool | None = None
    pre_norm: bool | None = None
    fc_norm: bool | None = None
    global_pool: Literal["avg", "token", ""] | None = None
    act_layer: Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"] | None = None
    mlp_layer: Literal["Mlp", "GluMlp", "SwiGLU", "SwiGLUPacked"] | None = None


class TimmNetwork(_Part):
    """What rebuilds an encoder of timm, besides its name, pool and input size."""

    version: str = Field(min_length=1, max_length=40)  # of timm, when the model was made
    features: int = Field(ge=1, le=65_536)  # values a patch becomes
    arguments: TimmArguments = TimmArguments()
    openvino: bool = True  # False: OpenVINO cannot take it, so torch runs it


class MapFaithfulness(_Part):
    """How faithful a map was on some training slides; areas of probabilities, see `mil.faithfulness`."""

    name: MapName
    n: int = Field(ge=1)  # slides
    deletion_area: float = Field(ge=0, le=1)  # lower is better
    insertion_area: float = Field(ge=0, le=1)  # higher is better
    gain: float  # over random orders, mean of both; with its 95 % interval
    low: float | None = None
    high: float | None = None


class PatchFilters(_Part):
    """The patch filters used in training; None: not recorded."""

    min_tissue_share: float | None = Field(default=None, ge=0, le=1)
    min_entropy_bits: float | None = Field(default=None, ge=0, le=8)
    min_roi_share: float | None = Field(default=None, gt=0, le=1)


class ModelCard(_Part):
    """Everything that must be known to use a bundle's weights as they were trained."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    mode: Mode
    encoder: str
    pool: EncoderPool
    timm: TimmNetwork | None = None  # of encoders called ``timm:NAME``
    classes: tuple[str, ...] = Field(default=("N0", "N(+)"), min_length=2, max_length=3)  # the first is N0
    clinical: ClinicalFields | None = None
    patch_px: int = Field(default=256, ge=16, le=4096)
    mpp: float = Field(ge=0.05, le=20)  # µm/px at which patches are cut
    input_px: int = Field(default=224, ge=32, le=1024)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    norm_statistics: Literal["running", "bag"] = "running"
    bag_size: int = Field(default=BAG_SIZE, ge=1, le=100_000)
    hidden: int = Field(default=256, ge=1, le=8192)
    attention_width: int = Field(default=1, ge=1, le=8192)
    classifier_hidden: int = Field(default=64, ge=1, le=8192)
    pooling: Pooling = "attention"
    reduction: Literal["mean", "max"] = "mean"
    temperature: float | None = Field(default=None, gt=0)  # of the calibration; already in the weights
    default_map: MapName = "attention_slide"
    map_faithfulness: tuple[MapFaithfulness, ...] = ()  # the most faithful first
    thresholds: tuple[Threshold, ...] = ()
    precision_check: PrecisionCheck = PrecisionCheck()
    training_cohort: TrainingCohort = TrainingCohort()
    patch_filters: PatchFilters = PatchFilters()
    metrics: tuple[Metric, ...] = ()
    licence: str = ""
    intended_use: str = ""
    notice: str = RESEARCH_NOTICE
    weights_dtype: Literal["fp32", "fp16"] = "fp32"
    weights_sha256: str = Field(
        default="", pattern="^([0-9a-f]{64})?$"
    )  # empty only before the bundle is saved

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        if self.mode == "dlcnb" and self.clinical is not None:
            raise ValueError("the mode dlcnb takes no clinical fields")
        if self.mode == "dlcnbc" and self.clinical is None:
            raise ValueError("the mode dlcnbc needs clinical fields")  # without: dlcnb, or the WS baseline
        if self.encoder.startswith(TIMM_PREFIX) != (self.timm is not None):
            raise ValueError("an encoder of timm, and none but it, has the field timm")
        if self.timm is not None and self.timm.arguments.img_size not in (None, self.input_px):
            raise ValueError("input_px must be the img_size of the encoder of timm")
        cut_px = self.timm.arguments.patch_size if self.timm is not None else None
        if cut_px is not None and (self.input_px // cut_px) ** 2 > MOST_TOKENS:
            raise ValueError("input_px and patch_size make more tokens than any encoder takes")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names must differ")
        return self

    @property
    def n_clinical(self) -> int:
        """Return how many clinical values the network takes: 5 or 0."""
        return 0 if self.clinical is None else CLINICAL_VALUES

    @property
    def bf16_safe_on(self) -> tuple[tuple[str, str], ...]:
        """Where, as (runtime, device), bf16 was checked and changed no probability by more than `BF16_LIMIT`.

        Another runtime or device rounds at other places, so a check on one says nothing of the other.
        """
        check = self.precision_check
        if check.runtime is None or check.device is None or check.bf16_max_change is None:
            return ()
        safe = check.n_patches > 0 and check.bf16_max_change <= BF16_LIMIT
        return ((check.runtime, check.device),) if safe else ()

    @property
    def threshold(self) -> Threshold:
        """Return the card's first operating point, or 0.5 where it has none."""
        if self.thresholds:
            return self.thresholds[0]
        return Threshold(value=0.5, operating_point="0.5", chosen_on="convention")


def parse_card(text: bytes | str, source: PurePath | str) -> ModelCard:
    """Read a card from JSON.

    Parameters
    ----------
    text
        The content of ``card.json``.
    source
        Named in errors.

    Raises
    ------
    BundleError
        Not JSON, a field missing, unknown or out of range, or made by a newer version.
    """
    try:
        raw: Any = json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        raise BundleError(
            f"The card of {source} is not valid JSON.", "Ask for the bundle again: it is damaged."
        ) from error
    if isinstance(raw, dict) and raw.get("kind") == "nuclei":
        raise BundleError(
            f"{source} is a model that finds nuclei: it predicts no lymph nodes.",
            "Choose it where nuclei are found: in the Nuclei dock (Shift+K), or `nuclei measure --method`.",
        )
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{source} was made by a newer version of napari-aln (card schema {version},"
            f" this version reads {SCHEMA_VERSION}).",
            "Update napari-aln.",
        )
    try:
        return ModelCard.model_validate_json(text, strict=True)  # true is no number
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "card"
        raise BundleError(
            f"The card of {source} is not usable: {where}: {first['msg']}.",
            "Ask the maker of the bundle for a corrected one.",
        ) from error
