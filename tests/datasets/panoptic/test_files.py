"""Maps of segment ids and JSON files: exact round trips, and one sentence on each kind of broken input."""

from __future__ import annotations

import copy
import json
import struct
import tempfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dense3d.datasets.panoptic import (
    check_segments,
    counted_segments,
    ids_to_rgb,
    labels_of,
    read_id_map,
    read_panoptic,
    read_predictions,
    rgb_to_ids,
    segment_areas,
    write_id_map,
    write_panoptic,
)
from dense3d.datasets.panoptic.compiled_id_map import decode, read_id_map_compiled
from dense3d.errors import DataError

MAPS = arrays(
    np.uint32, st.tuples(st.integers(1, 20), st.integers(1, 20)),
    elements=st.sampled_from([0, 1, 255, 256, 65536, 2**24 - 1, 8413416]),
)  # fmt: skip
GOOD = {
    "images": [{"id": 7, "file_name": "7.jpg", "height": 2, "width": 3}],
    "annotations": [
        {
            "image_id": 7,
            "file_name": "7.png",
            "segments_info": [{"id": 300, "category_id": 1, "area": 4, "bbox": [0, 0, 2, 2], "iscrowd": 0}],
        }
    ],
    "categories": [{"id": 1, "name": "box", "isthing": 1}, {"id": 9, "name": " sky ", "isthing": 0}],
}


@settings(deadline=None, max_examples=60)  # first calls import or compile
@given(MAPS)
def test_ids_survive_a_file(ids: np.ndarray) -> None:
    assert np.array_equal(rgb_to_ids(ids_to_rgb(ids)), ids)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.png"
        write_id_map(path, ids)
        assert np.array_equal(read_id_map(path), ids)
        assert np.array_equal(np.asarray(Image.open(path)), ids_to_rgb(ids))
        assert [p.name for p in Path(folder).iterdir()] == ["map.png"]


@settings(deadline=None, max_examples=60)  # first calls import or compile
@given(MAPS)
def test_areas_and_boxes_are_those_of_the_pixels(ids: np.ndarray) -> None:
    numbers, areas = segment_areas(ids)
    expected, counts = np.unique(ids, return_counts=True)
    assert np.array_equal(numbers, expected)
    assert np.array_equal(areas, counts)
    for segment in counted_segments(ids, [{"id": int(n), "category_id": 1} for n in numbers if n]):
        rows, columns = np.nonzero(ids == segment["id"])
        x, y, width, height = segment["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())


def png_of(ids: np.ndarray, filters: list[int], level: int, strategy: int) -> bytes:
    """A PNG whose rows are filtered and whose stream is compressed as asked for."""
    rows = ids_to_rgb(ids).reshape(len(ids), -1).astype(np.int64)
    stream = b""
    for y, row in enumerate(rows):
        kind = filters[y % len(filters)]
        left = np.concatenate([[0, 0, 0], row[:-3]])
        above = rows[y - 1] if y else np.zeros_like(row)
        corner = np.concatenate([[0, 0, 0], above[:-3]])
        base = left + above - corner
        distances = np.stack([abs(base - left), abs(base - above), abs(base - corner)])
        paeth = np.choose(distances.argmin(0), [left, above, corner])
        predicted = [np.zeros_like(row), left, above, (left + above) // 2, paeth][kind]
        stream += bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
    compressor = zlib.compressobj(level, zlib.DEFLATED, 15, 8, strategy)
    data = compressor.compress(stream) + compressor.flush()
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data[:5]), (b"IDAT", data[5:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@settings(deadline=None, max_examples=60)  # first calls import or compile
@given(
    st.one_of(MAPS, MAPS.map(lambda ids: np.kron(ids, np.ones((9, 13), np.uint32)))),
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.sampled_from([0, 1, 6, 9]),
    st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED]),
)
def test_compiled_decoding_of_any_filter_and_compression(ids, filters, level, strategy) -> None:
    data = png_of(ids, filters, level, strategy)
    assert np.array_equal(decode(data), ids)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(rgb_to_ids(pixels[..., ::-1]), ids)


def test_compiled_decoding_of_noise() -> None:
    ids = np.random.default_rng(0).integers(0, 2**24, (300, 200)).astype(np.uint32)
    for level, strategy in ((0, 0), (6, 0), (9, zlib.Z_HUFFMAN_ONLY)):
        assert np.array_equal(decode(png_of(ids, [0, 1, 2, 3, 4], level, strategy)), ids)


@settings(deadline=None, max_examples=60)  # first calls import or compile
@given(st.integers(41, 10_000), st.integers(1, 255))
def test_damaged_files_are_never_decoded_to_something_else(place: int, change: int) -> None:
    ids = np.kron(np.arange(12, dtype=np.uint32).reshape(3, 4) * 70_000, np.ones((8, 8), np.uint32))
    data = bytearray(png_of(ids, [0, 1, 2, 3, 4], 6, 0))
    place = 41 + place % (len(data) - 53)  # inside the image data and their checksum
    data[place] ^= change
    assert decode(bytes(data)) is None
    stream = data[: place // 2]
    assert decode(bytes(stream)) is None


@settings(deadline=None, max_examples=60)  # first calls import or compile
@given(st.binary(min_size=3, max_size=400))
def test_arbitrary_streams_end_without_harm(body: bytes) -> None:
    header = struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", b"\x78\x9c" + body), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in chunks
    )
    result = decode(data)
    assert result is None or result.shape == (9, 9)


@pytest.mark.parametrize("rows", [8, 10])
def test_streams_that_give_fewer_or_more_rows_are_not_decoded(rows: int) -> None:
    ids = np.arange(9 * 9, dtype=np.uint32).reshape(9, 9)
    data = png_of(np.resize(ids, (rows, 9)), [0, 4], 6, 0)
    chunk = data[12:20] + struct.pack(">I", 9) + data[24:29]  # the header of nine rows
    assert decode(data) is not None
    assert decode(data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]) is None


