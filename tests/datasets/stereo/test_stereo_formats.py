"""Files of ground truth: real samples, round trips, and files that are not what they seem."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from dense3d.datasets.flow import read_flo, read_kitti_flow, write_flo, write_kitti_flow
from dense3d.datasets.stereo import (
    read_depth,
    read_disparity,
    read_flow,
    read_nonoccluded,
    read_pfm,
    read_picture,
    write_pfm,
    write_scaled_png,
)
from dense3d.datasets.stereo.packed import write_hdf5, write_sintel_disparity
from dense3d.datasets.stereo.pictures import read_numbers, write_numbers
from dense3d.errors import ConfigError, DataError

MIDDLEBURY = "stereo/middlebury2014/trainingQ/Motorcycle/disp0GT.pfm"
SCENE_FLOW = "stereo/sceneflow/disparity/A/0032/left/0006.pfm"
KITTI = "stereo/kitti2015/training/disp_occ_0/000046_10.png"
noise = np.random.default_rng(0)


def raw_floats(path, shape):
    """Values of a pfm by its size alone: the last bytes, from the bottom row up."""
    count = int(np.prod(shape))
    return np.frombuffer(path.read_bytes()[-4 * count :], "<f4").reshape(shape)[::-1]


@pytest.mark.parametrize(
    ("name", "shape"), [(MIDDLEBURY, (497, 741)), (SCENE_FLOW, (540, 960))], ids=["middlebury", "sceneflow"]
)
def test_only_the_sign_of_the_scale_counts_on_real_files(sample_data, name, shape):
    path = sample_data / name
    np.testing.assert_array_equal(read_pfm(path), raw_floats(path, shape))
    disparity = read_disparity(path, "pfm")
    known = np.isfinite(disparity)
    assert known.mean() > 0.97 and disparity[known].min() > 0 and disparity[known].max() < shape[1] / 4
    try:
        opencv = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        opencv = None
    if opencv is not None and opencv.size:  # why there is a reader of our own
        assert not np.allclose(opencv[known], disparity[known], rtol=0.1)


@pytest.mark.parametrize("scale", ["-1.0", "-0.003922", "1", "255.5", "+2e-3"])
def test_pfm_in_both_byte_orders(tmp_path, scale):
    values = noise.normal(size=(5, 7)).astype(np.float32)
    order = "<f4" if scale.startswith("-") else ">f4"
    (tmp_path / "a.pfm").write_bytes(
        f"Pf \r\n# a comment\n7 5\n{scale} \n".encode() + values[::-1].astype(order).tobytes()
    )
    np.testing.assert_array_equal(read_pfm(tmp_path / "a.pfm"), values)


def test_pfm_round_trip_and_first_bytes_that_look_like_white_space(tmp_path):
    for channels in ((), (3,)):
        values = noise.normal(size=(4, 6, *channels)).astype(np.float32)
        values[3].view(np.uint32)[...] = 0x20200A20  # the first row that is written
        write_pfm(tmp_path / "a.pfm", values)
        np.testing.assert_array_equal(read_pfm(tmp_path / "a.pfm"), values)
    with pytest.raises(DataError, match=r"holds \(H, W\) or \(H, W, 3\)"):
        write_pfm(tmp_path / "a.pfm", np.zeros((2, 2, 2)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "zero bytes"),
        (b"P6\n2 2\n255\n" + bytes(12), "is no header of a pfm"),
        (b"Pf\n2 2\n0\n" + bytes(16), "tells no byte order"),
        (b"Pf\n2 2\n-1\n" + bytes(15), "need 16 bytes after the header, but there are 15"),
        (b"Pf\n2 2\n-1\n" + bytes(17), "there are 17"),
        (b"Pf\n0 2\n-1\n", "need 0 bytes"),
        (b"Pf\n99999999 99999999\n-1\n" + bytes(4), "cut off or damaged"),
    ],
)
def test_faults_of_pfm_files(tmp_path, content, sentence):
    (tmp_path / "a.pfm").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_pfm(tmp_path / "a.pfm")


def test_unknown_disparity_of_pfm_and_the_sign_of_scene_flow(tmp_path):
    values = np.float32([[5, 0, np.inf], [np.nan, -1, 7]])
    for sign in (1, -1):
        write_pfm(tmp_path / "a.pfm", sign * values)
        assert read_disparity(tmp_path / "a.pfm", "pfm").tolist() == [
            [5, np.inf, np.inf],
            [np.inf, np.inf, 7],
        ]
    write_pfm(tmp_path / "a.pfm", np.zeros((2, 2, 3)))
    with pytest.raises(DataError, match="not one number a pixel"):
        read_disparity(tmp_path / "a.pfm", "pfm")


@pytest.mark.parametrize("mark", [-1.0, -100.0, -9999.0])
@pytest.mark.parametrize("form", ["pfm", "npy"])
def test_a_negative_mark_of_unknown_pixels_is_no_opposite_sign(tmp_path, mark, form):
    values = np.full((6, 10), mark, np.float32)  # sparse: most pixels are unknown
    values[::3, ::4] = noise.uniform(1, 9, (2, 3))
    path = tmp_path / f"a.{form}"
    write_pfm(path, values) if form == "pfm" else np.save(path, values)
    expected = np.where(values > 0, values, np.float32(np.inf))
    np.testing.assert_array_equal(read_disparity(path, form), expected)


def test_maps_that_hold_one_negative_value(tmp_path):
    write_pfm(tmp_path / "nothing.pfm", np.full((4, 5), -1.0))
    assert np.isinf(read_disparity(tmp_path / "nothing.pfm", "pfm")).all()
    write_pfm(tmp_path / "wall.pfm", np.full((4, 5), -12.5))  # Scene Flow's sign
    assert (read_disparity(tmp_path / "wall.pfm", "pfm") == 12.5).all()


def test_kitti_disparity_and_what_8_bits_make_of_it(sample_data, tmp_path):
    disparity = read_disparity(sample_data / KITTI, "png/256")
    stored = np.asarray(Image.open(sample_data / KITTI)).astype(float)
    np.testing.assert_array_equal(disparity, np.where(stored > 0, stored / 256, np.inf).astype(np.float32))
    write_scaled_png(tmp_path / "again.png", disparity)
    np.testing.assert_array_equal(read_disparity(tmp_path / "again.png", "png/256"), disparity)
    cv2.imwrite(str(tmp_path / "lost.png"), cv2.imread(str(sample_data / KITTI), cv2.IMREAD_GRAYSCALE))
    with pytest.raises(DataError, match=r"lost.png has 8 bits a channel, but this format has 16.*loses"):
        read_disparity(tmp_path / "lost.png", "png/256")


FORMS = [("png/32", 320, 10), ("png8/1", 200, 200), ("png8/2", 9, 4.5)]


@pytest.mark.parametrize(("form", "value", "expected"), FORMS)
def test_other_units_of_png(tmp_path, form, value, expected):
    kind = np.uint8 if value < 256 and form.startswith("png8") else np.uint16
    write_numbers(tmp_path / "a.png", np.array([[value, 0]], dtype=kind))
    assert read_disparity(tmp_path / "a.png", form).tolist() == [[expected, np.inf]]


def test_values_that_png_does_not_hold(tmp_path):
    write_scaled_png(tmp_path / "a.png", np.array([[0.0001, 255.99]]))  # what is known stays known
    assert (read_depth(tmp_path / "a.png", "png/256") > 0).all()
    with pytest.raises(
        DataError, match=r"300 does not fit 16 bits at 256 a unit; the largest value is 255.99"
    ):
        write_scaled_png(tmp_path / "a.png", np.array([[300.0]]))
    colours = noise.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "drawing.png")
    with pytest.raises(DataError, match="colour image, but this format has one channel"):
        read_disparity(tmp_path / "drawing.png", "png8/1")
    grey = np.repeat(colours[..., :1], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_numbers(tmp_path / "grey.png", 8), grey[..., 0])
    with pytest.raises(DataError, match="has one channel, but this format has three"):
        write_numbers(tmp_path / "one.png", grey[..., 0])
        read_disparity(tmp_path / "one.png", "sintel")


def test_sintel_disparity_beyond_255_does_not_overflow(tmp_path):
    disparity = np.array([[0.0, 0.5, 255.98, 255.99], [256, 700.25, 1020, 1023.9999]])
    write_sintel_disparity(tmp_path / "a.png", disparity)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = read_disparity(tmp_path / "a.png", "sintel")
    np.testing.assert_allclose(again, disparity, atol=1 / 16384)
    red, green, blue = 65, 3, 7  # written by hand: 4 R leaves 8 bits from R = 64 on
    write_numbers(tmp_path / "b.png", np.uint8([[[red, green, blue]]]))
    assert read_disparity(tmp_path / "b.png", "sintel")[0, 0] == pytest.approx(260 + 3 / 64 + 7 / 16384)
    with pytest.raises(DataError, match="holds 0 to 1024 pixels"):
        write_sintel_disparity(tmp_path / "a.png", np.array([[1024.0]]))


def test_spring_files(tmp_path):
    pytest.importorskip("h5py")
    write_hdf5(tmp_path / "a.dsp5", "disparity", np.array([[4.0, np.nan]]))
    assert read_disparity(tmp_path / "a.dsp5", "dsp5").tolist() == [[4.0, np.inf]]
    write_hdf5(tmp_path / "a.flo5", "flow", np.array([[[1.0, -2], [np.nan, 0]]]))
    assert read_flow(tmp_path / "a.flo5", "flo5").tolist() == [[[1.0, -2.0], [np.inf, np.inf]]]
    with pytest.raises(DataError, match="has no 'disparity', but 'flow'"):
        read_disparity(tmp_path / "a.flo5", "dsp5")
    (tmp_path / "bad.dsp5").write_bytes(b"no hdf5")
    with pytest.raises(DataError, match=r"bad.dsp5 cannot be read as HDF5"):
        read_disparity(tmp_path / "bad.dsp5", "dsp5")


def test_flow_round_trips(tmp_path):
    flow = noise.uniform(-300, 300, (6, 5, 2)).astype(np.float32)
    flow[2, 3] = np.inf
    write_flo(tmp_path / "a.flo", flow)
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo"), flow)
    write_kitti_flow(tmp_path / "a.png", flow)
    np.testing.assert_allclose(read_kitti_flow(tmp_path / "a.png"), flow, atol=1 / 128)
    write_pfm(tmp_path / "a.pfm", np.dstack([flow, np.zeros((6, 5))]))
    np.testing.assert_array_equal(read_flow(tmp_path / "a.pfm", "pfm"), flow)
    with pytest.raises(DataError, match="flow from -512 to"):
        write_kitti_flow(tmp_path / "b.png", np.full((2, 2, 2), 600.0))


def test_kitti_flow_by_hand(tmp_path):
    stored = np.uint16([[[32768 + 64, 32768 - 128, 1], [5, 5, 0]]])
    write_numbers(tmp_path / "a.png", stored)
    assert cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[0, 0].tolist() == [1, 32640, 32832]
    assert read_flow(tmp_path / "a.png", "kitti").tolist() == [[[1.0, -2.0], [np.inf, np.inf]]]


def test_faults_of_flow_files(tmp_path):
    write_flo(tmp_path / "a.flo", np.zeros((3, 3, 2)))
    content = (tmp_path / "a.flo").read_bytes()
    for name, changed, sentence in (
        ("cut", content[:-1], "needs 84 bytes, but the file has 83"),
        ("tag", b"XXXX" + content[4:], "not with b'PIEH'"),
        ("huge", content[:4] + np.array([-1, 3], "<i4").tobytes() + content[12:], "cut off or damaged"),
    ):
        (tmp_path / f"{name}.flo").write_bytes(changed)
        with pytest.raises(DataError, match=sentence):
            read_flo(tmp_path / f"{name}.flo")
    write_pfm(tmp_path / "a.pfm", np.zeros((3, 3)))
    with pytest.raises(DataError, match="is it disparity"):
        read_flow(tmp_path / "a.pfm", "pfm")


def test_depth_that_is_not_a_number(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, np.nan], [np.inf, 2]]))
    with pytest.raises(DataError, match=r"a.npy: 1 of 4 depths are NaN; write 0"):
        read_depth(tmp_path / "a.npy", "npy")
    assert read_depth(tmp_path / "a.npy", "npy", nan_is_unknown=True).tolist() == [[1.0, 0.0], [0.0, 2.0]]
    np.save(tmp_path / "a.npy", np.array([[1.0, -3.0]]))
    with pytest.raises(DataError, match="1 depths are negative, down to -3"):
        read_depth(tmp_path / "a.npy", "npy")
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as an array"):
        read_depth(tmp_path / "b.npy", "npy")


def test_masks(sample_data, tmp_path):
    seen = read_nonoccluded(sample_data / MIDDLEBURY.replace("disp0GT.pfm", "mask0nocc.png"), "seen")
    assert 0.5 < seen.mean() < 1 and seen.dtype == bool
    occluded = sample_data / SCENE_FLOW.replace("disparity", "occlusion").replace("pfm", "png")
    assert 0.5 < read_nonoccluded(occluded, "occluded").mean() < 1
    known = read_nonoccluded(sample_data / KITTI, "known/png/256")
    assert known.mean() == pytest.approx(0.118, abs=1e-3)
    write_numbers(tmp_path / "a.png", np.uint8([[0, 128, 255]]))
    assert read_nonoccluded(tmp_path / "a.png", "seen").tolist() == [[False, False, True]]
    assert read_nonoccluded(tmp_path / "a.png", "occluded").tolist() == [[True, False, False]]
    write_kitti_flow(tmp_path / "f.png", np.array([[[1.0, 2], [np.inf, np.inf]]]))
    assert read_nonoccluded(tmp_path / "f.png", "known-flow/kitti").tolist() == [[True, False]]


def test_formats_that_there_are_not(tmp_path):
    for form in ("png", "png/0", "png/x", "pmf", "png/inf"):
        with pytest.raises(ConfigError):
            read_disparity(tmp_path / "a", form)
    with pytest.raises(ConfigError, match="did you mean 'pfm'"):
        read_depth(tmp_path / "a", "pmf")
    with pytest.raises(DataError, match="does not exist"):
        read_disparity(tmp_path / "a.npy", "npy")


def test_pictures_that_are_cut_off_are_named(sample_data, tmp_path):
    picture = sample_data / "stereo/middlebury2014/trainingQ/Motorcycle/im0.png"
    assert read_picture(picture).shape == (497, 741, 3)
    Image.open(picture).save(tmp_path / "whole.jpg")
    for name, content in (("a.png", picture.read_bytes()), ("a.jpg", (tmp_path / "whole.jpg").read_bytes())):
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=rf"{name} is cut off after"):
            read_picture(tmp_path / name)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text.png: no image format begins with"):
        read_picture(tmp_path / "text.png")
    with pytest.raises(DataError, match="does not exist"):
        read_picture(tmp_path / "none.png")
