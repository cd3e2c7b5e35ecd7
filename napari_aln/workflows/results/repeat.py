"""How a run is made again: its command line, with names in place of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_aln.records import RunRecord
    from napari_aln.store.result import SlideFacts

CLINICAL_FLAGS = {
    "age_years": "--age",
    "tumor_size_cm": "--tumor-size",
    "er": "--er",
    "pr": "--pr",
    "her2": "--her2",
}
_SIGNS = {True: "+", False: "-"}


def command_of(run: RunRecord, slide: SlideFacts, *, has_regions: bool) -> list[str]:
    """Return the words of the command that gives a run's numbers again.

    Parameters
    ----------
    run
        What was run. Each run has a command of its own: its settings may differ from another's.
    slide
        What is known of its slide.
    has_regions
        Whether ``regions.geojson`` of the result folder holds a tumour ROI.

    Returns
    -------
    list of str
        SLIDE and MODEL stand for the two files, which are told by their hashes; every setting that numbers
        depend on is spelt out, so that a later version with other defaults does the same.
    """
    words = ["napari-aln", "predict", "SLIDE", "--model=MODEL", "--out=OUT"]
    if has_regions:
        words.append("--roi=regions.geojson")
    if slide.mpp_origin == "user" and slide.mpp is not None:
        words.append(f"--mpp={slide.mpp[0]!r}")
    for name, value in (run.clinical or {}).items():
        if value is not None:
            text = _SIGNS[value] if isinstance(value, bool) else repr(value)
            words.append(f"{CLINICAL_FLAGS[name]}={text}")
    settings = run.settings
    chosen = settings["patches"] | settings["bags"] | {"jpeg_decoding": settings["engine"]["jpeg_decoding"]}
    chosen |= {"device": run.device, "precision": run.precision, "runtime": run.runtime}
    words += [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items() if value is not None]
    if settings["fill_clinical"]:
        words.append("--fill-clinical")
    return words
