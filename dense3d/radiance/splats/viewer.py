"""A scene in the browser while it is fitted: a page of viser on this machine's loopback."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch

from dense3d.ops import sh_to_rgb
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.views import PosedView
from dense3d.visualization.cloud_viewer import HOST, require_viser

SIZE = 2.0  # the scene is shown as if its extent were so many units
FRUSTUM = 0.08
THUMBNAIL = 64  # pixels


class SplatViewer:
    """A page with the Gaussians, the photographs at their cameras, and how far the fit is.

    Colours are those of degree 0. The page is reached from this machine alone.

    Args:
        views: photographs.
        extent: of the scene.
        port: to listen on; the next free one where it is in use.

    Attributes:
        url: what to open in a browser.

    Raises:
        MissingDependencyError: viser is missing, or older than version 1.
    """

    def __init__(self, views: Sequence[PosedView], extent: float, port: int = 8080) -> None:
        viser = require_viser()
        self.server = viser.ViserServer(host=HOST, port=port, label="dense3d", verbose=False)
        self.url = f"http://{HOST}:{self.server.get_port()}/"
        centres = np.array([view.camera.position for view in views])
        self._centre, self._scale = centres.mean(axis=0), SIZE / extent
        up = -np.mean([view.camera.rotation[:, 1] for view in views], axis=0)
        self.server.scene.set_up_direction(tuple(up / max(np.linalg.norm(up), 1e-9)))
        self._state = self.server.gui.add_markdown("waiting for the first step")
        shown = self.server.gui.add_checkbox("photographs", True)
        self._frustums = [self._frustum(number, view) for number, view in enumerate(views)]
        shown.on_update(lambda _: self._show_photographs(shown.value))

    def show(self, gaussians: Gaussians, state: str) -> None:
        """Replace what is shown.

        Args:
            gaussians: the scene as it is now.
            state: a line on how far the fit is.
        """
        with torch.no_grad():
            means = gaussians.means.double().cpu().numpy() - self._centre
            covariances = gaussians.covariances().cpu().numpy() * self._scale**2
            colors = sh_to_rgb(gaussians.sh0[:, 0]).clamp(0, 1).cpu().numpy()
            opacities = gaussians.opacities[:, None].cpu().numpy()
        self._state.content = state
        self.server.scene.add_gaussian_splats(
            "/splats",
            (means * self._scale).astype(np.float32),
            covariances.astype(np.float32),
            colors.astype(np.float32),
            opacities.astype(np.float32),
        )

    def wait(self) -> None:
        """Serve until the process is interrupted, then stop."""
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        """End the server."""
        self.server.stop()

    def _frustum(self, number: int, view: PosedView):
        from scipy.spatial.transform import Rotation

        camera = view.camera
        step = max(1, max(view.image.shape[:2]) // THUMBNAIL)
        return self.server.scene.add_camera_frustum(
            f"/photographs/{number}",
            fov=2 * float(np.arctan(camera.height / 2 / camera.intrinsics[1, 1])),
            aspect=camera.width / camera.height,
            scale=FRUSTUM,
            image=view.image[::step, ::step],
            wxyz=np.roll(Rotation.from_matrix(camera.rotation).as_quat(), 1),  # SciPy has w last
            position=(camera.position - self._centre) * self._scale,
        )

    def _show_photographs(self, visible: bool) -> None:
        for frustum in self._frustums:
            frustum.visible = visible
