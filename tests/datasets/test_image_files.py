"""The scan sees images as the data loader does: the same decoder, the same size, and named formats only."""

from __future__ import annotations

import io
from pathlib import Path

import mmcv
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image, UnidentifiedImageError, features

from dense3d.datasets.scan import check_image, scan_coco, scan_dataset
from dense3d.engine.runner import Runner
from dense3d.errors import DataError
from dense3d.image_files import Reader, name_formats_of_mmcv, open_image

NOISE = np.random.default_rng(0).integers(0, 255, (20, 40, 3), dtype=np.uint8)
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", *(["AVIF"] if features.check("avif") else [])]
READERS = [Reader(), Reader("pillow"), Reader("cv2", "unchanged"), Reader("cv2", "color_ignore_orientation")]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 20\n%%EndComments\nshowpage\n%%EOF\n"


def write(path: Path, kind: str, orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(NOISE).save(path, kind, exif=exif)
    return path


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: f"{reader.backend}-{reader.flag}")
@pytest.mark.parametrize("kind", FORMATS)
def test_the_size_is_that_of_the_loader(tmp_path: Path, kind: str, reader: Reader) -> None:
    for orientation in range(1, 9):
        path = write(tmp_path / "a.jpg", kind, orientation)
        loaded = mmcv.imfrombytes(path.read_bytes(), flag=reader.flag, backend=reader.backend).shape[1::-1]
        for decode in (False, True):
            assert check_image(path, loaded, decode, reader) is None, (orientation, decode)
            assert check_image(path, loaded[::-1], decode, reader).rule == "size-differs", (
                orientation,
                decode,
            )


def test_exif_data_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    content = write(tmp_path / "a.png", "PNG", 6).read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    iend = content.index(b"IEND") - 4
    moved = content[:start] + content[end:iend] + content[start:end] + content[iend:]
    (tmp_path / "a.png").write_bytes(moved)
    size = mmcv.imfrombytes(moved).shape[1::-1]
    assert check_image(tmp_path / "a.png", size) is None
    assert check_image(tmp_path / "a.png", size[::-1]).rule == "size-differs"


def test_turned_images_of_a_coco_file(tiny_coco) -> None:
    sizes = {}
    for index, kind in enumerate(FORMATS[:4]):
        write(tiny_coco.image(index), kind, 6)
        sizes[index + 10] = (20, 40)

    def restate(document: dict) -> None:
        for image in document["images"]:
            image["width"], image["height"] = sizes[image["id"]]
        document["annotations"][:] = [dict(document["annotations"][0], bbox=[2, 25, 10, 10], segmentation=[])]

    tiny_coco.change(restate)
    for decode in (False, True):
        assert scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", decode_images=decode).ok
    sizes.update(dict.fromkeys(sizes, (40, 20)))
    tiny_coco.change(restate)
    report = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images")
    assert [fault.rule for fault in report.faults if fault.rule == "size-differs"] == ["size-differs"] * 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("cut", [10, 400])
def test_cut_files_are_found_without_decoding_all(tmp_path: Path, kind: str, cut: int) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(NOISE).save(path, kind)
    assert check_image(path, (40, 20)) is None
    path.write_bytes(path.read_bytes()[:-cut])
    assert check_image(path).rule == "truncated"


def test_what_opencv_cannot_decode_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(NOISE[..., 0].astype(np.float32)).save(path)
    for decode in (False, True):
        assert check_image(path, decode=decode).rule == "truncated"
    assert check_image(path, (40, 20), reader=Reader("pillow")) is None


def test_what_only_opencv_knows_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.hdr"
    mmcv.imwrite(NOISE.astype(np.float32), str(path))
    assert check_image(path, (40, 20)) is None
    assert check_image(path, (40, 20), decode=True) is None


@pytest.fixture
def no_ghostscript(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    def run(*args, **kwargs):
        raise AssertionError("Ghostscript would run")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_an_eps_file_never_reaches_ghostscript(tiny_coco, no_ghostscript, backend: str) -> None:
    tiny_coco.image(1).write_bytes(EPS)
    with pytest.raises(UnidentifiedImageError):
        open_image(tiny_coco.image(1))
    for decode in (False, True):
        assert check_image(tiny_coco.image(1), decode=decode, reader=Reader(backend)).rule == "not-an-image"
    cfg = tiny_coco.dataset_cfg()
    cfg["pipeline"][0]["imdecode_backend"] = backend
    for quick in (False, True):
        assert [fault.rule for fault in scan_dataset(cfg, quick)[0].faults] == ["not-an-image"]
    sampler = dict(type="DefaultSampler", shuffle=False)
    with DefaultScope.overwrite_default_scope("dense3d"):
        loader = Runner.build_dataloader(
            dict(batch_size=1, num_workers=0, sampler=sampler, dataset=cfg), seed=0
        )
    with pytest.raises(DataError, match=r"001\.jpg: no image format begins with"):
        list(loader)


def test_mmcv_opens_named_formats_only(no_ghostscript) -> None:
    name_formats_of_mmcv()
    with pytest.raises(UnidentifiedImageError):
        mmcv.imfrombytes(EPS, backend="pillow")
    png = io.BytesIO()
    Image.fromarray(NOISE).save(png, "PNG")
    assert np.array_equal(mmcv.imfrombytes(png.getvalue(), backend="pillow", channel_order="rgb"), NOISE)


def test_inference_opens_named_formats_only(tmp_path: Path, no_ghostscript, monkeypatch) -> None:
    import dense3d.image_files as image_files
    from dense3d.apis.inputs import as_inputs
    from dense3d.apis.pipelines import Preparation

    monkeypatch.setattr("mmcv.image.io.Image", Image)  # as after a fresh import
    steps = [dict(type="LoadImageFromFile", imdecode_backend="pillow"), dict(type="dense3d.PackImage")]
    prepare = Preparation(steps, "dense3d")
    assert isinstance(mmcv.image.io.Image, image_files._ImageOfNamedFormats)
    (tmp_path / "a.jpg").write_bytes(EPS)
    with pytest.raises(DataError, match=r"a\.jpg"):
        prepare(as_inputs(str(tmp_path / "a.jpg"))[0], {})


def test_no_other_way_to_open_images(repository: Path) -> None:
    allowed = {"image_files.py"}
    found = [
        file.relative_to(repository).as_posix()
        for folder in ("dense3d", "projects", "tools")
        for file in (repository / folder).rglob("*.py")
        if "Image.open(" in file.read_text() and file.name not in allowed
    ]
    assert found == []


@pytest.mark.parametrize("what", ["folder", "link"])
def test_what_is_no_file(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.jpg"
    path.mkdir() if what == "folder" else path.symlink_to(tmp_path / "nowhere")
    assert check_image(path).rule == "file-missing"
