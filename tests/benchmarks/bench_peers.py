"""From slide to features: this project against TIAToolbox, LazySlide, WSInfer and the naive loop.

    python tests/benchmarks/peers/install.py PEERS
    python tests/benchmarks/bench_peers.py --peers PEERS [--threads 1] [--rounds 3] [--out FILE]

Each contender is a program in `peers/` that runs in an environment of its own and uses its own reader, its
own batches and defaults on the same slide, the same patches and the same random weights of VGG-13 BN, all on
the same number of cores. In every round each runs once, in turn. A rate is the additional patches of a larger
slide over the additional seconds: what a long slide tends to, without what a run costs once and, with 128
additional patches, without what a last batch that is not full costs or spares. What was measured while other
processes took more than a twentieth of the machine is left out, for all alike, as long as anything is left. A
contender whose features differ from the naive loop's ends the run: unequal work is not compared. Peers that
are absent are left out by name.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from peers.contender import Work
from stored import load, store

PROGRAMS = Path(__file__).parent / "peers"
MOST_BY_OTHERS = 0.05
PATCH_PX, INPUT_PX, MPP = 256, 224, 0.5
COLUMNS = 16  # of patches, a batch of most; the small slide is one row of them
LARGEST_ERROR = {"fp32": 1e-3, "bf16": 0.2}
"""Largest difference of a feature, over the largest feature. With random weights bf16 rounds coarsely."""


@dataclass(frozen=True)
class Contender:
    """A program of `peers/` and how it is run."""

    name: str
    program: str
    environment: str = ""  # a folder of the peers' folder, "": the one this runs in
    precision: str = "fp32"
    option: str = ""


CONTENDERS = (
    Contender("naive loop", "run_naive.py"),
    Contender("napari-aln, fp32", "run_ours.py"),
    Contender("napari-aln, bf16", "run_ours.py", precision="bf16"),
    Contender("TIAToolbox", "run_tiatoolbox.py", "tiatoolbox"),
    Contender("LazySlide", "run_lazyslide.py", "lazyslide"),
    Contender("WSInfer", "run_wsinfer.py", "wsinfer"),
    Contender("LazySlide, amp (bf16)", "run_lazyslide.py", "lazyslide", "bf16", "amp"),
    Contender("WSInfer, --speedup", "run_wsinfer.py", "wsinfer", "fp32", "speedup"),
)
NAIVE = CONTENDERS[0]


def python_of(contender: Contender, peers: Path | None) -> Path:
    """Return the Python that runs a contender.

    Raises
    ------
    LookupError
        Its environment is absent; says why.
    """
    if not contender.environment:
        return Path(sys.executable)
    if peers is None:
        raise LookupError("no folder of peers was given (--peers)")
    folder = peers / contender.environment
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        raise LookupError(f"{folder} holds no environment; peers/install.py makes it")
    tried = subprocess.run(
        [str(python), "-c", f"import {contender.environment}"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise LookupError(f"it cannot be imported in {folder}: {last}")
    return python


def present(contenders: Iterable[Contender], peers: Path | None) -> dict[Contender, Path]:
    """Return the contenders that can be run and their Pythons; print why the others cannot."""
    found = {}
    for contender in contenders:
        try:
            found[contender] = python_of(contender, peers)
        except LookupError as error:
            print(f"{contender.name} is left out: {error}")
    return found


def make_work(folder: Path, rows: int) -> Work:
    """Write slides of one row and of `rows` rows of patches, and weights; describe what is to be done."""
    import torch
    from bench_engine import make_bundle
    from tests_shared import TISSUE_L0, draw_tissue, write_slide

    from napari_aln.mil.bundle import open_bundle

    x, y, width, height = TISSUE_L0
    tissue = draw_tissue(np.random.default_rng(0))[y : y + height, x : x + width]
    tissue = np.tile(tissue, (-(-rows * PATCH_PX // height), -(-COLUMNS * PATCH_PX // width), 1))
    slides = [
        write_slide(folder / f"{name}.tif", tissue[: n * PATCH_PX, : COLUMNS * PATCH_PX], MPP)
        for name, n in (("small", 1), ("large", rows))
    ]
    bundle = make_bundle(folder, "vgg13_bn")
    network = open_bundle(bundle.path).network()
    embedding = network.head.fc1[0]
    weights = dict(network.encoder.state_dict()) | {
        "classifier.0.weight": embedding.weight.detach(),
        "classifier.0.bias": embedding.bias.detach(),
    }
    torch.save(weights, folder / "weights.pt")
    return Work(
        str(slides[0]), str(slides[1]), str(folder / "weights.pt"), str(bundle.path), MPP, PATCH_PX, INPUT_PX,
        tuple(bundle.card.mean), tuple(bundle.card.std), "fp32", "", str(folder / "features.npy"),
    )  # fmt: skip


def run(
    contender: Contender, python: Path, work: Work, threads: int, by: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run a contender once, by a command that takes one; return what it says of itself, and its features."""
    own = asdict(work) | {"precision": contender.precision, "option": contender.option}
    program = PROGRAMS / contender.program
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    done = subprocess.run(
        [*by, str(python), str(program), json.dumps(own), "--threads", str(threads)],
        env=os.environ | limits,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{contender.name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1]) | {"features": np.load(work.features)}


