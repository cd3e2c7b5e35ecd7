"""How models learn."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from napari_aln.settings.described import Settings, setting
from napari_aln.settings.patches import PatchSettings


class TrainingSettings(Settings):
    """What every trainer must know."""

    seed: int = setting(0, "Seed", "Draws starting weights, patches and bags.", ge=0)
    encoder: str = setting(
        "squeezenet1_1", "Encoder", "A torchvision CNN that ends in global pooling, or timm:NAME."
    )
    mpp: float = setting(
        0.5,
        "Patch µm/px",
        "Patches are cut at this resolution, which the model then asks of every slide; a slide's own leaves "
        "its pixels as they are, as in the reference.",
        "µm/px",
        ge=0.05,
        le=20.0,
    )
    threads: int = setting(1, "Threads", "Processor threads to train with.", ge=1, le=64)
    patches: PatchSettings = PatchSettings()


class PretrainSettings(TrainingSettings):
    """How an encoder learns from the truth of synthetic slides."""

    patches_per_slide: int = setting(
        64, "Patches a slide", "At most this many patches of a slide are learned from.", "patches", ge=1
    )
    steps: int = setting(900, "Steps", "On quarters of patches.", "steps", ge=1)
    whole_steps: int = setting(150, "Whole-patch steps", "Steps on whole patches, at the end.", "steps", ge=0)
    batch: int = setting(
        64,
        "Batch",
        "Quarters a step, half of them the others recoloured, softened and recompressed.",
        "patches",
        ge=8,
        le=1024,
    )
    learning_rate: float = setting(1e-3, "Learning rate", "Highest, of AdamW.", gt=0.0, le=0.1)
    sameness: float = setting(
        2.0,
        "Sameness",
        "Weight of the demand that a patch and its recompressed copy get the same features.",
        ge=0.0,
        le=100.0,
    )


class RecipeSettings(TrainingSettings):
    """How a head learns on frozen features. The papers' own: SGD, 1e-4, momentum 0.3, batch 1."""

    model_config = ConfigDict(title="--frozen")

    name: str = setting("", "Name", "Name of the model on its card. Left out: made from mode and encoder.")
    remarks: str = setting("", "Remarks", "Further words on the model's card.")
    licence: str = setting("", "Licence", "Of the weights, on the model's card.")
    stored_weights: Literal["fp32", "fp16"] = setting(
        "fp32", "Stored weights", "fp16 halves the file; what the card says is measured with them as stored."
    )
    encoder_from: Path | None = setting(None, "Encoder from", "Take the trained encoder of this bundle.")
    encoder_weights: Path | None = setting(
        None,
        "Encoder weights",
        "A safetensors file with the encoder's weights by torchvision's or timm's names.",
    )
    download: bool = setting(False, "Download", "Fetch the encoder's weights: ImageNet, or timm's.")
    n_classes: Literal[2, 3] = setting(2, "Classes", "2: N0, N(+). 3: N0, N+(1-2), N+(>2).")
    image_only: bool = setting(
        False, "Image only", "Baseline: leave the clinical values out of a whole-slide model."
    )
    pooling: Literal["attention", "mean", "max", "random"] = setting(
        "attention",
        "Pooling",
        "Baselines beside attention: mean or max over the bag's patches, or an attention that is drawn and "
        "never trained.",
    )
    attention_width: int = setting(16, "Attention width", "1 in the reference.", ge=1, le=1024)
    optimiser: Literal["adam", "sgd"] = setting("adam", "Optimiser", "Both as in torch.")
    learning_rate: float = setting(5e-4, "Learning rate", "At the start of each cosine.", gt=0.0, le=1.0)
    momentum: float = setting(0.3, "Momentum", "Of SGD.", ge=0.0, lt=1.0)
    weight_decay: float = setting(1e-3, "Weight decay", "L2 penalty.", ge=0.0, le=1.0)
    l1: float = setting(0.0, "L1", "L1 penalty on all weights; 1e-6 in Shkembi et al.", ge=0.0, le=1.0)
    restart_epochs: int = setting(
        20, "First restart", "Cosine annealing starts anew after this long.", "epochs", ge=1
    )
    restart_factor: int = setting(2, "Restart factor", "Each cosine is this much longer.", ge=1, le=10)
    dropout: float = setting(
        0.25, "Dropout", "Share of values dropped while training; 0.5 in the reference.", ge=0.0, lt=1.0
    )
    class_weights: bool = setting(True, "Class weights", "Classes weigh the same, however many patients.")
    batch: int = setting(16, "Batch", "Bags a step; 1 in the papers.", "bags", ge=1, le=4096)
    bags_per_epoch: int | None = setting(
        8, "Bags", "Bags drawn from each patient in an epoch, anew in each.", "bags", ge=1, le=1000
    )
    epochs: int = setting(100, "Epochs", "At most.", "epochs", ge=1)
    patience: int = setting(
        30, "Patience", "Stop when the validation AUC has not risen for this long.", "epochs", ge=1
    )
    stop_above_training_auc: float | None = setting(
        None,
        "Stop above training AUC",
        "Stop after an epoch with a higher AUC of the training patients; 0.98 in Xu et al.",
        ge=0.5,
        le=1.0,
    )
    restart: bool = setting(
        False, "Restart", "Begin anew where an unfinished training could go on, and replace a finished model."
    )


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


