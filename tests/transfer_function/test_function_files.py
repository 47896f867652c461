"""Files of transfer functions and class colours: round trips, VTK's meaning of points, and broken files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dense3d.errors import DataError
from dense3d.transfer_function.functions import (
    Box,
    Gaussian,
    LabelColor,
    Regions,
    TransferFunction,
    label_colors_text,
    parse_label_colors,
    parse_transfer_function,
    read_label_colors,
    read_transfer_function,
    transfer_function_text,
    write_label_colors,
    write_transfer_function,
)
from dense3d.transfer_function.functions.vtk_points import from_vtk

CURVES = TransferFunction(
    [[-1000, 0, 0.1, 0.2], [40.5, 1, 0.5, 0], [3071, 0.25, 1, 1]],
    [[-1000, 0], [100.125, 0.2], [200, 0.7], [3071, 1]],
    unit_distance=1.5,
    gradient_opacities=[[0, 0.1], [300, 1]],
    name="vessels",
)
REGIONS = Regions(
    (Box((0, 10.5), (2, np.inf), (1, 0, 0.25), 0.5), Gaussian((5, 4), (1, 2), (0, 0, 1), 0.8)), 2.0, "shells"
)
# suffix -> what of a function it keeps beside colours and opacities
KEPT = {
    ".json": ("unit_distance", "gradient_opacities", "name"),
    ".vp.json": ("unit_distance", "gradient_opacities"),
    ".vp": ("gradient_opacities",),
    ".paraview.json": ("name",),
}
LABELS = [
    LabelColor(3, "left kidney", (10, 255, 0), 0.6),
    LabelColor(1, "aorta", (255, 0, 17)),
    LabelColor(200, "gut 2", (1, 2, 3), 0.2),
]


@pytest.mark.parametrize("suffix", KEPT)
def test_curves_come_back(suffix, tmp_path):
    path = tmp_path / f"function{suffix}"
    write_transfer_function(CURVES, path)
    found = read_transfer_function(path)
    for name in ("colors", "opacities", *KEPT[suffix]):
        np.testing.assert_array_equal(getattr(found, name), getattr(CURVES, name))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", KEPT)
def test_steps_come_back_nearly(suffix):
    """VTK keeps one point a value, so the two points of a step are a millionth of the range apart."""
    stepped = replace(CURVES, opacities=[[-1000, 0], [100, 0], [100, 0.7], [100, 0.8], [1000, 0.8]])
    found = parse_transfer_function(transfer_function_text(stepped, suffix), f"a{suffix}")
    values = np.concatenate([np.linspace(-1100, 99.9, 50), np.linspace(100, 1100, 50)])
    np.testing.assert_allclose(found(values), stepped(values), atol=1e-6)


def test_regions_come_back(tmp_path):
    path = tmp_path / "regions.json"
    write_transfer_function(REGIONS, path)
    assert read_transfer_function(path) == REGIONS
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    for suffix in (".vp", ".vp.json", ".paraview.json"):
        with pytest.raises(DataError, match=r"write the 2D one as \.json"):
            transfer_function_text(REGIONS, f"a{suffix}")


def test_the_vp_of_3d_slicer():
    """Nine lines as its documentation describes them; the seventh counts numbers, not points."""
    text = (
        "1\n1\n0.9\n0.1\n0.2\n10\n6 -1000 0 40 0.25 1000 0.75\n4 0 1 255 1\n8 -1000 0 0 0 1000 1 0.5 0.25\n"
    )
    found = parse_transfer_function(text.encode(), "CT.vp")
    assert found.opacities.tolist() == [[-1000, 0], [40, 0.25], [1000, 0.75]]
    assert found.colors.tolist() == [[-1000, 0, 0, 0], [1000, 1, 0.5, 0.25]]


def test_the_vp_json_of_3d_slicer():
    """Repeated values count once, the last of them; missing midpoints are 0.5."""
    component = {
        "scalarOpacityUnitDistance": 0.5,
        "disableGradientOpacity": True,
        "rgbTransferFunction": {
            "type": "colorTransferFunction",
            "points": [
                {"x": 0, "color": [0, 0, 0]},
                {"x": 40, "color": [0.5, 0, 0]},
                {"x": 40, "color": [1, 0, 0]},
            ],
        },
        "scalarOpacity": {
            "type": "piecewiseLinearFunction",
            "points": [{"x": 0, "y": 0}, {"x": 9, "y": 0.5}],
        },
        "gradientOpacity": {"type": "piecewiseLinearFunction", "points": [{"x": 0, "y": 1}]},
    }
    found = parse_transfer_function(
        json.dumps({"volumeProperties": [{"components": [component]}]}), "a.vp.json"
    )
    assert found.colors.tolist() == [[0, 0, 0, 0], [40, 1, 0, 0]]
    assert found.opacities.tolist() == [[0, 0], [9, 0.5]]
    assert (found.unit_distance, found.gradient_opacities) == (0.5, None)


def test_a_paraview_map_without_opacities_rises():
    found = parse_transfer_function('[{"Name": "x", "RGBPoints": [1, 0, 0, 0, 5, 1, 1, 1]}]', "map.json")
    assert found.opacities.tolist() == [[1, 0], [5, 1]]
    with pytest.raises(DataError, match="choose the colour space RGB"):
        parse_transfer_function('[{"ColorSpace": "Lab", "RGBPoints": [1, 0, 0, 0]}]', "map.json")


def test_points_mean_what_they_mean_to_vtk():
    """Midpoints, jumps, an order of any kind, repeated values: evaluated by VTK's own classes."""
    vtk = pytest.importorskip("vtk")
    random = np.random.default_rng(0)
    for number in range(20):
        rows = np.column_stack([random.integers(0, 20, 7), random.random(7), random.random(7), np.zeros(7)])
        if number % 2:
            rows[:, 3] = random.choice([0.0, 1.0], 7)  # jumps, which only VTK's colours have
            colors = vtk.vtkColorTransferFunction()
            for value, height, midpoint, sharpness in rows:
                colors.AddRGBPoint(value, height, 0, 0, midpoint, sharpness)
            theirs = lambda value, colors=colors: colors.GetColor(value)[0]  # noqa: E731
        else:
            function = vtk.vtkPiecewiseFunction()
            for row in rows:
                function.AddPoint(*row)
            theirs = function.GetValue
        points = from_vtk(rows, "points")
        # not on the jumps themselves, where either side may hold
        values = np.linspace(points[0, 0], points[-1, 0], 500)
        values = values[np.abs(points[:, :1] - values).min(0) > 1e-3]
        ours = TransferFunction([[0, 0, 0, 0]], points)(values)[:, 3]
        np.testing.assert_allclose(ours, [theirs(value) for value in values], atol=1e-6)


