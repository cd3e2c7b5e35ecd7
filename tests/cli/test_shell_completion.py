"""Tab in the shells themselves, after `--install-completion` was given in each once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LAST_WORDS = {
    "napari-aln predi": "predict",  # the first Tab of a terminal
    "napari-aln -q model ver": "verify",
    "napari-aln predict a.svs --fill": "--fill-clinical",
    "napari-aln train a.csv --mode dlcnbc-w": "dlcnbc-ws",
    "napari-aln predict '$(a) b.svs' --er u": "unknown",
    "napari-aln predict slides/dem": "slides/demo.svs",
    "napari-aln predict a.svs --model slides/mo": "slides/model.alnmodel",
    "napari-aln predict a.svs --roi=slides/tu": "--roi=slides/tumour.geojson",
    "napari-aln model show slides/mo": "slides/model.alnmodel",
}
TERMINAL_S = 60  # for a machine under load

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shells are those of POSIX")


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request, tmp_path, monkeypatch):
    """Return a shell whose user has installed the completion, and has a folder of files."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed here")
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in ("demo.svs", "model.alnmodel", "tumour.geojson"):
        (slides / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    # The program asks in which shell it is; with one command alone, the shell would give way to it.
    subprocess.run([request.param, "-c", "napari-aln --install-completion; true"], check=True)
    return request.param


def test_tab_completes_commands_flags_choices_and_files(shell):
    completed = ask_fish if shell == "fish" else press_tab
    assert completed(shell, list(LAST_WORDS)) == list(LAST_WORDS.values())


def ask_fish(shell, lines):
    """Return what fish itself says a Tab would offer."""
    asked = [
        subprocess.run([shell, "-c", 'complete -C "$argv"', line], capture_output=True, text=True)
        for line in lines
    ]
    return [one.stdout.partition("\t")[0].strip() for one in asked]


def press_tab(shell, lines):
    """Type lines in a terminal, each with a Tab, and let the shell say what their last words have become."""
    pexpect = pytest.importorskip("pexpect")
    environment = os.environ | {"TERM": "dumb"}
    terminal = pexpect.spawn(shell, ["-i"], env=environment, encoding="utf-8", timeout=TERMINAL_S)
    found = []
    for line in lines:
        terminal.send(f"{line}\t\x01last() {{ echo \"<${{@: -1}}\"'>'; }}; last \x05\r")
        terminal.expect(r"<([^$>\r\n]*)>\r\n")
        found.append(terminal.match[1])
    terminal.close(force=True)
    return found
