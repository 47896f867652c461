"""Statistics of the relations in an annotation file, and errors for files without any."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dense3d.apis import analyse_relations
from dense3d.apis.relation_analysis import print_analysis
from dense3d.errors import DataError
from dense3d.evaluation.macroscopic_correlation import macroscopic_correlation

BOX = [10.0, 30.0, 50.0, 20.0]
DOUBLE = [20.0, 60.0, 100.0, 40.0]
OTHER = [40.0, 10.0, 5.0, 60.0]


def write(path: Path, annotations: list[tuple], images: int = 4) -> Path:
    """Annotations as (image, category, box, crowd)."""
    document = dict(
        images=[dict(id=i, file_name=f"{i}.png", width=200, height=200) for i in range(images)],
        categories=[dict(id=1, name="cup"), dict(id=2, name="plate"), dict(id=3, name="unseen")],
        annotations=[
            dict(id=i, image_id=image, category_id=category, bbox=box, area=1, iscrowd=crowd)
            for i, (image, category, box, crowd) in enumerate(annotations)
        ],
    )
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    annotations = [
        (0, 1, BOX, 0), (0, 1, DOUBLE, 0), (0, 2, OTHER, 0),
        (1, 1, BOX, 0), (1, 2, DOUBLE, 0),
        (2, 2, BOX, 0), (2, 2, OTHER, 1),
    ]  # fmt: skip
    return write(tmp_path / "boxes.json", annotations)


def test_overall_and_each_class(file):
    analysis = analyse_relations(file)
    expected = [macroscopic_correlation(np.array([BOX, DOUBLE, OTHER])), 1.0]
    assert analysis.overall.values == pytest.approx(expected)
    # One image has one box besides a crowd, one image has none.
    assert (analysis.overall.boxes, analysis.overall.skipped) == (6, 2)
    cup, plate = analysis.classes
    assert (cup.name, cup.boxes, cup.skipped) == ("cup", 3, 1)
    assert cup.values == pytest.approx([1.0])
    assert (plate.name, len(plate.values), plate.skipped) == ("plate", 0, 3)
    assert plate.summary()["mean"] is None


def test_summary_is_that_of_numpy(file):
    analysis = analyse_relations(file)
    summary, values = analysis.overall.summary(), analysis.overall.values
    assert summary["mean"] == pytest.approx(np.mean(values))
    assert summary["median"] == pytest.approx(np.median(values))
    assert summary["quartile_3"] == pytest.approx(np.percentile(values, 75))


def test_real_sample(sample_data, tmp_path):
    """The COCO sample against the loop over images and pycocotools' index."""
    from pycocotools.coco import COCO

    path = sample_data / "coco/annotations/instances_val2017.json"
    analysis = analyse_relations(path, tmp_path)
    index = COCO(str(path))
    values, skipped = [], 0
    for image in index.getImgIds():
        boxes = [a["bbox"] for a in index.loadAnns(index.getAnnIds([image], iscrowd=False))]
        skipped += len(boxes) < 2
        if len(boxes) >= 2:
            matrix = np.abs(np.corrcoef(np.array(boxes)))
            values.append((matrix.sum() - len(boxes)) / (len(boxes) * (len(boxes) - 1)))
    assert sorted(analysis.overall.values) == pytest.approx(sorted(values))
    assert analysis.overall.skipped == skipped
    assert json.loads((tmp_path / "relations.json").read_text()) == analysis.to_dict()


def test_picture_and_table(file, tmp_path, capsys):
    from PIL import Image

    analysis = analyse_relations(file, tmp_path / "out")
    with Image.open(tmp_path / "out/relations.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    print_analysis(analysis)
    printed = capsys.readouterr().out
    assert "2 images with fewer than two boxes" in printed
    assert "plate" in printed


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([(0, 1, BOX, 0), (1, 1, BOX, 0)], "none of its 4 images has two boxes"),
        ([(0, 1, BOX, 0), (0, 1, BOX[:3], 0)], r"annotation 1 of image 0.*not four numbers"),
        ([(0, 1, BOX, 0), (0, 1, [1, 2, float("nan"), 4], 0)], "annotation 1 of image 0"),
        ([(0, 1, BOX, 0), (0, 1, [1, 2, -3, 4], 0)], "annotation 1 of image 0"),
        ([(0, 1, BOX, 0), (9, 1, BOX, 0)], "image_id 9"),
        ([(0, 1, BOX, 0), (0, 8, BOX, 0)], "category_id 8"),
    ],
)
def test_bad_annotations_are_named(tmp_path, annotations, message):
    with pytest.raises(DataError, match=message):
        analyse_relations(write(tmp_path / "boxes.json", annotations), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_line(file, tmp_path, repository):
    def run(*arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, repository / "tools/analyse_relations.py", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    done = run(file, "--json", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["overall"]["images"] == 2
    assert (tmp_path / "out/relations.png").is_file()
    wrong = run(tmp_path / "box.json")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: ")
    assert "did you mean 'boxes.json'" in wrong.stderr
