"""Every setting of every step, described once: source of the form, the flag and the run record."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


def _setting(default: Any, title: str, help_text: str, unit: str = "", **bounds: Any) -> Any:  # noqa: ANN401
    """Describe one setting; `bounds` are pydantic's ge, gt, le, lt."""
    return Field(default, title=title, description=help_text, json_schema_extra={"unit": unit}, **bounds)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PatchSettings(_Settings):
    """Which cells of the grid become patches."""

    min_tissue_share: float = _setting(
        0.25, "Smallest tissue share", "A whole-slide patch holds at least this share.", ge=0.0, le=1.0
    )
    min_entropy_bits: float = _setting(
        5.0,
        "Smallest entropy",
        "A whole-slide patch whose 8-bit grey values have less Shannon entropy is dropped as empty of cells.",
        "bits",
        ge=0.0,
        le=8.0,
    )
    min_roi_share: float = _setting(
        0.7, "Smallest share inside the ROI", "An ROI patch lies inside by this share.", gt=0.0, le=1.0
    )
    roi_patching: Literal["grid", "reference"] = _setting(
        "grid",
        "ROI patching",
        "grid: the slide's one grid, pixels as they are. reference: regions cut out, outside painted white.",
    )


class BagSettings(_Settings):
    """How patches become bags."""

    seed: int = _setting(0, "Seed", "Draws the bags; the same seed gives the same bags.", ge=0)
    partitions: int | None = _setting(
        None,
        "Partitions",
        "How often patches are shuffled and cut into bags. Left out: the fewest for 100 bags. 1: reference.",
        ge=1,
        le=1000,
    )
    reduction: Literal["mean", "max"] = _setting(
        "mean", "Slide result", "mean over the bags, or the bag most sure of N(+)."
    )


class EngineSettings(_Settings):
    """How the network is run. Never changes what is computed beyond the rounding of the precision."""

    device: Literal["auto", "cpu", "cuda"] = _setting("auto", "Device", "Where the network runs.")
    precision: Literal["auto", "fp32", "bf16"] = _setting(
        "auto", "Precision", "auto: bf16 only where the card records it as safe."
    )
    runtime: Literal["auto", "openvino", "torch"] = _setting(
        "auto", "Runtime", "auto: OpenVINO on x86 processors, torch elsewhere and on CUDA."
    )
    batch: int = _setting(
        16, "Batch", "Patches a network call; halved when memory runs out.", "patches", ge=1, le=1024
    )
    jpeg_decoding: Literal["auto", "cpu"] = _setting(
        "auto",
        "JPEG decoding",
        "auto: on the GPU that the network runs on, where nvImageCodec is installed. cpu: never there.",
    )
    decode_threads: int | None = _setting(
        None, "Decoding threads", "Threads that read patches. Left out: 1, before a GPU up to 8.", ge=1, le=64
    )


class CacheSettings(_Settings):
    """The feature cache on disk."""

    enabled: bool = _setting(True, "Feature cache", "Keep features, so that a second run touches no pixels.")
    limit_gb: float = _setting(
        10.0, "Cache limit", "The least recently used slides are dropped above this size.", "GB", gt=0.0
    )


class NucleiSettings(_Settings):
    """How the nuclei of a slide are found and which of them count."""

    method: str | None = _setting(
        None,
        "Method",
        "How nuclei are found: by name, or a nucleus model's file. Left out: the best of those that ship.",
    )
    min_area_um2: float = _setting(5.0, "Smallest area", "Anything smaller is a speck.", "µm²", ge=0.0)
    max_area_um2: float = _setting(
        500.0, "Largest area", "Anything larger is debris or a clump; it is counted as such.", "µm²", gt=0.0
    )
    patch_um: float = _setting(
        128.0, "Patch side", "Side of the squares whose nuclei are summed up.", "µm", ge=10.0, le=5000.0
    )

    @model_validator(mode="after")
    def _check_areas(self) -> Self:
        if self.min_area_um2 >= self.max_area_um2:
            fact = f"The smallest area, {self.min_area_um2:g} µm², is not below {self.max_area_um2:g} µm²."
            raise ValueError(fact)
        return self


