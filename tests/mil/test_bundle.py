import hashlib
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from napari_aln.errors import BundleError, StoreError
from napari_aln.mil import bundle_file
from napari_aln.mil.architecture import build_network
from napari_aln.mil.bundle import open_bundle, save_bundle
from napari_aln.mil.card import ModelCard, PrecisionCheck, parse_card

CARD = ModelCard(name="small", mode="dlcnb", encoder="squeezenet1_1", pool="gap", mpp=0.5, hidden=16)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(CARD)


@pytest.fixture
def folder(network, tmp_path):
    save_bundle(CARD, network.state_dict(), tmp_path / "good")
    return tmp_path / "good"


def rewrite_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    card.update(changes)
    (folder / "card.json").write_text(json.dumps({k: v for k, v in card.items() if v is not ...}))


def rewrite_weights(folder, change):
    tensors = safetensors.numpy.load_file(folder / "weights.safetensors")
    change(tensors)
    replace_weights(folder, safetensors.numpy.save(tensors))


def replace_weights(folder, weights):
    (folder / "weights.safetensors").write_bytes(weights)
    rewrite_card(folder, weights_sha256=hashlib.sha256(weights).hexdigest())


def zipped(folder, path, extra=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in ("card.json", "weights.safetensors"):
            archive.write(folder / name, name)
        for name, content in extra:
            archive.writestr(name, content)
    return path


# Good ones


@pytest.mark.parametrize("name", ["m.alnmodel", "m"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 0.0), ("fp16", 1e-3)])
def test_round_trip_keeps_weights_and_outputs(network, tmp_path, name, dtype, tolerance):
    card = CARD.model_copy(update={"weights_dtype": dtype})
    made = save_bundle(card, network.state_dict(), tmp_path / name)
    opened = open_bundle(tmp_path / name)
    assert opened.card == made.card
    assert opened.sha256 == made.sha256
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        h, e = network(pixels)
        h_opened, e_opened = opened.network()(pixels)
    torch.testing.assert_close(h_opened, h, rtol=tolerance, atol=tolerance * float(h.max()))
    torch.testing.assert_close(e_opened, e, rtol=tolerance, atol=tolerance)


def test_fp16_halves_the_file_and_leaves_biases_fp32(network, tmp_path):
    for dtype in ("fp32", "fp16"):
        save_bundle(
            CARD.model_copy(update={"weights_dtype": dtype}),
            network.state_dict(),
            tmp_path / f"{dtype}.alnmodel",
        )
    sizes = [(tmp_path / f"{dtype}.alnmodel").stat().st_size for dtype in ("fp16", "fp32")]
    assert sizes[0] < 0.55 * sizes[1]
    tensors = open_bundle(tmp_path / "fp16.alnmodel").tensors
    assert tensors["head.fc1.0.weight"].dtype == np.float16
    assert tensors["head.fc1.0.bias"].dtype == np.float32


def test_saving_leaves_no_other_files_and_replaces_in_one_move(network, tmp_path):
    for path in (tmp_path / "a" / "m.alnmodel", tmp_path / "a" / "m"):
        save_bundle(CARD, network.state_dict(), path)
        save_bundle(CARD.model_copy(update={"name": "second"}), network.state_dict(), path)
        assert open_bundle(path).card.name == "second"
    assert sorted(item.name for item in (tmp_path / "a").iterdir()) == ["m", "m.alnmodel"]


