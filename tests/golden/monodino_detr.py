"""Golden adapter of MonoDETR and MonoDINO-DETR (systems ``monodetr``, ``monodino-detr``).

The first word of a check's name decides: ``forward`` runs the model, ``losses`` the criterion, ``decode`` and
``targets`` what surrounds it.
"""

from __future__ import annotations

from unittest import mock

import torch
from timm.layers import freeze_batch_norm_2d
from torch import Tensor, nn

from dense3d.checkpoints import convert
from dense3d.detection3d.monodino_detr import Camera, MonoDETR, MonoDINODETR, Predictions
from dense3d.detection3d.monodino_detr.detector import Features
from dense3d.layers import deformable_attention, map_position
from dense3d.ops import multi_scale_deformable_attention
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.kit import GoldenKit
from tests.golden.monodino_detr_parts import LOSSES, run_decode, run_losses, run_targets
from tests.golden.options import Options
from tests.golden.weights import load_strictly, tensors_of

OUTPUTS = dict(
    pred_logits="logits",
    pred_boxes="boxes",
    pred_3d_dim="sizes",
    pred_angle="headings",
    pred_depth="depths",
)
TAPS = {12: (2, 5, 8, 11), 24: (4, 11, 17, 23), 40: (9, 19, 29, 39)}  # depth of the ViT -> blocks


# Arguments that only have one value in what is built; the second is what the official code takes by itself.
ONLY = dict(
    masks=(False,),
    dilation=(False,),
    position_embedding=("sine", "v2"),
    mode=("LID",),
    with_box_refine=(True,),
    two_stage=(False,),
    two_stage_dino=(False,),
    use_dn=(False,),
    num_patterns=(0,),
    return_intermediate_dec=(True,),
)
# Of training: what it starts from, what it draws, how its losses are weighed.
NEUTRAL = (
    "train_backbone",
    "dropout",
    "init_box",
    "aux_loss",
    "scalar",
    "label_noise_scale",
    "box_noise_scale",
    "device",
)
SIZES = (
    "hidden_dim",
    "nheads",
    "num_feature_levels",
    "num_queries",
    "dim_feedforward",
    "enc_layers",
    "dec_layers",
    "depth_min",
    "depth_max",
)


def open_kit(kit: GoldenKit) -> Run:
    """A runner of the kit's checks; the model is built for the first check that needs it."""
    models: list[ModelChecks] = []
    options = kit.options
    for name, values in ONLY.items():
        options.only(name, *values)
    options.neutral(*NEUTRAL)
    losses = {name: options.take(name) for name in LOSSES if name in options}
    sizes = {name: options.take(name) for name in (*SIZES, "backbone") if name in options}
    stated = {name: options.take(name) for name in STATED if name in options}

    def forward(check: dict, inputs: Arrays) -> dict[str, Tensor]:
        if not models:
            models.append(ModelChecks(kit, sizes, Options(stated, kit.folder)))
        return models[0].run(tensors_of_inputs(inputs), training="train" in check["name"])

    rules = {
        "forward": forward,
        "losses": lambda check, inputs: run_losses(losses, tensors_of_inputs(inputs), check),
        "decode": lambda _check, inputs: run_decode(tensors_of_inputs(inputs)),
        "targets": lambda _check, inputs: run_targets(inputs),
    }

    def run(check: dict, inputs: Arrays) -> Arrays:
        kind = check["name"].replace(".", "_").split("_")[0]
        if kind not in rules:
            raise UnknownCheckError(f"there is no rule for the check {check['name']!r} of MonoDETR")
        return wanted(check, rules[kind](check, inputs))

    return run


# What the parameters tell too: the two have to agree.
STATED = (
    "num_classes",
    "use_dab",
    "enc_n_points",
    "dec_n_points",
    "num_depth_bins",
    "depth_predict_with_anything",
    "depth_predict_encoder",
)
ENCODERS = {384: "vits", 768: "vitb", 1024: "vitl", 1536: "vitg"}