def test_bent_curves_are_refused():
    with pytest.raises(DataError, match="set midpoint"):
        from_vtk([[0, 0, 0.5, 0.5], [1, 1, 0.5, 0]], "opacity")


@pytest.mark.parametrize("suffix", [".label", ".txt", ".ctbl"])
def test_class_colours_come_back(suffix, tmp_path):
    path = tmp_path / f"classes{suffix}"
    write_label_colors(LABELS, path)
    found = read_label_colors(path)
    assert [label.id for label in found] == [1, 3, 200]
    for mine, theirs in zip(found, sorted(LABELS, key=lambda label: label.id)):
        assert (mine.name, mine.color) == (theirs.name, theirs.color)
        assert mine.opacity == pytest.approx(theirs.opacity, abs=1 / 510)


def test_itk_snap_keeps_what_is_hidden_and_the_background():
    text = label_colors_text([replace(LABELS[0], visible=False, name='a "b" c')], "x.label")
    (found,) = parse_label_colors(text, "x.label")
    assert not found.visible
    assert found.name == "a 'b' c"
    assert '"Clear Label"' in text


BROKEN = [
    ("a.vp", "1\n1\n0.9\n", "a .vp has nine lines"),
    ("a.vp", "1\n1\n1\n1\n1\n1\n3 0 0 1\n2 0 1\n4 0 0 0 0\n", "scalar opacity starts with a count"),
    (
        "a.vp",
        "1\n1\n1\n1\n1\n1\n4 0 0 1 x\n2 0 1\n4 0 0 0 0\n",
        "a number of scalar opacity is no number: 'x'",
    ),
    ("a.vp", "1\n1\n1\n1\n1\n1\n4 0 0\n2 0 1\n4 0 0 0 0\n", "and 2 follow"),
    ("a.json", "{", "no JSON"),
    ("a.json", "[" * 100000, "no JSON"),
    ("a.json", b"\xff\xfe\x00", "no text"),
    ("a.json", b" " * (5 << 20), "larger than 4 MiB"),
    ("a.json", "[]", "RGBPoints"),
    ("a.json", "{}", "is an object with format"),
    ("a.json", '{"format": "dense3d transfer function", "version": 2}', "version 2"),
    ("a.json", '{"format": "dense3d transfer function", "version": 1}', "curves or regions"),
    ("a.json", '{"format": "dense3d transfer function", "version": 1, "kind": "curves"}', "lacks 'colors'"),
    ("a.json", '[{"RGBPoints": [1, 2, 3]}]', "four numbers a point"),
    ("a.json", '[{"RGBPoints": [1, 2, 3, 4]}]', "numbers in 0..1"),
    ("a.json", '[{"RGBPoints": [NaN, 0, 0, 1]}]', "no number"),
    ("a.vp.json", '{"volumeProperties": []}', "list volumeProperties"),
    (
        "a.vp.json",
        '{"volumeProperties": [{"components": [{}]}]}',
        "rgbTransferFunction with a list of points",
    ),
    ("a.tf", "", "the name must end in"),
]


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_broken_files_are_one_sentence(name, text, message):
    with pytest.raises(DataError, match=message) as caught:
        parse_transfer_function(text, name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value).strip()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.label", '1 255 0 0 1 1 "x"', "line 1 is none of a label description"),
        ("a.label", '1 256 0 0 1 1 1 "x"', "colour is three numbers"),
        ("a.label", '1 25 0 0 1e 1 1 "x"', "is no number"),
        ("a.label", '1 25 0 0 2 1 1 "x"', "opacity lies in"),
        ("a.label", '1 25 0 0 1 1 1 "x"\n1 25 0 0 1 1 1 "x"', "label 1 is there more than once"),
        ("a.ctbl", "# nothing", "no labels"),
        ("a.ctbl", "1 a 1 2 3", "line 1 is none of a colour table"),
        ("a.ctbl", f"{'9' * 5000} a 1 2 3 4", "line 1 is none of a colour table"),
        ("a.ctbl", "99999 a 1 2 3 4", "labels are numbers"),
        ("a.png", "", "the name must end in"),
    ],
)
def test_broken_colour_tables_are_one_sentence(name, text, message):
    with pytest.raises(DataError, match=message):
        parse_label_colors(text, name)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_transfer_function(tmp_path / "no.json")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_label_colors(_folder(tmp_path))


