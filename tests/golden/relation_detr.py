"""Golden adapter of Relation-DETR and DINO++ (system ``relation-detr``): whole models and decoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
from mmengine.model import stack_batch
from torch import Tensor
from torchvision.ops import box_convert

from dense3d.checkpoints import convert
from dense3d.checkpoints.focalnet import convert as convert_focalnet
from dense3d.detection2d.relation_detr import RelationDecoder, RelationDETR, top_detections
from dense3d.layers import BoxTargets, PositionRelation
from tests.golden import UnknownCheckError, focalnet, swin
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.detectron2 import RESNETS
from tests.golden.evaluation_resize import evaluation_resize
from tests.golden.options import Options
from tests.golden.relation_detr_parts import normalise
from tests.golden.weights import kept_numbers, load_strictly, normalised, tensors_of, waves

RELATION = "position_relation_embedding."
DECODER = ("num_layers", "num_classes", "embed_dim", "n_heads", "n_levels", "n_points", "d_ffn")


class LayerRecord:
    """Inputs and outputs of the decoder's layers in the latest pass, by the kits' names."""

    def __init__(self, decoder: RelationDecoder) -> None:
        self.tensors: dict[str, Tensor] = {}
        for index, layer in enumerate(decoder.layers):
            layer.register_forward_hook(self._keep(index))

    def _keep(self, index: int) -> Callable:
        def hook(_layer, inputs: tuple, output: Tensor) -> None:
            _, position, bias = inputs[:3]
            self.tensors[f"layer{index}"] = output.detach()
            self.tensors[f"query_pos{index}"] = position.detach()
            if bias is not None and bias.ndim == 4:
                flat = bias.detach().flatten(0, 1)  # (B * heads, Q, Q)
                self.tensors[f"attention_bias{index}"] = flat.masked_fill(flat.isneginf(), -1e4)

        return hook


def build_decoder(options: Options, official: dict[str, Tensor]) -> RelationDecoder:
    """The decoder of a kit; its parameters tell whether it has a relation and a scale of positions."""
    config = {name: options.take(name) for name in DECODER}
    options.neutral("dropout", "return_intermediate")
    options.only("activation", "relu")
    relation = None
    if f"{RELATION}pos_proj.0.weight" in official:
        heads, channels = official[f"{RELATION}pos_proj.0.weight"].shape[:2]
        relation = PositionRelation(channels // 4, heads)
    decoder = RelationDecoder(
        config["num_layers"],
        config["num_classes"],
        query_scale=any(name.startswith("query_scale.") for name in official),
        embed_dims=config["embed_dim"],
        num_heads=config["n_heads"],
        num_levels=config["n_levels"],
        num_points=config["n_points"],
        feedforward_channels=config["d_ffn"],
    )
    decoder.relation = relation
    return decoder


def open_decoder(kit) -> Run:
    """Build the decoder of the kit's ``config`` and load its weights."""
    official = tensors_of(kit)
    decoder = build_decoder(kit.options, official)
    ours = {name: name.replace(RELATION, "relation.") for name in official}
    load_strictly(decoder, {ours[name]: tensor for name, tensor in official.items()}, kit)
    record = LayerRecord(decoder)
    parameters = dict(decoder.named_parameters())

    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = tensors_of_inputs(inputs)
        leaves = [tensors[n].requires_grad_() for n in ("query", "memory", "reference_points")]
        with_relation = not check["name"].startswith("skip_relation")
        classes, boxes = _decode(decoder, tensors, with_relation)
        found = {"classes": classes, "boxes": boxes} | record.tensors
        if any(name.startswith("grad") for name in check["outputs"]):
            objective = 10 * waves(classes, 0.37) + 10 * waves(boxes, 0.71, torch.sin)
            leaves += [parameters[ours[name]] for name in official]
            gradients = torch.autograd.grad(objective, leaves, allow_unused=True)
            names = ("grad_query", "grad_memory", "grad_reference_points")
            found |= dict(zip(names, gradients))
            found |= normalised(dict(zip(official, gradients[3:])), kept_numbers(kit, check))
        return wanted(check, found)

    return run


def _decode(
    decoder: RelationDecoder, tensors: dict[str, Tensor], with_relation: bool
) -> tuple[Tensor, Tensor]:
    return decoder(
        tensors["query"],
        tensors["reference_points"],
        decoder.project_values(tensors["memory"], tensors.get("padding_mask")),
        [tuple(shape) for shape in tensors["spatial_shapes"].tolist()],
        tensors["valid_ratios"],
        tensors.get("attn_mask"),
        with_relation,
    )


LATER_PARTS = ("decoder.relation.", "decoder.query_scale.")


