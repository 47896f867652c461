"""Families of vehicles, tools, vessels and plants; as those of furniture, z up, metres."""

from __future__ import annotations

import numpy as np

from dense3d.datasets.synthetic.objects.furniture import Parts
from dense3d.datasets.synthetic.objects.primitives import (
    box,
    cylinder,
    ellipsoid,
    joined,
    moved,
    revolved,
    ring,
    tube,
)
from dense3d.structures.cloud_files.meshes import TriangleMesh


def mug(rng: np.random.Generator) -> Parts:
    """An open body and a handle."""
    radius, height, wall = rng.uniform(0.03, 0.06), rng.uniform(0.06, 0.16), 0.004
    top = radius * rng.uniform(0.85, 1.3)
    body = revolved(
        [(0, 0), (radius, 0), (top, height), (top - wall, height), (radius - wall, 0.008), (0, 0.008)]
    )
    angles = np.linspace(-np.pi / 2, np.pi / 2, 9)
    reach, half = rng.uniform(0.02, 0.05), height * rng.uniform(0.22, 0.38)
    path = [
        ((radius + top) / 2 - 0.004 + reach * np.cos(a), 0, height / 2 + half * np.sin(a)) for a in angles
    ]
    return {"body": body, "handle": tube(path, rng.uniform(0.003, 0.008))}


def bottle(rng: np.random.Generator) -> Parts:
    """Body, neck and cap."""
    radius, height = rng.uniform(0.025, 0.06), rng.uniform(0.1, 0.28)
    neck, rise, slope = radius * rng.uniform(0.25, 0.6), rng.uniform(0.03, 0.12), rng.uniform(0.01, 0.08)
    top = height + slope
    return {
        "body": revolved([(0, 0), (radius, 0), (radius * rng.uniform(0.8, 1.1), height), (neck, top)]),
        "neck": revolved([(neck, top), (neck, top + rise)]),
        "cap": cylinder(neck * rng.uniform(1.05, 1.4), top + rise, top + rise + rng.uniform(0.01, 0.03)),
    }


def vase(rng: np.random.Generator) -> Parts:
    """A wavy body of revolution on a foot, with a rim."""
    height, radius = rng.uniform(0.15, 0.6), rng.uniform(0.05, 0.15)
    z = np.linspace(0, 1, 13)
    waves = 1 + rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * (rng.uniform(0.5, 1.2) * z + rng.random()))
    body = [(radius * w, height * h + 0.02) for w, h in zip(waves, z)]
    mouth, wide = radius * waves[-1], rng.uniform(1.05, 1.5)
    return {
        "foot": cylinder(radius * waves[0] * rng.uniform(1.0, 1.4), 0, 0.02),
        "body": revolved(body),
        "rim": revolved([(mouth, height + 0.02), (mouth * wide, height + 0.02 + rng.uniform(0.01, 0.06))]),
    }


def airplane(rng: np.random.Generator) -> Parts:
    """Fuselage along x, wings, tail and often engines."""
    length, radius = rng.uniform(4, 12), rng.uniform(0.25, 0.7)
    span, chord, sweep = rng.uniform(0.6, 1.3) * length, rng.uniform(0.08, 0.2) * length, rng.uniform(0, 0.35)
    nose = rng.uniform(0.05, 0.15)
    profile = [(0, -0.5), (0.4, -0.45), (1, -0.2), (1, 0.5 - nose - 0.05), (0.6, 0.5 - nose / 3), (0, 0.5)]
    body = revolved([(radius * r, length * z) for r, z in profile])
    place, low = rng.uniform(-0.05, 0.1) * length, rng.choice([-0.6, 0.0, 0.9]) * radius
    parts = {
        "fuselage": moved(body, turn=(0, np.pi / 2, 0)),
        "wing": joined([_wing(span / 2, chord, sweep, side, (place, 0, low)) for side in (-1, 1)]),
    }
    small, back = rng.uniform(0.25, 0.4), -0.42 * length
    rudder = moved(
        _wing(small * span / 2, 0.7 * chord, 0.5, 1, (0, 0, 0)), turn=(np.pi / 2, 0, 0), offset=(back, 0, 0)
    )
    planes = [_wing(small * span / 2, 0.6 * chord, sweep, side, (back, 0, 0)) for side in (-1, 1)]
    parts["tail"] = joined([rudder, *planes])
    if rng.random() < 0.7:
        size, where = rng.uniform(0.35, 0.6) * radius, rng.uniform(0.2, 0.35) * span
        engine = moved(cylinder(size, -1.5 * size, 1.5 * size), turn=(0, np.pi / 2, 0))
        front = place - np.tan(sweep) * where + 0.5 * chord
        parts["engine"] = joined(
            [moved(engine, offset=(front, side * where, low - 1.1 * size)) for side in (-1, 1)]
        )
    return parts