def test_saving_over_a_folder_of_something_else_is_refused(network, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("irreplaceable")
    with pytest.raises(BundleError, match="holds other files"):
        save_bundle(CARD, network.state_dict(), tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "irreplaceable"


def test_saving_refuses_weights_that_are_not_finite_or_do_not_fit(network, tmp_path):
    state = network.state_dict()
    with pytest.raises(BundleError, match=r"head\.fc1\.0\.weight holds values that are not finite"):
        save_bundle(CARD, state | {"head.fc1.0.weight": torch.full((16, 512), torch.nan)}, tmp_path / "m")
    with pytest.raises(BundleError, match="not finite as float16"):
        save_bundle(
            CARD.model_copy(update={"weights_dtype": "fp16"}),
            state | {"head.fc1.0.weight": torch.full((16, 512), 1e6)},
            tmp_path / "m",
        )
    with pytest.raises(BundleError, match=r"head\.fc1\.0\.bias is \[3\], not \[16\]"):
        save_bundle(CARD, state | {"head.fc1.0.bias": torch.zeros(3)}, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["a file/m.alnmodel", "a file/m", "a file", "x" * 300])
def test_a_place_that_cannot_be_written_is_named(network, tmp_path, place):
    (tmp_path / "a file").write_text("here")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        save_bundle(CARD, network.state_dict(), tmp_path / place)
    assert str(tmp_path / place) in caught.value.fact
    assert caught.value.next_step
    assert [item.name for item in tmp_path.iterdir()] == ["a file"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left")])
def test_a_full_or_forbidden_drive_is_named(network, tmp_path, monkeypatch, error):
    def refuse(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("zipfile.ZipFile.writestr", refuse)
    with pytest.raises(StoreError, match=rf"m\.alnmodel cannot be written: {error.strerror}\."):
        save_bundle(CARD, network.state_dict(), tmp_path / "m.alnmodel")
    assert list(tmp_path.iterdir()) == []


def test_the_old_bundle_comes_back_when_the_new_one_cannot_take_its_place(folder, network, monkeypatch):
    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        save_bundle(CARD.model_copy(update={"name": "new"}), network.state_dict(), folder)
    assert open_bundle(folder).card.name == "small"


def test_network_weights_are_its_own(folder):
    opened = open_bundle(folder)
    first = opened.network()
    with torch.no_grad():
        first.head.fc1[0].weight.zero_()
    assert opened.network().head.fc1[0].weight.abs().sum() > 0


# Bad ones


def test_no_bundle_there(tmp_path):
    with pytest.raises(BundleError, match="There is no model bundle at"):
        open_bundle(tmp_path / "absent.alnmodel")


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_a_missing_part_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"holds no {name}"):
        open_bundle(folder)


def test_one_changed_byte_is_noticed(folder):
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(BundleError, match="have SHA-256"):
        open_bundle(folder)


def test_a_newer_schema_asks_for_an_update(folder):
    rewrite_card(folder, schema_version=2, invented_later="x")
    with pytest.raises(BundleError, match=r"newer version of napari-aln .*Update napari-aln"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"mpp": ...}, "mpp: Field required"),
        ({"mpp": 352.0}, "mpp: Input should be less than or equal to 20"),
        ({"mpp": True}, "mpp"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"encoder": 3}, "encoder"),
        ({"mode": "dlcnbc"}, "the mode dlcnbc needs clinical fields"),
        ({"classes": ["N0"]}, "classes"),
        ({"classes": ["N0", "N0"]}, "class names must differ"),
        ({"std": [0.2, 0.0, 0.2]}, "std must be above 0"),
        ({"weights_sha256": "abc"}, "weights_sha256"),
        ({"schema_version": "one"}, "schema_version"),
    ],
)
def test_a_card_with_a_wrong_field_names_it(folder, changes, fact):
    rewrite_card(folder, **changes)
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    assert fact in caught.value.fact
    assert str(folder) in caught.value.fact
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[1, 2]", b"null", b"[" * 100_000])
def test_a_card_that_is_no_card(folder, text):
    (folder / "card.json").write_bytes(text)
    with pytest.raises(BundleError, match=r"card of .* is not"):
        open_bundle(folder)


@pytest.mark.parametrize("encoder", ["os", "get_model", "vit_b_16", "../evil"])
def test_an_encoder_outside_the_table_is_refused(folder, encoder):
    rewrite_card(folder, encoder=encoder)
    with pytest.raises(BundleError, match="There is no encoder called"):
        open_bundle(folder).network()


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda t: t.pop("head.classifier.2.bias"), "head.classifier.2.bias is missing"),
        (lambda t: t.update({"head.fc1.0.bias": np.zeros(17, "f4")}), "head.fc1.0.bias is [17]"),
        (lambda t: t.update({"head.fc1.0.weight": np.zeros((16, 9), "f4")}), "head.fc1.0.weight is [16, 9]"),
        (lambda t: t.pop("encoder.features.0.weight"), "encoder.features.0.weight is missing"),
        (lambda t: t.update({"backdoor": np.zeros(1, "f4")}), "backdoor is not part of it"),
        (lambda t: t.update({"head.fc1.0.bias": np.full(16, np.nan, "f4")}), "NaN or infinity"),
        (lambda t: t.update({"encoder.features.0.bias": np.full(64, np.inf, "f4")}), "NaN or infinity"),
        (lambda t: t.update({"head.fc1.0.bias": np.zeros(16, "i4")}), "is int32, not fp16 or fp32"),
    ],
)
def test_tensors_that_do_not_match_the_architecture_are_named(folder, change, fact):
    rewrite_weights(folder, change)
    with pytest.raises(BundleError) as caught:
        open_bundle(folder).network()
    assert fact in caught.value.fact