@pytest.mark.parametrize("read", [read_id_map, read_id_map_compiled])
def test_real_maps_and_palettes(sample_data: Path, tmp_path: Path, read) -> None:
    folder = sample_data / "coco_panoptic" / "annotations" / "panoptic_val2017"
    for path in sorted(folder.glob("*.png"))[:5]:
        colours = np.asarray(Image.open(path)).astype(np.int64)
        assert np.array_equal(read(path), colours @ [1, 256, 65536])
    Image.open(path).quantize(200).save(tmp_path / "palette.png")
    expected = np.asarray(Image.open(tmp_path / "palette.png").convert("RGB")).astype(np.int64)
    assert np.array_equal(read(tmp_path / "palette.png"), expected @ [1, 256, 65536])


@pytest.mark.parametrize("read", [read_id_map, read_id_map_compiled])
def test_unusable_maps_are_named(tmp_path: Path, read) -> None:
    path = tmp_path / "map.png"
    with pytest.raises(DataError, match=r"map\.png: the map of segment ids does not exist"):
        read(path)
    Image.fromarray(np.array([[0, 7]], np.uint8)).save(path)
    with pytest.raises(DataError, match=r"map\.png: the map has one channel of 8 bits, up to 7"):
        read(path)
    cv2.imwrite(str(path), np.zeros((2, 2, 3), np.uint16))
    with pytest.raises(DataError, match=r"map\.png: the map has 16 bits a channel"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"map\.png: not a readable PNG \(0 bytes\)"):
        read(path)
    path.write_bytes(b"GIF89a nothing")
    with pytest.raises(DataError, match="not a readable PNG"):
        read(path)
    with pytest.raises(DataError, match="16777216 is no colour"):
        write_id_map(tmp_path / "new.png", np.array([[2**24]]))
    assert not (tmp_path / "new.png").exists()


def test_json_survives_a_round_trip(sample_data: Path, tmp_path: Path) -> None:
    source = sample_data / "coco_panoptic" / "annotations" / "panoptic_val2017.json"
    document = json.loads(source.read_text())
    write_panoptic(tmp_path / "copy.json", **document)
    assert json.loads((tmp_path / "copy.json").read_text()) == document
    read = read_panoptic(tmp_path / "copy.json")
    assert read.document == document
    for image, annotation in read.annotations.items():
        ids = read_id_map(source.with_suffix("") / annotation["file_name"])
        check_segments(ids, annotation["segments_info"], read.where(image))


