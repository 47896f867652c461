"""Loops over the voxels where classes meet, compiled by numba at their first call."""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit


@njit(nogil=True)
def find_winners(first, last, scores, labels):
    """Number from 1 of the class of (C, X, Y, Z) whose score is above a half and the largest; else 0."""
    classes, _, size_y, size_z = scores.shape
    for i in range(first, last):
        labels[i] = 0
        for c in range(classes):
            for j in range(size_y):
                for k in range(size_z):
                    score, found = scores[c, i, j, k], labels[i, j, k]
                    if score > 127 and (found == 0 or score > scores[found - 1, i, j, k]):
                        labels[i, j, k] = c + 1


@njit(nogil=True)
def mark_borders(first, last, labels, reach, band):
    """Set ``band`` up to ``reach`` voxels before and behind each face between two labels (X, Y, Z).

    Faces are those of the voxels ``first <= i < last`` to the next ones.
    """
    size_x, size_y, size_z = labels.shape
    for i in range(first, last):
        for axis in range(3):
            di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
            if i + di == size_x:
                continue
            for j in range(size_y - dj):
                for k in range(size_z - dk):
                    if labels[i, j, k] == labels[i + di, j + dj, k + dk]:
                        continue
                    for t in range(1 - reach, reach + 1):
                        x, y, z = i + t * di, j + t * dj, k + t * dk
                        if 0 <= x < size_x and 0 <= y < size_y and 0 <= z < size_z:
                            band[x, y, z] = True


@njit(nogil=True, fastmath=True)
def vote(first, last, scores, labels, intensity, places, near, alike, values):
    """Rows of ``values`` (N, C): scores (C, X, Y, Z) at flat places (N,) after a vote of labels around.

    Labels (X, Y, Z) are 1 .. C, 0 for none, and count by weights of distance and of likeness in intensity.
    How far from a half a score may go is the mean of the next voxels.
    """
    classes, size_x, size_y, size_z = scores.shape
    radius, levels = near.shape[0] // 2, len(alike) - 1
    votes, sureness = np.zeros(classes + 1, np.float32), np.zeros(classes, np.float32)
    for n in range(first, last):
        i, j, k = places[n] // (size_y * size_z), places[n] // size_z % size_y, places[n] % size_z
        own = intensity[i, j, k]
        votes[:] = 0
        for x in range(max(0, i - radius), min(size_x, i + radius + 1)):
            for y in range(max(0, j - radius), min(size_y, j + radius + 1)):
                for z in range(max(0, k - radius), min(size_z, k + radius + 1)):
                    difference = abs(intensity[x, y, z] - own)
                    weight = alike[int(difference * levels + np.float32(0.5))]
                    weight *= near[x - i + radius, y - j + radius, z - k + radius]
                    votes[labels[x, y, z]] += weight
        sureness[:] = 0
        total = np.float32(0)
        for x in range(max(0, i - 1), min(size_x, i + 2)):
            for y in range(max(0, j - 1), min(size_y, j + 2)):
                for z in range(max(0, k - 1), min(size_z, k + 2)):
                    weight = near[x - i + radius, y - j + radius, z - k + radius]
                    total += weight
                    for c in range(classes):
                        sureness[c] += weight * abs(np.float32(scores[c, x, y, z]) - np.float32(127.5))
        best, second = np.float32(0), np.float32(0)
        for label in range(classes + 1):
            second = max(second, min(best, votes[label]))
            best = max(best, votes[label])
        for c in range(classes):
            mine = votes[c + 1]
            other = second if mine == best else best
            score = np.float32(127.5) + (mine - other) / (mine + other) * sureness[c] / total
            values[n, c] = np.uint8(score + np.float32(0.5))


@njit(nogil=True, fastmath=True)
def upsample_plane(
    first, last, scores, intensity, index, places, own, factors, near_x, near_y, near_z, alike, values
):
    """Rows of ``values`` (N, C): joint bilateral means of scores (C, X, Y, Z) around voxels of a full slice.

    These are at ``index`` along x and at places (N, 2) along y and z. Intensities are those of the scores'
    grid and, ``own`` (N,), of the full voxels. Weights of distances are given for each place in a block of
    ``factors`` voxels.
    """
    classes, size_x, size_y, size_z = scores.shape
    radius_x, radius_y, radius_z = near_x.shape[1] // 2, near_y.shape[1] // 2, near_z.shape[1] // 2
    i, of_x, levels = index // factors[0], near_x[index % factors[0]], len(alike) - 1
    sums = np.zeros(classes, np.float32)
    for n in range(first, last):
        j, k = places[n, 0] // factors[1], places[n, 1] // factors[2]
        of_y, of_z = near_y[places[n, 0] % factors[1]], near_z[places[n, 1] % factors[2]]
        total = np.float32(0)
        sums[:] = 0
        for x in range(max(0, i - radius_x), min(size_x, i + radius_x + 1)):
            for y in range(max(0, j - radius_y), min(size_y, j + radius_y + 1)):
                for z in range(max(0, k - radius_z), min(size_z, k + radius_z + 1)):
                    difference = abs(intensity[x, y, z] - own[n])
                    weight = alike[int(difference * levels + np.float32(0.5))]
                    weight *= of_x[x - i + radius_x] * of_y[y - j + radius_y] * of_z[z - k + radius_z]
                    total += weight
                    for c in range(classes):
                        sums[c] += weight * scores[c, x, y, z]
        for c in range(classes):
            values[n, c] = np.uint8(sums[c] / total + np.float32(0.5))
