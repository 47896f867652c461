"""Photographs of textured planes by two distorted cameras that are not parallel, pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np

from dense3d.structures.stereo_cameras import StereoCameras

NEAR, FAR = 2.0, 5.0  # metres, planes across the left camera's axis; the near one covers the left half


def cameras(width: int = 480, height: int = 320, **changes) -> StereoCameras:
    turn = cv2.Rodrigues(np.array([0.02, -0.03, 0.015]))[0]
    given = dict(
        left=np.array([[420.0, 0, 235.0], [0, 422.0, 163.0], [0, 0, 1]]),
        right=np.array([[416.0, 0, 246.0], [0, 417.0, 157.0], [0, 0, 1]]),
        left_distortion=[-0.12, 0.03, 0.001, -0.0005, 0.0],
        right_distortion=[-0.10, 0.02, -0.001, 0.0004, 0.0],
        rotation=turn,
        translation=turn @ np.array([-0.2, 0.004, -0.003]),
    )
    return StereoCameras(width, height, **(given | changes))


def photographs(rig: StereoCameras, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 of both cameras."""
    random = np.random.default_rng(seed)
    textures = [
        cv2.GaussianBlur(random.uniform(0, 255, (700, 900)).astype(np.float32), (0, 0), 1.5) for _ in range(2)
    ]
    textures = [cv2.normalize(one, None, 0, 255, cv2.NORM_MINMAX) for one in textures]
    identity, nothing = np.eye(3), np.zeros(3)
    return (
        _photograph(rig.left, rig.left_distortion, identity, nothing, textures, (rig.width, rig.height)),
        _photograph(
            rig.right, rig.right_distortion, rig.rotation, rig.translation, textures, (rig.width, rig.height)
        ),
    )


def _photograph(matrix, distortion, rotation, translation, textures, size) -> np.ndarray:
    width, height = size
    u, v = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    points = np.stack([u, v], -1).reshape(-1, 1, 2)
    rays = cv2.undistortPoints(points, np.array(matrix), np.array(distortion)).reshape(-1, 2)
    rays = np.hstack([rays, np.ones((len(rays), 1))]) @ rotation  # in the left camera's frame
    centre = -rotation.T @ translation
    picture = np.zeros((height, width), np.float32)
    for distance, texture in zip((FAR, NEAR), textures):  # the nearer one last
        hit = centre + rays * ((distance - centre[2]) / rays[:, 2])[:, None]
        x, y = (
            (hit[:, i] / distance * 300 + offset).astype(np.float32) for i, offset in ((0, 450), (1, 350))
        )
        x, y = x.reshape(height, width), y.reshape(height, width)
        seen = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        picture = np.where((distance == FAR) | (x < 450), seen, picture)
    return cv2.cvtColor(picture.clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
