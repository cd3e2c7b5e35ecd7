"""Encoders of timm by ``timm:NAME``, such as pathology foundation models: on the card, and rebuilt from it.

A name of timm does not fix a network: published models change its width, tokens or layers by arguments. Those
that matter are fields of `card.TimmNetwork`, so a card can ask for nothing else (no file, no download).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from napari_aln.errors import BundleError
from napari_aln.mil.card import COUNTER, TIMM_PREFIX, TimmNetwork
from napari_aln.mil.meta_device import on_meta_device
from napari_aln.mil.misfits import describe_misfits
from napari_aln.runtimes.timm_import import import_timm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_aln.mil.card import EncoderPool, ModelCard, TimmArguments

_FEW_WEIGHTS = 10**7
_POOLS: dict[str, EncoderPool] = {"avg": "gap", "token": "token", "": "token+gap"}


class TimmInput(NamedTuple):
    """What an encoder of timm expects, and how it ends: the fields of a card that follow from it."""

    pool: EncoderPool
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    timm: TimmNetwork


class _TokenAndMean(nn.Module):
    """A transformer whose class token stands beside the mean of its patch tokens (as Virchow is used)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self._n_prefix = int(net.num_prefix_tokens)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn (n, 3, S, S) pictures into (n, 2 * width) features."""
        tokens = self.net(x)  # (n, tokens, width)
        return torch.cat([tokens[:, 0], tokens[:, self._n_prefix :].mean(dim=1)], dim=1)


def describe_timm(name: str, arguments: TimmArguments, data: Mapping[str, Any]) -> TimmInput:
    """Find out what an encoder of timm expects and gives, without weights.

    Parameters
    ----------
    name
        With its prefix, ``timm:``.
    arguments
        By which it differs from timm's network of this name.
    data
        ``mean``, ``std`` and ``input_size`` where they differ from timm's own for this name.

    Raises
    ------
    UsageError
        timm is not installed.
    BundleError
        timm knows no such network, cannot make it with these arguments, or it is none for RGB patches.
    """
    net, plain = _on_meta_or_cpu(name, arguments)
    timm = import_timm(name)
    known = dict(plain.pretrained_cfg) | dict(data)
    expects = timm.data.resolve_data_config(pretrained_cfg=known)
    channels, *sides = expects["input_size"]
    side = arguments.img_size or sides[0]
    if channels != 3 or len(expects["mean"]) != 3 or (arguments.img_size is None and sides[0] != sides[1]):
        raise BundleError(f"{name} takes no square RGB pictures.", "Choose another encoder.")
    features = _width(net, side, name)
    mean, std = (tuple(map(float, expects[key])) for key in ("mean", "std"))
    network = TimmNetwork(version=str(timm.__version__), features=features, arguments=arguments)
    return TimmInput(_pool_of(plain, name), side, mean, std, network)  # type: ignore[arg-type]


def timm_skeleton(card: ModelCard, weight_count: int | None = None) -> nn.Module:
    """Build a card's encoder without weights, on torch's meta device where that is safe.

    Not there, but on the processor, are networks with tensors that no file holds (tables of positions,
    rotations): they are computed while the network is made, and would be lost.

    Parameters
    ----------
    card
        Names the network.
    weight_count
        How many numbers its weights hold: a far larger network is refused before any memory is taken.

    Raises
    ------
    UsageError
        timm is not installed.
    BundleError
        This timm makes another network than the card describes, or a far larger one than the weights are for.
    """
    described = described_by(card)
    if weight_count is not None:
        _refuse_larger(card.encoder, described.arguments, weight_count)
    net, plain = _on_meta_or_cpu(card.encoder, described.arguments)
    pool, width = _pool_of(plain, card.encoder), _width(net, card.input_px, card.encoder)
    if (pool, width) != (card.pool, described.features):
        raise BundleError(
            f"{card.encoder} of timm {import_timm(card.encoder).__version__} ends in {pool!r} with {width}"
            f" values a patch, where the card describes {card.pool!r} with {described.features}.",
            f"Install timm {described.version}, with which the model was made.",
        )
    return net.eval()


def _refuse_larger(name: str, arguments: TimmArguments, weight_count: int) -> None:
    with on_meta_device():
        net = _created(name, arguments)
    needed = sum(value.numel() for value in net.parameters())
    if needed > 2 * weight_count + _FEW_WEIGHTS:  # a tensor that is missing is named later
        raise BundleError(
            f"{name} as the card describes it has {needed} weights, and the bundle holds {weight_count}.",
            "Ask the maker of the bundle for a corrected one.",
        )


def described_by(card: ModelCard) -> TimmNetwork:
    """Return what a card says of its encoder of timm."""
    if card.timm is None:
        raise ValueError("the card's encoder is none of timm")
    return card.timm


def build_timm(name: str, arguments: TimmArguments, weights: Mapping[str, torch.Tensor] | None) -> nn.Module:
    """Build an encoder with weights, on the processor and in eval mode.

    Parameters
    ----------
    name, arguments
        See `describe_timm`.
    weights
        By timm's names, with or without the classifier's. None draws random ones as timm does.

    Raises
    ------
    UsageError
        timm is not installed.
    BundleError
        As `describe_timm`, or these weights are another network's; names the tensors. Tensors that are left
        over are an error too: without them the network would compute something else.
    """
    if weights is None:
        return _ended(_created(name, arguments)).eval()
    net, plain = _on_meta_or_cpu(name, arguments)
    wanted = {k: tuple(v.shape) for k, v in plain.state_dict().items() if not k.endswith(COUNTER)}
    classifier = plain.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ((classifier,) if isinstance(classifier, str) else classifier))
    found = {
        key: tuple(value.shape)
        for key, value in weights.items()
        if not key.endswith(COUNTER) and (key in wanted or not key.startswith(heads))
    }
    misfits = describe_misfits(wanted, found)
    if misfits:
        raise BundleError(
            f"These weights are not those of {name}: {misfits}.",
            "Name the network they were trained with; where its makers publish a config.json, put it beside"
            " the weights.",
        )
    state = {key: weights[key].float() if key in wanted else torch.tensor(0) for key in plain.state_dict()}
    plain.load_state_dict(state, assign=True)
    return net.eval()


def _on_meta_or_cpu(name: str, arguments: TimmArguments) -> tuple[nn.Module, Any]:
    """Return the network with its ending, and the one of timm inside; weights are not drawn to be used."""
    with on_meta_device():
        net = _created(name, arguments)
    if _has_tensors_of_its_own(net):
        with torch.random.fork_rng(devices=[]):  # what is drawn here is thrown away
            net = _created(name, arguments)
    return _ended(net), net


def _has_tensors_of_its_own(net: nn.Module) -> bool:
    stored = net.state_dict().keys()
    if any(key not in stored for key, _ in net.named_buffers()):
        return True
    return any(isinstance(value, torch.Tensor) for m in net.modules() for value in vars(m).values())


def _created(name: str, arguments: TimmArguments) -> Any:  # noqa: ANN401 - a network of untyped timm
    timm = import_timm(name)
    plain = name.removeprefix(TIMM_PREFIX)
    if not timm.is_model(plain.partition(".")[0]):
        near = difflib.get_close_matches(plain, timm.list_models(), 3)
        raise BundleError(
            f"timm {timm.__version__} knows no network called {plain!r}.",
            f"Did you mean {' or '.join(near)}?" if near else "See `timm.list_models()`.",
        )
    given = arguments.model_dump(exclude_none=True)
    if "mlp_layer" in given:
        given["mlp_layer"] = getattr(timm.layers, given["mlp_layer"])  # one of the card's few literals
    try:
        return timm.create_model(plain, pretrained=False, num_classes=0, **given)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        asked = ", ".join(f"{key}={value}" for key, value in arguments.model_dump(exclude_none=True).items())
        raise BundleError(
            f"timm {timm.__version__} cannot make {plain} with {asked or 'its own arguments'}: {told}.",
            "Correct the arguments, or choose another encoder.",
        ) from error


def _ended(net: Any) -> nn.Module:  # noqa: ANN401 - a network of untyped timm
    return _TokenAndMean(net) if getattr(net, "global_pool", None) == "" else net


def _pool_of(net: Any, name: str) -> EncoderPool:  # noqa: ANN401 - a network of untyped timm
    """Return how a network of timm ends, in the card's words."""
    kind = getattr(net, "global_pool", None)
    if not isinstance(kind, str):  # convolutional networks pool by a layer, some inside their head
        layer = kind if kind is not None else getattr(getattr(net, "head", None), "global_pool", None)
        kind = str(getattr(layer, "pool_type", "unknown"))
    if kind not in _POOLS or (kind == "" and not getattr(net, "num_prefix_tokens", 0)):
        raise BundleError(
            f"{name} ends in the pooling {kind!r}.",
            "Choose an encoder that ends in its class token or in an average over the picture.",
        )
    return _POOLS[kind]


def _width(net: nn.Module, side: int, name: str) -> int:
    device = next(net.parameters()).device
    try:
        with torch.inference_mode(), torch.device(device):
            features = net.eval()(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise BundleError(
            f"{name} cannot take pictures of {side} px: {str(error).splitlines()[0]}.",
            "Give its own input size, or choose another encoder.",
        ) from error
    if features.ndim != 2:
        raise BundleError(f"{name} gives no vector for a picture.", "Choose another encoder.")
    return int(features.shape[1])
