"""Label maps arrive in training with the numbers that their files hold, or are refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.datasets.label_maps import LabelRules, read_label_map
from dense3d.datasets.scan import scan_dataset
from dense3d.datasets.scan.segmentation import LOOKED_AT
from dense3d.engine.runner import Runner
from dense3d.errors import DataError

NUMBERS = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def packed_png(numbers: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits, which Pillow does not write."""
    height, width = numbers.shape
    rows = b""
    for row in numbers:
        digits = "".join(f"{n:0{bits}b}" for n in row).ljust(-(-width * bits // 8) * 8, "0")
        rows += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def palette(numbers: np.ndarray) -> Image.Image:
    image = Image.fromarray(numbers.astype(np.uint8)).convert("L")
    image.putpalette([value for n in range(256) for value in (255 - n, n, 7)])
    return image


WIDE = NUMBERS * 256 + 44


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(Image.fromarray(NUMBERS.astype(np.uint8))), NUMBERS),
        (encoded(palette(NUMBERS)), NUMBERS),
        (encoded(palette(NUMBERS), transparency=0), NUMBERS),
        (encoded(palette(NUMBERS), bits=2), NUMBERS),
        (encoded(Image.fromarray(NUMBERS > 1)), NUMBERS > 1),
        (packed_png(NUMBERS > 1, 1), NUMBERS > 1),
        (packed_png(NUMBERS, 2), NUMBERS),
        (packed_png(NUMBERS * 5, 4), NUMBERS * 5),
        (encoded(Image.fromarray(WIDE.astype(np.uint16))), WIDE),
        (encoded(Image.fromarray(WIDE.astype(np.uint16)), "TIFF"), WIDE),
        (encoded(Image.fromarray(WIDE.astype(np.int32)), "TIFF"), WIDE),
        (encoded(Image.fromarray(NUMBERS.astype(np.uint8)), "TIFF", compression="tiff_lzw"), NUMBERS),
        (encoded(Image.fromarray(NUMBERS.astype(np.uint8)), "BMP"), NUMBERS),
    ],
)
def test_numbers_are_those_of_the_file(content: bytes, expected: np.ndarray) -> None:
    numbers = read_label_map(content, "a.png")
    assert numbers.dtype in (np.uint8, np.uint16)
    assert np.array_equal(numbers, expected.astype(int))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


