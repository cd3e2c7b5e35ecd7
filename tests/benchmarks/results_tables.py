"""What the page of results is made of: tables, targets and pictures, as Markdown."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A promise and what became of it."""

    what: str
    wanted: str
    found: str
    met: bool


def at_least(what: str, found: float, wanted: float, unit: str = "x", spread: str = "") -> Target:
    """Return a target that asks for this much or more."""
    return Target(what, f">= {wanted:g} {unit}", f"{found:.2f} {unit}{spread}", found >= wanted)


def at_most(what: str, found: float, wanted: float, unit: str = "x") -> Target:
    """Return a target that asks for this much or less."""
    return Target(what, f"<= {wanted:g} {unit}", f"{found:.3g} {unit}", found <= wanted)


def targets_table(targets: list[Target]) -> str:
    lines = [[t.what, t.wanted, t.found, "met" if t.met else "**missed**"] for t in targets]
    return markdown_table(("target", "wanted", "found", ""), lines)


def markdown_table(head: tuple[str, ...], lines: list[list[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def picture(name: str, says: str) -> str:
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="results/{name}-dark.svg">'
        f'<img alt="{says}" src="results/{name}-light.svg"></picture>'
    )
