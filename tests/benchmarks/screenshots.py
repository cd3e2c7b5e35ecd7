"""Pictures of every state of the window, taken while mouse and keys drive it, to be looked at by a person.

Run ``xvfb-run -a -s "-screen 0 2560x1440x24" python tests/benchmarks/screenshots.py FOLDER``, or under any X
display that is large enough. Each theme and size walks through the states (see `window_states.py`) in a
process of its own, with napari's settings, the cache and what the window remembers in a temporary folder.

``--photo`` names a slide picture without µm/px, such as a BCNB JPEG; without one a PNG is drawn. ``--slide``
names a slide with label and macro images; without one that state is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pictured_window import PicturedWindow
from window_states import STATES, Walk

SIZES = ("1280x800", "2560x1440")
THEMES = ("dark", "light")


def draw_photo(path: Path) -> None:
    """Write a picture that could be a biopsy and states no µm/px."""
    import numpy as np
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (3000, 2200), (192, 190, 191))
    pen = ImageDraw.Draw(picture)
    for x, y in np.random.default_rng(1).normal((1500, 1100), (180, 420), (900, 2)):
        pen.ellipse((x - 40, y - 40, x + 40, y + 40), fill=(196, 120, 168))
    picture.save(path, format="JPEG", quality=90)


def walk_in_a_process_of_its_own(arguments: argparse.Namespace, theme: str, size: str) -> int:
    """Take one theme and size with settings that nobody else sees."""
    with tempfile.TemporaryDirectory() as own:
        folders = {
            "NAPARI_CONFIG": f"{own}/napari/settings.yaml",
            "NAPARI_ALN_CONFIG": f"{own}/config",
            "NAPARI_ALN_CACHE": f"{own}/cache",
        }
        files = Path(own, "slides")
        files.mkdir()
        photo = files / "351899.jpg"
        draw_photo(photo) if arguments.photo is None else shutil.copy(arguments.photo, photo)
        command = [sys.executable, __file__, str(arguments.folder), "--walk", str(files)]
        command += ["--themes", theme, "--sizes", size, "--states", *arguments.states]
        command += ["--slide", str(arguments.slide)] if arguments.slide else []
        return subprocess.run(command, env=os.environ | folders, check=False).returncode


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures are written")
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), metavar="WxH")
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=list(THEMES))
    parser.add_argument("--photo", type=Path, help="a picture of a slide that states no µm/px")
    parser.add_argument("--slide", type=Path, help="a slide with label and macro images")
    parser.add_argument("--walk", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.walk is None:
        runs = [(theme, size) for size in arguments.sizes for theme in arguments.themes]
        return max(walk_in_a_process_of_its_own(arguments, *run) for run in runs)
    width, height = (int(part) for part in arguments.sizes[0].split("x"))
    window = PicturedWindow(arguments.folder, arguments.themes[0], (width, height))
    Walk(window, set(arguments.states), arguments.walk, arguments.slide).lead()
    return 0


if __name__ == "__main__":
    sys.exit(main())
