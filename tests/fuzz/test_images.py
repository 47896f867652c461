"""Image files of all formats, turned, damaged, misnamed: what the scan passes loads, at the size it says."""

from __future__ import annotations

import io
from pathlib import Path

import mmcv.transforms  # noqa: F401 - before processes fork
import mmdet.datasets.transforms  # noqa: F401 - likewise
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import TRANSFORMS
from PIL import Image, features

from dense3d.datasets.scan.images import check_image, measure_image
from dense3d.image_files import FORMATS, Reader
from tests.fuzz.mutations import damaged
from tests.fuzz.outcomes import assert_clear

KINDS = [
    kind for kind in FORMATS if kind not in ("DIB", "AVIF") or (kind == "AVIF" and features.check("avif"))
]
MODES = ("RGB", "L", "RGBA", "LA", "P", "1", "I;16", "I", "F", "CMYK")
OTHERS = (
    b"", b"\n", b"<html></html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.7\n",
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xd9", b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    b"GIF89a", b"P6 99999 99999 255\n", b"BM" + b"\xff" * 60, b"II*\x00\x08\x00\x00\x00",
    b"#?RADIANCE\n\n-Y 2 +X 2\n",
)  # fmt: skip


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """The bytes of a file, mostly of an image."""
    if draw(st.integers(0, 7)) == 0:
        return draw(st.sampled_from(OTHERS))
    height, width = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    noise = np.random.default_rng(draw(st.integers(0, 9))).integers(
        0, 255, (height, width, 3), dtype=np.uint8
    )
    image, exif = Image.fromarray(noise), Image.Exif()
    exif[0x0112] = draw(st.integers(0, 9))
    mode, kind = draw(st.sampled_from(MODES)), draw(st.sampled_from(KINDS))
    buffer = io.BytesIO()
    try:
        image = image.convert("L").convert(mode) if mode in ("I;16", "I", "F") else image.convert(mode)
        image.save(buffer, kind, exif=exif)
    except (OSError, ValueError, KeyError):  # a format without that mode
        image.convert("RGB").save(buffer, "PNG", exif=exif)
    content = buffer.getvalue()
    return draw(damaged(content)) if draw(st.booleans()) else content


def scan_and_load(path: Path, reader: Reader) -> None:
    thorough, size = measure_image(path, True, reader)
    quick, quick_size = measure_image(path, False, reader)
    for fault in (thorough, quick):
        assert fault is None or str(path) in str(fault)
        assert fault is None or "\n" not in str(fault)
    step = dict(type="LoadImageFromFile", imdecode_backend=reader.backend, color_type=reader.flag)
    try:
        loaded = TRANSFORMS.build(step)({"img_path": str(path)})["img"].shape[1::-1]
    except Exception:
        assert thorough is not None, "the scan passes what cannot be loaded"
        return
    assert thorough is not None or size == loaded, (size, loaded)
    assert quick is not None or quick_size == loaded, (quick_size, loaded)
    if thorough is None:
        assert quick is None, "only the quick scan refuses it"
        assert check_image(path, loaded, True, reader) is None


READERS = [Reader(), Reader("pillow"), Reader("cv2", "unchanged"), Reader("pillow", "grayscale")]


def test_images(profile, tmp_path: Path) -> None:
    @profile
    @given(images(), st.sampled_from(READERS), st.sampled_from(["a.jpg", "a.png", "a.tif"]))
    def ends_clearly(content: bytes, reader: Reader, name: str) -> None:
        (tmp_path / name).write_bytes(content)
        assert_clear(scan_and_load, tmp_path / name, reader)

    ends_clearly()