def error_of(features: np.ndarray, reference: np.ndarray) -> float:
    """Return the largest difference over the largest value, of features or of their log-softmax."""
    if features.max() <= 0 < reference.max():  # logarithms of a softmax
        top = reference.max(axis=1, keepdims=True)
        reference = reference - top - np.log(np.exp(reference - top).sum(axis=1, keepdims=True))
    return float(np.abs(features - reference).max() / np.abs(reference).max())


def compare(
    found: dict[Contender, Path], work: Work, rounds: int, threads: int, by: tuple[str, ...] = ()
) -> dict[Contender, list[dict[str, Any]]]:
    """Run all contenders in turn, round by round."""
    seen: dict[Contender, list[dict[str, Any]]] = {contender: [] for contender in found}
    reference = None
    for turn in range(rounds):
        for contender, python in found.items():
            one = run(contender, python, work, threads, by)
            features = one.pop("features")
            reference = features if reference is None else reference
            one["error"] = error_of(features, reference)
            if features.shape[:1] != reference.shape[:1] or one["error"] > LARGEST_ERROR[contender.precision]:
                raise SystemExit(f"{contender.name} does other work: error {one['error']:.2g}")
            seen[contender].append(one)
            print(
                f"round {turn + 1}  {contender.name:24} {one['patches_per_s']:7.2f} patches/s"
                f"  others {one['others_share']:.0%}  error {one['error']:.1e}",
                flush=True,
            )
    return seen


def figures_of(contender: Contender, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up a contender's samples."""
    undisturbed = [one for one in samples if one["others_share"] <= MOST_BY_OTHERS]
    rates = [one["patches_per_s"] for one in undisturbed or samples]
    return {
        "contender": contender.name,
        "precision": contender.precision,
        "patches_per_s": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "samples": len(rates),
        "disturbed": not undisturbed,
        "others_share_max": max(one["others_share"] for one in undisturbed or samples),
        "cores_used": max(one["cores_used"] for one in samples),
        "peak_mb": statistics.median(one["peak_mb"] for one in samples),
        "error_max": max(one["error"] for one in samples),
        "versions": samples[0]["versions"],
    }


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="the folder that peers/install.py filled")
    parser.add_argument("--threads", type=int, default=1, help="cores that each may use")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--rows", type=int, default=9, help="of sixteen patches, on the larger slide; odd, three or more"
    )
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of those to run")
    parser.add_argument("--by", default="", help="a command that runs each, such as 'nice -n -10'")
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    given = parser.parse_args()
    before = load()
    wanted = [c for c in CONTENDERS if c is NAIVE or not given.only or any(o in c.name for o in given.only)]
    found = present(wanted, given.peers)
    with tempfile.TemporaryDirectory() as folder:
        work = make_work(Path(folder), given.rows)
        seen = compare(found, work, given.rounds, given.threads, tuple(given.by.split()))
    figures = [figures_of(contender, samples) for contender, samples in seen.items()]
    naive = figures[0]["patches_per_s"]
    print(f"load {before:.1f} before, {load():.1f} after; {given.threads} core(s)")
    for one in figures:
        print(
            f"{one['contender']:24} {one['patches_per_s']:7.2f} ({one['lowest']:.2f}-{one['highest']:.2f})"
            f" patches/s  {one['patches_per_s'] / naive:5.2f} x naive  {one['peak_mb']:5.0f} MB"
            + ("  DISTURBED" if one["disturbed"] else "")
        )
    if given.out:
        versions = {name: v for one in figures for name, v in one["versions"].items() if name != "zarr"}
        sizes = {"patches_small": COLUMNS, "patches_large": COLUMNS * given.rows}
        settings = {"cores_used": given.threads, "rounds": given.rounds, "encoder": "vgg13_bn"} | sizes
        store(given.out, settings, figures, versions, before)


if __name__ == "__main__":
    main()
