"""Writes RESULTS.md and its figures from what the benchmarks left in results/. No figure is typed here.

    python tests/benchmarks/results_page.py

The targets stand in this file; whether they are met is worked out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from bench_curves import slope
from results_figures import LOOKS, cost_curves, encoder_bars, svg, viewer_bars
from results_headline import NAIVE, OURS, OURS_BF16, headline
from results_tables import Target, at_least, at_most, markdown_table, picture, targets_table
from stored import RESULTS

PAGE = RESULTS.parent / "RESULTS.md"
VIEWER_SIDES = (20_000, 100_000)
NOT_MEASURED = "*not measured yet*"

Document = dict[str, Any]


def documents(results: Path = RESULTS) -> dict[str, Document]:
    """Return all stored results by name."""
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))
    }


def page(stored: dict[str, Document]) -> str:
    """Return the page."""
    encoders = [name for name in stored if name.startswith("encoder")]
    parts = [
        "# Speed: what was measured",
        "Written by `results_page.py` from the files in `results/`, which the benchmarks wrote: change no "
        "figure by hand. Random weights and drawn slides: speed, not accuracy. Ratios carry over to other "
        "machines better than seconds do. No figure here is of a GPU.",
        *[_encoders(name, stored[name]) for name in encoders],
        _viewer(stored),
        _curves(stored.get("curves")),
        _what_if(stored.get("whatif")),
        _nuclei(stored.get("nuclei")),
        _GPU,
        _conditions(stored),
        _REPEAT,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def figures(stored: dict[str, Document]) -> dict[str, str]:
    """Return the figures by the names of their files."""
    drawn = {}
    for name in (name for name in stored if name.startswith("encoder")):
        rows = stored[name]["figures"]
        drawn[name] = encoder_bars(rows), 0.6 + 0.36 * len(rows)
    sides = {side: stored[f"viewer-{side}"]["figures"] for side in VIEWER_SIDES if f"viewer-{side}" in stored}
    if sides:
        drawn["viewer"] = viewer_bars(sides), 3.6
    if "curves" in stored:
        drawn["curves"] = cost_curves(stored["curves"]["figures"]), 3.4
    return {
        f"{name}-{look}.svg": svg(draw, LOOKS[look], height_in)
        for name, (draw, height_in) in drawn.items()
        for look in LOOKS
    }


def _encoders(name: str, document: Document) -> str:
    rows = document["figures"]
    cores, most = document["settings"]["cores_used"], max(row["cores_used"] for row in rows)
    others = max(row["others_share_max"] for row in rows)
    more = document["settings"]["patches_large"] - document["settings"]["patches_small"]
    held = "1 core" if cores == 1 else f"{cores} cores"
    by_name = {row["contender"]: row for row in rows}
    naive, targets = by_name[NAIVE], []
    for ours, over_naive, over_peers in ((OURS, 4.0, 2.3), (OURS_BF16, 8.0, 4.5)):
        for row in rows:
            finer = row["precision"] == by_name[ours]["precision"] or row["precision"] == "fp32"
            if not row["contender"].startswith("napari-aln") and finer:
                wanted = over_naive if row is naive else over_peers
                ratio = by_name[ours]["patches_per_s"] / row["patches_per_s"]
                what = f"{ours} over {row['contender']}"
                targets.append(at_least(what, ratio, wanted, spread=_spread(by_name[ours], row)))
    lines = [
        [
            row["contender"],
            _version(row),
            f"{row['patches_per_s']:.1f} ({row['lowest']:.1f}–{row['highest']:.1f})",
            f"{row['patches_per_s'] / naive['patches_per_s']:.2f}",
            f"{row['peak_mb']:,.0f}",
            f"{row['error_max']:.0e}",
        ]
        for row in rows
    ]
    disturbed = [row["contender"] for row in rows if row["disturbed"]]
    return "\n\n".join(
        [
            f"## Slide to features, {held}",
            picture(name, "patches per second of each contender"),
            "VGG-13 BN, 256 px patches resized to 224 px, from a closed file to 256 values a patch; the same "
            "slide, patches and weights for all, each with its own reader, batches and defaults, in its own "
            f"environment and held to {held} (none used more than {most:.2f}). The seconds are those of "
            f"{more} patches more, without what a run costs once. "
            f"{document['settings']['rounds']} rounds, in turn: median (lowest–highest). Ours, which also "
            "computes entropy and attention, runs on runtime winograd. The column "
            "difference has the largest difference of a feature from the naive loop's, over the largest "
            "feature: all did the same work.",
            markdown_table(("", "version", "patches/s", "x naive", "peak MB", "difference"), lines),
            f"Other processes took at most {others:.0%} of the machine.",
            *([f"**Disturbed by other processes: {', '.join(disturbed)}.**"] if disturbed else []),
            targets_table(targets),
            "In brackets: lowest of ours over highest of the other, to highest over lowest. The last two "
            "contenders are what LazySlide and WSInfer reach with an option that is off by default.",
        ]
    )


def _spread(ours: Document, other: Document) -> str:
    return f" ({ours['lowest'] / other['highest']:.1f}–{ours['highest'] / other['lowest']:.1f})"


def _version(row: Document) -> str:
    name, version = next(item for item in row["versions"].items() if item[0] != "python")
    return f"{name} {version}"


def _viewer(stored: dict[str, Document]) -> str:
    parts = ["## Viewer against napari-wsi"]
    found = {side: stored.get(f"viewer-{side}") for side in VIEWER_SIDES}
    if any(found.values()):
        parts.append(picture("viewer", "what a user waits for in each viewer"))
        parts.append(
            "A generated slide with levels 1/4/16, software OpenGL under Xvfb, a window of 1600 x 1100 px; "
            "times run until the picture is whole and drawn. Opening a file with napari-aln includes trying "
            'it in a process of its own first. "window open before" is the window that has stood open for '
            "some seconds when the file is dropped; without it, the process has only just started and all "
            'imports are still to come, as they are for napari-wsi. "command" runs from `napari-aln view '
            "FILE` (with all of the review's panels) and from `napari --plugin napari-wsi FILE` to the "
            "picture. What was measured while others used more than a fifth of the machine is left out "
            "(kept: how much was not)."
        )
    for side, document in found.items():
        title = f"### {side:,} px".replace(",", " ")
        parts.append(f"{title}\n\n{_one_viewer(document) if document else NOT_MEASURED}")
    return "\n\n".join(parts)


def _one_viewer(document: Document) -> str:
    found, times = document["figures"], document["settings"]
    names = {
        "ours": "napari-aln",
        "ours, idle": "napari-aln, window open before",
        "openslide": "bare OpenSlide",
    }
    quantities = [name for name in next(iter(found.values())) if name not in ("samples", "again p50 ms")]
    table = markdown_table(
        ("", *quantities),
        [
            [names.get(name, name), *(f"{row[q]:,.0f}" if q in row else "" for q in quantities)]
            for name, row in found.items()
        ],
    )
    targets = []
    wsi = found.get("napari-wsi")
    for ours in ("ours", "ours, idle"):
        row, name = found[ours], names[ours]
        if wsi:
            targets += [
                at_most(
                    f"{name}: {quantity.removesuffix(' ms')} over napari-wsi's",
                    row[quantity] / wsi[quantity],
                    limit,
                )
                for quantity, limit in (("first p50 ms", 0.6), ("jump p95 ms", 0.4))
            ]
        targets += [
            at_most(f"{name}: pan p95", row["pan p95 ms"], 50, "ms"),
            at_most(f"{name}: memory", row["peak MB"], 1000, "MB"),
        ]
    said = f"Rounds: {times['rounds']}, with {times['jumps']} jumps, 60 pans and one first picture each."
    return f"{said}\n\n{table}\n\n{targets_table(targets)}"


def _curves(document: Document | None) -> str:
    title = "## What a slide costs as it grows"
    if document is None:
        return f"{title}\n\n{NOT_MEASURED}"
    parts, found = (
        [title, picture("curves", "seconds and memory over the number of patches")],
        document["figures"],
    )
    names = {"score": "Features to heatmap", "read": "File to features, the network left out"}
    for part, rows in found.items():
        table = markdown_table(
            ("patches", "seconds", "MB beyond the features", "peak MB"),
            [
                [
                    f"{row['patches']:,}",
                    f"{row['seconds']:.3f}",
                    f"{row['beyond_mb']:,.0f}",
                    f"{row['peak_mb']:,.0f}",
                ]
                for row in rows
            ],
        )
        parts.append(f"### {names[part]}\n\n{table}")
    targets = []
    for part, rows in found.items():
        steep = slope(rows, "seconds")
        targets.append(
            Target(
                f"{names[part]}: slope of the time, log over log",
                "about 1 (linear)",
                f"{steep:.2f}",
                steep < 1.15,
            )
        )
        first, last = (next(row for row in rows if row["patches"] >= 900), rows[-1])
        grown = (last["beyond_mb"] - first["beyond_mb"]) / (last["patches"] - first["patches"]) * 1e3
        targets.append(
            Target(
                f"{names[part]}: memory beyond the features",
                "flat",
                f"{grown:.2g} KB more a patch",
                grown < 0.1,
            )
        )
    big = next((row for row in found.get("score", []) if abs(row["patches"] - 100_000) < 1_000), None)
    if big:
        targets.append(
            at_most(f"Heatmap after features, {big['patches']:,} patches", big["seconds"], 0.5, "s")
        )
        targets.append(at_most("The same, the first time in a process", big["first_s"], 0.5, "s"))
    parts.append(targets_table(targets))
    parts.append(
        "The features themselves, 1 KB a patch, are held in memory and not counted. Of what a patch more "
        "takes beyond them, 75 bytes are the answer: its values, its place in a bag, its bag's "
        "probabilities. Up to 131 072 patches are held as projected, too, 64 MiB at most. The slide that is "
        "read has 0.25 µm/px: a patch of 256 px at 0.5 µm/px is 512 px wide there."
    )
    return "\n\n".join(parts)


def _what_if(document: Document | None) -> str:
    title = "## What if: the answer after a change"
    if document is None:
        return f"{title}\n\n{NOT_MEASURED}"
    rows = document["figures"]
    quantities = [name for name in rows[0] if name not in ("patches", "vertices")]
    table = markdown_table(
        ("patches", "points of the ROI", *quantities),
        [
            [f"{row['patches']:,}", f"{row['vertices']:,}", *(f"{row[name]:.1f}" for name in quantities)]
            for row in rows
        ],
    )
    small = [row for row in rows if row["patches"] <= 10_000]
    targets = [
        at_most(
            f"{name.removesuffix(', ms')}, {row['patches']:,} patches, {row['vertices']:,} points",
            row[name],
            16,
            "ms",
        )
        for row in small
        for name in quantities
    ]
    return f"{title}\n\nFeatures in memory, no window: medians.\n\n{table}\n\n{targets_table(targets)}"


def _nuclei(document: Document | None) -> str:
    title = "## Nuclei a second"
    if document is None:
        return f"{title}\n\n{NOT_MEASURED}"
    found = document["figures"]
    lines = [
        [
            "measured (morphometry of labelled nuclei)",
            f"{found['measured']['nuclei']:,}",
            f"{found['measured']['nuclei_per_s']:,.0f}",
        ]
    ]
    if "regionprops" in found:
        row = found["regionprops"]
        lines.append(
            [
                "scikit-image's regionprops, fewer measures",
                f"{row['nuclei']:,}",
                f"{row['nuclei_per_s']:,.0f}",
            ]
        )
    lines += [
        [
            f"found and measured on the demo slide, {row['method']}",
            f"{row['nuclei']:,}",
            f"{row['nuclei_per_s']:,.0f}",
        ]
        for row in found.get("slide", [])
    ]
    target = at_least(
        "Morphometry, 1 million nuclei in 60 s",
        found["measured"]["nuclei_per_s"],
        round(1e6 / 60),
        "nuclei/s",
    )
    return f"{title}\n\n{markdown_table(('', 'nuclei', 'nuclei/s'), lines)}\n\n{targets_table([target])}"


_GPU = """## GPU

