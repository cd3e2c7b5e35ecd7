"""Every command of the documents and of the program's help does what it says, on small inputs.

A command that is shown and neither run here nor listed with a reason in `documented` fails a test.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import documented
import pytest
from documented import begins, executed
from documented_inputs import INPUTS, MPP_X, Shared, draw_roi, draw_slide, place

README = (documented.ROOT / "README.md").read_text(encoding="utf-8")
QUICK = (
    "napari-aln model show",
    "napari-aln model verify",
    "napari-aln annotations convert",
    "napari-aln cache",
    "napari-aln cohort import-bcnb",
    "napari-aln cohort split",
)
"""How commands begin that take a moment and run with every test; the others are slow together."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    return draw_slide(folder / "biopsy.tif"), draw_roi(folder / "tumour.geojson")


@pytest.fixture
def shared(drawn, ws_bundle, roi_bundle, request):
    """Return what inputs are made of; the cohort is drawn for those who need it."""
    command = request.node.callspec.params["command"] if hasattr(request.node, "callspec") else "cohort.csv"
    needs = "cohort.csv" in command or "type-0.csv" in command or "synthetic-biopsies.csv" in command
    cohort = request.getfixturevalue("tiny_cohort") if needs and not begins(command, QUICK) else Path()
    return Shared(*drawn, ws_bundle, roi_bundle, cohort)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    return tmp_path


def written_by(command: str, words: list[str]) -> list[str]:
    """Return the files and folders that a command's words say it writes."""
    plain = [word for word in words[2:] if not word.startswith("-")]
    places = [after for word, after in pairwise(words) if word == "--out"]
    if begins(command, documented.WRITES_LAST):
        positional = words[3:]
        cut = next((i for i, word in enumerate(positional) if word.startswith("--")), len(positional))
        places.append(positional[:cut][-1])
    if begins(command, documented.WRITES_FIRST):
        places.append(plain[1])
    return places


def as_run(command: str) -> list[str]:
    """Return a command's words as they are run here: small, without a network."""
    words = [word for word in shlex.split(command) if word != documented.NETWORK]
    start = begins(command, sorted(documented.CHANGED, key=len, reverse=True))
    added = shlex.split(documented.CHANGED[start]) if start else []
    return [MPP_X if word == "X" else word for word in [*words, *added]]


def run_and_check(command, call, shared):
    words = as_run(command)
    written = written_by(command, words)
    place(words, shared, written)
    code, said, errors = call(*words[1:])
    assert code == 0, f"{said}\n{errors}"
    for path in map(Path, written):
        made = list(Path().glob(f"{path.stem}-fold*")) if "kfold" in words else [path]
        assert made
        assert all(any(one.iterdir()) if one.is_dir() else one.stat().st_size for one in made)


def runs(quick: bool) -> list[str]:
    return [command for command in executed() if bool(begins(command, QUICK)) is quick]


@pytest.mark.parametrize("command", runs(quick=True))
def test_quick_commands_do_what_they_say(command, call, shared, here):
    run_and_check(command, call, shared)


@pytest.mark.slow
@pytest.mark.parametrize("command", runs(quick=False))
def test_commands_do_what_they_say(command, call, shared, here):
    run_and_check(command, call, shared)


@pytest.mark.slow
def test_the_cluster_of_the_readme_predicts_the_cohort(call, shared, here):
    scheduler, worker, predict = (
        next(c for c in documented.in_documents() if begins(c, [start])) for start in documented.CLUSTER
    )
    place(shlex.split(predict), shared)

    def dask(command, *more):
        words = [*shlex.split(command)[1:], *more]
        return subprocess.Popen([sys.executable, "-m", "dask", *words], stderr=subprocess.DEVNULL)

    started = [dask(scheduler, "--host", "127.0.0.1", "--port", "0", "--scheduler-file", "scheduler.json")]
    try:
        address = _address(here / "scheduler.json", started[0])
        started.append(dask(worker.replace("tcp://host:8786", address), "--local-directory", str(here)))
        code, said, errors = call(*shlex.split(predict.replace("tcp://host:8786", address))[1:])
        assert code == 0, f"{said}\n{errors}"
        assert "8 of 8 slides" in said
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(60)