class CohortRunSettings(_Settings):
    """How many slides are predicted side by side, and what becomes of those that fail."""

    workers: int = _setting(
        1, "Workers", "Processes that predict a cohort's slides, sharing cores and GPUs.", ge=1, le=256
    )
    scheduler: str | None = _setting(
        None,
        "Scheduler",
        "Address of a Dask scheduler, such as tcp://host:8786, whose workers predict instead. Dask speaks "
        "pickle: name only a cluster that you trust.",
    )
    retries: int = _setting(1, "Retries", "How often a slide that fails is tried again.", ge=0, le=20)
    stall_minutes: float = _setting(
        30.0,
        "Stalled after",
        "A worker process that gets no further for this long is ended, and its slide counts as failed.",
        "minutes",
        gt=0.0,
    )


TRAITS = ("size", "shape", "density", "alignment")
"""Of the tumour nuclei of a synthetic patient."""


class SynthesizeSettings(_Settings):
    """What a synthetic cohort looks like; but for the planted traits, the label depends on none of these."""

    cores: tuple[int, int] = _setting((1, 1), "Cores a slide", "Fewest and most needle cores on a slide.")
    core_width_um: tuple[float, float] = _setting(
        (700.0, 850.0), "Core width", "Narrowest and widest core.", "µm"
    )
    core_length_um: tuple[float, float] = _setting(
        (1800.0, 2400.0), "Core length", "Shortest and longest core.", "µm"
    )
    traits: list[str] = _setting(
        list(TRAITS),
        "Planted traits",
        "Trait of the tumour nuclei that differs between N0 and N(+): size, shape, density or alignment; may "
        "be repeated. Others are drawn without the label.",
    )
    positive_share: float = _setting(
        0.5, "Share of N(+)", "Share of patients with lymph node metastasis.", gt=0.0, lt=1.0
    )
    train_share: float = _setting(0.6, "Training share", "Share of patients to train on.", gt=0.0, lt=1.0)
    val_share: float = _setting(
        0.15, "Validation share", "Share of patients to select on; the rest is the test.", gt=0.0, lt=1.0
    )
    jpeg_quality: int = _setting(80, "JPEG quality", "Of the slide's tiles.", ge=30, le=100)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name, low, high in (
            ("cores", 1, 4),
            ("core_width_um", 300, 2000),
            ("core_length_um", 600, 20000),
        ):
            smallest, largest = getattr(self, name)
            if not low <= smallest <= largest <= high:
                fact = f"{name} is {smallest} to {largest}, outside {low} to {high} or the wrong way round."
                raise ValueError(fact)
        if unknown := sorted(set(self.traits) - set(TRAITS)):
            fact = f"{unknown[0]!r} is no trait of nuclei: {', '.join(TRAITS)} are."
            raise ValueError(fact)
        if self.train_share + self.val_share >= 1.0:
            fact = f"Training and validation share add up to {self.train_share + self.val_share:g}: no test."
            raise ValueError(fact)
        return self


class PredictSettings(_Settings):
    """Everything a prediction depends on besides slide, model, regions and clinical values."""

    patches: PatchSettings = PatchSettings()
    bags: BagSettings = BagSettings()
    engine: EngineSettings = EngineSettings()
    cache: CacheSettings = CacheSettings()
    fill_clinical: bool = _setting(
        False, "Fill missing clinical values", "Use the training cohort's mean or more frequent category."
    )


class TrainingSettings(_Settings):
    """What every trainer must know."""

    seed: int = _setting(0, "Seed", "Draws starting weights, patches and bags.", ge=0)
    encoder: str = _setting(
        "squeezenet1_1", "Encoder", "A torchvision CNN that ends in global pooling, or timm:NAME."
    )
    mpp: float = _setting(
        0.5,
        "Patch µm/px",
        "Patches are cut at this resolution, which the model then asks of every slide; a slide's own leaves "
        "its pixels as they are, as in the reference.",
        "µm/px",
        ge=0.05,
        le=20.0,
    )
    threads: int = _setting(1, "Threads", "Processor threads to train with.", ge=1, le=64)
    patches: PatchSettings = PatchSettings()


