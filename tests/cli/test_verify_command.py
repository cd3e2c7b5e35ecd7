"""``napari-aln verify``: its exit codes, its table and its JSON."""

import json
import shutil

CLINICAL = ["--age", "61", "--tumor-size", "2.4", "--er", "+", "--pr", "-", "--her2", "-"]


def test_verify_says_equal_different_or_not_possible(call, tissue_slide, ws_bundle, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    shutil.copy(tissue_slide, here)
    shutil.copy(ws_bundle, here)
    bags = ["--partitions", "3", "--seed", "5"]
    assert (
        call("predict", tissue_slide, "--model", ws_bundle, *CLINICAL, *bags, "--out", tmp_path / "o")[0] == 0
    )
    result = tmp_path / "o" / "case_1"

    monkeypatch.chdir(here)  # slide and model lie here: nothing has to be named
    code, out, _ = call("verify", result, "--full-hash", "--json")
    found = json.loads(out)
    assert (code, found["equal"]) == (0, True)
    assert found["tolerances"]["dlcnbc-ws"]["probability"] == 0
    assert len(found["full_hash"]["sha256"]) == 64
    assert {check["what"] for check in found["checks"]} >= {"µm/px", "patches", "bags", "contribution"}
    assert "case 1" not in out

    path = result / "result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["runs"][0]["probabilities"]["N0"] += 0.25
    path.write_text(json.dumps(document), encoding="utf-8")
    code, out, _ = call("verify", result)
    assert code == 1
    assert "Differs: dlcnbc-ws probability N0: The result was changed" in out
    assert "1 of 14 differ." in out

    monkeypatch.chdir(tmp_path / "o")
    for more, words in (
        ([], ("hash", "was not found", "--slide")),
        (["--slide", tissue_slide, "--model", tmp_path / "o"], ("model", "was not found", "--model")),
        (["--slide", tmp_path / "none.svs"], ("none.svs", "does not exist")),
    ):
        code, _, err = call("verify", result, *more)
        assert code == 2
        lines = [line for line in err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert all(word in lines[0] for word in words)
