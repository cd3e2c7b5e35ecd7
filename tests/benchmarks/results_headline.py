"""The paragraph of the README that sums up what was measured against other programs."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

OURS, OURS_BF16, NAIVE = "napari-aln, fp32", "napari-aln, bf16", "naive loop"
WIDTH = 120


def headline(stored: dict[str, dict[str, Any]]) -> str:
    """Return the paragraph, in lines as long as the README's."""
    encoder = stored["encoder-1-core"]
    where = f"one core of an {encoder['machine']['processor']}, {encoder['date']}, no GPU"
    rates = _rates(encoder["figures"])
    said = (
        f"Against other programs, {where} ([all figures and targets, met and "
        f"missed](tests/benchmarks/RESULTS.md)): {rates} {_viewer(stored['viewer-20000']['figures'])}"
    )
    return "\n".join(wrap(said, WIDTH, break_long_words=False, break_on_hyphens=False))


def _rates(rows: list[dict[str, Any]]) -> str:
    rate = {row["contender"]: row["patches_per_s"] for row in rows}
    naive = rate[NAIVE]
    peers = [rate[name] for name in ("TIAToolbox", "LazySlide", "WSInfer")]

    def ours(name: str) -> str:
        return f"{rate[name]:.1f} ({rate[name] / naive:.1f} and {rate[name] / max(peers):.1f} x)"

    def said(whom: str, other: float, wanted: tuple[float, float]) -> str:
        met = [rate[name] / other >= least for name, least in zip((OURS, OURS_BF16), wanted, strict=True)]
        how = (
            "met"
            if all(met)
            else "missed"
            if not any(met)
            else f"met in {'fp32' if met[0] else 'bf16'} alone"
        )
        return f"{wanted[0]:g} and {wanted[1]:g} x over {whom} {how}"

    return (
        f"from slide to features the plain loop takes {naive:.1f} patches/s, TIAToolbox, LazySlide and "
        f"WSInfer by default {min(peers):.1f} to {max(peers):.1f}, napari-aln {ours(OURS)} in fp32 and "
        f"{ours(OURS_BF16)} in bf16 (x: over the plain loop and the fastest of those three). The targets: "
        f"{said('those three', max(peers), (2.3, 4.5))}, {said('the plain loop', naive, (4, 8))}."
    )


def _viewer(found: dict[str, dict[str, float]]) -> str:
    wsi, cold, warm = found["napari-wsi"], found["ours"], found["ours, idle"]

    def part(quantity: str) -> str:
        return f"{warm[quantity] / wsi[quantity]:.2f} ({cold[quantity] / wsi[quantity]:.2f})"

    command = cold["command p50 ms"] / wsi["command p50 ms"]
    return (
        "The viewer's times on a 20 000 px slide over napari-wsi's, in a window that was open before (in one "
        f"just started): first picture {part('first p50 ms')}, jumps p95 {part('jump p95 ms')}, pans p95 "
        f"{part('pan p95 ms')}; from the command to the picture {command:.2f}."
    )
