"""2D transfer functions in a workspace, and what is computed first for whoever looks at a slice."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from transfer_function.cubes import two_cubes

from dense3d.errors import DataError
from dense3d.transfer_function import Workspace
from dense3d.transfer_function.functions import Box, Gaussian, Regions, TransferFunction
from dense3d.transfer_function.methods import METHODS, Method
from dense3d.transfer_function.server.state import slopes_histogram
from dense3d.transfer_function.shown_function import FunctionBox, FunctionPoint, ShownFunction, shown

SHELL = Box((50, 350), (20, np.inf), (1.0, 0.0, 0.0), 0.8)


def test_boxes_are_kept_by_undo_session_and_file(tmp_path):
    workspace = Workspace(two_cubes())
    workspace.set_transfer_function(Regions((SHELL,), name="shell"))
    assert workspace.curve() == Regions((SHELL,), name="shell")
    workspace.save(tmp_path / "work.json")
    path = workspace.export(tmp_path / "shell.json")
    workspace.undo()
    assert isinstance(workspace.curve(), TransferFunction)
    again = Workspace.load(tmp_path / "work.json", two_cubes())
    assert again.curve() == Regions((SHELL,), name="shell")
    again.undo()
    again.import_transfer_function(path)
    assert again.curve() == Regions((SHELL,), name="shell")


def test_the_renderer_draws_boxes_of_values_and_gradients():
    """The bright cube's sides are steep and its middle is not: with the front cut away, a ray from the front
    meets the sides of the cube alone."""
    from dense3d.transfer_function.rendering import Clip
    from dense3d.transfer_function.view_camera import Camera

    workspace = Workspace(two_cubes())
    cut = Clip(high=(1.0, 11 / 16, 1.0))  # through the middle of the bright cube

    def middle(function) -> np.ndarray:
        workspace.set_transfer_function(function)
        picture = workspace.render(Camera(), 96, 96, clip=cut, shading=0.0, background=None, marker=False)
        # voxel (14, 10, 6), seen from the front: the patient's right is on the left
        rows, columns = np.nonzero(picture.pixels[..., 3] > 0)
        return picture.pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1, 3]

    flat = middle(Regions((Box((250, 350), (0, 1), (1, 1, 1), 0.99),)))
    steep = middle(Regions((Box((50, 350), (30, np.inf), (1, 1, 1), 0.99),)))
    assert flat[flat.shape[0] // 2, flat.shape[1] // 2] > 200
    assert (steep == 0).mean() > 0.1, "the rims alone are drawn"
    with pytest.raises(DataError, match="boxes"):
        workspace.set_transfer_function(Regions((Gaussian((1, 1), (1, 1), (1, 1, 1), 1),)))


def test_a_function_without_boxes_is_written_as_before_and_old_ones_are_read():
    point = {"value": 0.0, "color": (0, 0, 0), "opacity": 0.0}
    old = msgspec.convert({"points": [point], "name": "a"}, ShownFunction)
    assert old == ShownFunction((FunctionPoint(0.0, (0, 0, 0), 0.0),), "a") and not old.regions
    assert shown(old.curve()).regions == ()
    for values, slopes in (((2, 1), (0, 1)), ((1, 2), (3, 1))):
        with pytest.raises(ValueError, match="ascend"):
            FunctionBox(values, slopes, (0, 0, 0), 1.0)


def test_the_histogram_of_a_page_reaches_up_to_the_steep_voxels():
    found = slopes_histogram(Workspace(two_cubes()))
    assert found.counts.shape == (128, 64) and found.counts.sum() == 20 * 16 * 12
    steep = found.counts[:, 1:].sum()
    assert 0 < steep < found.counts[:, 0].sum(), "most voxels lie in flat places"
    assert found.counts[:, -8:].any(), "the upper rows are not empty"


class Asked:
    """A method that only notes what it was asked for."""

    name, ready, first = "asked", True, (2, 6)

    def prepare(self, progress) -> None:
        self.asked = self.first

    def classify(self, prompts, class_ids):
        return None


@pytest.mark.parametrize(
    ("crosshair", "first"),
    [([3, 4, 9], (2, 4)), (None, (2, 6)), ([3, 4, 12], (2, 6)), ([3, 4], (2, 6)), ("abc", (2, 6))],
)
def test_the_slice_that_the_session_shows_is_prepared_first(crosshair, first, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "graph", Method("asked", False, lambda volume, checkpoint: Asked()))
    before = Workspace(two_cubes(), limit=10)
    before.set_view({"crosshair": crosshair})
    before.save(tmp_path / "work.json")
    workspace = Workspace.load(tmp_path / "work.json", two_cubes(), limit=10)
    assert workspace.factors == (2, 2, 2)
    workspace.prepare()
    assert workspace._classifiers["graph"].asked == first