def _folder(tmp_path):
    folder = tmp_path / "folder.ctbl"
    folder.mkdir()
    return folder


def test_damaged_files_give_a_sentence_or_a_function():
    """Thousands of files with bytes and JSON values exchanged."""
    random = np.random.default_rng(0)
    texts = [(f"a{suffix}", transfer_function_text(CURVES, f"a{suffix}")) for suffix in KEPT]
    texts += [("r.json", transfer_function_text(REGIONS, "r.json"))]
    tables = [(f"a{suffix}", label_colors_text(LABELS, f"a{suffix}")) for suffix in (".label", ".ctbl")]
    words = [
        "null",
        "-1",
        "1e999",
        "NaN",
        '"x"',
        "[]",
        "{}",
        "true",
        "0",
        "99999999999999999999",
        "",
        "[[1]]",
    ]
    refused = 0
    for round_number in range(3000):
        name, text = (texts + tables)[round_number % (len(texts) + len(tables))]
        for _ in range(random.integers(1, 4)):
            if random.random() < 0.5:
                at = random.integers(len(text))
                text = text[:at] + chr(random.integers(1, 255)) + text[at + random.integers(0, 3) :]
            else:
                parts = text.split(" ")
                parts[random.integers(len(parts))] = words[random.integers(len(words))]
                text = " ".join(parts)
        try:
            parse = parse_label_colors if name in dict(tables) else parse_transfer_function
            parse(text.encode("utf-8", "replace"), name)
        except DataError as error:
            refused += 1
            assert str(error).startswith(name)
    assert refused > 1000
