"""A labelled body: organs as ellipsoids, lungs, a spine with ribs and a tree of vessels, as CT or MR.

It is no atlas, but it has what volume tools stumble over: sides that differ, organs of equal brightness that
touch, thin vessels, partial volumes, noise, and in MR a bias field. World axes are RAS+ millimetres, with the
origin in the middle of the body.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from dense3d.datasets.volumes.geometry import spacing_affine
from dense3d.datasets.volumes.segmentation import Segmentation, default_color
from dense3d.errors import ConfigError
from dense3d.structures.volume import Volume

FIELD = (380.0, 290.0, 320.0)  # millimetres of the whole volume
MODALITIES = ("CT", "MR")


@dataclass(frozen=True)
class Organ:
    """An ellipsoid.

    Args:
        name: of the structure.
        centre: millimetres, right, anterior, superior.
        radii: millimetres.
        turn: degrees about the vertical axis.
        ct: Hounsfield units.
        mr: relative brightness of a T1-weighted picture.
    """

    name: str
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn: float
    ct: float
    mr: float


# later ones take voxels from earlier ones; the index is the label
ORGANS = (
    Organ("lung_right", (75, 5, 85), (58, 85, 95), 5, -820, 0.06),
    Organ("lung_left", (-78, 5, 90), (50, 80, 88), -8, -830, 0.06),
    Organ("liver", (70, 15, -20), (75, 72, 62), 20, 105, 0.62),
    Organ("spleen", (-98, -40, -15), (30, 45, 42), -25, 115, 0.48),
    Organ("kidney_right", (58, -62, -85), (27, 25, 52), 15, 165, 0.52),
    Organ("kidney_left", (-62, -60, -70), (26, 26, 55), -12, 170, 0.52),
    Organ("heart", (-22, 42, 55), (48, 42, 45), 35, 140, 0.42),
    Organ("bladder", (4, 35, -140), (36, 28, 24), 0, 8, 0.25),
)
VESSELS, SPINE, RIBS = "vessels", "spine", "ribs"
NAMES = dict(enumerate([*(organ.name for organ in ORGANS), VESSELS, SPINE, RIBS], 1))


def make_phantom(
    shape: tuple[int, int, int] = (128, 112, 96), seed: int = 0, modality: str = "CT"
) -> tuple[Volume, Segmentation]:
    """A body and the structures in it.

    Args:
        shape: voxels to the right, the front and the head; they cover a fixed field.
        seed: of the patient: sizes and places of organs, vessels, noise.
        modality: "CT" (int16 Hounsfield units) or "MR" (uint16).

    Returns:
        A canonical volume, and its labels with names and colours.

    Raises:
        ConfigError: the shape is too small, or the modality unknown.

    Example:
        >>> volume, truth = make_phantom((48, 40, 32))
        >>> volume.orientation, volume.values.dtype.name, truth.names[3]
        ('RAS', 'int16', 'liver')
    """
    if len(shape) != 3 or min(shape) < 16 or max(shape) > 1024:
        raise ConfigError(f"size={'x'.join(map(str, shape))}: volumes have three sides of 16 to 1024 voxels")
    if modality not in MODALITIES:
        raise ConfigError(f"modality {modality!r} is unknown: choose CT or MR")
    random = np.random.default_rng((seed, 3))
    spacing = np.array(FIELD) / shape
    origin = -(np.array(shape) - 1) / 2 * spacing
    axes = [origin[axis] + spacing[axis] * np.arange(shape[axis]) for axis in range(3)]
    x, y, z = (a.astype(np.float32) for a in np.meshgrid(*axes, indexing="ij", sparse=True))
    column = MODALITIES.index(modality)
    body = _ellipse(x, y, 178, 130)
    tissue = np.select(
        [body < 0.8, body < 1], [(48, 0.33)[column], (-95, 0.95)[column]], (-1000, 0.0)[column]
    )
    image = np.broadcast_to(tissue, shape).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    for label, organ in enumerate(ORGANS, 1):
        inside = _organ(organ, random, x, y, z) & (body < 0.8)
        image[inside], labels[inside] = (organ.ct, organ.mr)[column], label
    solids = (
        (VESSELS, (290, 0.85), _vessels(random)),
        (SPINE, (420, 0.3), _spine()),
        (RIBS, (520, 0.22), _ribs()),
    )
    for label, (_, brightness, capsules) in enumerate(solids, len(ORGANS) + 1):
        for start, end, radius in capsules:
            box, inside = _capsule(axes, start, end, radius)
            image[box][inside], labels[box][inside] = brightness[column], label
    values = _scanned(image, random, modality)
    volume = Volume(values, spacing_affine(spacing, origin), f"phantom_{seed}", modality)
    present = [label for label in NAMES if (labels == label).any()]
    names = {label: NAMES[label] for label in present}
    return volume, Segmentation(labels, names, {label: default_color(label) for label in present})


def _ellipse(x: np.ndarray, y: np.ndarray, width: float, depth: float) -> np.ndarray:
    return (x / width) ** 2 + (y / depth) ** 2


def _organ(
    organ: Organ, random: np.random.Generator, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """Where it is, in a patient of its own."""
    centre = np.array(organ.centre) + random.normal(0, 3, 3)
    radii = np.array(organ.radii) * random.uniform(0.92, 1.08, 3)
    angle = np.radians(organ.turn + random.normal(0, 5))
    right, front = x - centre[0], y - centre[1]
    along = np.cos(angle) * right + np.sin(angle) * front
    across = -np.sin(angle) * right + np.cos(angle) * front
    return (along / radii[0]) ** 2 + (across / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2 < 1


def _spine() -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Vertebrae with discs between them, bent a little."""
    for height in np.arange(-150, 155, 26.0):
        place = np.array([0, -75 + 12 * np.sin(height / 90), height])
        yield place, place + np.array([0, 1, 14]), 17.0
        yield place - np.array([0, 18, 0]), place - np.array([0, 38, 6]), 6.0


