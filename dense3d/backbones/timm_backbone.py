"""Every timm network with feature maps, behind one backbone contract.

timm (https://github.com/huggingface/pytorch-image-models) is the best-kept collection of image
backbones, but its families differ in what sizes they accept, how they round odd sizes and whether
channels come first. ``TimmBackbone`` asks the network itself: it runs it once on fake tensors
(shapes without arithmetic), keeps it as it is when it already rounds up, and pads inside otherwise.
"""

from __future__ import annotations

import logging
import math
from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dense3d.backbones.timm_depths import Depths, timm_depths
from dense3d.errors import CheckpointError, ConfigError, DataError, MissingDependencyError, did_you_mean
from dense3d.optional import require
from dense3d.registry import MODELS

# Ways in which timm families are told to accept any input size, tried in this order.
_ANY_SIZE = (
    {"dynamic_img_size": True},
    {"strict_img_size": False, "img_size": 224},
    {"strict_img_size": False},
    {},
)
# Padded sizes are multiples of stride x one of these (windows of 7 or 8 cells, merged pairs).
_WINDOW_FACTORS = (1, 2, 7, 8, 14)


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A timm network as a dense backbone.

    Args:
        model_name: timm's name, for instance ``"resnet50"`` or ``"convnext_tiny"``.
        out_strides: strides of the wanted maps; of several maps of one stride the last is taken.
            Default: every stride from 4 on.
        out_indices: timm's own feature indices instead of ``out_strides``.
        pretrained: load timm's released weights (downloads them).
        frozen_stages: -1 freezes nothing, 0 everything before the stride-4 map, k everything that
            feeds the map of stride ``2 ** (k + 1)``, that map's stage included; frozen parts stay in
            evaluation mode, hence without drop path.
        freeze_norm: keep batch norms fixed, statistics and affine parameters, as the DETR family does.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        channels_last: run in the memory format NHWC, which serves convolutional networks in mixed precision.
        model_kwargs: further arguments of the timm network, for instance ``drop_path_rate``.
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads a
            local file in timm's (or, for ResNets, torchvision's) layout.

    Attributes:
        out_channels: channels of each map.
        out_strides: stride of each map.

    Shape:
        images ``(B, in_chans, H, W)``, 3 channels unless ``model_kwargs`` says otherwise, with any
        H, W >= 32, normalised RGB (zero is the mean colour)
        -> tuple of ``(B, out_channels[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown model, stride or index, or a network bound to one input size.
        MissingDependencyError: the installed timm is too old for this network.

    Example:
        >>> backbone = TimmBackbone("resnet18", out_strides=(8, 16, 32))
        >>> backbone.out_channels
        (128, 256, 512)
        >>> [tuple(f.shape) for f in backbone(torch.zeros(1, 3, 65, 97))]
        [(1, 128, 9, 13), (1, 256, 5, 7), (1, 512, 3, 4)]
    """

    tiny_variants: ClassVar[dict[str, dict]] = {
        "ResNet": dict(
            model_name="resnet18", out_strides=(4, 8, 16, 32), model_kwargs=dict(channels=(16, 24, 32, 48))
        ),
        "MobileNet V3": dict(model_name="mobilenetv3_small_050", out_strides=(4, 8, 16, 32)),
    }

    def __init__(
        self,
        model_name: str,
        out_strides: tuple[int, ...] | None = None,
        out_indices: tuple[int, ...] | None = None,
        pretrained: bool = False,
        frozen_stages: int = -1,
        freeze_norm: bool = False,
        with_cp: bool = False,
        channels_last: bool = False,
        model_kwargs: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.model_name, self.pretrained = model_name, pretrained
        self._model_kwargs = dict(model_kwargs or {})
        self.in_channels = self._model_kwargs.get("in_chans", 3)
        self.freeze_norm = freeze_norm
        self.frozen_stages = frozen_stages
        self.body = _create(model_name, pretrained, model_kwargs or {})
        info = self.body.feature_info
        strides, channels = tuple(info.reduction()), tuple(info.channels())
        self._indices = _choose(model_name, strides, out_strides, out_indices)
        self.out_channels: tuple[int, ...] = tuple(channels[i] for i in self._indices)
        self.out_strides: tuple[int, ...] = tuple(strides[i] for i in self._indices)
        device = next(self.body.parameters()).device.type
        known = (model_name, device, repr(self._model_kwargs), repr(self.body))
        if known not in _KNOWN:
            _KNOWN[known] = _probe(self.body, model_name, strides, channels, self.in_channels)
        self._divisor, self._channels_last_output = _KNOWN[known]
        self._channels_last = channels_last
        if channels_last:
            self.body.to(memory_format=torch.channels_last)
        if with_cp:
            _enable_checkpointing(self.body, model_name)
        if freeze_norm:
            for norm in _batch_norms(self.body):
                norm.requires_grad_(False)
        if frozen_stages >= 0:
            self._freeze(strides)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` to the tuple of feature maps described in the class.

        Raises:
            DataError: the batch has another number of axes or channels, or no pixels.
        """
        self._check(images)
        height, width = images.shape[-2:]
        images = self._padded(images)
        features = self.body(images)
        maps = []
        for index, stride in zip(self._indices, self.out_strides):
            feature = features[index]
            if self._channels_last_output:
                feature = feature.permute(0, 3, 1, 2)
            maps.append(feature[..., : math.ceil(height / stride), : math.ceil(width / stride)])
        return tuple(maps)

    def _check(self, images: Tensor) -> None:
        channels = self.in_channels
        if images.dim() != 4 or images.shape[1] != channels or 0 in images.shape[-2:]:
            raise DataError(
                f"TimmBackbone takes images of shape (B, {channels}, H, W), "
                f"but this batch is {tuple(images.shape)}: set model_kwargs.in_chans, or convert the images"
            )

    def _padded(self, images: Tensor) -> Tensor:
        """The images with zeros right and below up to what the network divides, in its memory format."""
        height, width = images.shape[-2:]
        pad_y, pad_x = -height % self._divisor, -width % self._divisor
        if pad_y or pad_x:
            images = F.pad(images, (0, pad_x, 0, pad_y))
        return images.contiguous(memory_format=torch.channels_last) if self._channels_last else images

    def class_head(self, num_classes: int) -> nn.Module:
        """timm's classifier; the network becomes the whole one that :meth:`embed` runs, and gives no maps.

        Raises:
            ConfigError: the network ends in something else than one linear layer.
        """
        whole = whole_network(self.model_name, num_classes, self.pretrained, self._model_kwargs)
        frozen = {name for name, p in self.body.named_parameters() if not p.requires_grad}
        head = whole.get_classifier()
        if not isinstance(head, nn.Linear):
            raise ConfigError(
                f"timm's {self.model_name} classifies by a {type(head).__name__}: use head='linear'"
            )
        whole.reset_classifier(0)
        for name, parameter in whole.named_parameters():
            spellings = (name, name.replace(".", "_", 1), f"model.{name}")
            parameter.requires_grad_(not any(spelling in frozen for spelling in spellings))
        if any(getattr(m, "grad_checkpointing", False) for m in self.body.modules()):
            _enable_checkpointing(whole, self.model_name)
        self.body = whole.to(memory_format=torch.channels_last) if self._channels_last else whole
        return head

    def embed(self, images: Tensor) -> Tensor:
        """What timm hands to its classifier: pooled features ``(B, F)``; after :meth:`class_head`."""
        self._check(images)
        images = self._padded(images)
        return self.body.forward_head(self.body.forward_features(images), pre_logits=True)

    def train(self, mode: bool = True) -> TimmBackbone:
        """Training mode, except for frozen stages, without drop path, and batch norms that are frozen."""
        super().train(mode)
        for module in _frozen_modules(self.body) if self.frozen_stages >= 0 else ():
            module.eval()
        for norm in _batch_norms(self.body):
            frozen = norm.affine and not any(p.requires_grad for p in norm.parameters())
            if frozen:
                norm.eval()
        return self

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; timm has initialised everything else at construction."""
        if not self.init_cfg or self.init_cfg.get("type") != "Pretrained":
            return
        from dense3d.engine.checkpoint import load_checkpoint, load_into

        path = self.init_cfg["checkpoint"]
        load_into(self.body, self.part_of(load_checkpoint(path)), source=str(path))

    def part_of(self, loaded: dict) -> dict[str, Tensor]:
        """What of a checkpoint of timm or torchvision is this network's; a classifier stays out."""
        return _backbone_part(loaded, set(self.body.state_dict()))

    def layer_ids(self) -> dict[str, int]:
        """Depth of every parameter by timm's grouping, for layer-wise decay of the learning rate.

        Raises:
            ConfigError: the family does not group its parameters.
        """
        return {f"body.{name}": depth for name, depth in self._depths.ids.items()}

    @property
    def num_layers(self) -> int:
        """Depth of the last block by :meth:`layer_ids`; the head counts one more."""
        return self._depths.num_layers

    def no_weight_decay(self) -> set[str]:
        """Parameters that timm keeps from weight decay beside vectors and biases."""
        return {f"body.{name}" for name in self._depths.undecayed}

    @cached_property
    def _depths(self) -> Depths:
        return timm_depths(self.model_name, self._model_kwargs, [n for n, _ in self.body.named_parameters()])

    def _freeze(self, strides: tuple[int, ...]) -> None:
        """Freeze every parameter that the chosen map depends on, found by differentiating it."""
        if self.frozen_stages == 0:
            target = next(i for i, s in enumerate(strides) if s >= 4)
            targets = [target - 1] if target > 0 else []
        else:
            wanted = 2 ** (self.frozen_stages + 1)
            targets = [i for i, s in enumerate(strides) if s <= wanted]
            if not targets:
                raise ConfigError(
                    f"frozen_stages={self.frozen_stages} means maps up to stride {wanted}, but "
                    f"{self.model_name} has the strides {strides}"
                )
        named = {id(p): p for p in self.body.parameters() if p.requires_grad}
        side = max(self._divisor, 2 * max(strides))
        training = self.body.training
        self.body.eval()
        features = self.body(torch.zeros(1, self.in_channels, side, side))
        for index in targets:
            params = [p for p in named.values() if p.requires_grad]
            grads = torch.autograd.grad(features[index].sum(), params, allow_unused=True, retain_graph=True)
            for parameter, grad in zip(params, grads):
                if grad is not None:
                    parameter.requires_grad_(False)
        self.body.train(training)


def _backbone_part(loaded: dict, names: set[str]) -> dict[str, Tensor]:
    """The tensors of a classification checkpoint that belong to the feature maps; its head stays out."""
    for key in ("state_dict", "model"):
        loaded = loaded[key] if isinstance(loaded.get(key), dict) else loaded
    for prefix in ("module.", "backbone.body.", "backbone."):
        if any(name.startswith(prefix) for name in loaded):
            loaded = {n.removeprefix(prefix): v for n, v in loaded.items() if n.startswith(prefix)}
    heads = ("fc.", "head.", "classifier.", "norm.", "head_norm.", "conv_head.")
    part = {}
    for name, value in loaded.items():
        # timm renames what it flattens ("stages.0" to "stages_0") and nests what it wraps.
        spellings = (name, name.replace(".", "_", 1), f"model.{name}")
        here = next((s for s in spellings if s in names), None)
        if here is not None or not name.startswith(heads):
            part[here or name] = value
    return part


def _batch_norms(body: nn.Module) -> list[_BatchNorm]:
    return [module for module in body.modules() if isinstance(module, _BatchNorm)]


def _frozen_modules(body: nn.Module) -> list[nn.Module]:
    """Modules none of whose parameters is trained: whole blocks, with the drop path inside."""
    modules = []
    for module in body.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            modules.append(module)
    return modules


def whole_network(model_name: str, num_classes: int, pretrained: bool, model_kwargs: dict) -> nn.Module:
    """timm's network with its classifier, for images of any size as far as the family has a way."""
    return _create(model_name, pretrained, {**model_kwargs, "num_classes": num_classes}, features_only=False)


def _create(model_name: str, pretrained: bool, model_kwargs: dict, features_only: bool = True) -> nn.Module:
    timm = require("timm", "TimmBackbone")
    base_name = model_name.split(".")[0]
    if not timm.is_model(base_name):
        nearest = did_you_mean(base_name, timm.list_models())
        raise ConfigError(f"timm {timm.__version__} has no model {model_name!r}{nearest}")
    for any_size in _ANY_SIZE:
        try:
            only = {"features_only": True} if features_only else {}
            return timm.create_model(model_name, pretrained=pretrained, **only, **any_size, **model_kwargs)
        except TypeError as error:
            # An unexpected size argument: this family has another way, or accepts any size already.
            if not any(key in str(error) for key in any_size):
                raise
        except RuntimeError as error:
            if "features_only" not in str(error):
                raise
            raise MissingDependencyError(
                f"timm {timm.__version__} gives no feature maps for {model_name!r}; "
                "newer ones may: pip install 'timm>=1.0'"
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"the weights of {model_name!r} could not be downloaded ({type(error).__name__}): train "
                "without them (model.backbone.pretrained=False), or name a local file "
                "(model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=PATH)"
            ) from error
    raise AssertionError("the last way passes no size argument")


def _choose(
    name: str,
    strides: tuple[int, ...],
    out_strides: tuple[int, ...] | None,
    out_indices: tuple[int, ...] | None,
) -> tuple[int, ...]:
    if out_indices is not None:
        if out_strides is not None:
            raise ConfigError("give out_strides or out_indices, not both")
        bad = [i for i in out_indices if not 0 <= i < len(strides)]
        if bad:
            raise ConfigError(f"out_indices {bad} of {name}: it has the maps 0..{len(strides) - 1}")
        return tuple(out_indices)
    last = {stride: index for index, stride in enumerate(strides)}
    if out_strides is None:
        return tuple(i for s, i in last.items() if s >= 4)
    missing = [s for s in out_strides if s not in last]
    if missing:
        raise ConfigError(f"out_strides {missing} of {name}: it has maps of stride {sorted(last)}")
    return tuple(last[s] for s in out_strides)


# What _probe found, by name, device, settings and layers: it runs the network on shapes, for a second.
_KNOWN: dict[tuple[str, ...], tuple[int, bool]] = {}


def _probe(
    body: nn.Module, name: str, strides: tuple[int, ...], channels: tuple[int, ...], in_channels: int
) -> tuple[int, bool]:
    """The padding divisor (1: the network rounds odd sizes up itself) and whether channels come last."""
    outcomes = {}
    stride = max(strides)
    odd = _fake_shapes(body, (1, in_channels, 2 * stride + 1, 3 * stride + 1))
    if not isinstance(odd, Exception):
        expected = [(math.ceil((2 * stride + 1) / s), math.ceil((3 * stride + 1) / s)) for s in strides]
        if [shape[-2:] for shape in odd] == expected:
            return 1, False
    for factor in _WINDOW_FACTORS:
        divisor = stride * factor
        shapes = _fake_shapes(body, (1, in_channels, divisor, 2 * divisor))
        if isinstance(shapes, Exception):
            outcomes[divisor] = shapes
            continue
        for channels_last in (False, True):
            order = [(s[3], s[1], s[2]) if channels_last else s[1:] for s in shapes]
            if order == [(c, divisor // s, 2 * divisor // s) for s, c in zip(strides, channels)]:
                return divisor, channels_last
    reason = str(next(iter(outcomes.values()), "its maps do not have the strides it announces"))
    raise ConfigError(
        f"timm's {name} cannot be a dense backbone, it is bound to one input size: {reason.splitlines()[0]}"
    )


def _fake_shapes(body: nn.Module, images: tuple[int, ...]) -> list[tuple[int, ...]] | Exception:
    """Output shapes for images of one shape, computed without arithmetic; the error where it has one."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    training = body.training
    body.eval()
    log = logging.getLogger("torch._subclasses.fake_tensor")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a size that does not fit is an answer here, not an accident
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            return [tuple(f.shape) for f in body(torch.zeros(images))]
    except Exception as error:  # whatever the network raises is the answer: not this size
        return error
    finally:
        log.setLevel(level)
        body.train(training)


def _enable_checkpointing(body: nn.Module, name: str) -> None:
    network = getattr(body, "model", body)
    switch = getattr(network, "set_grad_checkpointing", None)
    if switch is None:
        raise ConfigError(f"timm's {name} cannot recompute activations: leave with_cp=False")
    switch(True)
