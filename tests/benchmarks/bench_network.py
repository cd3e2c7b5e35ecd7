"""Patches per second of the runtimes against the reference's way of running a network.

    python tests/benchmarks/bench_network.py [--encoder vgg13_bn] [--threads 2] [--rounds 5] [--patches 20]

The reference's way: an eager module, gradients on, bags of ten, fp32. All variants take turns in every round,
so that a machine that slows down slows all of them; printed are medians and the median of the rounds' ratios.
Input is uint8 and output h and e in every variant; reading and resizing are not part of it.

How large a ratio can be depends on the processor, so the last rows say what its arithmetic alone gives: the
rate at which large matrix products would do as many operations. Winograd convolutions do fewer.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_aln.errors import DeviceError
from napari_aln.mil.encoder_table import encoder_spec, feature_count
from napari_aln.mil.encoders import build_encoder
from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.runtimes.base import compile_network
from napari_aln.settings.engine import EngineSettings

NAIVE_BATCH = 10


def naive(network):
    def run(batch):
        for start in range(0, len(batch), NAIVE_BATCH):
            network(torch.from_numpy(batch[start : start + NAIVE_BATCH]))

    return run


def variants(network, input_px, threads):
    found = {"naive eager loop, fp32": naive(network)}
    for runtime in ("torch", "openvino", "winograd"):
        for precision in ("fp32", "bf16"):
            settings = EngineSettings(runtime=runtime, precision=precision, device="cpu")
            try:
                start = time.perf_counter()
                run = compile_network(network, input_px, settings, threads=threads)
                print(f"{runtime} {precision}: ready after {time.perf_counter() - start:.2f} s")
                found[f"{runtime} {precision}"] = run
            except DeviceError as error:
                print(error)
    return found


def random_network(encoder):
    """Return a network with random weights, and the side of its input."""
    head = AttentionHead(feature_count(encoder))
    network = PatchNetwork(build_encoder(encoder), head, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return network.eval(), encoder_spec(encoder).input_px


def bare_arithmetic(network, input_px, dtype):
    """Do as many operations a patch as the network, in nothing but large matrix products."""
    side = 2048
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros((1, input_px, input_px, 3), dtype=torch.uint8))
    patches_a_product = 2 * side**3 / counter.get_total_flops()
    a, b = torch.randn(2, side, side).to(dtype)

    def run(batch):
        for _ in range(round(len(batch) / patches_a_product)):
            torch.mm(a, b)

    return run


def patches_per_second(run, batch):
    start = time.perf_counter()
    run(batch)
    return len(batch) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="vgg13_bn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patches", type=int, default=20)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network, input_px = random_network(options.encoder)
    batch = np.random.default_rng(0).integers(
        0, 256, (options.patches, input_px, input_px, 3), dtype=np.uint8
    )

    runs = variants(network, input_px, options.threads)
    for dtype in (torch.float32, torch.bfloat16):
        runs[f"matrix product {dtype}".replace("torch.", "")] = bare_arithmetic(network, input_px, dtype)
    for run in runs.values():
        run(batch[:NAIVE_BATCH])
    speed = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            speed[name].append(patches_per_second(run, batch))

    first = next(iter(speed))
    print(f"\n{options.encoder}, {input_px} px, {options.threads} threads, {options.rounds} rounds")
    print(f"{'':28}{'patches/s (min-max)':>26}{'ratio':>8}")
    for name, values in speed.items():
        ratio = statistics.median(v / n for v, n in zip(values, speed[first], strict=True))
        spread = f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"
        print(f"{name:28}{spread:>26}{ratio:>8.2f}")


if __name__ == "__main__":
    main()