def open_model(kit) -> Run:
    """Build the kit's model and load its weights."""
    official = tensors_of(kit)
    state = convert("relation-detr", official)
    if kit.options.take("dec") == 1:  # RelationDETR refuses to have what acts from the second layer on
        state = {n: t for n, t in state.items() if not n.startswith(LATER_PARTS)}
    backbone = {n.removeprefix("backbone."): t for n, t in official.items() if n.startswith("backbone.")}
    if any("focal_layers" in name for name in backbone):
        post_norm = focalnet.norms_after(kit.options.take("backbone"), kit.options)
        state = {n: t for n, t in state.items() if not n.startswith("backbone.")}
        state |= {f"backbone.{n}": t for n, t in convert_focalnet(backbone, post_norm).items()}
    limits = kit.options.take("min_size", None), kit.options.take("max_size", None)
    model = load_strictly(build_model(kit.options, state, backbone), state, kit)
    # Official names of our parameters: conversion hands every tensor on as it is.
    official_names = {id(tensor): name for name, tensor in official.items()}
    names = {ours: official_names.get(id(tensor)) for ours, tensor in state.items()}
    return _Checks(model, kit, names, limits).run


def build_model(options: Options, state: dict[str, Tensor], backbone: dict[str, Tensor]) -> RelationDETR:
    """The model that fits a kit's options and its converted parameters, and official ones of its backbone."""
    lateral = sum(name.startswith("neck.convs.") and name.endswith("conv.weight") for name in state)
    channels = [state[f"neck.convs.{i}.conv.weight"].shape[1] for i in range(lateral)]
    dim, levels, heads = (options.take(name) for name in ("dim", "levels", "heads"))
    offsets = state["decoder.layers.0.cross_attn.sampling_offsets.bias"]  # heads, levels, points, x and y
    relation = None
    if "decoder.relation.pos_proj.0.weight" in state:
        features = state["decoder.relation.pos_proj.0.weight"].shape[1]
        relation = dict(type="PositionRelation", embed_dims=features // 4, num_heads=heads)
    hybrid, assign = options.take("hybrid", None), options.take("hybrid_assign", 6)
    denoising = options.take("dn", 100)
    return RelationDETR(
        backbone=_backbone_config(options, backbone, range(4 - lateral, 4)),
        neck=dict(
            type="mmdet.ChannelMapper",
            in_channels=channels,
            kernel_size=1,
            out_channels=dim,
            act_cfg=None,
            norm_cfg=dict(type="GN", num_groups=32),
            num_outs=levels,
        ),
        num_classes=options.take("num_classes"),
        num_queries=options.take("num_queries"),
        embed_dims=dim,
        num_levels=levels,
        num_heads=heads,
        num_points=options.agree("n_points", len(offsets) // (2 * heads * levels)),
        feedforward_channels=options.take("ffn"),
        encoder_layers=options.take("enc"),
        decoder_layers=options.take("dec"),
        memory_fusion="encoder.memory_fusion.0.weight" in state,
        query_scale="decoder.query_scale.layers.0.weight" in state,
        relation=relation,
        hybrid=dict(num_queries=hybrid, assign=assign) if hybrid else None,
        denoising=dict(num_queries=denoising) if "denoising.label_encoder.weight" in state else None,
        criterion=dict(class_loss="varifocal" if hybrid else "focal"),
        positional_encoding=dict(
            type="mmdet.SinePositionalEncoding", num_feats=dim // 2, normalize=True, offset=-0.5, eps=1e-6
        ),
        test_cfg=dict(max_per_img=options.take("select", 300)),
    )


def _backbone_config(options: Options, official: dict[str, Tensor], stages: Sequence[int]) -> dict:
    """The backbone that fits the options and its official parameters; stage k has the stride ``4 * 2**k``."""
    name = options.take("backbone")
    if name.startswith("swin"):
        return swin.arguments(name, options, official) | dict(
            type="Swin", out_indices=stages, frozen_stages=1
        )
    if name.startswith("focalnet"):
        return dict(type="FocalNet", arch=focalnet.sizes(name, options, official), out_indices=stages)
    if name not in RESNETS.values():
        raise options.refusal(
            "backbone", name, f"supported are focalnet_*, swin_*, {', '.join(RESNETS.values())}"
        )
    options.neutral("freeze_indices", "weights")
    strides = tuple(4 * 2**stage for stage in stages)
    fixed = dict(frozen_stages=1, freeze_norm=True)
    return dict(type="TimmBackbone", model_name=name, out_strides=strides, **fixed)


class _Checks:
    """Checks of one model; ``names`` are the official names of its parameters."""

    def __init__(
        self, model: RelationDETR, kit, names: dict[str, str | None], limits: tuple[int | None, int | None]
    ) -> None:
        self.model, self.kit, self.names, self.limits = model, kit, names, limits
        self.layers = LayerRecord(model.decoder)
        self.stages: dict[str, object] = {}
        modules = dict(backbone=model.backbone, neck=model.neck, encoder=model.encoder)
        self.encoder_layers = {f"encoder_layer{i}": layer for i, layer in enumerate(model.encoder.layers)}
        for name, module in (modules | self.encoder_layers).items():
            module.register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Callable:
        def hook(_module, inputs: tuple, output: object) -> None:
            self.stages[name] = SimpleNamespace(inputs=inputs, output=output)

        return hook

    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Outputs of one check.

        Raises:
            UnknownCheckError: its inputs hold no image.
        """
        tensors = tensors_of_inputs(inputs)
        if "image0" not in tensors:
            raise UnknownCheckError(f"there is no rule for the check {check['name']!r} of Relation-DETR")
        found = self._train(check, tensors) if "boxes0" in tensors else self._predict(check, tensors)
        return wanted(check, found)

    @torch.no_grad()
    def _predict(self, check: dict, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        self.model.eval()
        originals = _images(tensors)
        images = originals
        if self.limits[0]:
            images = [evaluation_resize(image, *self.limits) for image in images]
        pixels, samples = _batch([normalise(image) for image in images])
        logits, boxes = self.model.predict_layers(pixels, samples)
        scene = self.model.encode(pixels, samples)
        selection = self.model.select(self.model.query_head, scene)
        scores, labels, corners = top_detections(logits[-1], boxes[-1], self.model.test_cfg["max_per_img"])
        sizes = torch.tensor([image.shape[:0:-1] for image in originals])  # (B, 2) as (w, h)
        return {
            "pixels": pixels,
            "topk_index": selection.index,
            "topk_boxes": selection.boxes,
            "topk_logits": selection.logits,
            "layer_logits": logits,
            "layer_boxes": boxes,
            "scores": scores,
            "labels_top": labels[:, :10],
            "boxes_top": corners[:, :10] * sizes.repeat(1, 2)[:, None],
            **self.layers.tensors,
            **self._encoded(check, scene),
        }

    def _encoded(self, check: dict, scene) -> dict[str, Tensor]:
        """Stages up to the scores of the proposals, padded tokens zero."""
        _, position, references, shapes, padding = self.stages["encoder"].inputs
        shown = torch.zeros(scene.memory.shape[:2], dtype=torch.bool) if padding is None else padding
        valid = ((scene.proposals > 0.01) & (scene.proposals < 0.99)).all(-1) & ~shown
        head = self.model.query_head
        maps = sorted(name for name in check["outputs"] if name.startswith("backbone_"))
        return {
            **dict(zip(maps, self.stages["backbone"].output)),
            **{f"neck{i}": feature for i, feature in enumerate(self.stages["neck"].output)},
            "padding_mask": shown,
            "spatial_shapes": torch.tensor(shapes),
            "valid_ratios": scene.valid_ratios,
            "pos_embed": position,
            "encoder_reference_points": references,
            **{n: self.stages[n].output.masked_fill(shown[..., None], 0) for n in self.encoder_layers},
            "memory": scene.memory.masked_fill(shown[..., None], 0),
            "proposal_score": self.model.selection.proposal_scores(head, scene.memory, valid),
        }

    def _train(self, check: dict, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        model = self.model.train()
        images = _images(tensors)
        pixels, samples = _batch(images)
        labels = [tensors[f"labels{i}"] for i in range(len(images))]
        boxes = [_relative(tensors[f"boxes{i}"], image) for i, image in enumerate(images)]
        if "noised_labels" in tensors:
            noised = tensors["noised_labels"], tensors["noised_boxes"]
            model.denoising.noised = lambda *_: noised
        scene = model.encode(pixels, samples)
        values = model.decoder.project_values(scene.memory, scene.padding_mask)
        main, denoising, hybrid = model.train_branches(scene, values, labels, boxes)
        losses = model.losses(main, denoising, hybrid, BoxTargets.of(labels, boxes))
        total = sum(losses.values())
        found = {f"loss.{name}": loss for name, loss in losses.items()} | {"loss_sum": total}
        found |= {"decoder_classes": main[1], "decoder_boxes": main[2]}
        if denoising is not None:
            found["attn_mask"] = denoising.attn_mask(main[0].content.shape[1])
        if hybrid is not None:
            found |= {"hybrid_classes": hybrid[1], "hybrid_boxes": hybrid[2]}
            found["hybrid_reference_points"] = hybrid[0].boxes
        if any(name.startswith("grad") for name in check["outputs"]):
            found |= self._gradients(total, check)
        return found

    def _gradients(self, total: Tensor, check: dict) -> dict[str, Tensor]:
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        named = {self.names[ours]: gradient for ours, gradient in zip(trained, gradients)}
        norms = [gradient.norm() for gradient in gradients if gradient is not None]
        found = normalised(named, kept_numbers(self.kit, check))
        return found | {"grad_norm": torch.stack(norms).norm()}


def _images(tensors: dict[str, Tensor]) -> list[Tensor]:
    return [tensors[f"image{i}"] for i in range(sum(name.startswith("image") for name in tensors))]


def _batch(images: list[Tensor]) -> tuple[Tensor, list[SimpleNamespace]]:
    """Normalised images, zero-padded to one size divisible by 32, and samples that know their sizes."""
    samples = [SimpleNamespace(img_shape=tuple(image.shape[-2:])) for image in images]
    return stack_batch(images, pad_size_divisor=32), samples


def _relative(boxes: Tensor, image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    return box_convert(boxes, "xyxy", "cxcywh") / boxes.new_tensor([width, height, width, height])
