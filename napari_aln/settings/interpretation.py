"""How the attention network on nucleus features learns."""

from __future__ import annotations

from napari_aln.settings.described import Settings, setting


class InterpretSettings(Settings):
    """How the attention network learns on nucleus features, and what of a slide it sees."""

    seed: int = setting(0, "Seed", "Draws patches, starting weights and the order of slides.", ge=0)
    patches_per_slide: int = setting(
        64, "Patches a slide", "Nuclei of at most this many patches of a slide.", "patches", ge=1
    )
    bins: int = setting(16, "Bins", "Of a feature's distribution histograms.", ge=2, le=256)
    rows: int = setting(
        8, "Rows", "Of a feature's matrix: parts of the slide's patches, by rising mean.", ge=1, le=256
    )
    epochs: int = setting(100, "Epochs", "At most.", "epochs", ge=1)
    patience: int = setting(
        30, "Patience", "Stop when the validation AUC has not risen for this long.", "epochs", ge=1
    )
    learning_rate: float = setting(5e-4, "Learning rate", "Of Adam.", gt=0.0, le=1.0)
    dropout: float = setting(
        0.25, "Dropout", "Share of values dropped while training; 0.5 in the reference.", ge=0.0, lt=1.0
    )
    attention_width: int = setting(16, "Attention width", "1 in the reference.", ge=1, le=1024)
    bootstraps: int = setting(2000, "Bootstraps", "Samples behind the ROC's band.", ge=100, le=100_000)
