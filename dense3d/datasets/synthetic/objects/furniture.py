"""Families of furniture. A family draws its measures at random and returns its parts; z is up, metres."""

from __future__ import annotations

import numpy as np

from dense3d.datasets.synthetic.objects.primitives import (
    box,
    cylinder,
    ellipsoid,
    joined,
    moved,
    revolved,
    tube,
)
from dense3d.structures.cloud_files.meshes import TriangleMesh

Parts = dict[str, TriangleMesh]


def four_legs(
    width: float, depth: float, height: float, radius: float, splay: float, square: bool
) -> TriangleMesh:
    """Legs under the corners of a rectangle, that lean outwards by ``splay``."""
    legs = []
    for x in (-1, 1):
        for y in (-1, 1):
            top = np.array([x * (width / 2 - radius), y * (depth / 2 - radius), height])
            if square:
                legs.append(box((2 * radius, 2 * radius, height), (*top[:2], height / 2)))
            else:
                foot = top + np.array([x * splay, y * splay, -height])
                legs.append(tube([foot, (foot + top) / 2, top], radius))
    return joined(legs)


def table(rng: np.random.Generator) -> Parts:
    """A round or rectangular top on four legs, a pedestal or two panels."""
    width, depth = rng.uniform(0.7, 2.0), rng.uniform(0.5, 1.1)
    height, thick = rng.uniform(0.4, 0.95), rng.uniform(0.02, 0.06)
    kind = rng.integers(3)
    if rng.random() < 0.35:
        depth = width
        top = cylinder(width / 2, height, height + thick)
        width, depth = 0.75 * width, 0.75 * depth
    else:
        top = box((width, depth, thick), (0, 0, height + thick / 2))
    if kind == 0:
        pole, foot = rng.uniform(0.03, 0.08), rng.uniform(0.2, 0.35) * width
        legs = joined([cylinder(pole, 0.03, height), cylinder(foot, 0, 0.03)])
    elif kind == 1:
        legs = joined([box((0.04, 0.9 * depth, height), (x * 0.42 * width, 0, height / 2)) for x in (-1, 1)])
    else:
        radius = rng.uniform(0.015, 0.05)
        legs = four_legs(width, depth, height, radius, rng.uniform(0, 0.1), rng.random() < 0.5)
    return {"top": top, "leg": legs}


def chair(rng: np.random.Generator) -> Parts:
    """Seat, back, four legs or a column, and often arms."""
    width, depth, height = rng.uniform(0.36, 0.6), rng.uniform(0.36, 0.6), rng.uniform(0.36, 0.55)
    thick, rise, lean = rng.uniform(0.02, 0.1), rng.uniform(0.3, 0.75), rng.uniform(0, 0.3)
    parts = {"seat": box((width, depth, thick), (0, 0, height + thick / 2))}
    if rng.random() < 0.3:
        slats = [box((0.05, 0.03, rise), (x * width, 0, rise / 2)) for x in (-0.42, -0.14, 0.14, 0.42)]
        back = joined([*slats, box((width, 0.04, 0.1), (0, 0, rise))])
    else:
        back = box((width, rng.uniform(0.02, 0.08), rise), (0, 0, rise / 2))
    place = (0, -depth / 2 + 0.02, height + thick)
    parts["back"] = moved(back, turn=(lean, 0, 0), offset=place)
    if rng.random() < 0.3:
        around = np.arange(5) * 2 * np.pi / 5
        reach = np.array([[0, 0.06], [0.13, 0.05], [0.27, 0.03]])  # along the floor, and above it
        spokes = [tube([(r * np.cos(a), r * np.sin(a), z) for r, z in reach], 0.02) for a in around]
        parts["leg"] = joined([cylinder(rng.uniform(0.02, 0.04), 0.05, height), *spokes])
    else:
        radius = rng.uniform(0.012, 0.035)
        parts["leg"] = four_legs(width, depth, height, radius, rng.uniform(0, 0.08), rng.random() < 0.5)
    if rng.random() < 0.5:
        rise = rng.uniform(0.15, 0.3)
        arms = []
        for x in (-1, 1):
            side = x * (width / 2 + 0.02)
            arms.append(box((0.05, 0.8 * depth, 0.03), (side, 0, height + thick + rise)))
            arms.append(box((0.03, 0.03, rise + thick), (side, 0.3 * depth, height + (rise + thick) / 2)))
        parts["arm"] = joined(arms)
    return parts


def sofa(rng: np.random.Generator) -> Parts:
    """Seat, back and two arms, with cushions."""
    width, depth, height = rng.uniform(1.2, 2.6), rng.uniform(0.7, 1.0), rng.uniform(0.3, 0.5)
    rise, thick, arm = rng.uniform(0.25, 0.55), rng.uniform(0.15, 0.3), rng.uniform(0.1, 0.25)
    cushions = int(rng.integers(1, 4))
    each = (width - 2 * arm) / cushions
    seat = [
        box((0.96 * each, depth - thick, 0.12), (-width / 2 + arm + (i + 0.5) * each, thick / 2, height))
        for i in range(cushions)
    ]
    seat.append(box((width - 2 * arm, depth, height - 0.06), (0, 0, (height - 0.06) / 2 + 0.02)))
    back = box((width, thick, rise + height), (0, -depth / 2 + thick / 2, (rise + height) / 2))
    side = height + rng.uniform(0.1, 0.25)
    arms = joined([box((arm, depth, side), (x * (width - arm) / 2, 0, side / 2)) for x in (-1, 1)])
    return {"seat": joined(seat), "back": back, "arm": arms}


