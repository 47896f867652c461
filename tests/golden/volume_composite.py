"""Golden adapter of ray casting (system ``volume-composite``): cameras, transfer functions and volumes in.

Each check brings its own camera, volume and transfer function; the config states the same, and is compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops.volume_rendering_casting import cast_rays_reference
from dense3d.ops.volume_rendering_cpu import cast
from dense3d.ops.volume_rendering_rays import camera_rays, intersect_box
from dense3d.ops.volume_rendering_surfaces import iso_surface
from dense3d.ops.volume_rendering_tables import preintegrated_table
from tests.golden.checks import Run, by_name, first_inputs
from tests.golden.kit import GoldenKit

INTERPOLATION = "trilinear, voxel centres at origin + (index + 0.5) * spacing, clamp to edge"
CAMERA = {"kind", "eye", "target", "up", "height", "fov_y"}
INTEGRAL_STEP = 2e-4  # of the box's diagonal: the discrete rule converges with its square


def open_kit(kit: GoldenKit) -> Run:
    """A runner for the cameras of the kit.

    Raises:
        DataError: a camera of the config has a key or a kind that is not known, or the config states another
            shape than a volume has.
    """
    kit.options.only("interpolation", INTERPOLATION)
    shape, image_size = kit.options.take("shape", None), kit.options.take("image_size", None)
    cameras = kit.options.take("cameras", {})
    for name, camera in cameras.items():
        unknown = set(camera) - CAMERA
        if unknown or camera.get("kind") not in ("perspective", "orthographic"):
            raise DataError(f"{kit.folder}: the camera {name!r} has {sorted(unknown) or camera.get('kind')}")
    for check in kit.checks:
        _agree(kit, check, kit.inputs(check["name"]), shape, image_size, cameras)
    rules = {"rays": _rays, "integral": _integral, "steps": _steps, "iso": _iso, "preintegrated": _table}
    run, first = by_name(rules), first_inputs(kit)
    return lambda check, inputs: run(check, inputs or first)


def _agree(kit: GoldenKit, check: dict, inputs: Mapping, shape, image_size, cameras: dict) -> None:
    """What the config says of a check's inputs is what they are."""
    name = check["name"].partition(".")[2]
    fitting = [known for known in cameras if name == known or name.startswith(f"{known}_")]
    camera = cameras[max(fitting, key=len)] if fitting else {}
    stated = {name: value for name, value in camera.items() if name != "kind"}
    stated |= {"image_size": image_size} if image_size else {}
    for name, value in stated.items():
        if name in inputs and not np.array_equal(inputs[name], value):
            raise kit.options.refusal(name, value, f"the check {check['name']!r} has {inputs[name].tolist()}")
    if shape and "volume" in inputs and list(inputs["volume"].shape) != list(shape):
        raise kit.options.refusal("shape", shape, f"the check {check['name']!r} has {inputs['volume'].shape}")
    if (
        camera
        and "perspective" in inputs
        and bool(inputs["perspective"]) != (camera["kind"] == "perspective")
    ):
        raise kit.options.refusal("kind", camera["kind"], f"the check {check['name']!r} has the other kind")


def _camera(inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    kind = "fov_y" if bool(inputs["perspective"]) else "height"
    place = (inputs[name].double() for name in ("eye", "target", "up"))
    return camera_rays(*place, tuple(inputs["image_size"].tolist()), **{kind: float(inputs[kind])})


def _box(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: inputs[name].double() for name in ("origin", "spacing")}


def _rays(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    origins, directions = _camera(inputs)
    low, size = inputs["origin"], inputs["spacing"] * torch.tensor(inputs["volume"].shape)
    near_far = torch.stack(intersect_box(origins, directions, low, low + size), -1)
    return {"origin": origins, "direction": directions, "near_far": near_far}


def _render(inputs: dict[str, Tensor], step: float) -> dict[str, Tensor]:
    """By the compiled path, where it agrees with the reference; the adapter has to fail where it does not."""
    arguments = (
        inputs["volume"].double(),
        *_camera(inputs),
        inputs["tf_position"],
        inputs["tf_rgb_extinction"],
    )
    fast = cast(*arguments, **_box(inputs), step=step)
    if step > INTEGRAL_STEP * 50:
        reference = cast_rays_reference(*arguments, **_box(inputs), step=step)
        torch.testing.assert_close(fast, reference, rtol=1e-9, atol=1e-9)
    return {"rgba": fast}


def _steps(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return _render(inputs, float(inputs["step"]))


def _integral(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    diagonal = (inputs["spacing"] * torch.tensor(inputs["volume"].shape)).norm()
    return _render(inputs, INTEGRAL_STEP * float(diagonal))


def _iso(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    depth, normal = iso_surface(inputs["volume"], *_camera(inputs), float(inputs["level"]), **_box(inputs))
    return {"depth": depth, "normal": normal}


def _table(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    scalars = torch.linspace(0, 1, int(inputs["size"]), dtype=torch.float64)
    length = float(inputs["length"])
    return {"table": preintegrated_table(inputs["tf_position"], inputs["tf_rgb_extinction"], length, scalars)}