def broken(change) -> dict:
    document = copy.deepcopy(GOOD)
    change(document)
    return document


def segment(document: dict) -> dict:
    return document["annotations"][0]["segments_info"][0]


FAULTS = {
    "isthing": (lambda d: d["categories"][1].pop("isthing"), "' sky ' has no 'isthing'"),
    "kind": (lambda d: d["categories"][0].update(isthing="yes"), "'box' has isthing 'yes'"),
    "no list": (lambda d: d.pop("images"), "no list 'images'"),
    "instances": (
        lambda d: d.update(annotations=[{"id": 1, "image_id": 7, "file_name": "a", "bbox": [0, 0, 1, 1]}]),
        "annotations of single instances",
    ),
    "segment twice": (
        lambda d: d["annotations"][0]["segments_info"].append(segment(d)),
        r"image 7 \(7\.png\): segment 300 is listed twice",
    ),
    "image twice": (lambda d: d["images"].append(d["images"][0]), "the id 7 occurs twice in 'images'"),
    "annotated twice": (lambda d: d["annotations"].append(d["annotations"][0]), "the image_id 7 occurs t"),
    "category": (lambda d: segment(d).update(category_id=4), r"image 7 .* category_id 4, which is not in"),
    "void id": (lambda d: segment(d).update(id=0), r"the segment id 0 is not in 1 \.\. 16777215"),
    "large id": (lambda d: segment(d).update(id=2**24), "the segment id 16777216 is not in"),
    "no category": (lambda d: segment(d).pop("category_id"), "a segment has no 'category_id'"),
    "stray image": (lambda d: d["annotations"][0].update(image_id=8), r"image 8 \(7\.png\): no entry of 'im"),
    "not a list": (lambda d: d["annotations"][0].update(segments_info={}), "segments_info is a dict"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_json_is_named(tmp_path: Path, name: str) -> None:
    change, sentence = FAULTS[name]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(broken(change)))
    with pytest.raises(DataError, match=rf"p\.json: .*{sentence}"):
        read_panoptic(path)


def test_predictions_need_annotations_only(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "r.json", GOOD["annotations"])
    assert json.loads((tmp_path / "r.json").read_text()) == {"annotations": GOOD["annotations"]}
    assert list(read_predictions(tmp_path / "r.json", {1: {}}).annotations) == [7]
    with pytest.raises(DataError, match=r"r\.json: image 7 \(7\.png\): segment 300 has category_id 1"):
        read_predictions(tmp_path / "r.json", {2: {}})


def test_labels_follow_the_classes_and_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(GOOD))
    panoptic = read_panoptic(path)
    assert labels_of(panoptic, ("sky", "box")) == {1: 1, 9: 0}
    assert labels_of(panoptic, ("cube",), {"box": "cube"}) == {1: 0}
    with pytest.raises(DataError, match=r"p\.json: 1 of the 2 classes.*first 'boxes'; did you mean 'box'"):
        labels_of(panoptic, ("boxes", "sky"))


@pytest.mark.parametrize(
    ("segments", "sentence"),
    [
        (
            [{"id": 5, "area": 3}],
            r"segment 6 \(1 pixels of the png\) is not in segments_info \(id-not-listed\)",
        ),
        (
            [{"id": 5, "area": 3}, {"id": 6, "area": 1}, {"id": 8, "area": 1}],
            r"segment 8 of segments_info has no pixel in the png \(id-not-in-png\)",
        ),
        ([{"id": 5, "area": 2}, {"id": 6, "area": 1}], "segment 5 has area 2 in segments_info but 3 pixels"),
        ([], r"segment 5 .* \[and 1 more in this image\]"),
    ],
)
def test_disagreement_of_png_and_json(segments: list[dict], sentence: str) -> None:
    ids = np.array([[5, 5, 0], [5, 6, 0]])
    check_segments(ids, [{"id": 5, "area": 3}, {"id": 6}], "here")
    with pytest.raises(DataError, match=f"here: {sentence}"):
        check_segments(ids, segments, "here")
