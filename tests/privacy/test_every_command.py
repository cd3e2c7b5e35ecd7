"""Every command of the program, by one table: in private mode what it writes says of nobody who it is.

A command that is added to the program and not to the table fails a test.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import independent_mil
import numpy as np
import pytest
import torch
from marked_slides import MARK, write_svs
from planted import (
    marked_cohort,
    marked_folder,
    marked_model,
    marked_pictures,
    marked_roi,
    marked_scores,
    marked_table,
)
from tests_shared import draw_tissue
from written import leaks

from napari_aln.cli.app import app
from napari_aln.cli.exit_codes import BAD_INPUT, SOME_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLINICAL = ["--age", 61, "--tumor-size", 2.4, "--er", "+", "--pr", "-", "--her2", "-"]
FEW = ["--epochs", 1, "--bags-per-epoch", 1]
PRIVATE = "--private"


@dataclass(frozen=True)
class Run:
    """A command's words on planted inputs, without ``--private``."""

    words: Callable[[Inputs], list[object]]
    is_slow: bool = False
    writes: bool = True
    ends: tuple[int, ...] = (0, SOME_FAILED)


class Inputs:
    """Inputs in a folder called after a patient, made when a row asks for them."""

    def __init__(self, fixture: Callable[[str], Any], root: Path) -> None:
        root.mkdir()
        self._fixture, self.folder, self.out = fixture, marked_folder(root), root / "out"
        self.out.mkdir()

    @property
    def slide(self) -> Path:
        path = self.folder / f"{MARK} 4711.svs"
        write_svs(path, draw_tissue(np.random.default_rng(5))[400:1300, 600:1500])
        return path

    @property
    def roi(self) -> Path:
        return marked_roi(self.folder)

    @property
    def square(self) -> Path:
        path = self.folder / f"{MARK} square.geojson"
        path.write_text('{"type": "Polygon", "coordinates": [[[200,200],[600,200],[600,600],[200,200]]]}')
        return path

    @property
    def model(self) -> Path:
        return marked_model(self._fixture("ws_bundle"), self.folder)

    @property
    def table(self) -> Path:
        return marked_table(self.folder)

    @property
    def cohort(self) -> Path:
        return marked_cohort(self._fixture("tiny_cohort"), self.folder)

    @property
    def sound_cohort(self) -> Path:
        return marked_cohort(self._fixture("tiny_cohort"), self.folder, with_strangers=False)

    @property
    def checkpoint(self) -> Path:
        path = self.folder / f"{MARK}.pth"
        backbone = independent_mil.reference_backbone("resnet18")
        torch.save(independent_mil.checkpoint(backbone, 512, 2, clinical=False), path)
        return path

    @property
    def result(self) -> Path:
        """Return a private result with nuclei; what makes it has rows of its own."""
        call, slide, made = self._fixture("call"), self.slide, self.folder / "results"
        assert call("predict", slide, "--model", self.model, *CLINICAL, PRIVATE, "--out", made) == 0
        (place,) = made.iterdir()
        assert call("nuclei", "measure", slide, "--method", "classical", "--result", place) == 0
        return place


