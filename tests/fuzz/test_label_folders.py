"""Folders of images and label maps as ADE20K has them: what the scan passes loads, with labels of classes."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset  # noqa: F401 - before processes fork
from PIL import Image

from dense3d.datasets.scan import scan_dataset
from dense3d.engine.runner import Runner
from tests.fuzz.mutations import damaged
from tests.fuzz.outcomes import assert_clear

CLASSES = ("road", "car", "tree")
MODES = ("L", "P", "1", "I;16", "I", "RGB", "RGBA", "LA", "F")
LABELS = (0, 1, 2, 3, 4, 254, 255, 256, 1000, 65535, -1, 70000)
SETTINGS = (
    *[dict()] * 8,
    dict(reduce_zero_label=True),
    dict(ignore_index=0),
    dict(ignore_index=254),
    dict(img_suffix=".png"),
    dict(seg_map_suffix=".tif"),
    dict(ann_file="train.txt"),
    dict(ann_file="no.txt"),
    dict(metainfo=dict(classes=CLASSES[:1])),
    dict(metainfo=dict(classes=CLASSES[::-1])),
    dict(metainfo=dict()),
    dict(data_prefix=dict(img_path="images", seg_map_path="images")),
    dict(data_prefix=dict(img_path="labels")),
    dict(data_prefix=dict(img_path="no", seg_map_path="labels")),
    dict(data_root="no/such/folder"),
)
LINES = ("000", "001", "", "002 ", "../000", "/etc/hostname", "a\x00b", "000.jpg", "é", "x" * 300)


def label_map(labels: np.ndarray, mode: str) -> bytes:
    """A map of labels as a file, in a mode that can hold them or not."""
    buffer = io.BytesIO()
    wide = np.clip(labels, 0, 65535).astype(np.uint16)
    narrow = Image.fromarray(wide.astype(np.uint8))
    if mode == "I;16":
        Image.fromarray(wide).save(buffer, "PNG")
    elif mode in ("I", "F"):
        Image.fromarray(labels.astype(np.int32 if mode == "I" else np.float32)).save(buffer, "TIFF")
    elif mode == "P":
        narrow.putpalette([value for n in range(256) for value in (n, 255 - n, 7)])
        narrow.save(buffer, "PNG")
    else:
        narrow.convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@st.composite
def maps(draw: st.DrawFn) -> list[bytes]:
    """Three maps, of which one may be odd."""
    made = []
    odd = draw(st.integers(0, 4))
    for index in range(3):
        numbers = draw(st.lists(st.sampled_from(LABELS[:3]), min_size=12, max_size=12))
        if odd == index:
            numbers[draw(st.integers(0, 11))] = draw(st.sampled_from(LABELS))
        mode = draw(st.sampled_from(MODES)) if odd == index else "L"
        content = label_map(np.array(numbers).reshape(3, 4), mode)
        made.append(draw(damaged(content)) if odd == index and draw(st.booleans()) else content)
    return made


def write(root: Path, contents: list[bytes], lines: list[str], change: str, at: int) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for index, content in enumerate(contents):
        exif = Image.Exif()
        exif[0x0112] = 6 if (change, at) == ("turn", index) else 1
        Image.new("RGB", (4, 3), (index, 9, 9)).save(root / "images" / f"{index:03d}.jpg", exif=exif)
        (root / "labels" / f"{index:03d}.png").write_bytes(content)
    with contextlib.suppress(UnicodeEncodeError):
        (root / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    image, labels = root / "images" / f"{at:03d}.jpg", root / "labels" / f"{at:03d}.png"
    if change == "remove":
        labels.unlink()
    elif change == "capitals":
        image.rename(image.with_suffix(".JPG"))
    elif change == "folder":
        labels.unlink()
        labels.mkdir()
    elif change == "link":
        image.unlink()
        image.symlink_to(root / "nowhere")
    elif change == "swap":
        shutil.copy(image, labels)


def scan_and_load(cfg: dict[str, Any], loader: str) -> None:
    (quick,), (report,) = scan_dataset(cfg), scan_dataset(cfg, quick=False)
    for fault in (*quick.faults, *report.faults, *report.notes):
        assert "\n" not in str(fault)
    if report.ok:
        assert quick.ok, quick.table()
    sampler = dict(type="DefaultSampler", shuffle=False)
    with DefaultScope.overwrite_default_scope("dense3d"):
        built = Runner.build_dataloader(
            dict(batch_size=1, num_workers=0, sampler=sampler, dataset=cfg), seed=0
        )
        samples = [sample for batch in built for sample in batch["data_samples"]]
    classes = built.dataset.metainfo.get("classes")
    for sample in samples:
        if classes and "gt_sem_seg" in sample:
            labels = set(np.unique(sample.gt_sem_seg.values()[0].numpy()).tolist())
            assert labels <= {*range(len(classes)), 255, cfg.get("ignore_index", 255)}, labels
    only_useless = {fault.rule for fault in report.faults} <= {"labels-mask", "labels-ignored"}
    assert only_useless, f"the scan refuses what loads: {report.table()}"


def config(root: Path, settings: dict[str, Any], loader: str) -> dict[str, Any]:
    load = dict(type="mmseg.LoadAnnotations")
    if loader == "mmdet":
        load = dict(type="mmdet.LoadAnnotations", with_bbox=False, with_seg=True)
    pack = "mmseg.PackSegInputs" if loader == "mmseg" else "mmdet.PackDetInputs"
    known = ("reduce_zero_label", "ignore_index") if loader == "mmdet" else ()
    return dict(
        dict(
            type=f"{loader}.BaseSegDataset",
            data_root=str(root),
            data_prefix=dict(img_path="images", seg_map_path="labels"),
            metainfo=dict(classes=CLASSES),
            pipeline=[dict(type="LoadImageFromFile"), load, dict(type=pack, meta_keys=("img_path",))],
        ),
        **{key: value for key, value in settings.items() if key not in known},
    )


CHANGES = (*["none"] * 9, "turn", "remove", "capitals", "folder", "link", "swap")


def test_label_folders(profile, tmp_path: Path) -> None:
    @settings(profile, max_examples=profile.max_examples if profile.max_examples > 100 else 30)
    @given(
        maps(),
        st.sampled_from(SETTINGS),
        st.lists(st.sampled_from(LINES), max_size=4),
        st.sampled_from(CHANGES),
        st.integers(0, 2),
        st.sampled_from(["mmseg", "mmdet"]),
    )
    def ends_clearly(contents, changes, lines, change, at, loader) -> None:
        root = tmp_path / "data"
        write(root, contents, lines, change, at)
        assert_clear(scan_and_load, config(root, changes, loader), loader)

    ends_clearly()
