"""Imported checkpoints give the reference's probabilities: all variants, both BatchNorm behaviours."""

import json

import numpy as np
import pytest
import torch
from independent_mil import bag_probabilities, checkpoint, reference_backbone

from napari_aln.errors import BundleError, MppError
from napari_aln.mil.bag_statistics import BagStatisticsNetwork
from napari_aln.mil.balnmp import import_balnmp
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.scoring import PatchScorer

CLINICAL = np.array([0.4, -1.2, 1.0, 0.0, 1.0])
# Blocks of colour, lighter from patch to patch, so that features and attention differ.
BLOCKS = (
    np.random.default_rng(7).integers(0, 256, (10, 8, 8, 3)) * np.linspace(0.1, 1, 10)[:, None, None, None]
)
PIXELS = BLOCKS.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(1)
    return reference_backbone("resnet18")


@pytest.fixture
def stats(tmp_path):
    path = tmp_path / "stats.json"
    path.write_text(json.dumps({"age": {"mean": 57.0, "std": 12.0}, "tumor_size": {"mean": 2.4, "std": 1.1}}))
    return path


def saved(state, tmp_path):
    path = tmp_path / "best.pth"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("norm_statistics", ["running", "bag"])
@pytest.mark.parametrize(("mode", "classes"), [("dlcnb", 2), ("dlcnbc", 3), ("dlcnbc-ws", 2)])
def test_imported_checkpoint_gives_the_reference_probabilities(
    backbone, stats, tmp_path, mode, classes, norm_statistics
):
    clinical = None if mode == "dlcnb" else CLINICAL
    state = checkpoint(backbone, 512, classes, clinical is not None)
    bundle = import_balnmp(
        saved(state, tmp_path),
        "resnet18",
        mode,
        0.5,
        tmp_path / "model.alnmodel",
        clinical_stats=None if clinical is None else stats,
        norm_statistics=norm_statistics,
    )
    assert (bundle.card.mode, len(bundle.card.classes), bundle.card.mpp) == (mode, classes, 0.5)
    network = bundle.network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    if norm_statistics == "bag":
        h, e = BagStatisticsNetwork(network)(PIXELS)
    else:
        with torch.inference_mode():
            h, e = (output.numpy() for output in network(torch.from_numpy(PIXELS)))
        assert np.ptp(e) > 0.1
    ours = PatchScorer(bundle.head, h, e).score_all(clinical)
    theirs = bag_probabilities(state, backbone, PIXELS, clinical, norm_statistics == "bag")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert 0.005 < ours[0] < 0.995
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), f"{key} moved while scoring"


def test_both_batchnorm_behaviours_differ(backbone, tmp_path):
    state = checkpoint(backbone, 512, 2, clinical=False)
    running, bag = (bag_probabilities(state, backbone, PIXELS, None, bag) for bag in (False, True))
    assert abs(running[1] - bag[1]) > 1e-3


def test_the_head_on_a_whole_bag_agrees_with_the_scorer(backbone, stats, tmp_path):
    path = saved(checkpoint(backbone, 512, 2, clinical=True), tmp_path)
    bundle = import_balnmp(path, "resnet18", "dlcnbc", 0.5, tmp_path / "m", clinical_stats=stats)
    network = bundle.network()
    with torch.inference_mode():
        pixels = torch.from_numpy(PIXELS)
        logits = network.head(network.encoder(network.normalise(pixels)), torch.tensor(CLINICAL))
        h, e = network(pixels)
    scored = PatchScorer(bundle.head, h.numpy(), e.numpy()).score_all(CLINICAL)
    np.testing.assert_allclose(torch.softmax(logits, 0).numpy(), scored, atol=1e-6)


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(2)
    net = reference_backbone("vgg11_bn")
    state = checkpoint(net, 25088, 2, clinical=False)
    return state, bag_probabilities(state, net, PIXELS[:3], None, bag_statistics=False)


@pytest.mark.parametrize("layout", ["reference", "names", "flat"])
def test_vgg_checkpoints_of_all_known_layouts(vgg, tmp_path, layout):
    state, expected = vgg
    replacement = {"reference": "extractor.0.", "names": "extractor.features.", "flat": "extractor."}[layout]
    renamed = {key.replace("extractor.0.", replacement): value for key, value in state.items()}
    assert "image_feature_extractor.extractor.0.0.weight" in state
    bundle = import_balnmp(saved(renamed, tmp_path), "vgg11_bn", "dlcnb", 0.5, tmp_path / "m.alnmodel")
    with torch.inference_mode():
        h, e = bundle.network()(torch.from_numpy(PIXELS[:3]))
    np.testing.assert_allclose(
        PatchScorer(bundle.head, h.numpy(), e.numpy()).score_all(), expected, atol=1e-5
    )


def test_googlenet_is_kept_whole_in_the_reference_with_its_unused_classifier(tmp_path):
    head = reference_backbone("resnet18")
    state = {k: v for k, v in checkpoint(head, 1024, 2, clinical=False).items() if "extractor" not in k}
    from napari_aln.runtimes.torchvision_import import models

    whole = models.get_model("googlenet", weights=None, aux_logits=False, init_weights=False)
    state |= {f"image_feature_extractor.extractor.{k}": v for k, v in whole.state_dict().items()}
    assert "image_feature_extractor.extractor.fc.weight" in state
    bundle = import_balnmp(saved(state, tmp_path), "googlenet", "dlcnb", 0.5, tmp_path / "m")
    network = bundle.network()
    assert torch.equal(
        network.state_dict()["encoder.inception5b.branch1.conv.weight"], whole.inception5b.branch1.conv.weight
    )
    assert network.encoder.transform_input


