"""Pictures of volumes in the suite ``volumes``, beside another program.

VTK's CPU ray caster (``vtkFixedPointVolumeRayCastMapper``) takes part where the package ``vtk`` is installed;
it draws the same phantom with the same transfer function, shares of light, step and camera.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dense3d.benchmarks.ops_rays import phantom
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.structures.volume import Volume
from dense3d.transfer_function.functions.curves import TransferFunction
from dense3d.transfer_function.rendering import Renderer, Scene, reference_picture
from dense3d.transfer_function.view_camera import FIELD_OF_VIEW, Camera, centre_and_radius

CAMERA = Camera(azimuth=30, elevation=20, zoom=2.0)
# name -> colours and opacities over the values 0..1 of the phantom
FUNCTIONS = {
    "surface": ([[0.3, 1, 0.7, 0.5], [0.9, 1, 1, 0.9]], [[0.5, 0], [0.55, 0.6], [1, 0.9]]),
    "translucent": ([[0.0, 0.3, 0.5, 1], [1, 1, 0.8, 0.4]], [[0.0, 0], [0.05, 0.01], [1, 0.04]]),
}


def pictures(_device: torch.device, count: int, pixels: int, function: str) -> Workload:
    """A picture of a phantom of ``count``^3 voxels at preview quality: steps of one voxel, shaded."""
    values = (phantom(count).numpy() * 1000).astype(np.uint16)
    volume = Volume(values, np.eye(4))
    colors, opacities = (np.array(rows, float) for rows in FUNCTIONS[function])
    colors[:, 0], opacities[:, 0] = colors[:, 0] * 1000, opacities[:, 0] * 1000
    transfer = TransferFunction(colors, opacities)
    renderer = Renderer(volume, (0.0, 1000.0))
    scene = Scene(CAMERA, pixels, pixels, transfer=transfer)

    def ours() -> Tensor:
        return torch.from_numpy(reference_picture(renderer, scene)[..., :3])

    contenders: dict[str, Callable[[], Tensor]] = {OURS: ours, "dense3d, nothing skipped": _unskipped(ours)}
    if importlib.util.find_spec("vtk"):
        contenders["VTK, fixed point ray caster"] = vtk_picture(volume, transfer, pixels)
    return Workload((), contenders)


def _unskipped(draw: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The same, with every brick taken for occupied."""
    from unittest.mock import patch

    zeros = "dense3d.transfer_function.rendering_data.distances"

    def call() -> Tensor:
        with patch(zeros, lambda active, *_: np.zeros(active.shape, np.int8)):
            return draw()

    return call


def vtk_picture(volume: Volume, transfer: TransferFunction, pixels: int) -> Callable[[], Tensor]:
    """What draws the volume off-screen with VTK, on black, as (H, W, 3) floats in 0..1."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    vtk.vtkObject.GlobalWarningDisplayOff()
    image = vtk.vtkImageData()
    image.SetDimensions(*volume.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(volume.values.ravel(order="F"), deep=True))
    look = vtk.vtkVolumeProperty()
    colors, opacities = vtk.vtkColorTransferFunction(), vtk.vtkPiecewiseFunction()
    for row in transfer.colors:
        colors.AddRGBPoint(*row)
    for row in transfer.opacities:
        opacities.AddPoint(*row)
    look.SetColor(colors)
    look.SetScalarOpacity(opacities)
    look.SetScalarOpacityUnitDistance(min(volume.spacing))
    look.SetInterpolationTypeToLinear()
    look.ShadeOn()
    for name, value in (("Ambient", 0.28), ("Diffuse", 0.80), ("Specular", 0.16), ("SpecularPower", 28.0)):
        getattr(look, f"Set{name}")(value)
    mapper = vtk.vtkFixedPointVolumeRayCastMapper()
    mapper.SetInputData(image)
    mapper.SetSampleDistance(min(volume.spacing))
    mapper.SetInteractiveSampleDistance(min(volume.spacing))
    mapper.SetImageSampleDistance(1.0)
    mapper.AutoAdjustSampleDistancesOff()
    mapper.SetNumberOfThreads(torch.get_num_threads())
    actor, scene, window = vtk.vtkVolume(), vtk.vtkRenderer(), vtk.vtkRenderWindow()
    actor.SetMapper(mapper)
    actor.SetProperty(look)
    scene.AddVolume(actor)
    window.SetOffScreenRendering(1)
    window.SetSize(pixels, pixels)
    window.AddRenderer(scene)
    middle, radius = centre_and_radius(volume)
    camera = scene.GetActiveCamera()
    camera.SetFocalPoint(*middle)
    distance = radius / np.sin(np.radians(FIELD_OF_VIEW / 2)) / CAMERA.zoom
    camera.SetPosition(*(middle + CAMERA.direction * distance))
    camera.SetViewUp(*CAMERA.axes[1])
    camera.SetViewAngle(FIELD_OF_VIEW)
    scene.ResetCameraClippingRange()

    def draw() -> Tensor:
        camera.Modified()  # otherwise VTK shows the picture that it has
        window.Render()
        return _grab(window)

    def _grab(window) -> Tensor:
        found = vtk.vtkUnsignedCharArray()
        window.GetPixelData(0, 0, pixels - 1, pixels - 1, 1, found, 0)
        return torch.from_numpy(vtk_to_numpy(found).reshape(pixels, pixels, 3)[::-1] / np.float32(255))

    return draw


CASES = [
    Case(
        f"picture-{function}",
        partial(pictures, function=function),
        {"256^3 voxels, 512 x 512 pixels": {"count": 256, "pixels": 512}},
        {"count": 24, "pixels": 40},
    )
    for function in FUNCTIONS
]
