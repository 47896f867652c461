"""Inference over a folder as people have them: what is odd is named and left out, the rest is finished."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import dense3d
from dense3d.apis import infer
from dense3d.errors import ConfigError, DataError

NAME = "dino_r18_synthetic-coco"
CLASSES = ("box", "sphere", "cylinder", "cone", "torus", "cross")
IDS = [3, 7, 18, 19, 40, 41]
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Random weights, spread so that there is something to be found; it knows the category ids."""
    torch.manual_seed(0)
    model = dense3d.build_model(NAME)
    for parameter in model.bbox_head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    meta = dict(dataset_meta=dict(classes=CLASSES, category_ids=IDS))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(coarse, (160, 128)))


def png_of_zeros(path: Path, width: int, height: int) -> None:
    """A grey PNG of one bit a pixel: small on disk, huge when it is unpacked."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    content = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )


def put_odd_images(folder: Path, photo: Image.Image) -> dict[str, str]:
    """Files that no result is to be expected of, and a word of the sentence on each."""
    photo.resize((800, 640)).save(folder / "large.jpg", quality=90)
    whole = (folder / "large.jpg").read_bytes()
    (folder / "cut-1000.jpg").write_bytes(whole[:1000])
    (folder / "cut-half.jpg").write_bytes(whole[: len(whole) // 2])
    photo.save(folder / "grey-alpha.png")
    (folder / "cut-end.png").write_bytes((folder / "grey-alpha.png").read_bytes()[:-10])
    photo.resize((3000, 1)).save(folder / "thread.png")
    photo.resize((1, 3000)).save(folder / "hair.png")
    png_of_zeros(folder / "bomb.png", 60000, 60000)
    (folder / "zero.jpg").touch()
    (folder / "text.webp").write_text("no image")
    (folder / "program.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "album.jpg").mkdir()
    cv2.imwrite(str(folder / "floats.tif"), np.zeros((20, 20), np.float32))
    return {
        "cut-1000.jpg": "(the file has 1000 bytes)",
        "cut-half.jpg": "is not a readable image",
        "cut-end.png": "is not a readable image",
        "thread.png": "3000 x 1 pixels, cannot be brought to the size",
        "hair.png": "1 x 3000 pixels, cannot be brought to the size",
        "bomb.png": "3600000000 pixels",
        "zero.jpg": "zero bytes",
        "text.webp": "is not a readable image",
        "program.jpg": "is not a readable image",
        "nowhere.jpg": "does not exist",
        "circle.jpg": "is not a readable image",
        "floats.tif": "is not a readable image",
    }


def put_unusual_images(folder: Path, photo: Image.Image) -> set[str]:
    """Files that are images, however unusual."""
    wide = np.array(photo)[..., ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(folder / "16-bit.png"), wide)
    cv2.imwrite(str(folder / "16-bit-grey.tif"), wide[..., 0])
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    for suffix in ("jpg", "png", "webp", "tif"):
        photo.save(folder / f"turned-{suffix}.{suffix}", exif=turned)
    for mode, suffix in (
        ("CMYK", "jpg"),
        ("L", "png"),
        ("LA", "png"),
        ("RGBA", "png"),
        ("P", "png"),
        ("1", "png"),
    ):
        photo.convert(mode).save(folder / f"mode-{mode}.{suffix}")
    for suffix in ("png", "webp", "tif"):
        photo.save(folder / f"pages-{suffix}.{suffix}", save_all=True, append_images=[photo.rotate(90)])
    photo.resize((1, 1)).save(folder / "dot.png")
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 16
    return names


def test_what_is_odd_is_named_and_the_rest_is_finished(checkpoint, photo, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    sound = put_unusual_images(folder, photo)
    odd = put_odd_images(folder, photo)
    sound |= {"large.jpg", "grey-alpha.png"}
    report = infer(
        NAME, checkpoint, folder, tmp_path / "out", score_threshold=0.0, batch_size=4, device="cpu"
    )
    assert {Path(name).name for name in report.left_out} == set(odd)
    for name, word in odd.items():
        reason = report.left_out[str(folder / name)]
        assert word in reason, name
        assert name in reason
        assert "\n" not in reason
    assert {path.name for path in report.pictures} == {f"{Path(name).stem}.jpg" for name in sound}
    entries = json.loads(report.results.read_text())
    assert {Path(entry["file_name"]).name for entry in entries} == sound
    turned = [e["bbox"] for e in entries if Path(e["file_name"]).name == "turned-tif.tif"]
    assert max(y + h for _, y, _, h in turned) > 128  # 160 rows, as a viewer shows the file
    assert cv2.imread(str(tmp_path / "out/pictures/turned-tif.jpg")).shape[:2] == (640, 512)


def test_unreadable_permissions(checkpoint, photo, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    photo.save(tmp_path / "a.jpg")
    photo.save(tmp_path / "b.jpg")
    (tmp_path / "a.jpg").chmod(0)
    report = infer(NAME, checkpoint, tmp_path, tmp_path / "out", device="cpu")
    assert [Path(name).name for name in report.left_out] == ["a.jpg"]
    assert [path.name for path in report.pictures] == ["b.jpg"]


def test_no_file_of_an_image_takes_the_place_of_another(checkpoint, photo, tmp_path):
    for name in (
        "a/x.jpg",
        "b/x.jpg",
        "x.jpg",
        "x.jpeg",
        "X.png",
        "x_2.jpg",
        f"{'long' * 60}.jpg",
        "\udcff.jpg",
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(tmp_path / "in" / name)
    report = infer(NAME, checkpoint, tmp_path / "in", tmp_path / "out", device="cpu")
    assert not report.left_out
    names = [path.name.casefold() for path in report.pictures]
    assert len(set(names)) == len(names) == 8
    assert all(path.is_file() for path in report.pictures)
    assert report.renamed[str(tmp_path / "in/b/x.jpg")] == "x_3"


@pytest.fixture
def three(photo, tmp_path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        photo.save(tmp_path / "in" / name)
    return tmp_path / "in"


def failing_on(monkeypatch, name: str, action) -> None:
    """Have the model do something else when it meets an image."""
    from dense3d.apis.prediction import Predictor

    make = Predictor.__init__

    def made(self, *args, **kwargs) -> None:
        make(self, *args, **kwargs)
        step = self.model.test_step

        def met(batch):
            if any(sample.img_path.endswith(name) for sample in batch["data_samples"]):
                action()
            return step(batch)

        self.model.test_step = met

    monkeypatch.setattr(Predictor, "__init__", made)


def entries_of(path: Path) -> set[str]:
    return {Path(entry["file_name"]).name for entry in json.loads(path.read_text())}


def test_results_are_written_as_they_come(checkpoint, three, tmp_path, monkeypatch):
    seen = {}

    def stop() -> None:
        rows = (tmp_path / "out/predictions.jsonl").read_text().splitlines()
        seen.update(rows={Path(json.loads(row)["file_name"]).name for row in rows})
        seen.update(pictures={path.name for path in (tmp_path / "out/pictures").iterdir()})
        raise KeyboardInterrupt

    failing_on(monkeypatch, "c.png", stop)
    with pytest.raises(KeyboardInterrupt):
        infer(NAME, checkpoint, three, tmp_path / "out", score_threshold=0.0, device="cpu")
    # What a run that is killed here leaves, and what one leaves that ends with an error.
    assert seen == {"rows": {"a.png", "b.png"}, "pictures": {"a.jpg", "b.jpg"}}
    assert entries_of(tmp_path / "out/predictions.json") == {"a.png", "b.png"}


def raise_error(error: BaseException):
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nmore"),
            "there is not enough memory",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "there is not enough memory",
        ),
        (MemoryError(), "there is not enough memory"),
        (
            RuntimeError("kernel size is greater than input"),
            "RuntimeError: kernel size is greater than input",
        ),
        (IndexError("list index out of range"), "IndexError: list index"),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_image_on_which_the_model_fails_is_named(
    checkpoint, three, tmp_path, monkeypatch, error, words, batch_size
):
    monkeypatch.delenv("DENSE3D_TRACEBACK", raising=False)
    failing_on(monkeypatch, "b.png", raise_error(error))
    report = infer(NAME, checkpoint, three, tmp_path / "out", 0.0, batch_size, device="cpu")
    ((name, reason),) = report.left_out.items()
    assert name == str(three / "b.png")
    assert reason.startswith(f"{name}, 160 x 128 pixels: ")
    assert words in reason
    assert "\n" not in reason
    assert entries_of(report.results) == {"a.png", "c.png"}


def test_a_bug_can_be_found(checkpoint, three, tmp_path, monkeypatch):
    monkeypatch.setenv("DENSE3D_TRACEBACK", "1")
    failing_on(monkeypatch, "b.png", raise_error(IndexError("a bug")))
    with pytest.raises(IndexError, match="a bug"):
        infer(NAME, checkpoint, three, tmp_path / "out", device="cpu")


def test_a_picture_that_cannot_be_drawn_costs_no_result(checkpoint, three, tmp_path, monkeypatch):
    from dense3d.results import Instances

    draw = Instances.draw
    monkeypatch.setattr(
        Instances, "draw", lambda self, image: draw(self, image) if len(calls) else calls.append(1) or 1 / 0
    )
    calls: list[int] = []
    report = infer(NAME, checkpoint, three, tmp_path / "out", score_threshold=0.0, device="cpu")
    assert entries_of(report.results) == {"a.png", "b.png", "c.png"}
    ((name, reason),) = report.left_out.items()
    assert name.endswith("a.png")
    assert "its results are written, but it cannot be drawn (division by zero)" in reason


def test_one_path_arrays_and_pil_images(checkpoint, three, photo, tmp_path):
    outs = [tmp_path / f"out-{number}" for number in range(5)]
    for given, out in zip((str(three / "a.png"), three / "a.png", np.array(photo), photo, [photo]), outs):
        infer(NAME, checkpoint, given, out, score_threshold=0.0, device="cpu")
    lists = [json.loads((out / "predictions.json").read_text()) for out in outs]
    assert lists[0] == lists[1]
    assert {entry["file_name"] for entry in lists[2]} == {"image-0"}
    for other in lists[2:]:
        assert [e["bbox"] for e in other] == [e["bbox"] for e in lists[0]] != []
    assert (outs[2] / "pictures/image-0.jpg").is_file()


def test_places_that_cannot_be_written_to(checkpoint, three, photo, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"/dev/null is no folder: name another place"):
        infer(NAME, checkpoint, three, "/dev/null")
    with pytest.raises(ConfigError, match=r"deep cannot be a folder, since .*file is none"):
        infer(NAME, checkpoint, three, tmp_path / "file/deep")
    (tmp_path / "pictures").mkdir()
    photo.save(tmp_path / "pictures/mine.jpg")
    before = (tmp_path / "pictures/mine.jpg").read_bytes()
    with pytest.raises(
        ConfigError, match=r"mine\.jpg is one of the images and lies where pictures are written"
    ):
        infer(NAME, checkpoint, tmp_path / "pictures", tmp_path)
    result = dense3d.load(NAME, checkpoint, device="cpu")(tmp_path / "pictures/mine.jpg")
    with pytest.raises(DataError, match="is the image itself, which would be lost"):
        result.save(tmp_path / "pictures" / "." / "mine.jpg")
    assert (tmp_path / "pictures/mine.jpg").read_bytes() == before