@pytest.fixture
def good(backbone):
    return checkpoint(backbone, 512, 2, clinical=False)


def test_another_encoder_is_named_by_tensor(good, tmp_path):
    with pytest.raises(BundleError, match=r"the encoder resnet34: 4\.2\.conv1\.weight is missing"):
        import_balnmp(saved(good, tmp_path), "resnet34", "dlcnb", 0.5, tmp_path / "m")
    with pytest.raises(BundleError, match="its head takes 512 features, not 25088"):
        import_balnmp(saved(good, tmp_path), "vgg11_bn", "dlcnb", 0.5, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_mode_must_agree_with_the_checkpoint(good, backbone, stats, tmp_path):
    with pytest.raises(BundleError, match="takes no clinical values, mode dlcnbc needs them"):
        import_balnmp(saved(good, tmp_path), "resnet18", "dlcnbc", 0.5, tmp_path / "m", clinical_stats=stats)
    clinical = saved(checkpoint(backbone, 512, 2, clinical=True), tmp_path)
    with pytest.raises(BundleError, match="takes clinical values, mode dlcnb has none"):
        import_balnmp(clinical, "resnet18", "dlcnb", 0.5, tmp_path / "m")


def test_clinical_statistics_are_asked_for_and_checked(backbone, tmp_path):
    path = saved(checkpoint(backbone, 512, 2, clinical=True), tmp_path)
    with pytest.raises(BundleError, match="not how its training cohort's were standardised"):
        import_balnmp(path, "resnet18", "dlcnbc", 0.5, tmp_path / "m")
    bad = tmp_path / "bad.json"
    for text in ('{"age": {"mean": 57}}', "[]", "{", '{"age": {"mean": 5, "std": 0}, "tumor_size": {}}'):
        bad.write_text(text)
        with pytest.raises(BundleError, match=r"bad\.json does not hold usable clinical statistics"):
            import_balnmp(path, "resnet18", "dlcnbc", 0.5, tmp_path / "m", clinical_stats=bad)
    with pytest.raises(BundleError, match=r"absent\.json cannot be read"):
        import_balnmp(
            path, "resnet18", "dlcnbc", 0.5, tmp_path / "m", clinical_stats=tmp_path / "absent.json"
        )


def test_missing_and_extra_tensors_are_named(good, tmp_path):
    less = {k: v for k, v in good.items() if k != "classifier.2.bias"}
    with pytest.raises(BundleError, match=r"classifier\.2\.bias is missing"):
        import_balnmp(saved(less, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m")
    more = good | {"status_classifier.0.weight": torch.zeros(3)}
    with pytest.raises(BundleError, match=r"status_classifier\.0\.weight is not part of one"):
        import_balnmp(saved(more, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m")
    deeper = good | {"image_feature_extractor.extractor.9.weight": torch.zeros(3)}
    with pytest.raises(BundleError, match=r"9\.weight is not part of it"):
        import_balnmp(saved(deeper, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m")


def test_widths_that_no_variant_has_are_refused(good, tmp_path):
    wide = good | {"classifier.0.weight": torch.zeros(64, 256 + 30)}
    with pytest.raises(BundleError, match="takes 286 values"):
        import_balnmp(saved(wide, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m")
    four = good | {"classifier.2.weight": torch.zeros(4, 64), "classifier.2.bias": torch.zeros(4)}
    with pytest.raises(BundleError, match="tells 4 classes apart"):
        import_balnmp(saved(four, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m")


class Evil:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('owned').touch()",))


def test_a_pickle_with_code_is_not_run(good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"best\.pth is not a file of plain tensors"):
        import_balnmp(saved(good | {"x": Evil()}, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"hello, not a checkpoint", b"PK\x03\x04 broken"])
def test_files_that_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"odd\.pth"):
        import_balnmp(path, "resnet18", "dlcnb", 0.5, tmp_path / "m")
    with pytest.raises(BundleError, match=r"absent\.pth cannot be read"):
        import_balnmp(tmp_path / "absent.pth", "resnet18", "dlcnb", 0.5, tmp_path / "m")


def test_a_list_of_tensors_and_a_whole_dict_are_no_state_dict(good, tmp_path):
    for state in ([torch.zeros(2)], {"epoch": 3, "state": good}):
        with pytest.raises(BundleError, match="is no state_dict"):
            import_balnmp(saved(state, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m")


@pytest.mark.parametrize("mpp", [0.0, 352.0, float("nan")])
def test_impossible_resolution(good, tmp_path, mpp):
    with pytest.raises(MppError, match="is not a resolution of a slide"):
        import_balnmp(saved(good, tmp_path), "resnet18", "dlcnb", mpp, tmp_path / "m")


def test_bundle_of_an_import_opens_again(good, tmp_path):
    made = import_balnmp(saved(good, tmp_path), "resnet18", "dlcnb", 0.5, tmp_path / "m.alnmodel")
    again = open_bundle(tmp_path / "m.alnmodel")
    assert again.sha256 == made.sha256 == again.card.weights_sha256
    assert again.card.threshold.value == 0.5
