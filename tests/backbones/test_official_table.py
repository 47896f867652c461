"""The page of official arguments names arguments that there are."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

from dense3d.adapters import RescaledPyramid, ViTCoMer
from dense3d.backbones import (
    TNT,
    Activator,
    ConViT,
    ConvNeXt,
    CoSwin,
    CrossFormer,
    CrossViT,
    FocalNet,
    HorNet,
    HyenaViT,
    MetaFormer,
    PlainSpectFormer,
    PoolFormer,
    PyramidTNT,
    ResFormer,
    SpectFormer,
    Swin,
    T2TViT,
    UniFormer,
    ViR,
    VisionTransformer,
)
from dense3d.backbones.convit import ConViTArchitecture
from dense3d.backbones.crossvit import CrossViTArchitecture
from dense3d.backbones.cvt import KEYS as CVT
from dense3d.backbones.cvt import CvT
from dense3d.backbones.duoformer import DuoFormer
from dense3d.backbones.focalnet import _KEYS
from dense3d.backbones.ia_red2 import IARed2
from dense3d.backbones.metaformer import _KEYS as METAFORMER_KEYS
from dense3d.backbones.ppma import ARCHITECTURES as PPMA_SIZES
from dense3d.backbones.ppma import PPMA
from dense3d.backbones.pyramid_tnt import ARCHITECTURES as PYRAMID_TNT_SIZES
from dense3d.backbones.resformer import ResFormerArchitecture
from dense3d.backbones.rmt import ARCHITECTURES as RMT_SIZES
from dense3d.backbones.rmt import RMT
from dense3d.backbones.sgformer import ARCHITECTURES as SGFORMER_SIZES
from dense3d.backbones.sgformer import SGFormer
from dense3d.backbones.soft import SOFT
from dense3d.backbones.spectformer import _KEYS as SPECTFORMER
from dense3d.backbones.t2t_vit import T2TArchitecture
from dense3d.backbones.tnt import TNTArchitecture
from dense3d.backbones.vir import ViRArchitecture
from dense3d.backbones.vit_architectures import ViTArchitecture
from dense3d.backbones.vit_resnas import ViTResNAS
from dense3d.datasets.pointcloud.packing import PackPointInputs
from dense3d.detection2d.co_detr import CoDINO
from dense3d.detection2d.relation_detr import RelationDETR
from dense3d.detection2d.vidt import ReconfiguredSwin, ViDT, ViDTCriterion
from dense3d.detection3d.box_decoding import BoxDecoder
from dense3d.detection3d.monodino_detr import MonoDETR
from dense3d.detection3d.nerf_rpn import AnchorHead3D, FCOSHead3D, NerfRPN
from dense3d.detection3d.threedetr.criterion import SetCriterion
from dense3d.detection3d.threedetr.detector import ThreeDETR
from dense3d.detection3d.threedetr.transformer import BoxDecoderLayers, PointEncoder
from dense3d.detection3d.votenet.detector import VoteNet
from dense3d.detection3d.votenet.proposals import ProposalHead
from dense3d.evaluation.boxes3d.metric import Boxes3DMetric
from dense3d.layers import BoxMatcher
from dense3d.layers.hyena_filter import HyenaFilter
from dense3d.pointcloud import (
    HUNet,
    PartSegmenter,
    PointClassifier,
    PointNet2,
    PointTransformer,
    SceneFeatures,
    SceneSegmenter,
)
from dense3d.pretraining import Gaussian2SceneStage1, MaskedAutoencoder, NeRFMAE, PointMAE
from dense3d.pretraining.gaussian2scene.decoder import JointDecoder
from dense3d.pretraining.image_mae.model import PixelDecoder
from dense3d.pretraining.point_mae.decoder import PatchDecoder
from dense3d.radiance.fpn3d import FPN3D
from dense3d.radiance.swin3d import Swin3D
from dense3d.segmentation.kmax_deeplab import KMaXDeepLab
from dense3d.segmentation.kmax_deeplab.pixel_decoder import KMaXPixelDecoder
from dense3d.segmentation.mask2former import Mask2Former
from dense3d.segmentation.mask2former.head import Mask2FormerHead


def names_of(place: type | set[str]) -> set[str]:
    """Arguments; where a class hands further ones on, those of what it extends too."""
    if isinstance(place, set):
        return place
    parameters = inspect.signature(place).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return set(parameters)
    return {name for one in place.__mro__[:-1] for name in inspect.signature(one).parameters}


def fields_of(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


VIT = fields_of(ViTArchitecture)
# heading -> class, names behind "arch." and other prefixes
FAMILIES: dict[str, tuple[type, dict]] = {
    "FocalNet": (FocalNet, {"arch": _KEYS}),
    "Swin": (Swin, {"arch": {"embed_dim", "depths", "num_heads"}}),
    "ConvNeXt": (ConvNeXt, {"arch": {"dims", "depths"}}),
    "CrossFormer": (
        CrossFormer,
        {"arch": {"embed_dim", "depths", "num_heads", "group_size", "interval", "cooling"}},
    ),
    "CoSwin": (CoSwin, {"arch": {"embed_dim", "depths", "num_heads"}}),
    "Activator": (Activator, {"arch": {"dims", "hidden_dims", "depths"}}),
    "PoolFormer": (PoolFormer, {"arch": {"dims", "depths", "layer_scale", "mlp_ratios"}}),
    "MetaFormer baselines": (MetaFormer, {"arch": set(METAFORMER_KEYS)}),
    "UniFormer": (UniFormer, {"arch": {"dims", "depths", "head_dim", "conv_stem", "layer_scale"}}),
    "RMT": (RMT, {"arch": {*RMT_SIZES["base"], "init_values"}, "class_head": RMT.class_head}),
    "PPMA": (PPMA, {"arch": set(PPMA_SIZES["base"]), "class_head": PPMA.class_head}),
    "SG-Former": (
        SGFormer,
        {"arch": {*SGFORMER_SIZES["base"], "reductions", "mlp_ratios"}, "class_head": SGFormer.class_head},
    ),
    "CvT": (CvT, {"arch": set(CVT)}),
    "SOFT": (SOFT, {"arch": {"dims", "depths", "num_heads", "landmark_ratios"}}),
    "DuoFormer": (DuoFormer, {"arch": {"embed_dim", "depth", "num_heads"}}),
    "ViT-ResNAS": (ViTResNAS, {"arch": {"dims", "blocks", "embed_channels"}}),
    "IA-RED2": (IARed2, {"arch": VIT}),
    "HorNet": (HorNet, {"arch": {"base_dim", "depths", "orders", "filters", "scale"}}),
    "SpectFormer and SVT": (SpectFormer, {"arch": set(SPECTFORMER)}),
    "SpectFormer, vanilla": (PlainSpectFormer, {"arch": VIT}),
    "Hyena N-D": (HyenaViT, {"arch": VIT, "filter_options": HyenaFilter}),
    "TNT": (TNT, {"arch": fields_of(TNTArchitecture)}),
    "PyramidTNT": (PyramidTNT, {"arch": set(PYRAMID_TNT_SIZES["base"])}),
    "T2T-ViT": (T2TViT, {"arch": fields_of(T2TArchitecture)}),
    "ConViT": (ConViT, {"arch": fields_of(ConViTArchitecture)}),
    "ResFormer": (ResFormer, {"arch": fields_of(ResFormerArchitecture)}),
    "ViR": (ViR, {"arch": fields_of(ViRArchitecture)}),
    "CrossViT": (CrossViT, {"arch": fields_of(CrossViTArchitecture)}),
    "DINO": (VisionTransformer, {"arch": VIT}),
    "DINOv2": (VisionTransformer, {"arch": VIT}),
    "DINOv3": (VisionTransformer, {"arch": VIT}),
    "BEiT": (RescaledPyramid, {"vit.arch": VIT, "vit": VisionTransformer}),
    "ViT-CoMer": (ViTCoMer, {"vit.arch": VIT, "vit": VisionTransformer}),
    "MAE": (MaskedAutoencoder, {"encoder.arch": VIT, "decoder": PixelDecoder}),
    "Mask2Former": (Mask2Former, {"head": Mask2FormerHead}),
    "kMaX-DeepLab": (KMaXDeepLab, {"pixel_decoder": KMaXPixelDecoder}),
    "Relation-DETR": (RelationDETR, {}),
    "ViDT": (
        ViDT,
        {
            "backbone": ReconfiguredSwin,
            "criterion": ViDTCriterion,
            "criterion.matcher": BoxMatcher,
            "mask_vectors": {"num_coefficients", "side", "hidden_channels"},
        },
    ),
    "Co-DETR": (CoDINO, {}),
    "MonoDETR and MonoDINO-DETR": (MonoDETR, {}),
    "VoteNet": (
        VoteNet,
        {
            "backbone": PointNet2,
            "proposals": ProposalHead,
            "decoding": BoxDecoder,
            "pack": PackPointInputs,
        },
    ),
    "NeRF-RPN": (
        NerfRPN,
        {"backbone": Swin3D, "neck": FPN3D, "bbox_head": FCOSHead3D, "test_evaluator": Boxes3DMetric},
    ),
    "NeRF-RPN, anchor-based": (AnchorHead3D, {}),
    "PiMAE": (Gaussian2SceneStage1, {"decoder": JointDecoder}),
    "3DETR": (
        ThreeDETR,
        {
            "backbone": PointNet2,
            "encoder": PointEncoder,
            "decoder": BoxDecoderLayers,
            "criterion": SetCriterion,
            "decoding": BoxDecoder,
            "pack": PackPointInputs,
        },
    ),
    "NeRF-MAE": (
        NeRFMAE,
        {"encoder": Swin3D, "encoder.arch": {"embed_dim", "depths", "num_heads"}},
    ),
    "Point-MAE": (
        PointMAE,
        {
            "encoder": PointTransformer,
            "decoder": PatchDecoder,
            "classifier": PointClassifier,
            "segmenter": PartSegmenter,
        },
    ),
    "Masked scene modelling": (HUNet, {"features": SceneFeatures, "segmenter": SceneSegmenter}),
}
NAME = re.compile(r"`((?:[a-z]\w*\.)*[a-z]\w*)`")


@pytest.fixture(scope="module")
def sections(repository) -> dict[str, str]:
    text = (repository / "docs" / "official-options.md").read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def test_every_family_has_a_table(sections):
    assert list(sections) == list(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_page_names_exists(sections, family):
    own, prefixes = FAMILIES[family]
    rows = [line.strip("|").split("|") for line in sections[family].splitlines() if line.startswith("| `")]
    assert len(rows) >= 5
    for official, here in rows:
        assert NAME.search(official), official
        if re.match(r" (fixed|not built|without effect)", here):
            continue
        found = [name for name in NAME.findall(here) if name not in ("layernormbf16", "rmsnorm", *IGNORED)]
        assert found, here
        for name in found:
            prefix, _, last = name.rpartition(".")
            assert last in names_of(prefixes[prefix] if prefix else own), f"{family}: {name}"


IGNORED = ("swiglu", "swiglufused", "identity")  # values, not names