def bed(rng: np.random.Generator) -> Parts:
    """Mattress, frame with legs, headboard and pillows."""
    width, length, height = rng.uniform(0.8, 2.0), rng.uniform(1.8, 2.2), rng.uniform(0.25, 0.5)
    thick, board = rng.uniform(0.12, 0.3), rng.uniform(0.5, 1.3)
    pillows = [
        ellipsoid((0.55, 0.35, 0.16), (x, -length / 2 + 0.3, height + thick + 0.05))
        for x in ((-width / 4, width / 4) if width > 1.3 else (0.0,))
    ]
    frame = box((width, length, 0.1), (0, 0, height - 0.05))
    legs = four_legs(width, length, height - 0.1, rng.uniform(0.03, 0.06), 0, True)
    return {
        "mattress": box((0.96 * width, 0.97 * length, thick), (0, 0, height + thick / 2)),
        "frame": joined([frame, legs]),
        "headboard": box((width, 0.06, board), (0, -length / 2 - 0.03, board / 2)),
        "pillow": joined(pillows),
    }


def shelf(rng: np.random.Generator) -> Parts:
    """Two or three sides, boards, perhaps a back."""
    width, depth, height = rng.uniform(0.5, 1.6), rng.uniform(0.2, 0.45), rng.uniform(0.8, 2.2)
    thick, boards = rng.uniform(0.015, 0.04), int(rng.integers(3, 7))
    places = (-1, 0, 1) if width > 1.1 and rng.random() < 0.6 else (-1, 1)
    sides = [box((thick, depth, height), (x * (width - thick) / 2, 0, height / 2)) for x in places]
    levels = np.linspace(thick / 2, height - thick / 2, boards)
    parts = {
        "side": joined(sides),
        "board": joined([box((width, depth, thick), (0, 0, z)) for z in levels]),
    }
    if rng.random() < 0.6:
        parts["back"] = box((width, 0.01, height), (0, -depth / 2, height / 2))
    return parts


def lamp(rng: np.random.Generator) -> Parts:
    """Foot, pole, which may lean, and shade."""
    height, foot = rng.uniform(0.3, 1.7), rng.uniform(0.08, 0.2)
    lean, radius = rng.uniform(0, 0.35) * height, rng.uniform(0.006, 0.02)
    wide, deep = rng.uniform(0.1, 0.28), rng.uniform(0.12, 0.35)
    top = np.array([lean, 0, height])
    shade = revolved([(wide, -deep / 2), (wide * rng.uniform(0.3, 1.0), deep / 2)])
    return {
        "foot": cylinder(foot, 0, rng.uniform(0.015, 0.05), foot * rng.uniform(0.3, 1)),
        "pole": tube([(0, 0, 0), (lean * 0.3, 0, 0.6 * height), top], radius),
        "shade": moved(shade, turn=(0, rng.uniform(0, 0.6) * (lean > 0.1), 0), offset=top),
    }


def monitor(rng: np.random.Generator) -> Parts:
    """Screen, stand and foot."""
    width, ratio = rng.uniform(0.35, 1.3), rng.uniform(0.5, 0.8)
    rise, tilt = rng.uniform(0.05, 0.25), rng.uniform(-0.25, 0.1)
    height = width * ratio
    screen = box((width, rng.uniform(0.015, 0.06), height), (0, 0, 0))
    foot = rng.uniform(0.25, 0.5) * width
    round_foot = rng.random() < 0.5
    return {
        "screen": moved(screen, turn=(tilt, 0, 0), offset=(0, 0.02, rise + height / 2)),
        "stand": box((0.15 * width, 0.03, rise + height / 2), (0, -0.03, (rise + height / 2) / 2)),
        "foot": cylinder(foot / 2, 0, 0.015)
        if round_foot
        else box((foot, 0.6 * foot, 0.015), (0, 0, 0.0075)),
    }


def bathtub(rng: np.random.Generator) -> Parts:
    """A tub of an ellipse or a rectangle, on feet or on the floor, with a tap."""
    length, width, height = rng.uniform(1.3, 1.9), rng.uniform(0.6, 0.9), rng.uniform(0.45, 0.65)
    wall, power = rng.uniform(0.03, 0.08), rng.uniform(0.3, 1.0)
    profile = [(0, 0), (0.75, 0), (1, 1), (1 - 2 * wall, 1), (0.7, 0.15), (0, 0.15)]
    tub = revolved(profile, sides=32)
    # From a round to a nearly rectangular plan.
    plan = tub.vertices[:, :2]
    radius = np.linalg.norm(plan, axis=1, keepdims=True)
    unit = plan / np.maximum(radius, 1e-9)
    squared = np.sign(unit) * np.abs(unit) ** power * radius
    vertices = np.concatenate([squared * [length / 2, width / 2], tub.vertices[:, 2:] * height], axis=1)
    lift = rng.uniform(0.0, 0.12)
    parts = {"tub": moved(TriangleMesh(vertices, tub.triangles), offset=(0, 0, lift))}
    tap = [(length / 2 - 0.05, 0, height + lift), (length / 2 - 0.05, 0, height + lift + 0.2)]
    parts["tap"] = tube([*tap, (length / 2 - 0.25, 0, height + lift + 0.2)], 0.02)
    if lift > 0.04:
        parts["foot"] = four_legs(0.7 * length, 0.7 * width, lift + 0.03, 0.03, 0, False)
    return parts
