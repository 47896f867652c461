"""Every config builds, and one of each family trains a step; the slow run steps all that fit into memory.

All are built on the meta device, where weights take no memory; configs that differ in data or recipe alone
share the network, and a backbone shows its maps once. What a pipeline would deliver is replaced by two small
images; the optimiser is the one of the config, with its groups of parameters.
"""

from __future__ import annotations

import ast
import copy
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dense3d.apis import build_model
from dense3d.config import load_config
from dense3d.engine import channels

FOLDER = Path(__file__).resolve().parents[2] / "configs"
CONFIGS = {
    path.relative_to(FOLDER).as_posix(): path
    for path in sorted(FOLDER.rglob("*.py"))
    if "_base_" not in path.parts
}
# Models whose batches are not images with boxes, masks or labels: the tests that step their configs.
STEPPED_ELSEWHERE = {
    "CCNeXt": "tests/stereo",
    "CrocoFlow": "tests/stereo/croco_stereo",
    "CrocoStereo": "tests/stereo/croco_stereo",
    "CroCo": "tests/pretraining",
    "PointMAE": "tests/pretraining",
    "Gaussian2SceneStage1": "tests/pretraining",
    "Gaussian2SceneStage2": "tests/pretraining",
    "ImageClassifier": "tests/classification",
    "PointClassifier": "tests/pointcloud",
    "PartSegmenter": "tests/pointcloud",
    "MonoDETR": "tests/detection3d",
    "MonoDINODETR": "tests/detection3d",
    "MaskedSceneModeling": "tests/pretraining",
    "SceneSegmenter": "tests/pointcloud",
    "SceneFeatures": "tests/pointcloud",
    "VoteNet": "tests/detection3d",
    "ThreeDETR": "tests/detection3d",
    "NeRFMAE": "tests/pretraining",
    "VoxelSegmenter": "tests/radiance",
    "VoxelSuperResolution": "tests/radiance",
    "NerfRPN": "tests/detection3d",
    "SemiGlobalMatching": "tests/stereo",
    "MeanOfTruth": "tests/stereo",
}
OF_GRIDS = ("NerfRPN", "VoxelSegmenter")  # have backbones of volumes
OF_TRAINING = ("drop_path_rate", "with_cp", "frozen_stages", "init_cfg")  # tell nothing of a backbone's maps
# What the default run steps: each system once, with each kind of backbone at least once.
USUAL = (
    "cascade_rcnn/cascade-mask-rcnn_swin-t_fpn_8xb2-36e_coco.py",
    "mask_rcnn/mask-rcnn_convnext-t_fpn_8xb2-36e_coco.py",
    "mask_rcnn/mask-rcnn_vitdet-b_64xb1-100e_coco.py",
    "vit_comer/mask-rcnn_vit-comer-t_fpn_8xb2-12e_coco.py",
    "vit_comer/gfl_vit-comer-s_fpn_8xb2-36e_coco.py",
    "vit_comer/upernet_vit-comer-t_8xb2-160k_ade20k-512x512.py",
    "upernet/upernet_focalnet-t_8xb2-160k_ade20k-512x512.py",
    "mask2former/mask2former_swin-t_8xb2-160k_ade20k-512x512.py",
    "dino/dino_swin-t_8xb2-12e_coco.py",
    "co_detr/co-dino_r50_5scale_8xb2-12e_coco.py",
    "relation_detr/relation-detr_vit-comer-s-dinov2_5scale_5xb2-12e_coco.py",
    "vidt/vidt-plus_swin-nano_8xb2-50e_coco.py",
    "mae/mae_vit-tiny_synthetic.py",
    "retinanet/retinanet_poolformer-s12_fpn_8xb2-12e_coco.py",
    "semantic_fpn/semantic-fpn_crossformer-s_8xb2-80k_ade20k-512x512.py",
)
# Their recipes have no weight decay for norms, whatever backbones call them.
MASK_TRANSFORMERS = ("mask2former/", "kmax_deeplab/", "eco_m2f/eco-m2f", "vit_comer/mask2former")
_LAST: dict[str, torch.nn.Module] = {}  # networks on the meta device, by what their configs say
MEMORY = 130_000_000  # parameters of what a slow run steps; larger ones are built on the meta device only


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch):
    """No weights: neither timm's nor a library's."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True, scope="module")
def asked_once():
    """How many channels a backbone has is found out once for each.

    A recipe with a rate for each layer would log three lines a parameter, and cutting off the tails of
    initial weights takes half of the time of building a network whose weights have no values.
    """
    clamp = torch.Tensor.clamp_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "clamp_", lambda x, *a, **k: x if x.is_meta else clamp(x, *a, **k))
        patch.setattr(channels, "_channels_of", remembered(channels._channels_of))
        logging.disable(logging.INFO)
        yield
        logging.disable(logging.NOTSET)


def remembered(function: Callable) -> Callable:
    """Answers by what the arguments say of themselves: configs cannot be hashed."""
    known: dict[str, object] = {}

    def answer(*arguments):
        key = repr(arguments)
        if key not in known:
            known[key] = function(*arguments)
        return known[key]

    return answer


@pytest.fixture(scope="module")
def maps_shown() -> set[str]:
    """Backbones, by what their configs say, whose maps have been looked at."""
    return set()


def model_config(name: str) -> tuple:
    cfg = load_config(CONFIGS[name])
    _without_weights(cfg.model)
    return cfg, cfg.model


def _without_weights(node: object) -> None:
    if isinstance(node, dict):
        if node.get("type") == "TimmBackbone" or "model_name" in node:
            node["pretrained"] = False
        for key, value in node.items():
            is_file = isinstance(value, dict) and value.get("type") == "Pretrained"
            if key == "init_cfg" and is_file:
                node[key] = None
            else:
                _without_weights(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _without_weights(value)


def build(model: dict, device: str) -> torch.nn.Module:
    with torch.device(device):
        return build_model(model)


def on_meta(model: dict) -> torch.nn.Module:
    """The network of a config on the meta device; neighbours in the list often have the same."""
    key = repr(model)
    if key not in _LAST:
        if len(_LAST) == 4:
            _LAST.pop(next(iter(_LAST)))
        _LAST[key] = build(model, "meta")
    return _LAST[key]


@pytest.mark.parametrize("name", CONFIGS)
def test_config_builds(name, maps_shown):
    cfg, model = model_config(name)
    network = on_meta(model)
    backbone = getattr(network, "backbone", None)
    if model.type in ("SemiGlobalMatching", "MeanOfTruth"):  # which have nothing to learn
        assert not network.state_dict() and "optim_wrapper" not in cfg
        return
    assert sum(p.numel() for p in network.parameters()) > 10_000
    if model.type == "SceneFeatures":  # which another model trains
        assert "optim_wrapper" not in cfg
        return
    optimizer = optimizer_of(cfg, network)
    assert optimizer.param_groups
    if name.startswith(MASK_TRANSFORMERS):
        assert decayed_norms(network, optimizer) == []
    if model.type == "ImageClassifier":  # whose backbone may give no maps any more
        with torch.device("meta"):
            assert network.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, model.num_classes)
        return
    kind = repr({key: value for key, value in model.get("backbone", {}).items() if key not in OF_TRAINING})
    if hasattr(backbone, "out_strides") and kind not in maps_shown:
        maps_shown.add(kind)
        shape = (4, 64, 96, 32) if model.type in OF_GRIDS else (3, 64, 96)
        with torch.device("meta"):
            maps = backbone.eval()(torch.zeros(1, *shape))
        sizes = [tuple(-(-side // s) for side in shape[1:]) for s in backbone.out_strides]
        assert [tuple(m.shape[1:]) for m in maps] == [
            (c, *size) for c, size in zip(backbone.out_channels, sizes)
        ]


def decayed_norms(network: torch.nn.Module, optimizer) -> list[str]:
    """Names of trained parameters of norms that have weight decay; norms are known by their class's name."""
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    return [
        f"{prefix}.{name}"
        for prefix, module in network.named_modules()
        if "Norm" in type(module).__name__ and not list(module.children())
        for name, parameter in module.named_parameters(recurse=False)
        if decay.get(id(parameter), 0) > 0
    ]