class PretrainSettings(TrainingSettings):
    """How an encoder learns from the truth of synthetic slides."""

    patches_per_slide: int = _setting(
        64, "Patches a slide", "At most this many patches of a slide are learned from.", "patches", ge=1
    )
    steps: int = _setting(900, "Steps", "On quarters of patches.", "steps", ge=1)
    whole_steps: int = _setting(
        150, "Whole-patch steps", "Steps on whole patches, at the end.", "steps", ge=0
    )
    batch: int = _setting(
        64,
        "Batch",
        "Quarters a step, half of them the others recoloured, softened and recompressed.",
        "patches",
        ge=8,
        le=1024,
    )
    learning_rate: float = _setting(1e-3, "Learning rate", "Highest, of AdamW.", gt=0.0, le=0.1)
    sameness: float = _setting(
        2.0,
        "Sameness",
        "Weight of the demand that a patch and its recompressed copy get the same features.",
        ge=0.0,
        le=100.0,
    )


class RecipeSettings(TrainingSettings):
    """How a head learns on frozen features. The papers' own: SGD, 1e-4, momentum 0.3, batch 1."""

    model_config = ConfigDict(title="--frozen")

    name: str = _setting("", "Name", "Name of the model on its card. Left out: made from mode and encoder.")
    remarks: str = _setting("", "Remarks", "Further words on the model's card.")
    licence: str = _setting("", "Licence", "Of the weights, on the model's card.")
    stored_weights: Literal["fp32", "fp16"] = _setting(
        "fp32", "Stored weights", "fp16 halves the file; what the card says is measured with them as stored."
    )
    encoder_from: Path | None = _setting(None, "Encoder from", "Take the trained encoder of this bundle.")
    encoder_weights: Path | None = _setting(
        None,
        "Encoder weights",
        "A safetensors file with the encoder's weights by torchvision's or timm's names.",
    )
    download: bool = _setting(False, "Download", "Fetch the encoder's weights: ImageNet, or timm's.")
    n_classes: Literal[2, 3] = _setting(2, "Classes", "2: N0, N(+). 3: N0, N+(1-2), N+(>2).")
    image_only: bool = _setting(
        False, "Image only", "Baseline: leave the clinical values out of a whole-slide model."
    )
    pooling: Literal["attention", "mean", "max", "random"] = _setting(
        "attention",
        "Pooling",
        "Baselines beside attention: mean or max over the bag's patches, or an attention that is drawn and "
        "never trained.",
    )
    attention_width: int = _setting(16, "Attention width", "1 in the reference.", ge=1, le=1024)
    optimiser: Literal["adam", "sgd"] = _setting("adam", "Optimiser", "Both as in torch.")
    learning_rate: float = _setting(5e-4, "Learning rate", "At the start of each cosine.", gt=0.0, le=1.0)
    momentum: float = _setting(0.3, "Momentum", "Of SGD.", ge=0.0, lt=1.0)
    weight_decay: float = _setting(1e-3, "Weight decay", "L2 penalty.", ge=0.0, le=1.0)
    l1: float = _setting(0.0, "L1", "L1 penalty on all weights; 1e-6 in Shkembi et al.", ge=0.0, le=1.0)
    restart_epochs: int = _setting(
        20, "First restart", "Cosine annealing starts anew after this long.", "epochs", ge=1
    )
    restart_factor: int = _setting(2, "Restart factor", "Each cosine is this much longer.", ge=1, le=10)
    dropout: float = _setting(
        0.25, "Dropout", "Share of values dropped while training; 0.5 in the reference.", ge=0.0, lt=1.0
    )
    class_weights: bool = _setting(True, "Class weights", "Classes weigh the same, however many patients.")
    batch: int = _setting(16, "Batch", "Bags a step; 1 in the papers.", "bags", ge=1, le=4096)
    bags_per_epoch: int | None = _setting(
        8, "Bags", "Bags drawn from each patient in an epoch, anew in each.", "bags", ge=1, le=1000
    )
    epochs: int = _setting(100, "Epochs", "At most.", "epochs", ge=1)
    patience: int = _setting(
        30, "Patience", "Stop when the validation AUC has not risen for this long.", "epochs", ge=1
    )
    stop_above_training_auc: float | None = _setting(
        None, "Stop above training AUC", "Stop after an epoch with more; 0.98 in Xu et al.", ge=0.5, le=1.0
    )
    restart: bool = _setting(False, "Restart", "Begin anew where an unfinished training could go on.")


Augmentation = Literal[
    "none",
    "rotation",
    "shear",
    "scale",
    "translate",
    "horizontal-flip",
    "vertical-flip",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "greyscale",
    "solarise",
    "posterise",
    "erasing",
    "crop",
    "augmix",
    "autoaugment",
    "randaugment",
    "trivialaugment",
    "mixture",
]
"""What Shkembi et al. compared; see `mil.augmentation`."""