def _wing(length: float, chord: float, sweep: float, side: int, place: tuple) -> TriangleMesh:
    """A flat wing along y that narrows and leans back."""
    mesh = box((chord, length, 0.08 * chord), (0, side * length / 2, 0))
    vertices = mesh.vertices.copy()
    far = np.abs(vertices[:, 1]) / length
    vertices[:, 0] = vertices[:, 0] * (1 - 0.6 * far) - np.tan(sweep) * np.abs(vertices[:, 1])
    return TriangleMesh(vertices + np.asarray(place), mesh.triangles)


def car(rng: np.random.Generator) -> Parts:
    """Body, cabin and four wheels; long along x."""
    length, width, height = rng.uniform(3.2, 5.2), rng.uniform(1.5, 2.0), rng.uniform(0.5, 0.8)
    wheel, clear = rng.uniform(0.28, 0.42), rng.uniform(0.15, 0.3)
    cabin, rise = rng.uniform(0.35, 0.65) * length, rng.uniform(0.4, 0.8)
    top = box((cabin, 0.94 * width, rise), (rng.uniform(-0.15, 0.05) * length, 0, clear + height + rise / 2))
    vertices = top.vertices.copy()
    above = vertices[:, 2] > clear + height + rise / 2
    middle = vertices[:, 0].mean()
    vertices[above, 0] = middle + (vertices[above, 0] - middle) * rng.uniform(0.55, 1.0)
    tyre = moved(cylinder(wheel, -0.1, 0.1), turn=(np.pi / 2, 0, 0))
    wheels = [
        moved(tyre, offset=(x * 0.32 * length, y * (width / 2 - 0.08), wheel))
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    return {
        "body": box((length, width, height), (0, 0, clear + height / 2)),
        "cabin": TriangleMesh(vertices, top.triangles),
        "wheel": joined(wheels),
    }


def bicycle(rng: np.random.Generator) -> Parts:
    """Two wheels, a frame of bars, handlebar and saddle."""
    wheel, base = rng.uniform(0.25, 0.36), rng.uniform(0.85, 1.15)
    high, bar = rng.uniform(0.7, 1.0), rng.uniform(0.012, 0.025)
    rear, front = np.array([-base / 2, 0, wheel]), np.array([base / 2, 0, wheel])
    pedal, seat = np.array([-0.08, 0, 0.9 * wheel]), np.array([-0.2 * base, 0, high])
    head = np.array([0.36 * base, 0, high * rng.uniform(0.9, 1.1)])
    pairs = [(rear, pedal), (rear, 0.8 * seat + 0.2 * pedal), (pedal, seat), (pedal, head), (seat, head)]
    bars = [tube([a, (a + b) / 2, b], bar) for a, b in [*pairs, (front, head)]]
    half, up = rng.uniform(0.2, 0.35), rng.uniform(0.0, 0.15)
    return {
        "wheel": joined([ring(wheel, rng.uniform(0.015, 0.04), center) for center in (rear, front)]),
        "frame": joined(bars),
        "handlebar": tube(head + np.array([[0, -half, up], [0.02, 0, up], [0, half, up]]), bar),
        "saddle": ellipsoid((0.28, 0.15, 0.08), (*seat[:2], seat[2] + 0.05)),
    }


def rocket(rng: np.random.Generator) -> Parts:
    """Body, nose and three or four fins."""
    length, radius = rng.uniform(1.0, 4.0), rng.uniform(0.1, 0.35)
    nose, fins, size = rng.uniform(0.2, 0.8), int(rng.integers(3, 5)), rng.uniform(1.0, 2.2)
    fin = box((size * radius, 0.03, 0.25 * length), (radius + size * radius / 2, 0, 0.13 * length))
    vertices = fin.vertices.copy()
    vertices[(vertices[:, 0] > radius) & (vertices[:, 2] > 0.1 * length), 2] *= rng.uniform(0.2, 0.8)
    fin = TriangleMesh(vertices, fin.triangles)
    return {
        "body": cylinder(radius, 0.05, length, radius * rng.uniform(0.7, 1.0)),
        "nose": cylinder(radius * 0.85, length, length + nose, 0.01),
        "fin": joined([moved(fin, turn=(0, 0, 2 * np.pi * i / fins)) for i in range(fins)]),
    }


def guitar(rng: np.random.Generator) -> Parts:
    """Body of two lobes, neck and head; lying along x."""
    lower, upper = rng.uniform(0.17, 0.24), rng.uniform(0.12, 0.18)
    thick, neck = rng.uniform(0.04, 0.12), rng.uniform(0.35, 0.6)
    waist, wide = lower + 0.55 * upper, rng.uniform(0.018, 0.035)
    body = [cylinder(lower, 0, thick), cylinder(upper, 0, thick, place=(waist, 0))]
    start = waist + 0.8 * upper
    head = box((rng.uniform(0.12, 0.22), 2.6 * wide, 0.015), (start + neck + 0.08, 0, thick - 0.01))
    return {
        "body": joined(body),
        "neck": box((neck, 2 * wide, 0.025), (start + neck / 2, 0, thick)),
        "head": moved(head, turn=(0, 0, 0)),
    }


def hammer(rng: np.random.Generator) -> Parts:
    """Handle and head."""
    length, radius = rng.uniform(0.2, 0.5), rng.uniform(0.01, 0.02)
    wide, high = rng.uniform(0.08, 0.18), rng.uniform(0.025, 0.06)
    face = moved(cylinder(high / 2, 0, wide / 2), turn=(0, np.pi / 2, 0))
    claw = box((wide / 2, high, high * rng.uniform(0.3, 1)), (-wide / 4, 0, 0))
    return {
        "handle": cylinder(radius, 0, length, radius * rng.uniform(0.6, 1)),
        "head": moved(joined([face, claw]), offset=(0, 0, length)),
    }


def umbrella(rng: np.random.Generator) -> Parts:
    """Canopy, shaft and a straight or a bent handle."""
    radius, length, deep = rng.uniform(0.4, 0.7), rng.uniform(0.6, 1.0), rng.uniform(0.15, 0.4)
    angles = np.linspace(0.05, 1.0, 7) * np.pi / 2
    canopy = revolved(
        [(radius * np.sin(a), length - deep * (1 - np.cos(a))) for a in angles],
        sides=int(rng.integers(6, 13)),
    )
    bend = np.linspace(0, np.pi * rng.choice([0.05, 1.0]), 7)
    hook = [(0.05 - 0.05 * np.cos(a), 0, -0.05 - 0.05 * np.sin(a)) for a in bend]
    return {
        "canopy": canopy,
        "shaft": tube([(0, 0, 0), (0, 0, length / 2), (0, 0, length)], 0.008),
        "handle": tube([(0, 0, 0.05), *hook], rng.uniform(0.012, 0.025)),
    }


def mushroom(rng: np.random.Generator) -> Parts:
    """Stem and cap."""
    height, radius = rng.uniform(0.05, 0.2), rng.uniform(0.008, 0.03)
    cap, deep = rng.uniform(0.03, 0.1), rng.uniform(0.02, 0.08)
    angles = np.linspace(0, np.pi / 2, 8)
    dome = [(cap * np.cos(a), height + deep * np.sin(a)) for a in angles]
    return {
        "stem": cylinder(radius * rng.uniform(1, 1.8), 0, height, radius),
        "cap": revolved([(radius, height), *dome]),
    }


def tree(rng: np.random.Generator) -> Parts:
    """A trunk under a crown of cones or of balls."""
    trunk, radius = rng.uniform(0.6, 2.5), rng.uniform(0.06, 0.25)
    wide, high = rng.uniform(0.6, 1.8), rng.uniform(1.2, 4.0)
    if rng.random() < 0.5:
        levels = int(rng.integers(2, 5))
        step = high / levels
        crown = [
            cylinder(wide * (1 - 0.7 * i / levels), trunk + i * step, trunk + (i + 1.3) * step, 0.02)
            for i in range(levels)
        ]
    else:
        offsets = rng.normal(scale=0.35 * wide, size=(int(rng.integers(1, 6)), 3))
        crown = [
            ellipsoid((wide * 1.3, wide * 1.3, wide * 1.1), (*o[:2], o[2] + trunk + wide / 2))
            for o in offsets
        ]
    return {"trunk": cylinder(radius * 1.4, 0, trunk + 0.2 * high, radius), "crown": joined(crown)}


def bowl(rng: np.random.Generator) -> Parts:
    """An open bowl on a foot."""
    radius, deep, flat = rng.uniform(0.06, 0.18), rng.uniform(0.03, 0.14), rng.uniform(0.3, 0.6)
    angles = np.linspace(0.15, 1, 8) * np.pi / 2
    outer = [(radius * np.sin(a), 0.01 + deep * (1 - np.cos(a))) for a in angles]
    inner = [(0.95 * r, z + 0.004) for r, z in reversed(outer)]
    foot = rng.uniform(0.0, 0.08)
    return {
        "bowl": moved(revolved([*outer, *inner, (0, inner[-1][1])]), offset=(0, 0, foot)),
        "foot": cylinder(flat * radius, 0, foot + 0.014, flat * radius * rng.uniform(0.5, 1)),
    }
