"""What is missing in a data set of clouds is named before training, by layout and by sample."""

import numpy as np
import pytest

from dense3d.cli.check_data import NAMES
from dense3d.cli.dispatch import main
from dense3d.datasets.layouts import LAYOUTS, check_layout
from dense3d.datasets.pointcloud.layouts import CLOUD_LAYOUTS
from dense3d.datasets.scan import scan_dataset


def test_the_command_knows_every_layout():
    assert set(CLOUD_LAYOUTS) <= set(NAMES) == set(LAYOUTS)


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


FILES = {
    "shapenet55": ["ShapeNet-55/train.txt", "ShapeNet-55/test.txt", "shapenet_pc/02691156-a.npy"],
    "modelnet40": ["modelnet40_shape_names.txt"],
    "scanobjectnn": ["h5_files/main_split/training_objectdataset_augmentedrot_scale75.h5"],
    "shapenetpart": [
        *(f"train_test_split/shuffled_{s}_file_list.json" for s in ("train", "val", "test")),
        "02691156/a.txt",
    ],
    "scannet": [
        *("scannetv2_train.txt", "scannetv2_val.txt", "scans/scene0000_00/scene0000_00.txt"),
        "scans/scene0000_00/scene0000_00_vh_clean_2.ply",
        "scans/scene0000_00/scene0000_00_vh_clean_2.labels.ply",
    ],
    "scannet_pointcept": [
        f"{s}/scene0000_00/{k}.npy" for s in ("train", "val") for k in ("coord", "segment20")
    ],
    "s3dis": [f"Area_{n}/office_1/Annotations/chair_1.txt" for n in range(1, 7)],
    "s3dis_pointcept": [f"Area_{n}/office_1/{k}.npy" for n in range(1, 7) for k in ("coord", "segment")],
    "sunrgbd": [
        f"sunrgbd_pc_bbox_votes_50k_v1_{s}/000001_{k}"
        for s in ("train", "val")
        for k in ("pc.npz", "bbox.npy")
    ],
    "sunrgbd_raw": [
        "OFFICIAL_SUNRGBD/SUNRGBDMeta3DBB_v2.mat",
        "OFFICIAL_SUNRGBD/SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat",
        *(f"OFFICIAL_SUNRGBD/SUNRGBD/kv1/NYUdata/NYU0001/{n}" for n in ("depth/a.png", "image/a.jpg")),
    ],
    **{f"{name}_prepared": ["prepared.json", "train/a.npz", "val/b.npz"] for name in ("scannet", "sunrgbd")},
}


@pytest.mark.parametrize("name", CLOUD_LAYOUTS)
def test_complete_roots_pass_and_what_is_removed_is_named(tmp_path, name):
    _touch(tmp_path, *FILES[name])
    report = check_layout(name, tmp_path)
    assert report.ok, report.table()
    for gone in FILES[name]:
        (tmp_path / gone).unlink()
        if name == "s3dis":
            (tmp_path / gone).parent.rmdir()
        report = check_layout(name, tmp_path)
        assert not report.ok, gone
        _touch(tmp_path, gone)


def test_the_command_reports(tmp_path, capsys):
    _touch(tmp_path, *FILES["scannet"][:-1])
    assert main(["check-data", "scannet", str(tmp_path)]) == 1
    assert "no file matches */*_vh_clean_2.labels.ply" in capsys.readouterr().out


def test_the_scan_counts_clouds_and_names_faults(tmp_path):
    _touch(tmp_path, "ShapeNet-55/test.txt")
    (tmp_path / "ShapeNet-55" / "train.txt").write_text("1-a.npy\n1-b.npy\n1-c.npy\n")
    (tmp_path / "shapenet_pc").mkdir()
    np.save(tmp_path / "shapenet_pc" / "1-a.npy", np.zeros((4, 3)))
    np.save(tmp_path / "shapenet_pc" / "1-b.npy", np.zeros((4, 2)))
    cfg = dict(type="ShapeNet55", data_root=str(tmp_path), pipeline=[])
    (tmp_path / "ShapeNet-55" / "test.txt").write_text("1-a.npy\n")
    quick, whole = scan_dataset(cfg)[0], scan_dataset(cfg, quick=False)[0]
    assert (quick.found, quick.missing) == (2, 1) and "1-c.npy" in str(quick.faults[0])
    assert (whole.found, whole.missing, whole.corrupt) == (1, 1, 1)
    assert "(N, 3 or more)" in whole.table()
