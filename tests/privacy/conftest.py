"""What tests of privacy share: commands in this process."""

import sys

import pytest

from napari_aln.cli import main


@pytest.fixture
def call(monkeypatch):
    """Run the command line in this process; return the exit code."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-aln", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0

    return run
