"""Small records to show in panels."""

from pathlib import Path

from napari_aln.geometry import Mpp, Rect
from napari_aln.mil.card import ClinicalFields, ModelCard, NumericField
from napari_aln.records import Level, RunRecord, SlideInfo

LONG_NAME = "TCGA-A2-A0YC-01Z-00-DX1.8A5B4A62-0D1E-4A5C-9D8B_recompressed_copy.svs"


def slide_info(**changes):
    fields = {
        "path": Path("/hospital/Jane Doe 1961/slide.svs"),
        "vendor": "aperio",
        "reader": "openslide+tiles",
        "levels": (Level(46000, 32914, (1.0, 1.0)), Level(11500, 8228, (4.0, 4.0002))),
        "mpp": Mpp(0.499, 0.499),
        "mpp_origin": "file",
        "bounds": Rect(0, 0, 46000, 32914),
        "background_rgb": (240, 240, 240),
        "quick_hash": "abc",
    }
    return SlideInfo(**(fields | changes))


def run_record(mode="dlcnbc-ws", **changes):
    fields = {
        "run": mode,
        "mode": mode,
        "model_name": "a demo model",
        "model_sha256": "85dc4c1e798f617df0bfde9b89e80090",
        "card_sha256": "1234",
        "classes": ("N0", "N(+)"),
        "probabilities": {"N0": 0.287, "N(+)": 0.713},
        "bag_spread": {"N0": 0.041, "N(+)": 0.042},
        "prediction": "N(+)",
        "threshold": 0.52,
        "operating_point": "Youden, N(+) from 0.520, chosen on validation",
        "default_map": "probability",
        "n_patches": 1412,
        "n_bags": 143,
        "n_partitions": 7,
        "bag_probabilities": (),
        "seed": 3,
        "mpp_used": 0.5,
        "patch_px": 256,
        "clinical": None,
        "clinical_filled": {},
        "settings": {},
        "runtime": "openvino",
        "device": "cpu",
        "precision": "fp32",
        "norm_statistics": "running",
        "seconds": {"extract": 12.0, "score": 0.34},
    }
    return RunRecord(**(fields | changes))


def model_card(mode="dlcnbc-ws", **changes):
    clinical = ClinicalFields(
        age_years=NumericField(mean=55, std=11), tumor_size_cm=NumericField(mean=2.2, std=1.1)
    )
    fields = {
        "name": f"model for {mode}",
        "mode": mode,
        "encoder": "squeezenet1_1",
        "pool": "gap",
        "mpp": 0.5,
        "clinical": None if mode == "dlcnb" else clinical,
        "weights_sha256": "85dc4c1e" + 56 * "0",
    }
    return ModelCard(**(fields | changes))


def child(parent, name):
    """Return the one control with this object name."""
    from qtpy.QtWidgets import QWidget

    found = parent.findChildren(QWidget, name)
    assert len(found) == 1, f"{len(found)} controls are named {name}"
    return found[0]


def all_texts(parent):
    """Return everything a panel's labels and buttons say."""
    from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel

    QApplication.processEvents()  # shows what was added last
    labels = [*parent.findChildren(QLabel), *parent.findChildren(QAbstractButton)]
    return "\n".join(part.text().replace("\u200b", "") for part in labels if part.isVisibleTo(parent))
