"""From dataset configs to scans and strict loaders, for any dataset and through wrappers."""

from __future__ import annotations

import pickle
from pathlib import Path

import mmdet.datasets
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.datasets.coco import CheckedCoco, CocoDataset, checked_class
from dense3d.datasets.scan import scan_before_training, scan_config, scan_dataset
from dense3d.datasets.strict import SampleError, StrictSamples, base_datasets, skipped_samples
from dense3d.engine.console import show_notes
from dense3d.engine.runner import Runner
from dense3d.errors import ConfigError, DataError


def loader(dataset: dict) -> dict:
    return dict(
        batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False), dataset=dataset
    )


@pytest.fixture
def ade20k(tmp_path: Path) -> dict:
    """Config of three images with labels 0 (unlabelled) to 3."""
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        Image.new("RGB", (8, 6)).save(tmp_path / "images" / f"{i}.jpg")
        Image.new("L", (8, 6), i).save(tmp_path / "annotations" / f"{i}.png")
    return dict(
        type="mmseg.ADE20KDataset",
        data_root=str(tmp_path),
        data_prefix=dict(img_path="images", seg_map_path="annotations"),
        pipeline=[
            dict(type=f"mmseg.{name}") for name in ("LoadImageFromFile", "LoadAnnotations", "PackSegInputs")
        ],
    )


def test_wrapped_coco_dataset(tiny_coco) -> None:
    cfg = dict(type="RepeatDataset", times=2, dataset=tiny_coco.dataset_cfg())
    (report,) = scan_dataset(cfg)
    assert report.ok
    assert report.annotations == 3


def test_classes_of_the_dataset_type_count_unless_the_config_names_some(tiny_coco) -> None:
    (report,) = scan_dataset(tiny_coco.dataset_cfg(metainfo=None))
    assert [fault.rule for fault in report.faults] == ["class-list"]
    assert "80 classes" in str(report.faults[0])


def test_label_maps_of_mmseg(ade20k: dict, tmp_path: Path) -> None:
    assert scan_dataset(ade20k, quick=False)[0].ok
    Image.new("L", (8, 6), 200).save(tmp_path / "annotations" / "1.png")
    (tmp_path / "annotations" / "2.png").unlink()
    (report,) = scan_dataset(ade20k, quick=False)
    assert sorted(fault.rule for fault in report.faults) == ["file-missing", "label-range"]


def test_missing_root_is_one_fault(tiny_coco) -> None:
    (report,) = scan_dataset(tiny_coco.dataset_cfg(data_root=str(tiny_coco.root / "imges")))
    assert [fault.rule for fault in report.faults] == ["folder-missing"]
    assert "'images'" in str(report.faults[0])


LONG = "x" * 3000


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (dict(data_root=LONG), "folder-missing"),
        (dict(ann_file=LONG), "annotation-file"),
        (dict(data_prefix=dict(img=LONG)), "folder-missing"),
        (dict(metainfo=dict(classes=3)), "class-list"),
    ],
)
def test_values_that_name_nothing_are_faults(tiny_coco, changes: dict, rule: str) -> None:
    (report,) = scan_dataset(tiny_coco.dataset_cfg(**changes))
    assert [fault.rule for fault in report.faults] == [rule]


def test_a_loader_without_a_data_set_is_named() -> None:
    with pytest.raises(ConfigError, match="train_dataloader has no 'dataset'"):
        scan_before_training(Config(dict(train_dataloader=dict(batch_size=2))))
    with pytest.raises(ConfigError, match="a data set of the config has no type"):
        scan_before_training(Config(dict(train_dataloader=loader(dict(data_root=".")))))


def test_same_data_are_scanned_once(tiny_coco) -> None:
    cfg = Config(
        dict(train_dataloader=loader(tiny_coco.dataset_cfg()), val_dataloader=loader(tiny_coco.dataset_cfg()))
    )
    assert len(scan_config(cfg)) == 1


def test_training_does_not_start_on_bad_data(tiny_coco) -> None:
    tiny_coco.truncate(2)
    with pytest.raises(DataError, match=r"002\.jpg.*truncated"):
        scan_before_training(Config(dict(train_dataloader=loader(tiny_coco.dataset_cfg()))))


def test_training_starts_where_bad_images_are_skipped(tiny_coco) -> None:
    tiny_coco.truncate(2)
    cfg = Config(dict(train_dataloader=loader(tiny_coco.dataset_cfg(skip_bad_samples=True))))
    (report,) = scan_before_training(cfg)
    assert report.ok
    tiny_coco.change(lambda d: d["categories"][0].update(name="disc"))
    with pytest.raises(DataError, match="class-list"):
        scan_before_training(cfg)


def build(dataset: dict):
    with DefaultScope.overwrite_default_scope("dense3d"):
        return Runner.build_dataloader(loader(dataset), seed=0)


def test_runner_loads_datasets_of_other_libraries_strictly(ade20k: dict, tmp_path: Path) -> None:
    data = build(ade20k)
    assert isinstance(data.dataset, StrictSamples)
    assert sum(len(batch["inputs"]) for batch in data) == 3
    (tmp_path / "annotations" / "1.png").write_bytes(b"")
    with pytest.raises(SampleError, match=r"1\.png.*zero-bytes"):
        list(build(ade20k))


