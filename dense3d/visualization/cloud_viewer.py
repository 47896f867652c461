"""Clouds in the browser: a page of viser on this machine's loopback."""

from __future__ import annotations

import html
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from dense3d.errors import MissingDependencyError
from dense3d.optional import require
from dense3d.structures import PointCloud
from dense3d.visualization.clouds import height_colours
from dense3d.visualization.colours import Colour

HOST = "127.0.0.1"
SHOWN = 500_000  # points of a cloud; more make the page slow
REMEDY = "pip install 'viser>=1'"


class CloudViewer:
    """A page that shows one of several clouds, in one of several ways, and what its colours mean.

    Clouds are moved to the origin and brought to one size, so that a mug and a street fill the same window.
    The page is reached from this machine alone.

    Args:
        port: to listen on; the next free one where it is in use.

    Attributes:
        url: what to open in a browser.

    Raises:
        MissingDependencyError: viser is missing, or older than version 1.
    """

    def __init__(self, port: int = 8080) -> None:
        viser = require_viser()
        self.server = viser.ViserServer(host=HOST, port=port, label="dense3d", verbose=False)
        self.url = f"http://{HOST}:{self.server.get_port()}/"
        self._shown: dict[str, tuple[dict[str, PointCloud], dict[str, Colour], str]] = {}
        self._change = threading.RLock()  # callbacks of the page come from other threads
        self._cloud = self.server.gui.add_dropdown("cloud", ("none",))
        self._view = self.server.gui.add_dropdown("shown", ("none",))
        self._size = self.server.gui.add_slider("size of points", 0.002, 0.08, 0.002, 0.016)
        self._legend = self.server.gui.add_html("")
        self._cloud.on_update(lambda _: self._choose_cloud())
        self._view.on_update(lambda _: self._draw())
        self._size.on_update(lambda _: self._resize())

    def add(
        self, name: str, views: Mapping[str, PointCloud], legend: Mapping[str, Colour], up: str = "z"
    ) -> None:
        """Offer a cloud; the first one is shown, as its last view.

        Args:
            name: of the cloud; one of the same name is replaced.
            views: what can be seen of it, clouds by title; more than 500,000 points are thinned out evenly.
            legend: RGB colours by what they stand for.
            up: axis that points upwards.
        """
        with self._change:
            first = not self._shown
            centre, scale = _placement(next(iter(views.values())))
            placed = {title: _placed(view, centre, scale, up) for title, view in views.items()}
            self._shown[name] = (placed, dict(legend), up)
            self._cloud.options = tuple(self._shown)
            if first:
                self._choose_cloud()

    def wait(self) -> None:
        """Serve until the process is interrupted, then stop."""
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        """End the server."""
        self.server.stop()

    def _choose_cloud(self) -> None:
        with self._change:
            if self._cloud.value not in self._shown:
                return
            views, legend, up = self._shown[self._cloud.value]
            self._view.options = tuple(views)
            self._view.value = tuple(views)[-1]
            self._legend.content = _legend(legend)
            self.server.scene.set_up_direction(f"+{up}")
            self._draw()

    def _draw(self) -> None:
        with self._change:
            views = self._shown[self._cloud.value][0] if self._cloud.value in self._shown else {}
            if self._view.value in views:
                view = views[self._view.value]
                self._drawn = self.server.scene.add_point_cloud(
                    "/cloud", view.points, view.colors, point_size=self._size.value, point_shape="circle"
                )

    def _resize(self) -> None:
        if hasattr(self, "_drawn"):
            self._drawn.point_size = self._size.value


def require_viser() -> ModuleType:
    """viser of version 1 or newer.

    Raises:
        MissingDependencyError: it is missing or older.
    """
    viser = require("viser", "pages that show clouds")
    version: Any = getattr(viser, "__version__", "0")
    if int(str(version).split(".")[0]) < 1:
        raise MissingDependencyError(
            f"viser {version} is too old for pages that show clouds: {REMEDY} (nerfstudio names the old one; "
            "its data parsers and models work beside the new one)"
        )
    return viser


def _placement(cloud: PointCloud) -> tuple[np.ndarray, float]:
    """Centre of a cloud, and the factor that makes it two units large."""
    low, high = cloud.bounds.astype(np.float64)
    return (low + high) / 2, 2 / max(float((high - low).max()), 1e-9)


def _placed(cloud: PointCloud, centre: np.ndarray, scale: float, up: str) -> PointCloud:
    """The cloud where the page wants it, with colours, thinned out."""
    cloud = cloud.select(slice(None, None, -(-len(cloud) // SHOWN) or None))
    colours = cloud.colors
    if colours is None:
        colours = height_colours(cloud.points, up) / 255
    return PointCloud((cloud.points - centre) * scale, colors=colours)


def _legend(colours: Mapping[str, Colour]) -> str:
    rows = (
        f'<div><span style="color: rgb{tuple(colour)}">&#9632;</span> {html.escape(name)}</div>'
        for name, colour in colours.items()
    )
    return f'<div style="padding: 0.5em 1em">{"".join(rows)}</div>'
