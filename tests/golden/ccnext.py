"""Golden adapters of CCNeXt: the network and its losses (system ``ccnext``)."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dense3d.checkpoints import convert
from dense3d.ops.banded import band_mask
from dense3d.stereo.ccnext import (
    CCNeXt,
    SelfSupervisedStereoLoss,
    edge_aware_smoothness,
    photometric_error,
    scaled_inverse_depth,
    ssim_distance,
    window_reach,
)
from dense3d.stereo.ccnext.geometry import moved_coordinates
from dense3d.stereo.ccnext.losses import View
from tests.golden import UnknownCheckError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.weights import load_strictly, tensors_of

Inputs = dict[str, Tensor]
SIDES = ("left", "right")


def open_network(kit: GoldenKit) -> Run:
    """The checks of the network; sizes come from the parameters, the rest of the config has to agree."""
    official = tensors_of(kit)
    model = load_strictly(_build(kit, official), convert("ccnext", official), kit)
    checks = _Network(kit, model)
    rules = {
        "forward": checks.forward,
        "cross_attention": checks.cross_attention,
        "skip_block": checks.skip_block,
        "window_mask": checks.window_mask,
    }
    return by_name(rules)


def _build(kit: GoldenKit, official: Inputs) -> CCNeXt:
    options = kit.options
    options.neutral("height", "width", "batch", "device", "sizes")
    window = options.take("window_size", options.take("percentage", 0.26))
    stated = options.take("backbone", "convnext_pico")
    name = re.match(r"[\w.]+", stated)[0]
    if not name.startswith("convnext"):
        raise options.refusal("backbone", stated, "the official encoder is a ConvNeXt of timm")
    mixers = [v for n, v in official.items() if n.startswith("middle.")]
    dual = options.agree("dual", len(mixers) == 10)
    options.agree("reduced_decoder", not dual)
    branches = 1 + dual
    widths = {level: len(official[f"decoder.{3 + 2 * (4 - level)}.conv.conv.bias"]) for level in range(5)}
    features = [len(official[f"middle.{branches * level}.weight"]) for level in range(5)]
    scales = [level for level in range(5) if _has_head(official, widths[level])]
    if sorted(options.take("scales", scales)) != scales:
        raise options.refusal("scales", options.take("scales"), f"its parameters have heads of {scales}")
    entering = [*(widths[level + 1] for level in range(4)), features[4]]
    options.agree("num_ch_enc", entering)
    norm = options.agree("bn_layer", "ca_1.V.1.weight" in official)
    return CCNeXt(
        dict(type="TimmBackbone", model_name=name),
        encoder=dict(window_size=window, attention_norm=norm, stem="replaced"),
        decoder=dict(dual=dual, channels=[widths[level] for level in range(5)], scales=scales),
        normalised_focal=1.0,
    )


def _has_head(official: Inputs, width: int) -> bool:
    heads = [v for n, v in official.items() if re.fullmatch(r"decoder\.\d+\.conv\.weight", n)]
    return any(head.shape[1] == width for head in heads)


class _Network:
    def __init__(self, kit: GoldenKit, model: CCNeXt) -> None:
        self.kit, self.model = kit, model

    def forward(self, check: dict, inputs: Inputs) -> Inputs:
        model = self.model
        attentions = dict(enumerate(model.encoder.attentions, start=1))
        found: Inputs = {}
        hooks = [
            module.register_forward_hook(_keep_pair(found, f"ca_{n}")) for n, module in attentions.items()
        ]
        left, right = model.encoder(inputs["left"], inputs["right"])
        for hook in hooks:
            hook.remove()
        for branch, maps in enumerate(model.decoder(left, right)):
            suffix = ("", "_s")[branch]
            found |= {f"disp{suffix}{scale}": x for scale, x in maps.items()}
            mixers = model.decoder.branches[branch]
            found |= {f"mix{i}_branch{branch}": mixers.mix(i, left[i], right[i]) for i in range(5)}
        for side, features in zip(SIDES, (left, right)):
            found[f"stem_{side}"] = features[0]
            found |= {f"stage{i}_{side}": x for i, x in enumerate(features[1:])}
        return found

    def cross_attention(self, check: dict, inputs: Inputs) -> Inputs:
        number = int(_stated(self.kit, check, r"ca_(\d)"))
        first, second = self.model.encoder.attentions[number - 1](inputs["x1"], inputs["x2"])
        return {"z1": first, "z2": second}

    def skip_block(self, check: dict, inputs: Inputs) -> Inputs:
        index = int(_stated(self.kit, check, r"decoder\.(\d)"))
        block = self.model.decoder.skips[str(4 - index)]
        return {"z1": block(inputs["x1"]), "z2": block(inputs["x2"])}

    def window_mask(self, _check: dict, inputs: Inputs) -> Inputs:
        pairs = zip(inputs["width"].flatten().tolist(), inputs["fraction"].flatten().tolist())
        masks = [band_mask(int(w), window_reach(int(w), round(p, 6))) for w, p in pairs]
        return {f"mask{i}": mask.float() for i, mask in enumerate(masks)}


def _keep_pair(found: Inputs, name: str) -> Callable:
    def hook(_module: nn.Module, _inputs: tuple, outputs: tuple) -> None:
        found.update({f"{name}_{side}": x for side, x in zip(SIDES, outputs)})

    return hook


def _stated(kit: GoldenKit, check: dict, pattern: str) -> str:
    match = re.search(pattern, check.get("note", ""))
    if match is None:
        raise UnknownCheckError(f"no note of {kit.folder.name} says which module {check['name']!r} runs")
    return match[1]


def open_losses(kit: GoldenKit) -> Run:
    """The checks of what training computes; cameras come with the inputs, or else from the config."""
    return by_name({name: getattr(losses, name) for losses in [_Losses(kit)] for name in losses.checks})


class _Losses:
    checks = ("warp", "loss", "ssim", "smoothness", "disp_to_depth")

    def __init__(self, kit: GoldenKit) -> None:
        options = kit.options
        options.neutral("height", "width", "batch")  # the arrays have them
        self.options = options
        self.camera = options.take("K_normalised", (0.58, 1.92, 0.5, 0.5))
        self.baseline = options.take("baseline", 0.1)
        self.scales = options.take("scales", [0, 1, 2, 3])
        self.criterion = SelfSupervisedStereoLoss(
            options.take("min_depth", 0.1),
            options.take("max_depth", 100.0),
            options.take("smooth_weight", options.take("disparity_smoothness", 1e-3)),
            ssim_weight=0.0 if options.take("no_ssim", False) else 0.85,
            auto_mask=not options.take("disable_automasking", False),
            noise=0.0,
        )

    def warp(self, _check: dict, inputs: Inputs) -> Inputs:
        found: Inputs = {}
        for side, view in self._views(inputs).items():
            for scale in self.scales:
                depth = self.criterion.depth(view.sigmoids[scale], view.other.shape[-2:])
                found[f"depth_{side}_{scale}"] = depth
                found[f"pixel_coords_{side}_{scale}"] = torch.stack(
                    moved_coordinates(depth, view.shift, view.offset), -1
                )
                other = SIDES[1 - SIDES.index(side)]
                found[f"{side}_from_{other}_{scale}"] = self.criterion.painted(view, scale)
        return found

    def loss(self, _check: dict, inputs: Inputs) -> Inputs:
        views, criterion = self._views(inputs), self.criterion
        found = {f"loss_{scale}": torch.zeros(()) for scale in self.scales}
        for side, view in views.items():
            unmoved = criterion.unmoved_error(view)
            for scale in self.scales:
                photometric, _ = criterion.photometric_term(view, scale, unmoved)
                smooth = criterion.smoothness_term(view, scale)
                found[f"photometric_{side}_{scale}"], found[f"smooth_{side}_{scale}"] = photometric, smooth
                found[f"loss_{scale}"] += photometric + criterion.smooth_weight * smooth
                if unmoved is not None:
                    painted = criterion.painted(view, scale)
                    error = photometric_error(painted, view.images[0], criterion.ssim_weight)
                    found[f"use_warp_{side}_{scale}"] = (error < unmoved)[:, 0].float()
        terms = criterion(list(views.values()))
        return found | {"loss": sum(v for name, v in terms.items() if name.startswith("loss"))}

    def _views(self, inputs: Inputs) -> dict[str, View]:
        size = inputs["left_0"].shape[-2:]
        shift = self._shift(inputs, size)
        views = {}
        for sign, side, letter, other in ((1, "left", "disp", "right"), (-1, "right", "disp_s", "left")):
            sigmoids = {s: inputs[f"{letter}_{s}"] for s in self.scales}
            images = {s: inputs[f"{side}_{s}"] for s in sorted({0, *self.scales})}
            views[side] = View(sigmoids, images, inputs[f"{other}_0"], sign * shift)
        return views

    def _shift(self, inputs: Inputs, size: tuple[int, int]) -> Tensor:
        """Focal length times translation along x; what else the cameras have must leave rows as they are."""
        if "K" not in inputs:
            return torch.tensor([-self.camera[0] * size[1] * self.baseline])
        camera, pose = inputs["K"], inputs["stereo_T"]
        moved = pose.clone()
        moved[:, 0, 3] = 0
        unit = torch.eye(4).expand_as(moved)
        product = camera @ inputs.get("inv_K", torch.linalg.inv(camera))
        if not (torch.allclose(moved, unit) and torch.allclose(product, unit, atol=1e-3)):
            raise self.options.refusal("K_normalised", self.camera, "the cameras are not a rectified pair")
        return camera[:, 0, 0] * pose[:, 0, 3]

    def ssim(self, _check: dict, inputs: Inputs) -> Inputs:
        x, y = inputs["x"], inputs["y"]
        return {"ssim": ssim_distance(x, y), "reprojection": photometric_error(x, y)}

    def smoothness(self, _check: dict, inputs: Inputs) -> Inputs:
        return {"raw": edge_aware_smoothness(inputs["disp"], inputs["image"])}

    def disp_to_depth(self, check: dict, inputs: Inputs) -> Inputs:
        found = {}
        for name in check["outputs"]:
            kind, *limits = name.split("_")
            scaled = scaled_inverse_depth(inputs["disp"], *(float(x.replace("p", ".")) for x in limits))
            found[name] = scaled if kind == "scaled" else 1 / scaled
        return found
