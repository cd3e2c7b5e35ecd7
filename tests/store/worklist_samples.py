"""A work list of four slides: two of one patient, one of another, one of nobody known."""

from napari_aln.store.worklist_records import RunSummary

SLIDES = (("a", "007"), ("b", "007"), ("c", "008"), ("d", None))
A, B, C, D = 1, 2, 3, 4


def run(probability=0.7, mode="dlcnbc-ws", sha="a" * 64):
    return RunSummary(
        run=mode,
        mode=mode,
        model_name="model",
        model_sha256=sha,
        card_sha256="c" * 64,
        classes=("N0", "N(+)"),
        probabilities={"N0": 1 - probability, "N(+)": probability},
        bag_spread={"N0": 0.1, "N(+)": 0.1},
        prediction="N(+)" if probability >= 0.5 else "N0",
        threshold=0.5,
        operating_point="argmax",
        seed=0,
    )
