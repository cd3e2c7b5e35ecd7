"""Makes the environments of the peers that the benchmarks compare with.

    python tests/benchmarks/peers/install.py FOLDER [tiatoolbox lazyslide wsinfer napari-wsi]

Each gets FOLDER/NAME, from NAME.txt beside this file and `constraints.txt`; several GB in all. The CPU build
of torch is not on PyPI for Linux and Windows: there, name PyTorch's own index first,
``export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu``. A peer that cannot be installed is named
at the end and left out by the benchmarks. Made for Python 3.11.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).parent
WITHOUT_DEPENDENCIES = {"tiatoolbox": "tiatoolbox==2.1.3"}
PEERS = sorted(file.stem for file in HERE.glob("*.txt") if file.stem != "constraints")


def install(folder: Path, peer: str) -> None:
    """Make one peer's environment, or bring it up to date.

    Raises
    ------
    subprocess.CalledProcessError
        Something could not be installed; pip has said what.
    """
    place = folder / peer
    if not place.exists():
        venv.create(place, with_pip=True)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-c", str(HERE / "constraints.txt"), "-r", str(HERE / f"{peer}.txt")], check=True)
    if peer in WITHOUT_DEPENDENCIES:
        subprocess.run([*pip, "--no-deps", WITHOUT_DEPENDENCIES[peer]], check=True)


def main() -> None:
    """Install the peers asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("peers", nargs="*", default=PEERS, metavar="PEER", help=", ".join(PEERS))
    given = parser.parse_args()
    unknown = sorted(set(given.peers) - set(PEERS))
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}")
    failed = []
    for peer in given.peers:
        print(f"{peer} ...", flush=True)
        try:
            install(given.folder, peer)
        except subprocess.CalledProcessError:
            failed.append(peer)
    print(f"not installed: {', '.join(failed)}" if failed else "all installed")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
