"""Every model family that mmdet and mmseg ship builds on the stand-in: the first config of each folder.

Building draws no weights here (torch's initialisers are switched off) and loads none.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from dense3d.ops import install_mmcv_extension

install_mmcv_extension()

LIBRARIES = ("mmdet", "mmseg")

# configs, below the library's folder of them, that need a package dense3d does not depend on
NEEDS_PACKAGE = {
    "mmdet": {
        "bytetrack/*": "lap",
        "convnext/*": "mmpretrain",
        "deepsort/*": "mmpretrain",
        "glip/*": "transformers",  # text encoder
        "grounding_dino/*": "transformers",  # text encoder
        "misc/d2_*": "detectron2",
        "mm_grounding_dino/*": "fairscale",  # and transformers
        "ocsort/*": "lap",
        "reid/*": "mmpretrain",
        "rtmdet/classification/*": "mmpretrain",
        "strongsort/*": "mmpretrain",
        "timm_example/*": "mmpretrain",
    },
    "mmseg": {
        "convnext/*": "mmpretrain",
        "poolformer/*": "mmpretrain",
        "vpd/*": "ldm",  # stable diffusion
    },
}
NO_MODEL = {"mmdet": ("_base_", "common"), "mmseg": ("_base_",)}  # folders of parts of configs
NO_WEIGHTS = ("pretrained", "teacher_ckpt")  # keys that would download
INITIALISERS = (
    "uniform_",
    "normal_",
    "trunc_normal_",
    "constant_",
    "ones_",
    "zeros_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "xavier_uniform_",
    "xavier_normal_",
)

# what the default run builds: the operators' main users
USUAL = {
    "mmdet": ("carafe", "dcn", "deformable_detr", "dino", "faster_rcnn", "guided_anchoring", "mask2former"),
    "mmseg": ("psanet", "segformer", "upernet"),
}


def config_folder(library: str) -> Path:
    spec = find_spec(library)
    if spec is None:
        pytest.skip(f"{library} is not installed")
    return Path(spec.origin).parent / ".mim" / "configs"


def families(library: str) -> list[str]:
    if find_spec(library) is None:
        return []
    return sorted(d.name for d in config_folder(library).iterdir() if d.name not in NO_MODEL[library])


def package_needed(library: str, name: str) -> str | None:
    needed = NEEDS_PACKAGE[library].items()
    return next((package for pattern, package in needed if fnmatch.fnmatch(name, pattern)), None)


def first_config(library: str, family: str) -> str | None:
    """The family's first config with a model that needs no further package; ``None`` without any."""
    from mmengine.config import Config

    folder = config_folder(library)
    for file in sorted((folder / family).rglob("*.py")):
        name = file.relative_to(folder).as_posix()
        if package_needed(library, name) is None and "model" in Config.fromfile(file):
            return name
    return None


def without_weights(node):
    """The config without anything that names a file of weights."""
    if isinstance(node, dict):
        is_pretrained = node.get("type") == "Pretrained" and "checkpoint" in node
        items = {k: None if k in NO_WEIGHTS else without_weights(v) for k, v in node.items()}
        return None if is_pretrained else items
    if isinstance(node, (list, tuple)):
        return type(node)(without_weights(value) for value in node)
    return node


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    """Both libraries' models, and the default scope put back at the end."""
    from mmengine.registry import DefaultScope

    for library in LIBRARIES:
        pytest.importorskip(f"{library}.utils").register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope(None):
        yield


@pytest.fixture
def no_initialisation(monkeypatch) -> None:
    for name in INITIALISERS:
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


def build(library: str, name: str) -> torch.nn.Module:
    from mmengine.config import Config, ConfigDict
    from mmengine.registry import DefaultScope

    cfg = Config.fromfile(config_folder(library) / name)
    models = importlib.import_module(f"{library}.registry").MODELS
    with DefaultScope.overwrite_default_scope(library):
        return models.build(ConfigDict(without_weights(cfg.model.to_dict())))


def check_family(library: str, family: str, monkeypatch) -> None:
    monkeypatch.chdir(config_folder(library).parent)  # one config names another by its path
    name = first_config(library, family)
    if name is None:
        pattern = f"{family}/"
        assert any(key.startswith(pattern) for key in NEEDS_PACKAGE[library]), f"no config in {family}"
        pytest.skip(
            f"every config of {family} needs {package_needed(library, first_listed(library, family))}"
        )
    model = build(library, name)
    assert sum(p.numel() for p in model.parameters()) > 10_000


def first_listed(library: str, family: str) -> str:
    folder = config_folder(library)
    return sorted((folder / family).rglob("*.py"))[0].relative_to(folder).as_posix()


def cases(names) -> list[tuple[str, str]]:
    return [(library, family) for library in LIBRARIES for family in names(library)]


@pytest.mark.parametrize(("library", "family"), cases(lambda library: USUAL[library]))
def test_usual_family_builds(registered, no_initialisation, monkeypatch, library, family):
    check_family(library, family, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("library", "family"), cases(families))
def test_family_builds(registered, no_initialisation, monkeypatch, library, family):
    check_family(library, family, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["carafe", "dcn", "dcnv2", "deformable_detr", "dyhead", "reppoints"])
def test_detector_runs_forward_and_backward(registered, monkeypatch, family):
    from mmdet.testing import demo_mm_inputs
    from mmengine.registry import DefaultScope

    monkeypatch.chdir(config_folder("mmdet").parent)
    torch.manual_seed(0)
    model = build("mmdet", first_config("mmdet", family)).train()
    images = demo_mm_inputs(2, [[3, 192, 192]] * 2, num_classes=20, with_mask=True)
    with DefaultScope.overwrite_default_scope("mmdet"):
        loss, _ = model.parse_losses(model(**model.data_preprocessor(images, True), mode="loss"))
        loss.backward()
        with torch.no_grad():
            results = model.eval()(**model.data_preprocessor(images, False), mode="predict")
    assert loss.isfinite()
    assert all(p.grad is not None for n, p in model.named_parameters() if "conv_offset" in n)
    assert results[0].pred_instances.bboxes.shape[1] == 4


@pytest.mark.slow
def test_segmentor_runs_forward_and_backward(registered):
    torch.manual_seed(0)
    model = build("mmseg", first_config("mmseg", "psanet")).eval()
    logits = model(torch.randn(1, 3, 512, 512), mode="tensor")
    logits.sum().backward()
    assert logits.isfinite().all()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "pattern"), [(library, key) for library in LIBRARIES for key in NEEDS_PACKAGE[library]]
)
def test_package_that_a_family_needs_is_the_reason(registered, no_initialisation, library, pattern):
    """The listed configs fail for want of the listed package, not of an operator."""
    package = NEEDS_PACKAGE[library][pattern]
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    folder = config_folder(library)
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.py"))
    name = next(name for name in names if fnmatch.fnmatch(name, pattern))
    with pytest.raises(Exception, match=rf"(?i){package}|requirements/optional.txt"):
        build(library, name)