NOISE = np.random.default_rng(0).integers(0, 9, (64, 64), dtype=np.uint8)
GREY = Image.fromarray(NUMBERS.astype(np.uint8))
REFUSED = {
    "colours": (encoded(GREY.convert("RGB")), "RGB.*convert the colours to class numbers"),
    "alpha": (encoded(GREY.convert("LA")), "LA.*alpha"),
    "colours and alpha": (encoded(GREY.convert("RGBA")), "RGBA.*alpha"),
    "fractions": (encoded(GREY.convert("F"), "TIFF"), "fractions.*integers"),
    "negative": (encoded(Image.fromarray(NUMBERS.astype(np.int32) - 1), "TIFF"), "holds -1"),
    "huge": (encoded(Image.fromarray(NUMBERS.astype(np.int32) + 70000), "TIFF"), "holds 70003"),
    "pages": (encoded(GREY, "TIFF", save_all=True, append_images=[GREY]), "2 pages"),
    "empty": (b"", "zero-bytes"),
    "text": (b"<html>", "not-an-image"),
    "cut": (encoded(Image.fromarray(NOISE))[:300], "truncated"),
    "turned": (encoded(GREY, exif=turned(6)), "orientation 6"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not-an-image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_label_map_is_named(name: str) -> None:
    content, sentence = REFUSED[name]
    with pytest.raises(DataError, match=rf"^a\.png: .*{sentence}"):
        read_label_map(content, "a.png")


def test_rules() -> None:
    numbers = np.array([[0, 1, 2, 255]], np.uint8)
    assert LabelRules(["ab", "c"]).labels(numbers[:, [0, 1, 3]], "p").tolist() == [[0, 1, 255]]
    assert LabelRules("ab", reduce_zero=True).labels(numbers, "p").tolist() == [[255, 0, 1, 255]]
    part = LabelRules("c", label_map={0: 255, 1: 255, 2: 0})
    assert part.labels(numbers, "p").tolist() == [[255, 255, 0, 255]]
    assert LabelRules("ab", ignored=(2,)).labels(numbers, "p").tolist() == [[0, 1, 2, 255]]
    many = LabelRules([str(i) for i in range(300)])
    assert many.labels(np.array([[0, 256, 299, 255]], np.uint16), "p").tolist() == [[0, 256, 299, 255]]
    assert LabelRules().labels(np.array([[0, 999]], np.uint16), "p").tolist() == [[0, 999]]
    with pytest.raises(DataError, match=r"^p: labels 2 are no class: the classes \(a, b, 2 in all\)"):
        LabelRules("ab").labels(numbers, "p")
    with pytest.raises(DataError, match="labels 300 "):
        many.labels(np.array([[300]], np.uint16), "p")


@pytest.fixture
def data(tmp_path: Path):
    """Writes images and maps, and gives the config of the data set."""

    def make(
        maps: list[bytes], classes=("road", "car"), loader: str = "mmseg", suffix=".png", **settings
    ) -> dict:
        for index, content in enumerate(maps):
            (tmp_path / "images").mkdir(exist_ok=True)
            (tmp_path / "labels").mkdir(exist_ok=True)
            size = Image.open(io.BytesIO(content)).size
            Image.new("RGB", size, (9, 9, 9)).save(tmp_path / "images" / f"{index:03d}.jpg")
            (tmp_path / "labels" / f"{index:03d}{suffix}").write_bytes(content)
        pack = "mmseg.PackSegInputs" if loader == "mmseg" else "mmdet.PackDetInputs"
        load = dict(type="mmseg.LoadAnnotations")
        if loader == "mmdet":
            load = dict(type="mmdet.LoadAnnotations", with_bbox=False, with_seg=True)
        pack = dict(type=pack, meta_keys=("img_path",))
        return dict(
            dict(
                type=f"{loader}.BaseSegDataset",
                data_root=str(tmp_path),
                data_prefix=dict(img_path="images", seg_map_path="labels"),
                metainfo=dict(classes=classes),
                seg_map_suffix=suffix,
                pipeline=[dict(type="LoadImageFromFile"), load, pack],
            ),
            **settings,
        )

    return make


def loaded(cfg: dict, workers: int = 0) -> list[np.ndarray]:
    sampler = dict(type="DefaultSampler", shuffle=False)
    loader = dict(batch_size=1, num_workers=workers, sampler=sampler, dataset=cfg)
    with DefaultScope.overwrite_default_scope("dense3d"):
        batches = list(Runner.build_dataloader(loader, seed=0))
    samples = [sample.gt_sem_seg for batch in batches for sample in batch["data_samples"]]
    return [(s.data if "data" in s else s.sem_seg)[0].numpy() for s in samples]


@pytest.mark.parametrize("loader", ["mmseg", "mmdet"])
@pytest.mark.parametrize("workers", [0, 1])
def test_training_sees_what_the_files_hold(data, loader: str, workers: int) -> None:
    wide = Image.fromarray(np.array([[0, 256], [299, 44]], np.uint16))
    cfg = data(
        [encoded(wide), encoded(palette(NUMBERS)), packed_png(NUMBERS, 2)], [str(i) for i in range(300)]
    )
    cfg = data([], [str(i) for i in range(300)], loader)
    first, second, third = loaded(cfg, workers)
    assert first.tolist() == [[0, 256], [299, 44]]
    assert np.array_equal(second, NUMBERS)
    assert np.array_equal(third, NUMBERS)


@pytest.mark.parametrize("loader", ["mmseg", "mmdet"])
def test_a_label_out_of_range_names_its_file(data, loader: str) -> None:
    seven = Image.fromarray(np.array([[0, 1, 7]], np.uint8))
    cfg = data([encoded(Image.fromarray(np.array([[0, 1]], np.uint8))), encoded(seven)], loader=loader)
    with pytest.raises(
        DataError, match=r"001\.png: labels 7 are no class: .*road, car, 2 in all.*label-range"
    ):
        loaded(cfg)
    for quick in (True, False):
        (fault,) = scan_dataset(cfg, quick)[0].faults
        assert fault.file.endswith("001.png")
        assert "labels 7" in fault.value


def test_steps_inside_steps(data) -> None:
    cfg = data([encoded(Image.fromarray(np.array([[0, 256]], np.uint16)))], [str(i) for i in range(300)])
    load, pack = cfg["pipeline"][1:]
    cfg["pipeline"][1:] = [dict(type="RandomApply", transforms=[load], prob=1.0), pack]
    assert loaded(cfg)[0].tolist() == [[0, 256]]


def test_masks_of_0_and_255(data) -> None:
    mask = encoded(Image.fromarray(np.array([[0, 255]], np.uint8)))
    (fault,) = scan_dataset(data([mask, mask]))[0].faults
    assert fault.rule == "labels-mask"
    assert "'car'" in fault.value
    assert "ignore_index=255" in fault.remedy
    assert scan_dataset(data([], ignore_index=255))[0].ok
    all_void = data([encoded(Image.fromarray(np.full((1, 2), 255, np.uint8)))] * 2)
    assert [f.rule for f in scan_dataset(all_void)[0].faults] == ["labels-ignored"]


def test_masks_of_0_and_255_among_labels_are_told_of(data) -> None:
    mask, labels = (encoded(Image.fromarray(np.array([[0, v]], np.uint8))) for v in (255, 1))
    (report,) = scan_dataset(data([labels, mask]))
    assert report.ok and [note.rule for note in report.notes] == ["labels-mask"]
    assert "1 of 2 label maps hold 0 and 255 only" in report.notes[0].value
    assert not scan_dataset(data([labels, labels]))[0].notes


def test_one_class_and_masks_of_0_and_255(data) -> None:
    """What is meant as background would be the class."""
    mask = encoded(Image.fromarray(np.array([[0, 255]], np.uint8)))
    (report,) = scan_dataset(data([mask] * 2, ("a",)))
    assert report.ok and [note.rule for note in report.notes] == ["labels-mask"]


def test_absent_classes_and_large_ignored_shares_are_notes(data) -> None:
    half = encoded(Image.fromarray(np.array([[0, 1, 255, 255, 255]], np.uint8)))
    report = scan_dataset(data([half], ("road", "car", "tree")))[0]
    assert report.ok
    assert [(n.rule, n.value) for n in report.notes] == [
        ("class-absent", "1 of 3 classes occur in no label map: tree"),
        ("labels-ignored", "60% (labels 255 in the files) of the pixels of 1 maps are ignored"),
    ]
    many = scan_dataset(data([], [str(i) for i in range(300)]))[0]
    assert "the class '255'" in str(next(n for n in many.notes if n.rule == "class-ignored"))
    dealt_with = scan_dataset(data([], [str(i) for i in range(300)], ignore_index=65535))[0]
    assert [note.rule for note in dealt_with.notes] == ["class-absent"]


def test_a_quick_scan_looks_at_some_maps_of_many(data, tmp_path: Path) -> None:
    sound = encoded(Image.fromarray(np.array([[0, 1]], np.uint8)))
    cfg = data([sound] * (LOOKED_AT + 100))
    bad = encoded(Image.fromarray(np.array([[0, 9]], np.uint8)))
    (tmp_path / "labels" / "000.png").write_bytes(bad)
    assert [f.rule for f in scan_dataset(cfg)[0].faults] == ["label-range"]
    (tmp_path / "labels" / "001.png").write_bytes(bad)
    assert len(scan_dataset(cfg)[0].faults) == 1
    assert len(scan_dataset(cfg, quick=False)[0].faults) == 2


def test_maps_and_images_of_two_sizes(data, tmp_path: Path) -> None:
    cfg = data([encoded(GREY)], "abcd")
    Image.new("RGB", (4, 2)).save(tmp_path / "images" / "000.jpg", exif=turned(6))
    with pytest.raises(
        DataError, match=r"000\.png: 4 x 2 pixels, but its image .*000\.jpg is loaded with 2 x 4"
    ):
        loaded(cfg)
    assert [f.rule for f in scan_dataset(cfg)[0].faults] == ["size-differs"]
    (tmp_path / "labels" / "000.png").write_bytes(encoded(GREY.rotate(90, expand=True)))
    assert scan_dataset(cfg)[0].ok
    assert loaded(cfg)[0].shape == (4, 2)


def test_other_suffixes_are_said(data, tmp_path: Path) -> None:
    cfg = data([encoded(GREY)] * 2, "abcd")
    sentence = (
        r"images: no file ends with '\.png' \(img_suffix\), but there are 2 with \.jpg.*img_suffix='\.jpg'"
    )
    wrong = dict(cfg, img_suffix=".png")
    with pytest.raises(DataError, match=sentence):
        loaded(wrong)
    with pytest.raises(DataError, match=sentence):
        loaded(dict(type="ConcatDataset", datasets=[cfg, dict(type="RepeatDataset", times=2, dataset=wrong)]))
    (fault,) = scan_dataset(wrong)[0].faults
    assert "img_suffix='.jpg'" in str(fault)
    (fault, _) = scan_dataset(dict(cfg, seg_map_suffix=".tif"))[0].faults
    assert fault.rule == "file-missing"
    assert "000.png does; set seg_map_suffix='.png'" in str(fault).replace(" (file-missing)", "")
    (tmp_path / "val.txt").write_text("000\n001\n")
    faults = scan_dataset(dict(wrong, ann_file="val.txt"))[0].faults
    assert "set img_suffix='.jpg'" in str(faults[0])


def test_names_too_long_for_a_file(data) -> None:
    """pathlib raises for them before Python 3.14; the scan says which."""
    cfg = data([encoded(Image.fromarray(np.array([[0, 1]], np.uint8)))])
    root = Path(cfg["data_root"])
    (root / "list.txt").write_text("x" * 300)
    for quick in (True, False):
        faults = scan_dataset({**cfg, "ann_file": "list.txt"}, quick)[0].faults
        assert faults and all("x" * 300 in str(fault) and "\n" not in str(fault) for fault in faults)
    with pytest.raises(DataError, match=r"y{30}"):
        loaded({**cfg, "data_root": str(root / ("y" * 300))})
