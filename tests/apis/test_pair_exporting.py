"""Exported stereo and flow networks give what the networks give, from files, by the command."""

from __future__ import annotations

import pytest
import torch

from dense3d.apis import build_model, export_pair_network
from dense3d.apis.exporting import exported_program, onnx_bytes
from dense3d.apis.pair_exporting import PairGraph
from dense3d.cli.dispatch import main
from dense3d.errors import ConfigError
from dense3d.structures import StereoSample

HEAD = "head=dict(hidden_channels=(4, 4, 8, 8), channels=8, last_channels=4)"
NETWORK = (
    'network=dict(pos_embed="RoPE100", enc_embed_dim=24, enc_depth=2, enc_num_heads=2, dec_embed_dim=16, '
    "dec_depth=2, dec_num_heads=2)"
)
COLOURS = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]"
CROCO = (
    f'type="{{}}", hooks=(0, 1, 2, 3), crop_size=(32, 64), {NETWORK}, {HEAD}, '
    "test_cfg=dict(overlap=0.5, tile_batch_size=3), "
    f'data_preprocessor=dict(type="StereoDataPreprocessor", {COLOURS})'
)
CCNEXT = (
    'type="CCNeXt", backbone=dict(type="ConvNeXt", arch=dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))), '
    "decoder=dict(channels=(4, 8, 8, 16, 16)), "
    'data_preprocessor=dict(type="StereoDataPreprocessor", mean=0, std=255, pad_divisor=64)'
)
MODELS = {
    "stereo": (CROCO.format("CrocoStereo"), {"disparity", "deviation", "confidence"}),
    "whole": (
        CROCO.format("CrocoStereo").replace("overlap=0.5", 'mode="whole"')
        + ', loss=dict(type="DenseL1Loss")',
        {"disparity"},
    ),
    "flow": (CROCO.format("CrocoFlow"), {"flow", "deviation", "confidence"}),
    "ccnext": (
        CCNEXT + ", normalised_focal=0.58, metric_scale=5.4, predict_right=True",
        {"disparity", "right_disparity", "inverse_depth", "depth"},
    ),
    "ccnext-bare": (CCNEXT, {"inverse_depth"}),
}
CONFIG = """
model = dict({})
test_dataloader = dict(batch_size=1, dataset=dict(type="SyntheticStereo", data_root="none",
    pipeline=[dict(type="LoadStereo"), {}dict(type="PackStereoInputs")]))
default_scope = "dense3d"
"""


def written(folder, name: str, steps: str = ""):
    """A config, its model with random weights, and a checkpoint of them."""
    (folder / "config.py").write_text(CONFIG.format(MODELS[name][0], steps))
    torch.manual_seed(0)
    model = build_model(folder / "config.py").eval()
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / "weights.pth")
    return folder / "config.py", folder / "weights.pth", model


def pixels(size: tuple[int, int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(0, 256, (2, 3, *size), generator=random, dtype=torch.uint8) for _ in range(2))


@torch.no_grad()
def predicted(model, left, right) -> list[StereoSample]:
    samples = [StereoSample() for _ in left]
    return model.test_step(dict(inputs=dict(left=list(left), right=list(right)), data_samples=samples))


@pytest.mark.parametrize("name", ["stereo", "whole", "flow", "ccnext"])
def test_exported_files_give_what_the_networks_predict(name, tmp_path):
    size = (32, 75)  # two tiles, and no multiple of anything across
    config, checkpoint, model = written(tmp_path, name)
    out, _, names = export_pair_network(config, checkpoint, tmp_path / "out/net.pt2", size, batch=2)
    assert set(names) == MODELS[name][1]
    program = torch.export.load(out)
    assert not any(str(node.target).startswith("dense3d") for node in program.graph.nodes)
    for seed in (0, 1):
        left, right = pixels(size, seed)
        found = program.module()(left.float(), right.float())
        assert set(found) == set(names)
        for i, sample in enumerate(predicted(model, left, right)):
            for key in names:
                expected = sample.get(f"pred_{key}")
                torch.testing.assert_close(found[key][i], expected, rtol=1e-4, atol=1e-4)


def test_without_a_focal_length_there_is_inverse_depth_alone(tmp_path):
    """In nominal units: what the network's samples hold once a rig has turned it into metres."""
    from dense3d.structures import RectifiedRig

    config, checkpoint, model = written(tmp_path, "ccnext-bare")
    out, _, names = export_pair_network(config, checkpoint, tmp_path / "net.pt2", (64, 96))
    assert names == ["inverse_depth"]
    left, right = (image[:1] for image in pixels((64, 96)))
    rig = RectifiedRig(focal=70.0, baseline=0.54, cx=47.5, cy=31.5, width=96, height=64)
    sample = StereoSample(metainfo=dict(rig=rig))
    with torch.no_grad():
        (sample,) = model.test_step(dict(inputs=dict(left=left, right=right), data_samples=[sample]))
    found = torch.export.load(out).module()(left.float(), right.float())["inverse_depth"][0]
    torch.testing.assert_close(found * (0.1 / 0.54), sample.pred_inverse_depth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["stereo", "ccnext"])
def test_onnx_gives_what_the_networks_predict(name, tmp_path):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    model, size = written(tmp_path, name)[2], (32, 75)
    left, right = pixels(size)
    graph = PairGraph(model)
    names = list(MODELS[name][1] and graph(left.float(), right.float()))
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    content = onnx_bytes(exported_program(graph, left.float(), right.float()), ("left", "right"), names)
    session = runtime.InferenceSession(content, options)
    left, right = pixels(size, 1)
    found = session.run(names, {"left": left.float().numpy(), "right": right.float().numpy()})
    for i, sample in enumerate(predicted(model, left, right)):
        for key, values in zip(names, found):
            expected = sample.get(f"pred_{key}")
            torch.testing.assert_close(torch.from_numpy(values[i]), expected, rtol=1e-3, atol=1e-3)


def test_the_command_and_its_size(tmp_path, capsys):
    config, checkpoint, _ = written(tmp_path, "stereo")
    words = ["export", str(config), str(checkpoint), str(tmp_path / "net.pt2")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "left and right in, each 1 x 3 x 32 x 64; disparity, deviation, confidence out" in said
    written(tmp_path, "ccnext-bare", 'dict(type="ResizeStereo", size=(64, 128)), ')
    assert main(words) == 0 and "3 x 64 x 128; inverse_depth out" in capsys.readouterr().out
    written(tmp_path, "ccnext-bare")
    assert main(words) == 2 and "give --size HEIGHTxWIDTH" in capsys.readouterr().err


def test_what_has_no_maps_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Linear cannot be exported: it has no predict_images"):
        PairGraph(torch.nn.Linear(1, 1))
    croco = build_model("croco-v2_vit-tiny_synthetic-stereo")
    with pytest.raises(ConfigError, match="CroCo cannot be exported"):
        PairGraph(croco)
