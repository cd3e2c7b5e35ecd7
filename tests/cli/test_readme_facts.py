"""What the README says beside its commands is so: links, messages, names in the window, keys, formats."""

from __future__ import annotations

import ast
import re

import documented
import pytest

from napari_aln.slides.formats import FORMATS
from napari_aln.widgets.keys import KEYS

README = (documented.ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def said() -> list[str]:
    """Return every text in the program's source; of texts with values in them the parts between."""
    trees = (ast.parse(p.read_text(encoding="utf-8")) for p in (documented.ROOT / "napari_aln").rglob("*.py"))
    nodes = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [text for text in nodes if isinstance(text, str)]


def test_links_inside_the_readme_lead_somewhere():
    lines = documented.without_fences(README).splitlines()
    titles = [line.lstrip("# ").lower() for line in lines if line.startswith("#")]
    headings = {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    for link in links:
        assert link[1:] in headings if link.startswith("#") else (documented.ROOT / link).exists(), link


def test_the_messages_of_troubleshooting_are_the_programs_own(said):
    rows = section("Troubleshooting").splitlines()
    quoted = [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    quoted = [message for message in quoted if not message.startswith("napari-aln")]
    assert len(quoted) > 10
    assert [text for text in quoted if not any(text in one for one in said)] == []


def test_names_in_the_window_are_its_own(said):
    text = section("First review") + section("The window")
    shown = {one.replace("&", "") for one in said}
    named = re.findall(r"(?<![*\w])\*([^*\n]+)\*(?![*\w])", text)
    assert len(named) > 10
    ours = [name for name in named if not name.startswith("Plugins >") and name != "blinded"]
    assert [name for name in ours if name not in shown] == []


def test_keys_are_bound():
    named = set(re.findall(r"\b(?:Shift|Alt)\+\w\b|\bF\d\b", README))
    assert {"Shift+H", "Alt+1", "F1"} <= named
    assert named - {key.shown for key in KEYS} == set()


def test_formats_are_those_that_are_read():
    proven, other = (row for row in section("File formats").splitlines() if "in the tests |" in row)
    for one in FORMATS:
        name = re.split(r"[ ,]", one.name)[0]
        assert (name in proven, name in other) == (one.tested, not one.tested), one.name
