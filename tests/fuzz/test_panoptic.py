"""Panoptic data sets, mutated: what the scan passes loads, is perfect against itself, converts both ways."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.datasets.panoptic import (
    CocoPanopticDataset,  # noqa: F401 - before processes fork
    counted_segments,
    instances_to_panoptic,
    panoptic_to_instances,
    panoptic_to_semantic,
    read_categories,
    write_id_map,
)
from dense3d.datasets.scan import scan_dataset
from dense3d.engine.runner import Runner
from dense3d.evaluation.panoptic import evaluate_files
from tests.fuzz.mutations import damaged, mutated
from tests.fuzz.outcomes import assert_clear

CATEGORIES = [
    {"id": 7, "name": "sky", "isthing": 0, "color": [0, 0, 250]},
    {"id": 3, "name": "cup", "isthing": 1, "color": [250, 0, 0]},
    {"id": 5, "name": "fork", "isthing": 1, "color": [0, 250, 0]},
]
IDS = np.kron([[900, 900, 12], [70000, 8, 0]], np.ones((3, 3), int))
LISTED = [
    {"id": 900, "category_id": 7, "iscrowd": 0},
    {"id": 70000, "category_id": 3, "iscrowd": 0},
    {"id": 12, "category_id": 5, "iscrowd": 1},
    {"id": 8, "category_id": 3, "iscrowd": 0},
]
SOUND = {
    "info": {"year": 2017},
    "images": [{"id": i, "file_name": f"{i}.jpg", "height": 6, "width": 9} for i in range(3)],
    "annotations": [
        {
            "image_id": i,
            "file_name": f"{i}.png",
            "segments_info": counted_segments(IDS, LISTED) if i < 2 else [],
        }
        for i in range(3)
    ],
    "categories": CATEGORIES,
}
PLACES = ("maps.json", "maps/0.png", "maps/1.png", "images/1.jpg")
METAINFO = (
    *[dict(classes=("cup", "fork", "sky"))] * 4,
    dict(classes=("cup", "sky")),
    dict(classes=("tool", "sky"), aliases={"cup": "tool", "fork": "tool"}),
    dict(classes=("sky", "cup")),
    dict(classes=("cups", "fork")),
)


def write(root: Path, document: Any, damage: tuple[str, bytes] | None = None) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for i in range(3):
        write_id_map(root / "maps" / f"{i}.png", IDS if i < 2 else 0 * IDS)
        (root / "images").mkdir(exist_ok=True)
        Image.new("RGB", (9, 6)).save(root / "images" / f"{i}.jpg")
    (root / "maps.json").write_text(json.dumps(document))
    (root / "photo.png").write_bytes(b"the user's own")
    if damage is not None:
        (root / damage[0]).write_bytes(damage[1])


def config(root: Path, metainfo: dict[str, Any]) -> dict[str, Any]:
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadPanopticAnnotations"),
        dict(type="mmdet.PackDetInputs", meta_keys=("img_id",)),
    ]
    return dict(
        type="CocoPanopticDataset",
        data_root=str(root),
        ann_file="maps.json",
        data_prefix=dict(img="images", seg="maps"),
        metainfo=metainfo,
        pipeline=pipeline,
    )


def scan_and_load(root: Path, metainfo: dict[str, Any]) -> None:
    cfg = config(root, metainfo)
    (quick,), (report,) = scan_dataset(cfg), scan_dataset(cfg, quick=False)
    for fault in (*quick.faults, *report.faults, *report.notes):
        assert "\n" not in str(fault)
        assert len(str(fault)) < 700
    assert quick.ok or not report.ok, quick.table()
    sampler = dict(type="DefaultSampler", shuffle=False)
    with DefaultScope.overwrite_default_scope("dense3d"):
        loader = Runner.build_dataloader(
            dict(batch_size=1, num_workers=0, sampler=sampler, dataset=cfg), seed=0
        )
        samples = [sample for batch in loader for sample in batch["data_samples"]]
    for sample in samples:
        if "gt_sem_seg" not in sample:  # an image without an annotation, which training is kept from
            assert "not-annotated" in {fault.rule for fault in report.faults}
            continue
        labels = set(np.unique(sample.gt_sem_seg.sem_seg.numpy()).tolist())
        assert labels <= {*range(len(metainfo["classes"])), 255}


def evaluate(root: Path) -> None:
    result = evaluate_files(root / "maps.json", root / "maps.json", workers=1)
    pq = result.group("all")[0]
    assert np.isnan(pq) or pq == 1, pq


def convert(root: Path) -> None:
    out = root / "out"
    try:
        panoptic_to_semantic(root / "maps.json", out / "classes")
        panoptic_to_instances(root / "maps.json", out / "things.json")
        categories = read_categories(root / "maps.json")
        instances_to_panoptic(out / "things.json", out / "again.json", categories, out / "classes")
        evaluate_files(root / "maps.json", out / "again.json", workers=1)
    finally:
        assert (root / "photo.png").read_bytes() == b"the user's own"
        assert {path.name for path in root.iterdir()} <= {"images", "maps", "maps.json", "photo.png", "out"}
        assert len(list((root / "maps").iterdir())) == 3


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, tuple[str, bytes] | None]:
    """A document, and now and then a file in place of one of the data set's."""
    values = ("../photo.png", "/tmp/photo.png", 16777216, 900, 7)
    from tests.fuzz.mutations import ODD_VALUES

    document = draw(mutated(SOUND, values=(*ODD_VALUES, *values), least=0, most=2))
    if draw(st.integers(0, 3)):
        return document, None
    place = draw(st.sampled_from(PLACES))
    return document, (place, draw(damaged(_sound_file(place))))


def _sound_file(place: str, cache: dict[str, bytes] = {}) -> bytes:  # noqa: B006
    if not cache:
        import tempfile

        root = Path(tempfile.mkdtemp()) / "data"
        write(root, SOUND)
        cache.update({name: (root / name).read_bytes() for name in PLACES})
    return cache[place]


def test_panoptic_data_sets(profile, tmp_path: Path) -> None:
    @settings(profile, max_examples=profile.max_examples if profile.max_examples > 100 else 30)
    @given(cases(), st.sampled_from(METAINFO), st.sampled_from(["load", "evaluate", "convert"]))
    def ends_clearly(case, metainfo: dict[str, Any], use: str) -> None:
        root = tmp_path / "data"
        write(root, *case)
        if use == "load":
            assert_clear(scan_and_load, root, metainfo)
        else:
            assert_clear(evaluate if use == "evaluate" else convert, root)

    ends_clearly()