@pytest.mark.parametrize("name", USUAL)
def test_usual_config_trains_a_step(name):
    step(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in USUAL])
def test_config_trains_a_step(name):
    step(name)


def step(name: str) -> None:
    """One training step of the config's own model and optimiser: finite losses, and every group moves."""
    cfg, model = model_config(name)
    kind = model.type.rpartition(".")[2]
    if kind in STEPPED_ELSEWHERE:
        pytest.skip(f"{kind} is stepped in {STEPPED_ELSEWHERE[kind]}")
    size = sum(p.numel() for p in build(model, "meta").parameters())
    if size > MEMORY:
        pytest.skip(f"{size / 1e6:.0f} M parameters: built on the meta device only")
    if "input_size" in model:  # pads images to it
        model.input_size = None
    model.get("data_preprocessor", {}).pop("batch_augments", None)  # pad to the size of the crops
    if model.get("gate_targets"):  # trains on a file that another tool makes: as the parent instead
        model.gate_targets = None
    if model.get("teacher"):  # which is a trained model
        model.teacher = None
    if "num_queries" in model:  # two-stage detectors choose as many among the cells of the maps
        model.num_queries = min(model.num_queries, 50)
    torch.manual_seed(0)
    network = build(model, "cpu").train()
    optimizer = optimizer_of(cfg, network)
    batch = batch_of(network, model)
    losses = network.train_step(copy.deepcopy(batch), optimizer)
    assert losses and all(value.isfinite().all() for value in losses.values()), losses


