"""How long annotation files of 100 000 vertices take to load and to write, in every format.

Run: ``python tests/benchmarks/bench_annotations.py``. Target: loaded in less than 2 s. Two shapes of file:
one freehand outline of all vertices, and 1 000 outlines of 100 with a hole each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from shapely.geometry import Polygon

from napari_aln.annotations import (
    read_annotations,
    usable_regions,
    write_asap,
    write_geojson,
    write_imagescope,
)
from napari_aln.geometry import Mpp, ScannerFrame
from napari_aln.records import Region

SIDE_PX = 200_000
WRITERS = {"GeoJSON": write_geojson, "ASAP XML": write_asap, "ImageScope XML": write_imagescope}


def wobbly(x: float, y: float, radius: float, vertices: int) -> np.ndarray:
    """Return a closed outline as a hand draws it, (vertices, 2)."""
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    rough = radius * (
        1 + 0.05 * np.sin(7 * angle) + 0.002 * np.random.default_rng(0).standard_normal(vertices)
    )
    return np.column_stack([x + rough * np.cos(angle), y + rough * np.sin(angle)])


def one_outline(vertices: int) -> list[Region]:
    """Return one region of that many vertices."""
    return [
        Region(Polygon(wobbly(SIDE_PX / 2, SIDE_PX / 2, SIDE_PX / 3, vertices)), "a", "Tumor", (200, 0, 0))
    ]


def many_outlines(vertices: int) -> list[Region]:
    """Return outlines of 100 vertices, 20 of them of a hole."""
    places = np.random.default_rng(1).uniform(2_000, SIDE_PX - 2_000, (vertices // 100, 2))
    return [
        Region(Polygon(wobbly(x, y, 900, 80), [wobbly(x, y, 300, 20)]), str(i), "Tumor", (200, 0, 0))
        for i, (x, y) in enumerate(places)
    ]


def write_bcnb(regions: list[Region], path: Path) -> None:
    """Write outlines as the BCNB data set has them."""
    outlines = [{"name": r.name, "vertices": list(r.geometry.exterior.coords)} for r in regions]
    path.write_text(json.dumps({"positive": outlines, "negative": []}))


def write_ndpa(regions: list[Region], path: Path) -> None:
    """Write outlines as NDP.view does, at 1 nm per px from the corner."""
    views = []
    for region in regions:
        points = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in region.geometry.exterior.coords)
        drawn = f'<annotation type="freehand"><closed>1</closed><pointlist>{points}</pointlist></annotation>'
        views.append(f"<ndpviewstate><title>Tumor</title>{drawn}</ndpviewstate>")
    path.write_text(f"<annotations>{''.join(views)}</annotations>")


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    frame = ScannerFrame((0.0, 0.0), (1.0, 1.0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "regions"
        for kind, regions in (
            ("one outline", one_outline(given.vertices)),
            ("many outlines", many_outlines(given.vertices)),
        ):
            for name in (*WRITERS, "BCNB JSON", "NDPA"):
                written, loaded, usable = [], [], []
                for _ in range(given.rounds):
                    start = time.perf_counter()
                    if name in WRITERS:
                        WRITERS[name](regions, path, mpp=Mpp(0.25, 0.25), slide_hash="")
                    else:
                        (write_bcnb if name == "BCNB JSON" else write_ndpa)(regions, path)
                    written.append(time.perf_counter() - start)
                    start = time.perf_counter()
                    read = read_annotations(path, scanner=frame)
                    loaded.append(time.perf_counter() - start)
                    start = time.perf_counter()
                    usable_regions(read.regions, (SIDE_PX, SIDE_PX), "regions")
                    usable.append(time.perf_counter() - start)
                middle = [statistics.median(seconds) for seconds in (loaded, usable, written)]
                print(
                    f"{kind}, {given.vertices} vertices, {name} ({path.stat().st_size / 1e6:.1f} MB): "
                    f"loaded in {middle[0]:.2f} s (target 2), checked and clipped in {middle[1]:.2f} s, "
                    f"written in {middle[2]:.2f} s"
                )


if __name__ == "__main__":
    main()
