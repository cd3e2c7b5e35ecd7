"""The processor's own rate: a network's arithmetic, term by term, in nothing but large matrix products.

    python tests/benchmarks/bench_ceiling.py [--threads 1] [--rounds 5] [--out FILE]

Patches a second in fp32 and bf16, held to so many cores. An engine that convolves directly cannot be much
faster. One that does less arithmetic can: Winograd's minimal filtering has 2.25 to 4 times fewer products for
3 x 3 kernels (Lavin & Gray 2016, arXiv:1509.09308). So this is a yardstick of the processor, not a limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from bench_network import bare_arithmetic, patches_per_second, random_network
from peers.contender import hold_to
from stored import load, store, versions_of

PATCHES = 20
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="vgg13_bn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the results here, as JSON")
    given = parser.parse_args()
    before = load()
    hold_to(given.threads)
    torch.set_num_threads(given.threads)
    network, input_px = random_network(given.encoder)
    runs = {name: bare_arithmetic(network, input_px, dtype) for name, dtype in PRECISIONS.items()}
    batch = range(PATCHES)  # only its length counts
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(given.rounds + 1):
        for name, run in runs.items():
            rate = patches_per_second(run, batch)
            if turn:  # the first round warms up
                found[name].append(rate)
    figures = {name: statistics.median(rates) for name, rates in found.items()}
    print(f"load {before:.1f}; {given.encoder}, {given.threads} core(s)")
    for name, rate in figures.items():
        print(f"{name}: {rate:.1f} patches/s ({min(found[name]):.1f}-{max(found[name]):.1f})")
    if given.out:
        settings = {"cores_used": given.threads, "rounds": given.rounds, "encoder": given.encoder}
        store(given.out, settings, figures, versions_of("torch"), before)


if __name__ == "__main__":
    main()