**Unmeasured.** No GPU was at hand. The path for CUDA runs the same code as torch on the CPU, where it is
tested: patches as read, resized and scored on the device, JPEG tiles decoded by nvImageCodec's CPU backend.
Patches per second, the share of a card's bf16 rate for VGG-13 BN, the limit that decoding sets, and how much
of decoding and inference overlap (wanted: 90 %) are all unmeasured."""

_REPEAT = """## Doing it again

```sh
python tests/benchmarks/peers/install.py PEERS
python tests/benchmarks/bench_peers.py --peers PEERS --out tests/benchmarks/results/encoder-1-core.json
xvfb-run -a -s "-screen 0 2560x1440x24" python tests/benchmarks/bench_viewer.py --side 20000 \\
    --peer-python PEERS/napari-wsi/bin/python --out tests/benchmarks/results/viewer-20000.json
python tests/benchmarks/bench_curves.py --out tests/benchmarks/results/curves.json
python tests/benchmarks/bench_whatif.py --out tests/benchmarks/results/whatif.json
python tests/benchmarks/bench_nuclei.py --slide --out tests/benchmarks/results/nuclei.json
python tests/benchmarks/results_page.py
```"""


def _conditions(stored: dict[str, Document]) -> str:
    lines = [
        [
            name,
            document["date"],
            ", ".join(f"{key} {value}" for key, value in document["machine"].items()),
            f"{document['load']['before']:g} → {document['load']['after']:g}",
            ", ".join(f"{key} {value}" for key, value in document["versions"].items()),
        ]
        for name, document in stored.items()
    ]
    head = ("results", "date", "machine", "load before → after", "versions")
    return f"## When, on what, with what\n\n{markdown_table(head, lines)}"


def main() -> None:
    """Write the page and its figures, and print the README's paragraph."""
    stored = documents()
    PAGE.write_text(page(stored), encoding="utf-8", newline="\n")
    for name, text in figures(stored).items():
        (RESULTS / name).write_text(text, encoding="utf-8", newline="\n")
    print(headline(stored))


if __name__ == "__main__":
    main()