def test_switch_works_for_any_dataset_in_wrappers(ade20k: dict, tmp_path: Path) -> None:
    (tmp_path / "images" / "1.jpg").write_bytes(b"")
    data = build(dict(type="RepeatDataset", times=2, dataset=dict(ade20k, skip_bad_samples=True)))
    files = [Path(sample.img_path).name for batch in data for sample in batch["data_samples"]]
    assert files == ["0.jpg", "2.jpg", "2.jpg"] * 2
    assert len(skipped_samples(data.dataset)) == 1


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        ("mmdet.CocoDataset", None),
        ("CocoDataset", "mmdet"),
        (mmdet.datasets.CocoDataset, None),
        ("mmdet.CityscapesDataset", None),
        ("mmdet.DeepFashionDataset", None),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_coco_datasets_of_mmdet_are_checked(tiny_coco, kind, scope: str | None, wrapped: bool) -> None:
    cfg = tiny_coco.dataset_cfg(type=kind, **(dict(_scope_=scope) if scope else {}))
    if scope:  # as load_config marks what is inherited from mmdet
        cfg["pipeline"] = [{**step, "type": step["type"].removeprefix("mmdet.")} for step in cfg["pipeline"]]
    cfg = dict(type="ConcatDataset", datasets=[cfg, dict(cfg)]) if wrapped else cfg
    tiny_coco.change(lambda d: [a.update(area=0) for a in d["annotations"]])
    data = build(cfg)
    assert sum(len(s.gt_instances) for batch in data for s in batch["data_samples"]) == 3 * (1 + wrapped)
    for dataset in base_datasets(data.dataset):
        assert isinstance(dataset, CheckedCoco)
        assert len(pickle.loads(pickle.dumps(dataset))) == 4
    tiny_coco.change(lambda d: d["annotations"][0].update(segmentation=[[1, 2, float("nan"), 4, 5, 6]]))
    with pytest.raises(DataError, match="polygon-not-finite"):
        build(cfg)


def test_datasets_of_another_format_stay_what_they_are() -> None:
    for cls in (mmdet.datasets.LVISV1Dataset, mmdet.datasets.CocoPanopticDataset, mmdet.datasets.XMLDataset):
        assert checked_class(cls) is cls
    assert checked_class(mmdet.datasets.CocoDataset) is CocoDataset


def test_scan_knows_what_the_pipeline_wants(tiny_coco) -> None:
    tiny_coco.change(lambda d: d["annotations"][0].update(segmentation=[]))
    cfg = tiny_coco.dataset_cfg()
    assert scan_dataset(cfg)[0].ok
    cfg["pipeline"][1]["with_mask"] = True
    (report,) = scan_dataset(cfg)
    assert [fault.rule for fault in report.faults] == ["mask-missing"]
    inner = dict(type="RandomChoice", transforms=[cfg["pipeline"]])
    assert not scan_dataset(tiny_coco.dataset_cfg(pipeline=[inner]))[0].ok


def test_scan_knows_files_of_test_images(tiny_coco) -> None:
    tiny_coco.change(lambda d: d.pop("annotations"))
    assert scan_dataset(tiny_coco.dataset_cfg(test_mode=True))[0].ok
    assert "no list 'annotations'" in str(scan_dataset(tiny_coco.dataset_cfg())[0].faults[0])


def test_switch_for_lost_boxes(tiny_coco) -> None:
    tiny_coco.change(lambda d: [a.update(bbox=[0.1, 0.1, 0.5, 0.5]) for a in d["annotations"]])
    cfg = Config(dict(train_dataloader=loader(tiny_coco.dataset_cfg())))
    with pytest.raises(DataError, match=r"3 of 3 boxes are smaller than one pixel"):
        scan_before_training(cfg)
    cfg.train_dataloader.dataset.allow_lost_boxes = True
    (report,) = scan_before_training(cfg)
    assert {"boxes-lost", "box-empty"} == {note.rule for note in report.notes}


def test_notes_are_shown_counted_and_with_examples(tiny_coco, capsys, monkeypatch) -> None:
    tiny_coco.change(
        lambda d: d["annotations"].extend(
            {**d["annotations"][i % 3], "id": 10 + i, "bbox": [0, 0, 200 if i < 5 else 8, 8]}
            for i in range(9)
        )
    )
    cfg = Config(dict(train_dataloader=loader(tiny_coco.dataset_cfg())))
    lines = show_notes(scan_before_training(cfg))
    assert lines[0] == f"notes on {tiny_coco.annotation_file}:"
    assert lines[1] == "  note box-exceeds: 5"
    assert len(lines) == 6
    assert "annotation 10 of image 10: bbox is [0, 0, 200, 8]" in lines[2]
    assert lines[5].strip() == "... and 2 more"
    assert capsys.readouterr().out.splitlines() == lines
    monkeypatch.setenv("RANK", "1")  # of torchrun's processes one speaks
    assert show_notes(scan_before_training(cfg)) == lines
    assert capsys.readouterr().out == ""