class FinetuneSettings(RecipeSettings):
    """How encoder and head learn together, end to end. The defaults are the papers'."""

    model_config = ConfigDict(title="--finetune")

    encoder: str = _setting("vgg13_bn", "Encoder", "A torchvision CNN, or timm:NAME.")
    pool: Literal["7x7", "6x6", "gap"] | None = _setting(
        None, "Pool", "How its last feature map becomes a vector. Left out: as in the reference."
    )
    fresh: bool = _setting(False, "Fresh", "Begin with an encoder of random weights.")
    attention_width: int = _setting(1, "Attention width", "1 in the reference.", ge=1, le=1024)
    optimiser: Literal["adam", "sgd"] = _setting("sgd", "Optimiser", "Both as in torch.")
    learning_rate: float = _setting(1e-4, "Learning rate", "At the start of each cosine.", gt=0.0, le=1.0)
    dropout: float = _setting(
        0.5, "Dropout", "Share of values dropped while training; 0.5 in the reference.", ge=0.0, lt=1.0
    )
    class_weights: bool = _setting(False, "Class weights", "Classes weigh the same, however many patients.")
    batch: int = _setting(1, "Batch", "Bags a step; 1 in the papers.", "bags", ge=1, le=4096)
    bag_size: int = _setting(10, "Bag size", "10 in the papers.", "patches", ge=2, le=1000)
    bags_per_epoch: int | None = _setting(
        None,
        "Bags",
        "Bags drawn from each patient in an epoch, anew in each. Left out, with --finetune: as many as its "
        "patches fill, as in the reference.",
        "bags",
        ge=1,
        le=1000,
    )
    augmentation: Augmentation = _setting(
        "none",
        "Augmentation",
        "Of training patches. mixture: rotation, shear, erasing and flip.",
    )
    epochs: int = _setting(200, "Epochs", "At most.", "epochs", ge=1)
    patience: int = _setting(
        50, "Patience", "Stop when the validation AUC has not risen for this long.", "epochs", ge=1
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = _setting("auto", "Device", "Where the training runs.")
    gpus: int = _setting(1, "GPUs", "Processes that train together, each with its bags.", ge=1, le=64)
    precision: Literal["auto", "fp32", "bf16"] = _setting(
        "auto", "Precision", "bf16: mixed precision. auto: bf16 on CUDA, fp32 elsewhere."
    )
    workers: int = _setting(2, "Workers", "Threads that read bags while the network learns.", ge=1, le=64)


class NucleiTrainSettings(_Settings):
    """How the nucleus network learns."""

    seed: int = _setting(0, "Seed", "Draws starting weights, squares and held-out pictures.", ge=0)
    steps: int = _setting(
        3400, "Steps", "A step takes about 0.7 s on one processor core.", "steps", ge=1, le=1_000_000
    )
    batch: int = _setting(8, "Batch", "Squares a step.", "squares", ge=1, le=1024)
    square_px: int = _setting(
        256, "Square side", "Of what is learned from, at 0.25 µm/px.", "px", ge=64, le=1024, multiple_of=32
    )
    learning_rate: float = _setting(3e-3, "Learning rate", "Highest, of AdamW.", gt=0.0, le=0.1)
    held_out: float = _setting(
        0.0,
        "Held out",
        "Share of each source's pictures that are not learned from but measured on, for the card.",
        ge=0.0,
        le=0.9,
    )
    name: str = _setting("", "Name", "Of the model, on its card. Left out: the bundle's.")
    remarks: str = _setting("", "Remarks", "Further words on the model's card.")
    licence: str = _setting("", "Licence", "Of the weights, on the model's card; mind that of the pictures.")
    stored_weights: Literal["fp32", "fp16"] = _setting("fp16", "Stored weights", "fp16 halves the file.")
    device: Literal["auto", "cpu", "cuda"] = _setting("auto", "Device", "Where the training runs.")
    precision: Literal["auto", "fp32", "bf16"] = _setting(
        "auto", "Precision", "bf16: mixed precision. auto: bf16 where the device has it."
    )
    threads: int = _setting(1, "Threads", "Processor threads to train with.", ge=1, le=64)


class EvaluateSettings(_Settings):
    """How scores are judged."""

    positive: str | None = _setting(
        None, "Positive label", "Which label the score stands for. Left out: 1, or the one that is not N0."
    )
    sensitivity: float = _setting(
        0.9,
        "Fixed sensitivity",
        "One operating point finds this share of N(+) on validation.",
        gt=0.0,
        le=1.0,
    )
    threshold: float | None = _setting(
        None,
        "Threshold",
        "One more operating point, fixed beforehand, for example a model card's.",
        ge=0.0,
        le=1.0,
    )
    bootstraps: int = _setting(
        2000, "Bootstraps", "Samples behind bands and bootstrapped intervals.", ge=100, le=100_000
    )
    bins: int = _setting(10, "Calibration bins", "Of equal width over 0 to 1.", ge=2, le=100)
    seed: int = _setting(0, "Seed", "Draws the bootstrap samples.", ge=0)
    subgroups: list[str] = _setting(
        [],
        "Subgroups",
        "A further column to group patients by, besides age, T stage, ER, PR and HER2; may be repeated.",
    )
    published: bool = _setting(
        False, "Published results", "Put the rows of Xu et al. and Shkembi et al. beside one's own."
    )


class MapSettings(_Settings):
    """How maps are judged over a cohort."""

    split: Literal["train", "val", "test", "all"] | None = _setting(
        None, "Split", "Whose patients. Left out: the test where the table has splits, else all."
    )
    random_orders: int = _setting(
        20, "Random orders", "Drawn for each slide, to compare maps with chance.", ge=1, le=1000
    )
    bootstraps: int = _setting(2000, "Bootstraps", "Samples behind the intervals.", ge=100, le=100_000)
    seed: int = _setting(0, "Seed", "Draws bags, random orders and bootstrap samples.", ge=0)
    fill_clinical: bool = _setting(
        False, "Fill missing clinical values", "Use the training cohort's mean or more frequent category."
    )


class InterpretSettings(_Settings):
    """How the attention network learns on nucleus features, and what of a slide it sees."""

    seed: int = _setting(0, "Seed", "Draws patches, starting weights and the order of slides.", ge=0)
    patches_per_slide: int = _setting(
        64, "Patches a slide", "Nuclei of at most this many patches of a slide.", "patches", ge=1
    )
    bins: int = _setting(16, "Bins", "Of a feature's distribution histograms.", ge=2, le=256)
    rows: int = _setting(
        8, "Rows", "Of a feature's matrix: parts of the slide's patches, by rising mean.", ge=1, le=256
    )
    epochs: int = _setting(100, "Epochs", "At most.", "epochs", ge=1)
    patience: int = _setting(
        30, "Patience", "Stop when the validation AUC has not risen for this long.", "epochs", ge=1
    )
    learning_rate: float = _setting(5e-4, "Learning rate", "Of Adam.", gt=0.0, le=1.0)
    dropout: float = _setting(
        0.25, "Dropout", "Share of values dropped while training; 0.5 in the reference.", ge=0.0, lt=1.0
    )
    attention_width: int = _setting(16, "Attention width", "1 in the reference.", ge=1, le=1024)
    bootstraps: int = _setting(2000, "Bootstraps", "Samples behind the ROC's band.", ge=100, le=100_000)


class SplitSettings(_Settings):
    """How patients are divided. A patient is never divided: all slides of one go together."""

    method: Literal["official", "holdout", "kfold"] = _setting(
        "holdout",
        "Method",
        "official: keep the table's own split. holdout: test, then validation out of the rest. kfold: each "
        "patient is tested once.",
    )
    task: str | None = _setting(
        None,
        "Task",
        "For official: take the split of the reference's bag lists of this task, for example type-1.",
    )
    folds: int = _setting(5, "Folds", "Of kfold; one table each.", ge=2, le=50)
    test_share: float = _setting(0.2, "Test share", "Of all patients, for holdout.", gt=0.0, lt=1.0)
    val_share: float = _setting(
        0.25, "Validation share", "Of the patients that are not tested.", gt=0.0, lt=1.0
    )
    seed: int = _setting(0, "Seed", "The same seed divides the same way, on any machine.", ge=0)
    stratify_by: Literal["label", "aln_class"] = _setting(
        "label", "Stratify by", "label: N0 and N(+). aln_class: N0, N+(1-2) and N+(>2)."
    )