COMMANDS: dict[str, Run | str] = {
    "view": "opens the window: test_names_stay_out.py and tests/widgets",
    "demo": "takes no file",
    "train-demo": "takes no file",
    "cohort synthesize": "takes no file",
    "cohort import-bcnb": "writes an index of slides, to which it is to lead",
    "doctor": "takes no file",
    "cache info": "takes no file",
    "cache clear": "takes no file",
    "predict": Run(lambda i: [i.table, "--model", i.model, "--fill-clinical", "--out", i.out], is_slow=True),
    "verify": Run(lambda i: [i.result, "--slide", i.slide, "--model", i.model], is_slow=True, writes=False),
    "train": Run(
        lambda i: [
            *[i.cohort, "--mode", "dlcnbc-ws", "--frozen", "--encoder", "squeezenet1_1", *FEW],
            *["--encoder-from", i.model, "--out", i.out / "m.alnmodel"],
        ],
        is_slow=True,
    ),
    "pretrain": Run(
        lambda i: [
            *[i.sound_cohort, "--patches-per-slide", 4, "--steps", 2, "--whole-steps", 1, "--batch", 8],
            *["--out", i.out / "e.safetensors"],
        ],
        is_slow=True,
    ),
    "evaluate": Run(
        lambda i: [
            *[marked_scores(i.folder), "--compare", marked_scores(i.folder, " clinical")],
            *["--validation", marked_scores(i.folder, " more"), "--bootstraps", 100, "--out", i.out / "e"],
        ],
        is_slow=True,
    ),
    "evaluate-maps": Run(
        lambda i: [
            *[i.cohort, "--model", i.model, "--split", "test", "--random-orders", 2, "--bootstraps", 100],
            *["--fill-clinical", "--out", i.out / "e"],
        ],
        is_slow=True,
    ),
    "interpret": Run(
        lambda i: [
            *[i.cohort, "--patches-per-slide", 2, "--epochs", 2, "--bootstraps", 100],
            *["--method", "classical", "--out", i.out],
        ],
        is_slow=True,
    ),
    "model show": Run(lambda i: [i.model], writes=False),
    "model verify": Run(lambda i: [i.model], writes=False),
    "model import-balnmp": Run(
        lambda i: [
            *[i.checkpoint, "--encoder", "resnet18", "--mode", "dlcnb", "--mpp", 0.5],
            *["--out", i.out / "m.alnmodel"],
        ],
        is_slow=True,
    ),
    "nuclei measure": Run(
        lambda i: [i.slide, "--roi", i.square, "--method", "classical", "--out", i.out / "n"], is_slow=True
    ),
    "nuclei contrast": Run(lambda i: [i.result, "--out", i.out / "c"], is_slow=True),
    "nuclei train": Run(
        lambda i: [
            *[marked_pictures(i.folder / "pictures"), "--steps", 2, "--batch", 2, "--square-px", 64],
            *["--device", "cpu", "--held-out", 0.34, "--out", i.out / "m.alnmodel"],
        ]
    ),
    "nuclei examples": Run(lambda i: [i.out / "made", "--pictures", 1, "--slide", i.slide], is_slow=True),
    "cohort check": Run(lambda i: [i.table], writes=False, ends=(BAD_INPUT,)),
    "cohort split": Run(lambda i: [i.table, i.out / "split.csv"]),
    "cohort baseline": Run(lambda i: [i.table, i.out / "scores.csv"]),
    "annotations convert": Run(lambda i: [i.roi, i.out / "a.xml"]),
}
"""What each command is run with here; or, in words, why it is not run."""


def all_commands(program, above=()):
    """Return the parameters of every command by its words."""
    found = {}
    for command in program.registered_commands:
        words = " ".join((*above, command.name or command.callback.__name__))
        found[words] = inspect.signature(command.callback).parameters
    for group in program.registered_groups:
        found |= all_commands(group.typer_instance, (*above, group.name))
    return found


PROGRAM = all_commands(app)
HAS_PRIVATE = {name for name, parameters in PROGRAM.items() if "private" in parameters}
RUN = {name: row for name, row in COMMANDS.items() if isinstance(row, Run)}


def test_the_table_has_every_command():
    assert set(COMMANDS) == set(PROGRAM)
    assert set(RUN) >= HAS_PRIVATE


@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if row == "takes no file"])
def test_nothing_of_a_person_can_be_given(name):
    paths = {one.name for one in PROGRAM[name].values() if "Path" in str(one.annotation)}
    assert paths <= {"out", "folder", "cache_dir"}  # what is written


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * row.is_slow) for name, row in RUN.items()]
)
def test_what_a_command_writes_names_nobody(name, call, request, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inputs = Inputs(request.getfixturevalue, tmp_path / "private")
    words = RUN[name].words(inputs)
    given = set(inputs.folder.rglob("*"))
    assert call(*name.split(), *words, *[PRIVATE] * (name in HAS_PRIVATE)) in RUN[name].ends
    assert any(inputs.out.iterdir()) == RUN[name].writes
    assert leaks(inputs.out) == []
    for place in ("here", "cache", "config"):
        assert leaks(tmp_path / place) == []
    assert set(inputs.folder.rglob("*")) == given


@pytest.mark.parametrize("name", sorted(name for name in HAS_PRIVATE if not RUN[name].is_slow))
def test_where_names_are_shown_the_rows_do_bear_them(name, call, request, tmp_path):
    inputs = Inputs(request.getfixturevalue, tmp_path / "named")
    assert call(*name.split(), *RUN[name].words(inputs)) == 0
    assert leaks(inputs.out) != []
