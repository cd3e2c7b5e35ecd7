"""Every command the README shows is one the program knows, with every flag."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_aln.cli.app import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def shown_commands() -> list[str]:
    """Return the README's command lines: continued lines joined, comments left out."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [part.strip() for line in lines for part in re.sub(r"\s+#.*$", "", line).split("&&")]
    commands += re.findall(r"`(napari-aln [^`]+)`", README)
    return [command for command in commands if re.match(r"\S*napari-aln\s", command)]


def exit_code(command: str) -> int:
    """Let the program read a command line to its end and explain itself, instead of running it."""
    return CliRunner().invoke(app, [*shlex.split(command)[1:], "--help"]).exit_code


def test_the_readme_shows_the_main_commands():
    names = {shlex.split(command)[1] for command in shown_commands()}
    assert {"predict", "demo", "doctor", "train", "evaluate", "cohort", "nuclei", "interpret"} <= names


@pytest.mark.parametrize("command", shown_commands())
def test_the_program_knows_what_the_readme_shows(command):
    assert exit_code(command) == 0


@pytest.mark.parametrize("command", ["napari-aln forecast", "napari-aln predict slide.svs --no-such-flag 1"])
def test_what_it_does_not_know_is_found(command):
    assert exit_code(command) == 2
