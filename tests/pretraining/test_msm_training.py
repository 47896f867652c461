"""Masked scene modelling on synthetic rooms: training and resuming, segmenters that start from it, probes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import dense3d
from dense3d.apis import infer_clouds, probe_scenes, train
from dense3d.apis import test as evaluate
from dense3d.apis.scene_probes import ProbeKey
from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.engine import load_checkpoint
from dense3d.errors import ConfigError, DataError
from dense3d.pretraining.msm import MaskedSceneModeling
from dense3d.structures import PointCloud
from dense3d.structures.cloud_files import read_cloud

SMALL = dict(
    in_channels=6,
    channels=(8, 16),
    convs=(1, 1),
    attentions=(0, 1),
    num_heads=(1, 2),
    windows=(64, 64),
    decoder_channels=(8, 16),
    decoder_convs=(1, 1),
    decoder_attentions=(0, 1),
    decoder_num_heads=(1, 2),
    decoder_windows=(64, 64),
    drop_path=0.1,
    attn_drop=0.1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "rooms"
    return ensure_dataset(root, layouts=("rooms",), train=4, val=2, points=1500, seed=0)


def config_of(repository: Path, name: str, folder: Path, iters: int = 4, **model):
    """A shipped config on the small data set, with a smaller network."""
    path = repository / f"configs/synthetic/{name}_hunet-tiny_synthetic-rooms.py"
    options = {f"{s}_dataloader.dataset.data_root": str(folder) for s in ("train", "val", "test")}
    options |= {
        "synthetic_data": None,
        "train_dataloader.dataset.pipeline.1.count": 900,
        "train_cfg.max_iters": iters,
        "train_cfg.val_interval": iters,
        "default_hooks.checkpoint.interval": 2,
    }
    cfg = load_config(path, options)
    cfg.model.update(backbone=SMALL, voxel_size=0.25, **model)
    return cfg


@pytest.fixture(scope="module")
def run(folder, repository, tmp_path_factory):
    return train(config_of(repository, "msm", folder), work_dir=tmp_path_factory.mktemp("run"))


def segmenting(repository, folder, run, **model):
    cfg = config_of(repository, "msm-linear", folder, iters=2, **model)
    start = dict(type="Pretrained", checkpoint=str(run.checkpoint))
    cfg.model.backbone = {**SMALL, "init_cfg": start}
    return cfg


def test_training_logs_losses_and_spreads_and_the_teacher_follows(run):
    assert run.checkpoint.name == "iter_4.pth" and run.metrics["reconstruction/error"] > 0
    state = load_checkpoint(run.checkpoint)["state_dict"]
    names = [name.removeprefix("student.") for name in state if name.startswith("student.")]
    apart = [not torch.equal(state[f"student.{name}"], state[f"teacher.{name}"]) for name in names]
    assert all(apart) and len(names) > 20
    (log,) = run.checkpoint.parent.rglob("vis_data/scalars.json")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    names = {f"{name}_level{level}" for name in ("loss", "spread", "rank") for level in range(2)}
    assert any(names <= {*row} for row in rows)
    assert {"whitening.0.weight", "whitening.1.square"} <= {*state}


def test_a_resumed_run_ends_with_the_same_weights(run, repository, folder, tmp_path):
    cfg = config_of(repository, "msm", folder)
    again = train(cfg, work_dir=tmp_path, resume=run.checkpoint.with_name("iter_2.pth"))
    first, second = (load_checkpoint(r.checkpoint)["state_dict"] for r in (run, again))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_segmenters_start_from_it_are_tested_and_colour_whole_clouds(run, repository, folder, tmp_path):
    found = train(segmenting(repository, folder, run), work_dir=tmp_path / "run")
    state, start = (load_checkpoint(r.checkpoint)["state_dict"] for r in (found, run))
    assert torch.equal(state["backbone.down.0.weight"], start["student.down.0.weight"])  # frozen
    figures = evaluate(found.config, found.checkpoint, work_dir=tmp_path / "test")
    assert 0 <= figures["scene/miou"] <= 100 and "scene/iou/floor" in figures
    room = folder / "val" / "room_0000"
    report = infer_clouds(found.config, found.checkpoint, [room], tmp_path / "out")
    assert not report.left_out and len(report.pictures) == len(report.clouds) == 1
    written = read_cloud(report.clouds[0])
    np.testing.assert_allclose(written.points, np.load(room / "coord.npy"), atol=1e-5)
    bare = dense3d.load(found.config, found.checkpoint)(PointCloud(np.load(room / "coord.npy")))
    assert bare.point_labels.shape == (1500,)  # without colours and normals, which zeros stand for


def test_features_of_whole_clouds_are_drawn(run, folder, tmp_path):
    room = folder / "val" / "room_0000"
    (result,) = dense3d.load(run.config, run.checkpoint)([room])
    assert result.features.rows().shape == (1500, 24) and str(result) == "24 features a point"
    cloud = read_cloud(result.save(tmp_path / "features.ply"))
    assert cloud.colors.std(axis=0).min() > 0.05
    assert infer_clouds(run.config, run.checkpoint, [room], tmp_path / "out").clouds


def test_a_whole_network_is_trained_from_it(run, repository, folder, tmp_path):
    found = train(segmenting(repository, folder, run, frozen=False), work_dir=tmp_path)
    state, start = (load_checkpoint(r.checkpoint)["state_dict"] for r in (found, run))
    assert not torch.equal(state["backbone.down.0.weight"], start["student.down.0.weight"])


def test_the_command_prints_probes_and_their_differences(run, repository, folder, tmp_path, capsys):
    path = tmp_path / "probe.py"
    segmenting(repository, folder, run).dump(path)
    two = [str(run.checkpoint), str(run.checkpoint.with_name("iter_2.pth"))]
    words = ["probe-scenes", str(path), "--checkpoint", *two, "--shares", "1", "100", "--points", "50"]
    assert main([*words, "--by-class"]) == 0
    printed = capsys.readouterr().out
    assert "1 % of the labels (1 scenes), linear, pre-trained: mIoU" in printed
    assert "100 % of the labels (4 scenes), nearest, raw: mIoU" in printed and "floor " in printed
    assert "linear, pre-trained less random:" in printed and "2 pairs" in printed


def test_probes_repeat_and_shares_may_be_of_points(run, repository, folder, monkeypatch):
    cfg = segmenting(repository, folder, run)
    settings = dict(shares=(5, 100), of="points", points=80, protocols=["linear"], baselines=False)
    first, second = (probe_scenes(cfg, run.checkpoint, **settings) for _ in range(2))
    assert first.scores.keys() == {ProbeKey("pre-trained", "linear", share) for share in (5, 100)}
    assert all(first.scores[key]["miou"] == second.scores[key]["miou"] for key in first.scores)
    assert first.scenes[5] > 1
    only = probe_scenes(cfg, None, protocols=["linear"], points=80)
    assert {key.source for key in only.scores} == {"random", "raw"}
    monkeypatch.setattr("dense3d.apis.scene_probes.FEW", 100)  # test points come in parts
    parts = probe_scenes(cfg, None, protocols=["linear"], points=80)
    assert all(parts.scores[key]["miou"] == pytest.approx(only.scores[key]["miou"]) for key in only.scores)


def test_what_cannot_be_probed_is_one_sentence(run, repository, folder, tmp_path):
    cfg = segmenting(repository, folder, run)
    for settings, message in (
        (dict(protocols=["linaer"]), "did you mean 'linear'"),
        (dict(shares=(0,)), "percents above 0"),
        (dict(of="rooms"), "'scenes' or 'points'"),
        (dict(baselines=False), "nothing to probe"),
    ):
        with pytest.raises(ConfigError, match=message):
            probe_scenes(cfg, None, **settings)
    with pytest.raises(ConfigError, match="describes no SceneSegmenter"):
        probe_scenes(config_of(repository, "msm", folder), None)
    cfg.model.backbone.chanels = (8, 16)
    with pytest.raises(ConfigError, match=r"SceneSegmenter at model cannot be built.*'chanels'"):
        probe_scenes(cfg, None)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(1500, 14), "a point has the class 14; the model knows 0 to 13"),
        (np.full(1500, -1), "no point of the training scenes has a label"),
        (np.zeros(1499), "has no class for each of its 1500 points"),
    ],
)
def test_bad_labels_are_named(repository, tmp_path, labels, message, run):
    root = ensure_dataset(tmp_path / "rooms", layouts=("rooms",), train=1, val=1, points=1500, seed=0)
    np.save(root / "train" / "room_0000" / "segment.npy", labels.astype(np.int32))
    with pytest.raises(DataError, match=message):
        probe_scenes(segmenting(repository, root, run), None, protocols=["linear"], points=50)


def gradients(model: torch.nn.Module, clouds: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a batch with two equal views of each scene, every second block of a scene hidden."""
    from dense3d.pretraining.msm import model as module

    def every_second(scene: torch.Tensor, *_: object) -> torch.Tensor:
        return (torch.arange(len(scene)) - torch.searchsorted(scene, scene)) % 2 == 1

    module.hidden_blocks = every_second
    points = torch.cat(clouds * 2)
    batch = dict(
        points=points,
        features=torch.cat([points.sin(), points.cos()], dim=1),
        lengths=torch.tensor([len(cloud) for cloud in clouds] * 2),
        index=torch.cat([torch.arange(len(cloud)) for cloud in clouds] * 2),
        views=2,
    )
    losses = model(batch, mode="loss")
    sum(value for name, value in losses.items() if name.startswith("loss")).backward()
    return {
        name.removeprefix("module."): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def a_model() -> MaskedSceneModeling:
    torch.manual_seed(0)
    return MaskedSceneModeling(SMALL, voxel_size=0.25, targets="whitened").eval()


def some_clouds() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [4 * torch.rand(count, 3, generator=random) for count in (300, 90)]


def in_process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder / 'store'}", world_size=2, rank=rank)
    model = DistributedDataParallel(a_model())
    torch.save(gradients(model, [some_clouds()[rank]]), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_the_doubled_batch(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=in_process, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    one = context.Process(target=lambda: torch.save(gradients(a_model(), some_clouds()), tmp_path / "one.pt"))
    one.start()  # apart, since the choice of blocks is replaced there
    one.join(240)
    expected = torch.load(tmp_path / "one.pt")
    assert expected
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=2e-4, atol=1e-6, msg=name)


def layout_of(kind: str, rooms: Path, root: Path) -> dict[str, dict]:
    """The synthetic rooms in another data set's folders, and the settings of its splits."""
    places = {
        "scannet": ("train/scene0000_00", "val/scene0001_00"),
        "s3dis": ("Area_1/hall_1", "Area_5/hall_1"),
    }
    for source, place in zip(("train", "val"), places["s3dis" if kind == "s3dis" else "scannet"]):
        folder = root / place
        shutil.copytree(rooms / source / "room_0000", folder)
        labels = np.load(folder / "segment.npy") % 13
        for name in ("segment", "segment20", "segment200"):
            np.save(folder / f"{name}.npy", labels)
    if kind == "s3dis":
        return {"train": dict(type="S3DIS", areas=(1,)), "test": dict(type="S3DIS", areas=(5,))}
    settings = dict(type="ScanNet", num_classes=200 if kind == "scannet200" else 20)
    return {"train": dict(settings, split="train"), "test": dict(settings, split="val")}


@pytest.mark.parametrize(("kind", "classes"), [("scannet", 20), ("scannet200", 200), ("s3dis", 13)])
def test_scenes_of_other_data_sets_are_probed(kind, classes, run, repository, folder, tmp_path):
    cfg = segmenting(repository, folder, run, num_classes=classes)
    for split, settings in layout_of(kind, folder, tmp_path).items():
        pipeline = cfg[f"{split}_dataloader"].dataset.pipeline
        cfg[f"{split}_dataloader"].dataset = dict(settings, data_root=str(tmp_path), pipeline=pipeline)
    found = probe_scenes(cfg, run.checkpoint, baselines=False, points=100)
    for score in found.scores.values():
        assert 0 < score["accuracy"] <= 100
        assert sum(name.startswith("iou/") for name in score) == classes