def optimizer_of(cfg, network: torch.nn.Module):
    """The config's optimiser with its groups, in full precision."""
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope

    wrapper = copy.deepcopy(cfg.optim_wrapper)
    wrapper.type = "OptimWrapper"
    for key in ("loss_scale", "dtype"):
        wrapper.pop(key, None)
    wrapper.optimizer.pop("fused", None)
    with DefaultScope.overwrite_default_scope("dense3d"):
        return build_optim_wrapper(network, wrapper)


def batch_of(network: torch.nn.Module, model: dict) -> dict:
    from mmdet.models.detectors.base import BaseDetector
    from mmseg.models.segmentors.base import BaseSegmentor

    from tests.compatibility.batches import detection_batch, segmentation_batch

    if isinstance(network, BaseSegmentor):
        preprocessor = network.data_preprocessor
        if preprocessor.size is not None:  # of the crops, far larger than needed
            preprocessor.size = (64, 96)
        return segmentation_batch(network.num_classes)
    if isinstance(network, BaseDetector) or hasattr(network, "backbone"):
        classes = model.get("num_classes") or 5
        return detection_batch(classes, min(3, classes))
    return dict(inputs=segmentation_batch(5, (96, 96))["inputs"])


def test_usual_configs_exist_and_cover_every_folder_of_2d_systems():
    assert set(USUAL) <= set(CONFIGS)
    folders = {name.partition("/")[0] for name in USUAL}
    mine = {
        "cascade_rcnn",
        "co_detr",
        "dino",
        "mae",
        "mask2former",
        "mask_rcnn",
        "relation_detr",
        "retinanet",
        "semantic_fpn",
        "upernet",
        "vidt",
        "vit_comer",
    }
    assert mine == folders


def test_every_config_says_what_it_is():
    for name, path in CONFIGS.items():
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text and text.splitlines()[0].endswith("."), name
