"""Exported and compiled detectors give what the detector gives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from dense3d.apis import build_model, export_detector
from dense3d.apis.exporting import InferenceGraph, exported_program, onnx_bytes
from dense3d.benchmarks.models import detection_batch
from dense3d.config import load_config
from dense3d.errors import ConfigError, MissingDependencyError

SIZE = (90, 125)  # no multiple of anything that the model divides by


@pytest.fixture(scope="module")
def config(repository: Path) -> Path:
    return repository / "configs/synthetic/relation-detr_r18_synthetic-coco.py"


def built(config: Path, **options) -> torch.nn.Module:
    """The small detector, seeded; its box heads move boxes, as those of a trained one do."""
    cfg = load_config(config, {f"model.{key}": value for key, value in options.items()})
    torch.manual_seed(0)
    model = build_model(cfg)
    for parameter in model.decoder.bbox_head.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def pixels(number: int = 2, seed: int = 0) -> torch.Tensor:
    """RGB images as uint8."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (number, 3, *SIZE), dtype=torch.uint8, generator=random)


@torch.no_grad()
def detections(model: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """What the detector says of images as mmdet loads them: boxes, scores and labels of the batch."""
    from mmdet.structures import DetDataSample

    meta = dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0))
    samples = [DetDataSample(metainfo=meta) for _ in images]
    results = model.test_step(dict(inputs=list(images.flip(1)), data_samples=samples))
    found = [sample.pred_instances for sample in results]
    return [torch.stack([f[key] for f in found]) for key in ("bboxes", "scores", "labels")]


def assert_same(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.as_tensor(one), other, rtol=1e-4, atol=1e-3, check_dtype=False)


@pytest.mark.parametrize("divisor", [1, 32])
def test_graph_gives_what_the_detector_gives(config, divisor):
    model = built(config, **{"data_preprocessor.pad_size_divisor": divisor})
    with torch.no_grad():
        found = InferenceGraph(model)(pixels().float())
    assert_same(found, detections(model, pixels()))


def test_model_that_takes_bgr(config):
    model = built(config, **{"data_preprocessor.bgr_to_rgb": False})
    with torch.no_grad():
        found = InferenceGraph(model)(pixels().float())
    assert_same(found, detections(model, pixels()))


def test_exported_file_gives_what_the_detector_gives(config, tmp_path):
    model = built(config)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / "weights.pth")
    out = export_detector(config, tmp_path / "weights.pth", tmp_path / "out/detector.pt2", SIZE, batch=2)
    program = torch.export.load(out).module()
    for seed in (0, 1):
        images = pixels(seed=seed)
        assert_same(program(images.float()), detections(model, images))
    assert not any(str(n.target).startswith("dense3d") for n in torch.export.load(out).graph.nodes)


def test_onnx_gives_what_the_detector_gives(config):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    model = built(config)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        onnx_bytes(exported_program(InferenceGraph(model), pixels().float())), options
    )
    for seed in (0, 1):
        images = pixels(seed=seed)
        found = session.run(["boxes", "scores", "labels"], {"images": images.float().numpy()})
        assert_same(found, detections(model, images))


def test_missing_onnx_is_named_before_anything_is_built(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        MissingDependencyError, match=r"'onnx' is not installed .*pip install 'dense3d\[export\]'"
    ):
        export_detector(config, tmp_path / "none.pth", tmp_path / "detector.onnx")


def test_wrong_requests_are_named(config, repository, tmp_path):
    with pytest.raises(ConfigError, match=r"detector.trt: the suffix .* must be .pt2 or .onnx"):
        export_detector(config, tmp_path / "none.pth", tmp_path / "detector.trt")
    with pytest.raises(ConfigError, match="Linear cannot be exported: it has no predict_layers"):
        InferenceGraph(torch.nn.Linear(1, 1))
    panoptic = build_model(repository / "configs/synthetic/mask2former_r18_synthetic-panoptic.py")
    with pytest.raises(ConfigError, match="Mask2Former cannot be exported"):  # its layers are other ones
        InferenceGraph(panoptic)


def test_compiled_inference_equals_eager(config):
    model = built(config, encoder_layers=1, decoder_layers=2)
    images, samples = detection_batch(1, SIZE, torch.device("cpu"), num_classes=6)
    with torch.no_grad():
        expected = model(images, samples, mode="tensor")
        found = torch.compile(model, backend="aot_eager", dynamic=False)(images, samples, mode="tensor")
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
def test_compiled_training_equals_eager(config):
    """Two batches with different numbers of boxes."""
    model = built(config, encoder_layers=1, decoder_layers=2).train()
    images, samples = detection_batch(2, SIZE, torch.device("cpu"), num_classes=6)

    def gradients(forward) -> dict[str, torch.Tensor]:
        model.zero_grad()
        torch.manual_seed(1)  # of the denoising queries
        total, _ = model.parse_losses(forward(images, samples, mode="loss"))
        total.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    compiled = torch.compile(model.forward, backend="aot_eager")
    for number in (10, 3):
        for sample in samples:
            sample.gt_instances = sample.gt_instances[:number]
        expected, found = gradients(model.forward), gradients(compiled)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5)