def absurd_header():
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    return struct.pack("<Q", len(header)) + header


@pytest.mark.parametrize(
    "weights",
    [b"", b"\x80\x04\x95 a pickle", b"\xff" * 64, absurd_header()],
    ids=["empty", "pickle", "noise", "huge"],
)
def test_weights_that_are_no_safetensors(folder, weights):
    replace_weights(folder, weights)
    with pytest.raises(BundleError, match="is not safetensors"):
        open_bundle(folder)


def test_a_torch_checkpoint_renamed_is_recognised_and_not_unpickled(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "disguised.alnmodel")
    with pytest.raises(BundleError, match=r"is a PyTorch checkpoint \(a pickle\)"):
        open_bundle(tmp_path / "disguised.alnmodel")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + b"\0" * 100])
def test_a_file_that_is_no_zip(tmp_path, content):
    (tmp_path / "m.alnmodel").write_bytes(content)
    with pytest.raises(BundleError, match=r"m\.alnmodel is no readable \.alnmodel file"):
        open_bundle(tmp_path / "m.alnmodel")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", ["../evil.py", "setup.py", "/etc/passwd", "sub/card.json", "card.json"])
def test_a_zip_with_anything_else_in_it_is_refused(folder, tmp_path, name):
    path = zipped(folder, tmp_path / "m.alnmodel", extra=[(name, b"{}")])
    with pytest.raises(BundleError, match=r"must hold exactly card\.json and weights\.safetensors"):
        open_bundle(path)


def test_a_truncated_zip(folder, tmp_path):
    path = zipped(folder, tmp_path / "m.alnmodel")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(BundleError, match="is no readable"):
        open_bundle(path)


def test_a_zip_member_damaged_on_the_way(folder, tmp_path):
    path = zipped(folder, tmp_path / "m.alnmodel")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BundleError, match="is no readable"):
        open_bundle(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_member_damaged_on_the_way(folder, tmp_path, compression):
    path = zipped(folder, tmp_path / "m.alnmodel", compression=compression)
    open_bundle(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"card.json") + len(b"card.json") + 4 * (compression == zipfile.ZIP_LZMA)
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"m\.alnmodel is no readable"):
        open_bundle(path)


def test_an_encrypted_zip(folder, tmp_path):
    path = zipped(folder, tmp_path / "m.alnmodel")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # as in the directory of a zip with a password
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"m\.alnmodel is encrypted\. Unpack it"):
        open_bundle(path)


def test_a_zip_bomb_is_refused_before_it_unpacks(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(bundle_file._MEMBERS, "weights.safetensors", 10_000_000)
    (folder / "weights.safetensors").write_bytes(b"\0" * 20_000_000)
    path = zipped(folder, tmp_path / "m.alnmodel", compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(BundleError, match=r"weights\.safetensors in .* claims 20000000 bytes"):
        open_bundle(path)
    with pytest.raises(BundleError, match="is larger than a bundle's may be"):
        open_bundle(folder)


# The card alone


def test_bf16_is_safe_only_where_it_was_checked():
    def safe_on(change=0.01, n_patches=50, runtime="openvino", device="cpu"):
        check = PrecisionCheck(bf16_max_change=change, n_patches=n_patches, runtime=runtime, device=device)
        card = CARD.model_copy(update={"precision_check": check})
        return parse_card(card.model_dump_json(), "x").bf16_safe_on

    assert CARD.bf16_safe_on == ()
    assert safe_on() == (("openvino", "cpu"),)
    assert safe_on(runtime="torch", device="cuda") == (("torch", "cuda"),)
    assert safe_on(change=0.011) == ()
    assert safe_on(change=None) == ()
    assert safe_on(n_patches=0) == ()
    assert safe_on(runtime=None, device=None) == ()  # a card from before this was recorded


def test_threshold_falls_back_to_the_convention():
    assert CARD.threshold.value == 0.5
    chosen = {"value": 0.37, "operating_point": "Youden", "chosen_on": "validation"}
    card = parse_card(json.dumps(json.loads(CARD.model_dump_json()) | {"thresholds": [chosen]}), "x")
    assert (card.threshold.value, card.threshold.operating_point) == (0.37, "Youden")