WEIGHT_FILES = ("encoder_from", "encoder_weights")
"""Fields of a recipe that hold the path of a file."""


class FinetuneSettings(RecipeSettings):
    """How encoder and head learn together, end to end. The defaults are the papers'."""

    model_config = ConfigDict(title="--finetune")

    encoder: str = setting("vgg13_bn", "Encoder", "A torchvision CNN, or timm:NAME.")
    pool: Literal["7x7", "6x6", "gap"] | None = setting(
        None, "Pool", "How its last feature map becomes a vector. Left out: as in the reference."
    )
    fresh: bool = setting(False, "Fresh", "Begin with an encoder of random weights.")
    attention_width: int = setting(1, "Attention width", "1 in the reference.", ge=1, le=1024)
    optimiser: Literal["adam", "sgd"] = setting("sgd", "Optimiser", "Both as in torch.")
    learning_rate: float = setting(1e-4, "Learning rate", "At the start of each cosine.", gt=0.0, le=1.0)
    dropout: float = setting(
        0.5, "Dropout", "Share of values dropped while training; 0.5 in the reference.", ge=0.0, lt=1.0
    )
    class_weights: bool = setting(False, "Class weights", "Classes weigh the same, however many patients.")
    batch: int = setting(1, "Batch", "Bags a step; 1 in the papers.", "bags", ge=1, le=4096)
    bag_size: int = setting(10, "Bag size", "10 in the papers.", "patches", ge=2, le=1000)
    bags_per_epoch: int | None = setting(
        None,
        "Bags",
        "Bags drawn from each patient in an epoch, anew in each. Left out, with --finetune: as many as its "
        "patches fill, as in the reference.",
        "bags",
        ge=1,
        le=1000,
    )
    augmentation: Augmentation = setting(
        "none",
        "Augmentation",
        "Of training patches. mixture: rotation, shear, erasing and flip.",
    )
    epochs: int = setting(200, "Epochs", "At most.", "epochs", ge=1)
    patience: int = setting(
        50, "Patience", "Stop when the validation AUC has not risen for this long.", "epochs", ge=1
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", "Device", "Where the training runs.")
    gpus: int = setting(1, "GPUs", "Processes that train together, each with its bags.", ge=1, le=64)
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Precision", "bf16: mixed precision. auto: bf16 on CUDA, fp32 elsewhere."
    )
    workers: int = setting(2, "Workers", "Threads that read bags while the network learns.", ge=1, le=64)
