"""The corpus of hostile files, and the processes that open them."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "store"))  # its samples are what is damaged here

from hostile_corpus import Corpus
from hostile_doors import DOORS
from hostile_pool import Pool

# Elsewhere than on Linux an input's memory cannot be limited.
collect_ignore = [] if sys.platform == "linux" else ["test_hostile_files.py", "test_hostile_documents.py"]


@pytest.fixture(scope="session")
def how_many(request) -> int:
    """How many damaged inputs are opened besides the crafted ones."""
    return int(request.config.getoption("--hostile") or os.environ.get("NAPARI_ALN_HOSTILE") or 60)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    made = Pool(
        tuple(DOORS), tmp_path_factory.mktemp("workers") / "scratch", workers=min(2, os.cpu_count() or 1)
    )
    yield made
    made.close()
