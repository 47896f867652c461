"""Golden adapter of PiMAE (system ``pimae``), the first stage of Gaussian2Scene."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.pretraining import Gaussian2SceneStage1
from dense3d.pretraining.gaussian2scene.encoders import chosen
from dense3d.pretraining.gaussian2scene.masking import mask_of_order
from dense3d.pretraining.gaussian2scene.stage1 import SceneMask
from dense3d.pretraining.gaussian2scene.views import PIMAE_SIZE, SceneViews, project_points
from tests.golden.checks import Run, by_name, first_inputs, tensors_of_inputs
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import load_kit

# x to the right, y into the room, z up, as in the files of SUN RGB-D, to the axes of a camera
UPRIGHT = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
MASKS = {0: "random", 1: "uniform"}  # of hp_overlap_ratio; 0 is called complement and draws at random


def open_kit(kit: GoldenKit) -> Run:
    """Build the model of the kit's config and load its weights."""
    model = load_kit(_build(kit), kit, "pimae")
    first = tensors_of_inputs(first_inputs(kit))

    def scene(inputs: dict[str, Tensor]) -> tuple[Tensor, SceneViews, SceneMask]:
        inputs = inputs or first
        points = inputs["points"]
        views = _views(inputs)
        groups = inputs["pc_mask"].bool()
        if model.image_mask == "random":
            order = inputs["img_ids_shuffle"]
        else:
            hidden = chosen(model.group(points).centres, groups)
            order = model.draw_order(hidden, views, noise=inputs["noise"])
        return points, views, SceneMask(groups, mask_of_order(order, model.image_mask_ratio))

    def reconstructed(inputs: dict[str, Tensor]):
        points, views, mask = scene(inputs)
        order = mask.patches.restore.argsort(dim=1)
        return views, model.reconstruct(points, views, groups=mask.groups, order=order)

    def tokens(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        points, views, mask = scene(inputs)
        patches = model.group(points)
        image = model.image_tokens(views.images[:, 0])[1]
        kept = mask.patches.kept[..., None].expand(-1, -1, image.shape[2])
        cloud = model.point_encoder.tokens(patches, ~mask.groups, model.point_modality)
        return {
            "centers": patches.centres,
            "neighborhoods": patches.points,
            "pc_tokens_visible": cloud.features,
            "img_tokens_visible": image.gather(1, kept),
            "img_mask": mask.patches.hidden.float(),
        }

    def encoders(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        points, views, mask = scene(inputs)
        found, _ = model.encode(points, model.group(points), views.images[:, 0], mask)
        return {
            "img_encoder": found.own_image,
            "pc_encoder": found.own_points.features,
            "joint_encoder": found.shared,
        }

    def decoders(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        _, found = reconstructed(inputs)
        outputs = {
            "img_feature": found.decoded.image_features,
            "img_pred": found.decoded.pixels,
            "pc_feature": found.decoded.point_features,
            "pc_pred": found.points.flatten(2),
        }
        return outputs if found.decoded.shared is None else outputs | {"joint_decoder": found.decoded.shared}

    def cross_modal(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        views, found = reconstructed(inputs)
        points = found.hidden(found.patches.points + found.patches.centres[:, :, None]).flatten(1, 2)
        cameras = views.world_to_camera[:, 0], views.intrinsics[:, 0]
        places, _ = project_points(points, *cameras, views.size, model.projection)
        target, _ = model.cross_target(found, views)
        predicted = model.decoder.cross_of(found.decoded.point_features)
        return {
            "u": places[..., 0],
            "v": places[..., 1],
            "target": target.transpose(1, 2),
            "pred": predicted.flatten(2),
        }

    def losses(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        views, found = reconstructed(inputs)
        terms = model.losses(found, views)
        names = {"pc_loss": "loss_points", "img_loss": "loss_pixels", "cross_loss": "loss_cross"}
        return {theirs: terms[ours] for theirs, ours in names.items() if ours in terms}

    return by_name(
        dict(tokens=tokens, encoders=encoders, decoders=decoders, cross_modal=cross_modal, losses=losses)
    )


def _views(inputs: dict[str, Tensor]) -> SceneViews:
    """The photograph and its camera; ``K`` is of 730 x 530 pixels that are counted from 1."""
    height, width = inputs["images"].shape[-2:]
    camera = torch.eye(4, dtype=torch.float64).expand(len(inputs["K"]), 4, 4).clone()
    scale = inputs["scale"].double()[:, None, None]
    camera[:, :3, :3] = UPRIGHT @ inputs["Rtilt"].double().mT / scale**2
    intrinsics = inputs["K"].double().clone()
    factor = torch.tensor([width / PIMAE_SIZE[0], height / PIMAE_SIZE[1]], dtype=torch.float64)
    intrinsics[:, :2, 2] -= 0.5  # of pixels counted from 1, to corners of the image
    intrinsics[:, :2] *= factor[:, None]
    intrinsics[:, :2, 2] -= 0.5
    return SceneViews(inputs["images"][:, None], camera[:, None], intrinsics[:, None])


def _build(kit: GoldenKit) -> Gaussian2SceneStage1:
    options = kit.options
    image, cloud, joint = (
        Options(options.take(name), options.source) for name in ("img_model", "pc_model", "joint_model")
    )
    options.neutral("img_size", "npoints")  # inputs have these sizes
    networks, of_image = _image(image)
    points, of_cloud = _cloud(cloud)
    joined, width, shared = _joint(joint)
    dims = {networks["image_encoder"]["arch"]["embed_dim"], points["dim"], width}
    widths = {side["dim"] for side in (of_image, of_cloud, shared) if side["depth"] or side is not shared}
    if len(dims) > 1 or len(widths) > 1:
        raise options.refusal("trans_dim", sorted(dims | widths), "encoders, and decoders, have one width")
    networks |= points | joined
    networks["decoder"] = dict(
        dim=of_image["dim"],
        shared_depth=shared["depth"],
        image_depth=of_image["depth"],
        point_depth=of_cloud["depth"],
        shared_heads=shared["num_heads"],
        image_heads=of_image["num_heads"],
        point_heads=of_cloud["num_heads"],
        mlp_ratio=shared["mlp_ratio"],
        image_mlp_ratio=of_image["mlp_ratio"],
        point_drop_path=of_cloud["drop_path"],
    )
    return Gaussian2SceneStage1("pimae", norm_pix_loss=options.take("norm_pix_loss", False), **networks)


def _inner(options: Options, name: str) -> Options:
    return Options(options.take(name), options.source)


def _image(options: Options) -> tuple[dict, dict]:
    encoder, decoder = _inner(options, "encoder"), _inner(options, "decoder")
    dim, ratio = encoder.take("trans_dim"), encoder.take("mlp_ratio")
    arch = dict(
        embed_dim=dim,
        depth=encoder.take("depth"),
        num_heads=encoder.take("num_heads"),
        patch_size=options.take("patch_size"),
        mlp_ratio=ratio,
        position=None,
        class_token=False,
        final_norm=False,
    )
    decoder.neutral("mlp_ratio")  # the official code takes the encoder's
    side = dict(
        dim=decoder.take("trans_dim"),
        depth=decoder.take("depth"),
        num_heads=decoder.take("num_heads"),
        mlp_ratio=ratio,
    )
    options.neutral("NAME")
    for part in (encoder, decoder, options):
        part.refuse_rest()
    return dict(image_encoder=dict(arch=arch)), side


def _cloud(options: Options) -> tuple[dict, dict]:
    inner = _inner(options, "transformer_config")
    dim = inner.take("trans_dim")
    inner.only("encoder_dims", dim)
    encoder = dict(
        depth=inner.take("depth"),
        num_heads=inner.take("num_heads"),
        feedforward_dim=inner.take("dim_feedforward"),
        dropout=inner.take("dropout"),
    )
    side = dict(
        dim=inner.take("decoder_trans_dim"),
        depth=inner.take("decoder_depth"),
        num_heads=inner.take("decoder_num_heads"),
        drop_path=inner.take("drop_path_rate"),
    )
    # the official code takes every name but "rand" for blocks
    kind = "rand" if inner.take("mask_type") == "rand" else "block"
    found = dict(
        point_encoder=encoder,
        mask_ratio=inner.take("mask_ratio"),
        point_mask=kind,
        num_groups=options.take("num_group"),
        group_size=options.take("group_size"),
        point_loss=options.take("loss"),
        dim=dim,
    )
    options.neutral("NAME")
    for part in (inner, options):
        part.refuse_rest()
    return found, side


def _joint(options: Options) -> tuple[dict, int, dict]:
    encoder, decoder = _inner(options, "encoder"), _inner(options, "decoder")
    encoder.neutral("mlp_ratio")  # layers of 3DETR have a width instead
    shared = dict(
        depth=encoder.take("depth"),
        num_heads=encoder.take("num_heads"),
        feedforward_dim=encoder.take("dim_feedforward"),
        dropout=encoder.take("dropout"),
    )
    width = encoder.take("trans_dim")
    side = dict(
        dim=decoder.take("trans_dim"),
        depth=decoder.take("depth"),
        num_heads=decoder.take("num_heads"),
        mlp_ratio=decoder.take("mlp_ratio"),
    )
    found = dict(
        shared_encoder=shared,
        image_mask=options.choose("hp_overlap_ratio", MASKS, 0.0),
        image_mask_ratio=options.take("mask_ratio"),
        cross_modal=_cross(options),
    )
    options.neutral("NAME", "token_fusion")  # its projection is made and never called
    for part in (encoder, decoder, options):
        part.refuse_rest()
    return found, width, side


def _cross(options: Options) -> dict | bool:
    """``pc2img``: features of the image decoder, or colours."""
    value = options.take("pc2img", None)
    if not value:
        return False
    rgb, feat = bool(value.get("rgb")), bool(value.get("feat"))
    if rgb == feat:
        raise options.refusal("pc2img", value, "the official code fails unless one of rgb and feat is set")
    target = "colours" if rgb else "features"
    return dict(target=target, transposed=True, enlarged=(256, 352), count_unseen=True)
