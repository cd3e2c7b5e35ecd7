"""``napari-aln model``: bundles that predict, and those that find nuclei."""

from refusals import refused

from napari_aln.nuclei.segmentation import MODEL_NAME
from napari_aln.shipped import sample_path


def test_model_commands(call, ws_bundle, tmp_path):
    code, out, _ = call("model", "show", ws_bundle)
    assert (code, "dlcnbc-ws" in out, "Research use only" in out) == (0, True, True)
    code, out, _ = call("model", "verify", ws_bundle)
    assert (code, "whole" in out) == (0, True)
    damaged = tmp_path / "d.alnmodel"
    damaged.write_bytes(ws_bundle.read_bytes()[:-100])
    refused(call("model", "verify", damaged), "d.alnmodel")


def test_model_commands_know_models_that_find_nuclei(call, tmp_path):
    shipped = sample_path(MODEL_NAME)
    code, out, _ = call("model", "show", shipped)
    assert (code, "CC0-1.0" in out, "Research use only" in out) == (0, True, True)
    assert "…" not in out  # of the SHA-256 above all
    assert "seen_mpp        0.5" in out
    code, out, _ = call("model", "show", sample_path("dlcnbc-ws-demo.alnmodel"))
    for numbers in (
        "0.6567   0.9293    0.1351 0.1112",
        "0.9711 60 test",
    ):  # whole rows
        assert numbers in out
    code, out, _ = call("model", "verify", shipped)
    assert (code, "whole" in out) == (0, True)
    damaged = tmp_path / "d.alnmodel"
    damaged.write_bytes(shipped.read_bytes()[:-100])
    refused(call("model", "verify", damaged), "d.alnmodel")