def _address(path: Path, process: subprocess.Popen) -> str:
    """Wait until the scheduler has written where it listens."""
    import json

    while process.poll() is None:
        try:
            return json.loads(path.read_text())["address"]
        except (OSError, ValueError):
            continue
    raise AssertionError("the scheduler ended")


@pytest.mark.parametrize("command", documented.all_shown())
def test_what_is_shown_is_run_or_listed_and_known_to_the_program(command):
    words = shlex.split(command)
    run = command in executed() or bool(begins(command, documented.CLUSTER))
    assert run or begins(command, documented.NOT_RUN) or documented.is_a_name(command)
    assert not run or words[0] in ("napari-aln", "dask")
    if "napari-aln" in words:
        arguments = words[words.index("napari-aln") + 1 :]
        assert documented.root().main([*arguments, "--help"], standalone_mode=False) in (0, None)


@pytest.mark.parametrize(
    "starts", [documented.NOT_RUN, documented.CHANGED, documented.CLUSTER, QUICK, documented.WRITES_LAST]
)
def test_lists_hold_nothing_that_is_no_longer_shown(starts):
    assert [start for start in starts if not any(begins(c, [start]) for c in documented.all_shown())] == []


def test_inputs_are_those_that_commands_name():
    named = {word for command in executed() for word in shlex.split(command)}
    assert set(INPUTS) - named == set()


def test_every_block_says_its_language():
    for name in documented.DOCUMENTS:
        text = (documented.ROOT / name).read_text(encoding="utf-8")
        languages = {language for language, _ in documented.fenced(text)}
        assert languages <= {documented.SHELL, *documented.OTHER_LANGUAGES}


def test_every_command_but_the_windows_has_an_example():
    def leaves(command, above=""):
        children = getattr(command, "commands", {})
        yield from ((above, command) for _ in [0] if not children)
        for name, child in children.items():
            yield from leaves(child, f"{above} {name}".strip())

    assert [name for name, leaf in leaves(documented.root()) if not leaf.epilog] == []


def test_the_test_command_stands_under_its_mark():
    _, below = README.split("<!-- test command -->\n")
    assert below.startswith("```sh\npython3 -m venv .venv-test && ")


def test_what_is_neither_run_nor_listed_is_found():
    for command in ("napari-aln predict new.svs --out o", "make everything"):
        assert not begins(command, documented.NOT_RUN)
        assert not documented.is_a_name(command)
    with pytest.raises(AssertionError):
        test_what_is_shown_is_run_or_listed_and_known_to_the_program("make everything")
    assert documented.commands_of("a b  # no\n# nothing\nc \\\n  d && e\n") == ["a b", "c d", "e"]


def test_the_grid_of_the_readme_is_one(tmp_path):
    from napari_aln.workflows.training.grid_plan import combinations, read_grid

    (block,) = (block for language, block in documented.fenced(README) if language == "toml")
    tomllib.loads(block)
    (tmp_path / "grid.toml").write_text(block, encoding="utf-8")
    assert len(combinations(read_grid(tmp_path / "grid.toml"), {})) == 2 * 3 * 3 * 3


@pytest.mark.slow
def test_the_python_of_the_readme_runs(shared, here):
    (block,) = (block for language, block in documented.fenced(README) if language == "python")
    place(["biopsy.svs", "dlcnbc.alnmodel", "dlcnbc-ws.alnmodel", "tumour.geojson"], shared)
    names: dict = {}
    exec(block, names)
    assert set(names["result"].runs[0].probabilities) == {"N0", "N(+)"}
