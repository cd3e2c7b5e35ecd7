"""When runtime "auto" takes Winograd convolutions."""

import itertools

import pytest
import torch

from napari_aln.mil.card import ModelCard, PrecisionCheck, TimmNetwork
from napari_aln.runtimes import choice
from napari_aln.settings.engine import EngineSettings
from napari_aln.workflows.slide.networks import settings_for_card


def card(encoder="vgg13_bn", safe_on=None, **given):
    check = PrecisionCheck(bf16_max_change=0.001, n_patches=50, runtime=safe_on, device="cpu")
    given |= {} if safe_on is None else {"precision_check": check}
    return ModelCard(name="x", mode="dlcnbc-ws", encoder=encoder, pool="gap", mpp=1.0, **given)


def chosen(of, **settings):
    on_cpu = EngineSettings.model_validate({"device": "cpu"} | settings)
    return tuple(choice.choose(settings_for_card(of, on_cpu), bf16_safe_on=of.bf16_safe_on))


class TestAuto:
    @pytest.fixture(autouse=True)
    def _machine(self, monkeypatch):
        monkeypatch.setattr(choice, "_is_x86", lambda: True)
        monkeypatch.setattr(choice, "_multiplies_bf16", lambda: True)
        monkeypatch.setattr(choice, "_has_bf16", lambda _runtime, _device: True)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)

    def test_it_is_taken_where_bf16_is_asked_for_or_was_shown_to_be_safe_so(self):
        by_winograd = ("winograd", "cpu", "bf16")
        assert chosen(card(), precision="bf16") == by_winograd
        assert chosen(card(safe_on="winograd")) == by_winograd
        assert chosen(card(safe_on="openvino")) == ("openvino", "cpu", "bf16")
        for encoder in ("vgg13_bn", "resnet18"):
            assert chosen(card(encoder)) == ("winograd", "cpu", "fp32")
            assert chosen(card(encoder, safe_on="winograd"), precision="fp32") == ("winograd", "cpu", "fp32")

    def test_encoders_it_does_not_make_faster_are_left_alone(self):
        assert chosen(card("resnet50")) == ("openvino", "cpu", "fp32")
        assert chosen(card("resnet50"), precision="bf16") == ("openvino", "cpu", "bf16")
        assert chosen(card(), runtime="torch") == ("torch", "cpu", "fp32")

    def test_a_numba_that_cannot_be_loaded_is_done_without(self, monkeypatch):
        monkeypatch.setattr(choice, "_loads", lambda package: package != "numba")
        for settings in ({}, {"precision": "bf16"}):
            assert chosen(card(), **settings)[0] == "openvino"

    def test_bf16_that_this_processor_has_not_leaves_fp32(self, monkeypatch):
        monkeypatch.setattr(choice, "_has_bf16", lambda *_: False)
        monkeypatch.setattr(choice, "_multiplies_bf16", lambda: False)
        for runtime in ("openvino", "winograd"):
            assert chosen(card(safe_on=runtime)) == ("winograd", "cpu", "fp32")

    def test_other_processors_go_on_as_before(self, monkeypatch):
        monkeypatch.setattr(choice, "_is_x86", lambda: False)
        assert chosen(card())[0] == "torch"

    def test_encoders_of_timm_are_left_to_openvino_and_torch(self):
        timm = TimmNetwork(version="1.0", features=512)
        assert chosen(card("timm:vgg13_bn", timm=timm))[0] == "openvino"
        assert chosen(card("timm:vgg13_bn", timm=timm.model_copy(update={"openvino": False})))[0] == "torch"

    def test_in_bf16_processors_with_matrices_of_it_or_no_products_are_left_to_openvino(self, monkeypatch):
        elsewhere = {
            "amx": lambda patch: patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True),
            "no products": lambda patch: patch.setattr(choice, "_multiplies_bf16", lambda: False),
        }
        for (_, change), of in itertools.product(elsewhere.items(), (card(), card(safe_on="winograd"))):
            with monkeypatch.context() as patch:
                change(patch)
                assert chosen(of, precision="bf16") == ("openvino", "cpu", "bf16")
                assert chosen(of) == ("winograd", "cpu", "fp32")
