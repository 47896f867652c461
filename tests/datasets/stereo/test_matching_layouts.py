"""Layouts of stereo and flow data sets: what their readers read passes, and what is missing is named."""

from __future__ import annotations

import shutil

import pytest

from dense3d.cli.check_data import NAMES
from dense3d.cli.dispatch import main
from dense3d.datasets.layouts import LAYOUTS, check_layout
from dense3d.datasets.matching_layouts import MATCHING_LAYOUTS
from tests.datasets.stereo import layouts

# Writer of a tiny root, a file of it, and what is said once that file is gone.
ROOTS = {
    "kitti_stereo_2012": (lambda root: layouts.kitti(root, "2012"), "training/disp_occ/000001_10.png"),
    "kitti_stereo_2015": (lambda root: layouts.kitti(root, "2015"), "training/image_3/000001_10.png"),
    "kitti_flow_2015": (lambda root: layouts.kitti(root, "2015"), "training/image_2/000000_11.png"),
    "drivingstereo": (layouts.driving_stereo, "train-right-image/{first}.jpg"),
    "middlebury_2014": (layouts.middlebury, "Vintage/disp0.pfm"),
    "middlebury_2021": (layouts.middlebury_2021, "artroom1/im1.png"),
    "middlebury_2006": (lambda root: layouts.middlebury_2006(root, 1), "Aloe/Illum1/Exp0/view5.png"),
    "eth3d": (layouts.eth3d, "two_view_training_gt/delivery_area_1l/disp0GT.pfm"),
    "crestereo": (layouts.cre_stereo, "tree/zz_1_left.disp.png"),
    "booster": (layouts.booster, "train/balanced/Bathroom/disp_00.npy"),
    "sceneflow_flyingthings": (layouts.scene_flow, None),
    "sintel_stereo": (layouts.sintel, "training/disparities/alley_1/frame_0002.png"),
    "sintel_flow": (layouts.sintel, "training/clean/alley_1/frame_0001.png"),
    "flying_chairs": (layouts.flying_chairs, "data/00002_flow.flo"),
    "flying_things_flow": (layouts.scene_flow, None),
    "tartanair_flow": (layouts.tartan_air, "ocean/ocean/Easy/P001/image_left/000001_left.png"),
    "spring_stereo": (layouts.spring, "train/0001/disp1_left/disp1_left_0002.dsp5"),
    "spring_flow": (layouts.spring, None),
}
FIRST = "2018-07-09-16-11-56/2018-07-09-16-11-56_0001"


@pytest.mark.parametrize("name", ROOTS)
def test_what_the_readers_read_passes_and_a_missing_file_is_named(name, tmp_path):
    if name.startswith("spring"):
        pytest.importorskip("h5py")
    write, lost = ROOTS[name]
    write(tmp_path)
    report = check_layout(name, tmp_path)
    assert report.ok, report.table()
    if lost is None:
        return
    file = tmp_path / lost.format(first=FIRST)
    file.unlink()
    (fault,) = check_layout(name, tmp_path).faults
    assert file.name in str(fault) and "docs/stereo-data.md" in str(fault)


def test_what_only_some_uses_need_is_a_note(tmp_path):
    layouts.kitti(tmp_path, "2015")
    (tmp_path / "training/disp_noc_0/000001_10.png").unlink()
    shutil.rmtree(tmp_path / "training/calib_cam_to_cam")
    report = check_layout("kitti_stereo_2015", tmp_path)
    assert report.ok
    notes = " ".join(map(str, report.notes))
    assert "000001_10.png" in notes and "needed only for depth in metres" in notes


def test_kitti_raw(tmp_path):
    drive = tmp_path / "2011_09_26/2011_09_26_drive_0001_sync"
    for camera in ("image_02", "image_03"):
        layouts.picture(drive / camera / "data/0000000000.png", layouts.views()[0])
    report = check_layout("kitti_raw", tmp_path)
    assert report.ok and "found 1\n" in report.table() and len(report.notes) == 3
    (drive / "image_03/data/0000000000.png").unlink()
    assert not check_layout("kitti_raw", tmp_path).ok


def test_the_command_knows_all_of_them(tmp_path, capsys):
    assert set(NAMES) == set(LAYOUTS) and set(MATCHING_LAYOUTS) <= set(NAMES)
    layouts.booster(tmp_path)
    assert main(["check-data", "booster", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "train/balanced/*/camera_00/*.png" in said and "found 2 of 228" in said
    assert main(["check-data", "crestereo", str(tmp_path)]) == 1
