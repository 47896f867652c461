"""The command line: figures of the kit's and of real frames, plots, and the ways folders may be wrong."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.apis import evaluate_kitti
from dense3d.datasets.kitti import frame_id, read_objects, write_objects
from dense3d.errors import DataError
from dense3d.evaluation.kitti.files import read_pair
from tests.golden.kit import GoldenKit

TOOL = Path(__file__).resolve().parents[2] / "tools/eval_kitti.py"


@pytest.fixture
def kit_folders(golden_dir, tmp_path) -> tuple[Path, Path, dict[str, np.ndarray]]:
    kit = GoldenKit(golden_dir / "kitti-eval")
    for name, key in (("label_2", "gt"), ("results", "dt")):
        (tmp_path / name).mkdir()
        for number, text in enumerate(kit.inputs("main")[key]):
            (tmp_path / name / f"{frame_id(number)}.txt").write_text(str(text))
    return tmp_path / "label_2", tmp_path / "results", kit.outputs("main")


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["eval_kitti.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name="__main__")
    return end.value.code


def test_figures_of_the_devkit(kit_folders, tmp_path, monkeypatch, capsys):
    labels, results, truth = kit_folders
    file, plots = tmp_path / "ap.json", tmp_path / "plots"
    assert run(monkeypatch, labels, results, "--json", file, "--plots", plots) == 0
    output = capsys.readouterr().out
    car_3d = "{:>10.2f} {:>8.2f} {:>8.2f}".format(*truth["ap40"][0, 3, 0])
    assert f"3D > 0.70     {car_3d}" in output
    found = json.loads(file.read_text())
    for c, name in enumerate(("Car", "Pedestrian", "Cyclist")):
        for m, metric in enumerate(("bbox", "aos", "bev", "3d")):
            for s, limits in enumerate(("strict", "loose")):
                for points in ("ap11", "ap40"):
                    values = found["classes"][name][metric][limits][points]
                    expected = truth[points][s, m, c]
                    assert [values[d] for d in ("easy", "moderate", "hard")] == pytest.approx(
                        expected, abs=1e-6
                    )
        picture = cv2.imread(str(plots / f"{name}.png"))
        assert picture.shape[1] > 1000
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20  # curves in colours


def test_some_classes_and_one_average(kit_folders, monkeypatch, capsys):
    labels, results, _ = kit_folders
    assert run(monkeypatch, labels, results, "--classes", "cyclist", "--ap", "11") == 0
    output = capsys.readouterr().out
    assert "Cyclist (" in output
    assert "AP11" in output
    assert "Car" not in output
    assert "AP40" not in output


def test_real_labels_as_results(sample_data, tmp_path):
    root = sample_data / "kitti"
    for file in (root / "training/label_2").glob("*.txt"):
        objects = read_objects(file)
        write_objects(
            tmp_path / file.name, objects.select(np.array(objects.names) != "DontCare").with_scores(1)
        )
    found = evaluate_kitti(root, tmp_path)
    # fewer than 40 ground truths: the devkit's curve has one step for each of them
    expected = 100 * np.maximum(found.ground_truths - 1, 0) / 40
    np.testing.assert_allclose(found.ap40, np.broadcast_to(expected, found.ap40.shape))
    assert found.ground_truths.tolist() == [[11, 19, 26], [10, 14, 18], [2, 6, 6]]


def test_a_split_and_the_folder_named_data(sample_data, tmp_path):
    root = sample_data / "kitti"
    (tmp_path / "data").mkdir()
    for frame in (root / "ImageSets/val.txt").read_text().split():
        (tmp_path / f"data/{frame}.txt").touch()
    found = evaluate_kitti(root / "training/label_2", tmp_path, image_set=root / "ImageSets/val.txt")
    assert (found.frames, found.detections) == (8, 0)
    with pytest.raises(
        DataError, match=r"000000.txt: no result for frame 000000 \(4 of 12 frames lack one\)"
    ):
        evaluate_kitti(root / "training/label_2", tmp_path)


def remove_label(labels: Path, results: Path) -> None:
    (labels / "000007.txt").unlink()


def remove_result(labels: Path, results: Path) -> None:
    (results / "000007.txt").unlink()


def remove_all_results(labels: Path, results: Path) -> None:
    for file in results.iterdir():
        file.unlink()


def remove_all_labels(labels: Path, results: Path) -> None:
    for file in labels.iterdir():
        file.unlink()


def add_data_folder(labels: Path, results: Path) -> None:
    (results / "data").mkdir()


@pytest.mark.parametrize("inner", ["data", "results", "predictions"])
def test_results_are_found_where_infer_and_test_put_them(kit_folders, tmp_path, inner):
    labels, results, _ = kit_folders
    (tmp_path / "out").mkdir()
    results.rename(tmp_path / "out" / inner)
    pairs = read_pair(labels, tmp_path / "out")
    assert len(pairs.results) == len(pairs.frames) > 0
    (tmp_path / "out/data").mkdir(exist_ok=True)
    if inner != "data":
        with pytest.raises(DataError, match=f"a folder 'data' and a folder '{inner}'; name the one"):
            read_pair(labels, tmp_path / "out")


def damage_result(labels: Path, results: Path) -> None:
    text = (results / "000007.txt").read_text().splitlines()
    text[1] = text[1].rsplit(" ", 1)[0] + " nan"
    (results / "000007.txt").write_text("\n".join(text))


def damage_label(labels: Path, results: Path) -> None:
    (labels / "000007.txt").write_text("Car 0.00 0 0.1\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_label, "label_2/000007.txt: no label for frame 000007, which has a result"),
        (remove_result, "results/000007.txt: no result for frame 000007"),
        (remove_all_results, "results holds no result file"),
        (remove_all_labels, "label_2 holds no label file"),
        (add_data_folder, "holds result files and a folder 'data' beside them"),
        (damage_result, "results/000007.txt, line 2: score is nan"),
        (damage_label, "label_2/000007.txt, line 1 has 4 fields, a label has 15"),
    ],
)
def test_faulty_folders_get_one_sentence(kit_folders, monkeypatch, capsys, damage, message):
    labels, results, _ = kit_folders
    damage(labels, results)
    assert run(monkeypatch, labels, results) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_faulty_arguments(kit_folders, tmp_path, monkeypatch, capsys):
    labels, results, _ = kit_folders
    assert run(monkeypatch, tmp_path / "nowhere", results) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    assert run(monkeypatch, labels, results, "--classes", "Cars") == 2
    assert "'Cars'; did you mean 'Car'" in capsys.readouterr().err
    split = tmp_path / "val.txt"
    split.write_text("000001\n000001\n")
    assert run(monkeypatch, labels, results, "--split", split) == 2
    assert "val.txt, line 2: frame 000001 is listed twice" in capsys.readouterr().err
    split.write_text("000001\n")
    assert run(monkeypatch, labels, results, "--split", split) == 2
    assert "results/000000.txt: frame 000000 is not in" in capsys.readouterr().err
    split.write_text("000001\n000777\n")
    assert run(monkeypatch, labels, results, "--split", split) == 2
    assert "label_2/000777.txt: no label for frame 000777, which" in capsys.readouterr().err


def test_torch_is_not_needed(kit_folders):
    labels, results, _ = kit_folders
    code = f"""
import sys
from dense3d.apis.kitti_evaluation import evaluate_kitti
evaluate_kitti({str(labels)!r}, {str(results)!r})
assert "torch" not in sys.modules and "mmengine" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