def _ribs() -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Eight pairs that slope from the spine to the front."""
    angles = np.radians(np.linspace(-80, 55, 14))
    for height in np.linspace(10, 140, 8):
        for side in (1, -1):
            points = np.stack(
                [side * 145 * np.cos(angles), 102 * np.sin(angles), height - 16 * np.sin(angles)], 1
            )
            for start, end in pairwise(points):
                yield start, end, 4.5


def _vessels(random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """An aorta whose branches fork again and again."""
    heights = np.linspace(140, -120, 14)
    trunk = np.stack([-12 + 5 * np.sin(heights / 40), -45 + 4 * np.cos(heights / 50), heights], 1)
    capsules = [(start, end, 11.0 - 0.3 * index) for index, (start, end) in enumerate(pairwise(trunk))]
    for index in range(4, 13):
        side = 1 if index % 2 else -1
        capsules += _branch(
            trunk[index], np.array([side, random.uniform(-0.2, 0.7), -0.3]), 5.5, 38, 4, random
        )
    return capsules


def _branch(
    start: np.ndarray,
    direction: np.ndarray,
    radius: float,
    length: float,
    forks: int,
    random: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    direction = direction / np.linalg.norm(direction)
    end = start + direction * length
    result = [(start, end, radius)]
    if forks:
        for _ in range(2):
            turned = direction + random.normal(0, 0.55, 3)
            result += _branch(end, turned, radius * 0.72, length * 0.75, forks - 1, random)
    return result


def _capsule(
    axes: list[np.ndarray], start: np.ndarray, end: np.ndarray, radius: float
) -> tuple[tuple[slice, ...], np.ndarray]:
    """The box of voxels around a thick line, and which of them are in it."""
    low, high = np.minimum(start, end) - radius, np.maximum(start, end) + radius
    box = tuple(
        slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b, "right")))
        for axis, a, b in zip(axes, low, high)
    )
    points = np.stack(np.meshgrid(*(axis[part] for axis, part in zip(axes, box)), indexing="ij"), -1)
    line = end - start
    along = np.clip(((points - start) @ line) / max(line @ line, 1e-9), 0, 1)
    return box, ((points - start - along[..., None] * line) ** 2).sum(-1) < radius**2


def _scanned(image: np.ndarray, random: np.random.Generator, modality: str) -> np.ndarray:
    """Partial volumes and noise; a bias field and Rician noise in MR."""
    blurred = ndimage.gaussian_filter(image, 0.6)
    if modality == "CT":
        noisy = blurred + random.normal(0, 12, image.shape).astype(np.float32)
        return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)
    grids = [np.linspace(-1, 1, size, dtype=np.float32) for size in image.shape]
    x, y, z = np.meshgrid(*grids, indexing="ij", sparse=True)
    first, second, third = random.uniform(-0.25, 0.25, 3)
    bias = 1 + first * x + second * y * z + third * z - 0.15 * (x**2 + y**2)
    signal = 1000 * blurred * bias
    noise = random.normal(0, 14, (2, *image.shape)).astype(np.float32)
    return np.rint(np.hypot(signal + noise[0], noise[1])).astype(np.uint16)
