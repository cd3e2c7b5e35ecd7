"""Score tables for tests of the evaluation."""

import csv

import numpy as np

CLASSES = ("N0", "N+(1-2)", "N+(>2)")


def write_rows(path, rows):
    """Write rows of dictionaries as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def binary_rows(n=90, seed=0, strength=1.5, splits=("train", "val", "test")):
    """Return patients 000 to n with labels, scores and clinical values; each split has both classes."""
    label_rng, rng = np.random.default_rng(7), np.random.default_rng(seed)
    rows = []
    for number in range(n):
        positive = number % 5 < 2
        log_odds = rng.normal() + strength * (positive - 0.5)
        rows.append(
            {
                "patient": f"{number:03d}",
                "label": "N(+)" if positive else "N0",
                "score": round(float(1 / (1 + np.exp(-log_odds))), 4),
                "split": splits[number // 5 % len(splits)],
                "age (years)": int(label_rng.integers(30, 80)),
                "tumor_size_cm": round(float(label_rng.uniform(0.5, 4.5)), 1),
                "er": "+-"[label_rng.integers(2)],
                "pr": "+-"[label_rng.integers(2)],
                "her2": "+-"[label_rng.integers(2)],
                "site": "ab"[label_rng.integers(2)],
            }
        )
    return rows


def class_rows(n=90, seed=0):
    """Return patients with labels of three classes and a score for each."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        label = number % 3
        raw = np.exp(rng.normal(size=3) + 1.2 * np.eye(3)[label])
        scores = dict(zip((f"score_{c}" for c in CLASSES), np.round(raw / raw.sum(), 6), strict=True))
        split = ("train", "val", "test")[number // 3 % 3]
        rows.append({"patient": f"{number:03d}", "label": CLASSES[label], **scores, "split": split})
    return rows