def build_model(config: dict, state: dict[str, Tensor], stated: Options) -> MonoDETR:
    """The model that fits a kit's ``config``, converted parameters, and what is ``stated`` beside them."""
    anchors = "queries.anchors.weight" in state
    queries = state["queries.content.weight" if anchors else "queries.embedding.weight"]
    dim = config["hidden_dim"]
    samples = config["nheads"] * config["num_feature_levels"] * 2
    points = {
        part: len(state[f"{part}.sampling_offsets.bias"]) // samples
        for part in ("encoder.layers.0.self_attn", "decoder.layers.0.cross_attn")
    }
    settings = dict(
        num_classes=stated.agree("num_classes", len(state["heads.0.classes.bias"])),
        num_queries=config["num_queries"],
        num_groups=len(queries) // config["num_queries"],
        anchors=stated.agree("use_dab", anchors),
        embed_dims=dim,
        num_levels=config["num_feature_levels"],
        num_heads=config["nheads"],
        encoder_points=stated.agree("enc_n_points", points["encoder.layers.0.self_attn"]),
        decoder_points=stated.agree("dec_n_points", points["decoder.layers.0.cross_attn"]),
        feedforward_channels=config["dim_feedforward"],
        encoder_layers=config["enc_layers"],
        decoder_layers=config["dec_layers"],
        dropout=0.0,
    )
    predictor = dict(
        num_bins=stated.agree("num_depth_bins", len(state["depth_predictor.bin_values"]) - 1),
        depth_min=float(config["depth_min"]),
        depth_max=float(config["depth_max"]),
        feedforward_channels=len(state["depth_predictor.encoder.0.linear1.bias"]),
        num_layers=sum(n.startswith("depth_predictor.encoder.") and n.endswith("norm1.bias") for n in state),
        dropout=0.0,
    )
    with_dino = "depth_head.neck.weight" in state
    stated.agree("depth_predict_with_anything", with_dino)
    if not with_dino:
        return _monodetr(config, state, settings, predictor)
    width = state["backbone.cls_token"].shape[-1]
    if width in ENCODERS:  # others are narrowed ones, under whatever name
        stated.agree("depth_predict_encoder", ENCODERS[width])
        if config["backbone"] != ENCODERS[width]:
            raise stated.refusal(
                "backbone", config["backbone"], f"its parameters are those of {ENCODERS[width]}"
            )
    return _monodino(state, settings, predictor)


