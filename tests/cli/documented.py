"""Every command that the documents and the program's own help show, and how the tests run it."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer.main

from napari_aln.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "sample_data/README.md")
SHELL, OTHER_LANGUAGES = "sh", {"toml", "python", "powershell"}

NOT_RUN = {
    "python3 -m venv": "makes an environment",
    ".venv/bin/python -m pip install": "installs from the package index",
    ".venv-test/bin/python -m pip install": "installs from the package index",
    ".venv-test/bin/python -m pytest": "is these tests",
    "uv tool install": "installs from the package index",
    "pipx install": "installs from the package index",
    "sudo apt install": "installs packages of the system",
    "napari-aln view": "opens the window: tests/widgets",
    "xvfb-run -a napari-aln view": "opens the window: tests/widgets",
    "napari-aln train-demo": "trains for half an hour: tests/workflows/test_train_demo.py",
}
"""How commands begin that no test runs, and why."""

CLUSTER = ("dask scheduler", "dask worker", "napari-aln predict cohort.csv * --scheduler")
"""Run together, by a test of their own."""

_HEAD = "--epochs 2 --bags-per-epoch 2"
CHANGED = {
    "napari-aln demo": "--no-gui",
    "napari-aln predict cohort.csv": "--workers 2",
    "napari-aln train cohort.csv --mode dlcnbc-ws --frozen --encoder resnet50": (
        f"--encoder squeezenet1_1 --encoder-from dlcnbc-ws.alnmodel {_HEAD}"
    ),
    "napari-aln train cohort.csv --mode dlcnbc-ws --frozen --out": _HEAD,
    "napari-aln train type-0.csv": (
        "--encoder squeezenet1_1 --fresh --epochs 1 --patience 1 --bag-size 4 --bags-per-epoch 1 --device cpu"
    ),
    "napari-aln pretrain": "--patches-per-slide 4 --steps 2 --whole-steps 1 --batch 8",
    "napari-aln evaluate results": "--bootstraps 100",
    "napari-aln evaluate-maps": "--split all --random-orders 2 --bootstraps 100",
    "napari-aln interpret": "--patches-per-slide 2 --epochs 2 --bootstraps 100",
    "napari-aln nuclei examples": "--pictures 2",
    "napari-aln nuclei train": "--steps 2 --batch 2 --square-px 64 --device cpu",
    "napari-aln cohort synthesize": "--patients 2",
    "napari-aln model import-balnmp": "--encoder resnet18",
}
"""How commands begin that run smaller here, and the flags added: of one given twice the last holds."""

NETWORK = "--download"
"""Is taken away: nothing is fetched by a test."""

WRITES_LAST = (
    "napari-aln cohort import-bcnb",
    "napari-aln cohort split",
    "napari-aln cohort baseline",
    "napari-aln annotations convert",
)
WRITES_FIRST = ("napari-aln cohort synthesize", "napari-aln nuclei examples")
"""Commands whose last, and whose first plain word names what is written; others say it by ``--out``."""


@functools.cache
def root() -> click.Group:
    """Return the program as click sees it: making it takes a tenth of a second."""
    return typer.main.get_command(app)


def begins(command: str, starts: object) -> str | None:
    """Return which of `starts` a command begins with; a lone ``*`` stands for any words."""
    for start in starts:
        pattern = re.escape(start).replace(r"\ \*\ ", " (?:.* )?")
        if re.match(pattern + r"(?=\s|$)", command):
            return start
    return None


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and text of a document's code blocks."""
    yield from re.findall(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def commands_of(block: str) -> list[str]:
    """Return the commands of a block: continued lines joined, comments left out, ``&&`` taken apart."""
    lines = block.replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.sub(r"(^|\s)#.*$", "", line).split("&&")]
    plain = [" ".join(part.split()) for part in parts]
    return [re.sub(r"^\.venv/bin/(?=napari-aln)", "", command) for command in plain if command]


@functools.cache
def in_documents() -> list[str]:
    """Return the commands of the documents' blocks and sentences."""
    found = []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        found += [c for language, block in fenced(text) if language == SHELL for c in commands_of(block)]
        inline = re.findall(r"`([^`]+)`", without_fences(text).replace("\n", " "))
        found += [c for c in map(str.strip, inline) if re.match(r"(\S+ )*?napari-aln |\S+/bin/python ", c)]
    return list(dict.fromkeys(found))


@functools.cache
def in_help() -> list[str]:
    """Return the examples that ``--help`` ends with."""
    return list(dict.fromkeys(c for command in _commands(root()) for c in command))


def _commands(command: object) -> Iterator[list[str]]:
    epilog = getattr(command, "epilog", None) or ""
    yield [line.strip() for line in epilog.splitlines() if "napari-aln " in line]
    for child in getattr(command, "commands", {}).values():
        yield from _commands(child)


def all_shown() -> list[str]:
    return list(dict.fromkeys([*in_documents(), *in_help()]))


def is_a_name(command: str) -> bool:
    """Whether it is a command's name alone, as a sentence speaks of it."""
    words = shlex.split(command)
    node = root()
    for word in words[1:]:
        node = getattr(node, "commands", {}).get(word)
        if node is None:
            return False
    return command not in RUN_BARE


RUN_BARE = ("napari-aln doctor", "napari-aln demo", "napari-aln cache info")


@functools.cache
def executed() -> list[str]:
    """Return the commands that are run one by one."""
    return [c for c in all_shown() if not (begins(c, NOT_RUN) or begins(c, CLUSTER) or is_a_name(c))]
