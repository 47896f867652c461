"""What is likely wrong with a scan of a room that a network was given, said in a sentence."""

from __future__ import annotations

import numpy as np

from dense3d.structures import PointCloud

LARGE, SMALL = 100.0, 0.5  # metres, of the longest side
FLAT = 0.7  # the height of a room over its shorter side, at most


def room_notes(cloud: PointCloud, name: str) -> list[str]:
    """Sentences on a scan whose unit or vertical axis is hardly that of networks of rooms: metres, z up.

    Args:
        cloud: the scan.
        name: of it.

    Example:
        >>> corners = np.array([[0, 0, 0], [5000, 4000, 2500]])
        >>> room_notes(PointCloud(corners), "scan.ply")[0]
        'scan.ply is 5000 long: if these are millimetres, multiply its coordinates by 0.001'
    """
    sides = np.ptp(cloud.bounds, axis=0)
    longest, notes = float(sides.max()), []
    if longest > LARGE:
        notes.append(
            f"{name} is {longest:.0f} long: if these are millimetres, multiply its coordinates by 0.001"
        )
    elif longest < SMALL:
        notes.append(f"{name} is {longest:.2g} m long, which is no room: bring its coordinates to metres")
    x, y, z = sides.tolist()
    if y < FLAT * min(x, z) and z > y:
        notes.append(
            f"{name} is {y:.3g} high along y and {z:.3g} along z: if y points upwards in it, give --up-axis y"
        )
    return notes