def _monodino(state: dict[str, Tensor], settings: dict, predictor: dict) -> MonoDINODETR:
    depth = sum(n.startswith("backbone.blocks.") and n.endswith("norm1.bias") for n in state)
    channels = state["backbone.cls_token"].shape[-1]
    gated = "backbone.blocks.0.mlp.w3.weight" in state
    taps = TAPS.get(depth) or tuple(depth * k // 4 - 1 for k in (1, 2, 3, 4))
    arch = dict(name="dinov2_vits14", embed_dim=channels, depth=depth, num_heads=channels // 64)
    size = round(state["backbone.pos_embed"].shape[1] ** 0.5) * 14
    hidden = [state[f"depth_head.projections.{i}.weight"].shape[0] for i in range(4)]
    return MonoDINODETR(
        backbone=dict(
            type="VisionTransformer",
            arch=dict(arch, pretrain_size=size, ffn="swiglu" if gated else "mlp"),
            out_indices=taps,
            frozen_stages=depth,
        ),
        depth_head=dict(
            type="DPTHead",
            in_channels=[channels] * 4,
            hidden_channels=hidden,
            channels=state["depth_head.neck.weight"].shape[1],
            frozen=True,
        ),
        neck=dict(
            type="HierarchicalFeatureFusion",
            in_channels=[channels] * 4,
            hidden_channels=[state[f"neck.levels.{i}.0.bias"].shape[0] for i in range(2)],
            out_channels=settings["embed_dims"],
        ),
        depth_predictor=dict(source=dict(type="RelativeDepthSource"), **predictor),
        **settings,
    )


def _monodetr(config: dict, state: dict[str, Tensor], settings: dict, predictor: dict) -> MonoDETR:
    lateral = sum(n.startswith("neck.convs.") and n.endswith("conv.weight") for n in state)
    return MonoDETR(
        backbone=dict(
            type="TimmBackbone",
            model_name=config["backbone"],
            out_strides=tuple(2 ** (6 - lateral + i) for i in range(lateral)),
            frozen_stages=1,
            freeze_norm=True,
        ),
        neck=dict(
            type="mmdet.ChannelMapper",
            in_channels=[state[f"neck.convs.{i}.conv.weight"].shape[1] for i in range(lateral)],
            kernel_size=1,
            out_channels=settings["embed_dims"],
            act_cfg=None,
            norm_cfg=dict(type="GN", num_groups=32),
            bias=True,
            num_outs=settings["num_levels"],
        ),
        depth_predictor=dict(source=dict(type="PyramidDepthSource"), **predictor),
        **settings,
    )


class ModelChecks:
    """One model, and what its parts gave in the latest run."""

    def __init__(self, kit: GoldenKit, sizes: dict, stated: Options) -> None:
        state = convert("monodino-detr", tensors_of(kit))
        self.model = load_strictly(build_model(sizes, state, stated), state, kit)
        _round_as_official(self.model)
        self.stages: dict[str, object] = {}
        parts = dict(backbone=self.model.backbone, decoder=self.model.decoder, encoder=self.model.encoder)
        for name, module in parts.items():
            module.register_forward_hook(self._keep(name))
        extract = self.model.extract
        self.model.extract = lambda inputs: self._keep("features")(None, None, extract(inputs))

    def _keep(self, name: str):
        def hook(_module: nn.Module | None, _inputs: tuple | None, output: object) -> object:
            self.stages[name] = output
            return output

        return hook

    @torch.no_grad()
    def run(self, tensors: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
        """Predictions of all layers and what lies on the way, of all groups of queries when training."""
        model = self.model.train(training)
        camera = Camera(tensors["calibs"][:, 0, 0], tensors["img_sizes"][:, 1].float())
        groups = model.num_groups if training else 1
        with mock.patch.object(deformable_attention, "multi_scale_deformable_attention", _by_grid_sample):
            layers, depth = model.predict_layers(tensors["images"], camera, groups)
        found = _predictions(layers) | self._encoded()
        hidden, boxes, initial = self.stages["decoder"]
        anchors = initial.shape[-1] == 6  # anchors are stored without a batch
        return found | {
            "depth_embed": _as_map(depth.tokens, depth.expected),
            "depth_embed_ip": _as_map(depth.position, depth.expected),
            "weighted_depth": depth.expected,
            "pred_depth_map_logits": depth.logits,
            "decoder_states": torch.stack(hidden),
            "inter_references": torch.stack(boxes),
            "inter_dims": torch.stack([layer.sizes for layer in layers]),
            "init_reference": initial[0] if anchors else initial,
        }

    def _encoded(self) -> dict[str, Tensor]:
        features: Features = self.stages["features"]
        maps, levels = self.stages["backbone"], features.levels
        found = {"memory": self.stages["encoder"][0]}
        found |= {f"feat{i}": feature for i, feature in enumerate(maps[-3:])}
        found |= {f"src{i}": level for i, level in enumerate(levels)}
        for i, level in enumerate(levels):
            shape, channels = level.shape[-2:], level.shape[1]
            found[f"pos{i}"] = map_position(shape, channels).t().reshape(1, channels, *shape)
        if features.relative_depth is not None:
            found["dpt_depth"] = features.relative_depth
        return found


def _round_as_official(model: MonoDETR) -> None:
    """Compute backbones in the steps of the official code.

    The kits' weights magnify a rounding error of the backbone a thousandfold on its way through depth map and
    decoder, which is more than their tolerance. With the same order of operations the depth map is equal to
    the last bit.
    """
    model.backbone = freeze_batch_norm_2d(model.backbone)
    for block in getattr(model.backbone, "blocks", ()):
        block.attn.attend = _attend_in_steps


def _attend_in_steps(query: Tensor, key: Tensor, value: Tensor, *_: object) -> Tensor:
    """Softmax attention of heads ``(B, M, N, d)`` without torch's fused kernel."""
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
    return scores.softmax(dim=-1) @ value


def _by_grid_sample(*inputs: object) -> Tensor:
    return multi_scale_deformable_attention(*inputs, backend="reference")


def _predictions(layers: list[Predictions]) -> dict[str, Tensor]:
    found = {}
    for index, layer in enumerate(layers):
        prefix = "" if index + 1 == len(layers) else f"aux{index}_"
        found |= {f"{prefix}{theirs}": getattr(layer, ours) for theirs, ours in OUTPUTS.items()}
    return found


def _as_map(tokens: Tensor, like: Tensor) -> Tensor:
    """``(B, h * w, C)`` as ``(B, C, h, w)``."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[-2:])
