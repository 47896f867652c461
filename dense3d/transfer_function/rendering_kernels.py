"""numba kernel of the pictures of a volume and its classes (it imports slowly: not at the top of a module).

Places are in voxels of the working grid, whole numbers being centres, and lengths along rays in millimetres.
The rule that it follows is told in :mod:`dense3d.transfer_function.rendering`.
"""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit
from dense3d.ops.volume_rendering_kernels import SHIFT, clamped, skipped_to

TILE = 16  # pixels
HAS_VALUES, HAS_CLASSES = 1, 2  # of a brick: the transfer function has an opacity there, classes may hold
BISECTIONS = 8
FULL = 0.98  # opacity at which a ray ends
MOST_OPAQUE = 0.999  # of a sample, over the unit length
AMBIENT, DIFFUSE, SPECULAR = 0.28, 0.80, 0.16  # the highlight's power is 28
LAMP_UP, LAMP_LEFT = 0.35, 0.35
REACH = 1.4  # voxels to each side, of the differences that give the normal of a class
FADE_IN, FADE_OUT = 0.0005, 0.004  # share of the range per millimetre: not shaded, shaded


def jit(**options):
    """``njit`` that releases the GIL and may fuse operations: for pictures, not for reference values.

    Nothing is allocated, so that references to arrays need not be counted, which costs as much as a sample.
    """
    return njit(nogil=True, error_model="numpy", _nrt=False, fastmath={"contract", "arcp", "nsz"}, **options)


@jit(forceinline=True)
def _unit(x, y, z):
    length = np.sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length) if length > 1e-12 else (0.0, 0.0, 0.0)


@jit(forceinline=True)
def _length(vector):
    return np.sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2])


@jit(forceinline=True)
def _times(matrix, vector):
    return (
        matrix[0, 0] * vector[0] + matrix[0, 1] * vector[1] + matrix[0, 2] * vector[2],
        matrix[1, 0] * vector[0] + matrix[1, 1] * vector[1] + matrix[1, 2] * vector[2],
        matrix[2, 0] * vector[0] + matrix[2, 1] * vector[1] + matrix[2, 2] * vector[2],
    )


@jit(forceinline=True)
def _cell(x, y, z, shape):
    """Corner, opposite corner and shares of the cell of a place between the outermost centres.

    Indices are unsigned: numba compares signed ones with zero at every access.
    """
    i, j, k = np.int64(x), np.int64(y), np.int64(z)
    corner = np.uint64(i), np.uint64(j), np.uint64(k)
    i1, j1, k1 = min(i + 1, shape[0] - 1), min(j + 1, shape[1] - 1), min(k + 1, shape[2] - 1)
    return corner, (np.uint64(i1), np.uint64(j1), np.uint64(k1)), (x - i, y - j, z - k)


@jit(forceinline=True)
def _blend(field, corner, opposite, share):
    """The trilinear value of a cell."""
    i, j, k = corner
    i1, j1, k1 = opposite
    fx, fy, fz = share
    a, b = float(field[i, j, k]), float(field[i, j, k1])
    c, d = float(field[i, j1, k]), float(field[i, j1, k1])
    e, f = float(field[i1, j, k]), float(field[i1, j, k1])
    g, h = float(field[i1, j1, k]), float(field[i1, j1, k1])
    a, c, e, g = a + fz * (b - a), c + fz * (d - c), e + fz * (f - e), g + fz * (h - g)
    a, e = a + fy * (c - a), e + fy * (g - e)
    return a + fx * (e - a)


@jit(forceinline=True)
def _at(field, x, y, z):
    shape = field.shape
    x, y, z = clamped(x, shape[0]), clamped(y, shape[1]), clamped(z, shape[2])
    corner, opposite, share = _cell(x, y, z, shape)
    return _blend(field, corner, opposite, share)


@jit(forceinline=True)
def _to_world(gx, gy, gz, inverse):
    """A gradient by voxels -> by millimetres: the inverse transpose of the affine."""
    return (
        gx * inverse[0, 0] + gy * inverse[1, 0] + gz * inverse[2, 0],
        gx * inverse[0, 1] + gy * inverse[1, 1] + gz * inverse[2, 1],
        gx * inverse[0, 2] + gy * inverse[1, 2] + gz * inverse[2, 2],
    )


@jit()
def _gradient(field, x, y, z, reach, inverse):
    """Central differences, per millimetre, in world axes (inverse transpose of the affine)."""
    gx = (_at(field, x + reach, y, z) - _at(field, x - reach, y, z)) / (2 * reach)
    gy = (_at(field, x, y + reach, z) - _at(field, x, y - reach, z)) / (2 * reach)
    gz = (_at(field, x, y, z + reach) - _at(field, x, y, z - reach)) / (2 * reach)
    return _to_world(gx, gy, gz, inverse)


@jit(forceinline=True)
def _around(index, opposite, count):
    """The four voxels along an axis that a cell's differences read."""
    before = np.int64(index) - 1 if index > np.uint64(0) else np.int64(0)
    behind = min(np.int64(index) + 2, count - 1)
    return np.uint64(before), index, opposite, np.uint64(behind)


@jit(forceinline=True)
def _slopes(field, w, xs, ys, zs):
    """Weighted differences along the axes at one corner; ``xs``: the voxel before, its own, the next."""
    x = float(field[xs[2], ys[1], zs[1]]) - float(field[xs[0], ys[1], zs[1]])
    y = float(field[xs[1], ys[2], zs[1]]) - float(field[xs[1], ys[0], zs[1]])
    z = float(field[xs[1], ys[1], zs[2]]) - float(field[xs[1], ys[1], zs[0]])
    return w * x, w * y, w * z


@jit(forceinline=True)
def _cell_gradient(field, corner, opposite, share, inverse):
    """Central differences of the trilinear value over one voxel to each side, per millimetre, in the world.

    They are the trilinear blend of the differences at the corners, which take half of the reads.
    """
    x, y, z = (
        _around(corner[0], opposite[0], field.shape[0]),
        _around(corner[1], opposite[1], field.shape[1]),
        _around(corner[2], opposite[2], field.shape[2]),
    )
    x0, x1, y0, y1, z0, z1 = x[:3], x[1:], y[:3], y[1:], z[:3], z[1:]
    fx, fy, fz = share
    ex, ey, ez = 1 - fx, 1 - fy, 1 - fz
    a = _slopes(field, ex * ey * ez, x0, y0, z0)
    b = _slopes(field, ex * ey * fz, x0, y0, z1)
    c = _slopes(field, ex * fy * ez, x0, y1, z0)
    d = _slopes(field, ex * fy * fz, x0, y1, z1)
    e = _slopes(field, fx * ey * ez, x1, y0, z0)
    f = _slopes(field, fx * ey * fz, x1, y0, z1)
    g = _slopes(field, fx * fy * ez, x1, y1, z0)
    h = _slopes(field, fx * fy * fz, x1, y1, z1)
    gx = a[0] + b[0] + c[0] + d[0] + e[0] + f[0] + g[0] + h[0]
    gy = a[1] + b[1] + c[1] + d[1] + e[1] + f[1] + g[1] + h[1]
    gz = a[2] + b[2] + c[2] + d[2] + e[2] + f[2] + g[2] + h[2]
    return _to_world(0.5 * gx, 0.5 * gy, 0.5 * gz, inverse)


@jit()
def _class_at(maps, levels, members, x, y, z):
    """Index of the class that holds, -1 for none: the largest score above its level, the first of equals."""
    starts, classes, bricks = members
    shape = maps.shape[1:]
    x, y, z = clamped(x, shape[0]), clamped(y, shape[1]), clamped(z, shape[2])
    corner, opposite, share = _cell(x, y, z, shape)
    number = ((int(x) >> SHIFT) * bricks[1] + (int(y) >> SHIFT)) * bricks[2] + (int(z) >> SHIFT)
    best, found = -1.0, -1
    for k in range(starts[number], starts[number + 1]):
        c = classes[k]
        score = _blend(maps[c], corner, opposite, share)
        if score > levels[c] and score > best:
            best, found = score, c
    return found


@jit(forceinline=True)
def _may_be_new(styles, seen, members, brick):
    """Whether a brick may hold a class that is drawn and was not met before."""
    starts, classes, bricks = members
    number = (brick[0] * bricks[1] + brick[1]) * bricks[2] + brick[2]
    for k in range(starts[number], starts[number + 1]):
        c = classes[k]
        if styles[c, 3] > 0 and (styles[c, 5] > 0 or not seen[c]):
            return True
    return False


@jit()
def _first_place(maps, levels, members, wanted, start, slope, outside, inside):
    """Where a class begins between two places of a ray: at the first if it holds there, else by bisection."""
    if _class_at(maps, levels, members, *_place(start, slope, outside)) == wanted:
        return outside
    for _ in range(BISECTIONS):
        middle = 0.5 * (outside + inside)
        if _class_at(maps, levels, members, *_place(start, slope, middle)) == wanted:
            inside = middle
        else:
            outside = middle
    return inside


@jit(forceinline=True)
def _place(start, slope, t):
    return start[0] + t * slope[0], start[1] + t * slope[1], start[2] + t * slope[2]


@jit()
def _normal(scores, start, slope, t, view, inverse):
    """Unit gradient of a class's scores; against the view where they do not change."""
    gx, gy, gz = _gradient(scores, *_place(start, slope, t), REACH, inverse)
    normal = _unit(gx, gy, gz)
    if normal[0] == 0 and normal[1] == 0 and normal[2] == 0:
        return -view[0], -view[1], -view[2]
    return normal


@jit(forceinline=True)
def _light(normal, view, lamp, half):
    """Factor of the colour, and what is added to it (Blinn-Phong); the normal is turned to the viewer."""
    nx, ny, nz = normal
    diffuse = nx * lamp[0] + ny * lamp[1] + nz * lamp[2]
    shine = nx * half[0] + ny * half[1] + nz * half[2]
    if nx * view[0] + ny * view[1] + nz * view[2] > 0:
        diffuse, shine = -diffuse, -shine
    shine = max(shine, 0.0)
    shine *= shine
    shine *= shine  # to the 4th power; the 28th is 4 + 8 + 16
    shine = shine * (shine * shine) * (shine * shine) * (shine * shine)
    return AMBIENT + DIFFUSE * max(diffuse, 0.0), SPECULAR * shine


@jit(forceinline=True)
def _ray(camera, row, column):
    """Start and unit direction in the world; ``camera``: eye, f, across, above, right, up, (kind, H, W)."""
    s = 2 * (column + 0.5) / camera[6, 2] - 1
    t = 1 - 2 * (row + 0.5) / camera[6, 1]
    sx = s * camera[2, 0] + t * camera[3, 0]
    sy = s * camera[2, 1] + t * camera[3, 1]
    sz = s * camera[2, 2] + t * camera[3, 2]
    if camera[6, 0] > 0:
        direction = _unit(camera[1, 0] + sx, camera[1, 1] + sy, camera[1, 2] + sz)
        return (camera[0, 0], camera[0, 1], camera[0, 2]), direction
    return (camera[0, 0] + sx, camera[0, 1] + sy, camera[0, 2] + sz), (
        camera[1, 0],
        camera[1, 1],
        camera[1, 2],
    )


@jit(forceinline=True)
def _inside(planes, start, slope):
    """Ends of a ray in the half spaces a x + b y + c z + d >= 0, and the plane that it enters by."""
    near, far, face = 0.0, np.inf, -1
    for k in range(len(planes)):
        a, b, c, d = planes[k, 0], planes[k, 1], planes[k, 2], planes[k, 3]
        height = a * start[0] + b * start[1] + c * start[2] + d
        rise = a * slope[0] + b * slope[1] + c * slope[2]
        if rise > 1e-15:
            if -height / rise > near:
                near, face = -height / rise, k
        elif rise < -1e-15:
            far = min(far, -height / rise)
        elif height < 0:
            return 1.0, 0.0, -1
    return near, far, face


@jit(forceinline=True)
def _table_row(table, lower, upper, share, column):
    """Colour and extinction between two entries of one column of a table."""
    r, g = float(table[lower, column, np.uint64(0)]), float(table[lower, column, np.uint64(1)])
    b, a = float(table[lower, column, np.uint64(2)]), float(table[lower, column, np.uint64(3)])
    return (
        r + share * (float(table[upper, column, np.uint64(0)]) - r),
        g + share * (float(table[upper, column, np.uint64(1)]) - g),
        b + share * (float(table[upper, column, np.uint64(2)]) - b),
        a + share * (float(table[upper, column, np.uint64(3)]) - a),
    )


@jit(forceinline=True)
def _table_at(table, value, slope):
    """Straight colour and extinction of (N, G, 4), linear between entries; value and slope are 0..1."""
    u = min(max(value, 0.0), 1.0) * (table.shape[0] - 1)
    i = np.int64(u)
    fu, lower, upper = u - i, np.uint64(i), np.uint64(min(i + 1, table.shape[0] - 1))
    if table.shape[1] == 1:
        return _table_row(table, lower, upper, fu, np.uint64(0))
    v = min(max(slope, 0.0), 1.0) * (table.shape[1] - 1)
    j = np.int64(v)
    fv = v - j
    a = _table_row(table, lower, upper, fu, np.uint64(j))
    b = _table_row(table, lower, upper, fu, np.uint64(min(j + 1, table.shape[1] - 1)))
    return (
        a[0] + fv * (b[0] - a[0]),
        a[1] + fv * (b[1] - a[1]),
        a[2] + fv * (b[2] - a[2]),
        a[3] + fv * (b[3] - a[3]),
    )


@jit(forceinline=True)
def _passed(depth):
    """exp(-depth) of an optical depth; the usual small ones by its series, which is exact to 1e-8 there."""
    if depth < 0.03:
        return 1 - depth * (1 - depth * (0.5 - depth * (1 / 6 - depth * (1 / 24))))
    return np.exp(-depth)


@jit(forceinline=True)
def _sample_value(field, place, transfer, inverse, lights, interval, scale):
    """Colour and share of light that passes, of the sample of the volume itself at a place."""
    table, steepest = transfer
    view, lamp, half = lights
    _, unit, shading = scale
    corner, opposite, share = _cell(place[0], place[1], place[2], field.shape)
    value, size = _blend(field, corner, opposite, share) / 65535.0, 0.0
    gradient = (0.0, 0.0, 0.0)
    if table.shape[1] > 1:
        gradient = _cell_gradient(field, corner, opposite, share, inverse)
        size = _length(gradient) / 65535.0
    r, g, b, extinction = _table_at(table, value, size / steepest)
    if extinction <= 0:
        return 0.0, 0.0, 0.0, 1.0
    if shading > 0:
        if table.shape[1] == 1:
            gradient = _cell_gradient(field, corner, opposite, share, inverse)
            size = _length(gradient) / 65535.0
        share_lit = min(max((size - FADE_IN) / (FADE_OUT - FADE_IN), 0.0), 1.0)
        share_lit = shading * share_lit * share_lit * (3 - 2 * share_lit)
        if share_lit > 0:
            factor, added = _light(_unit(gradient[0], gradient[1], gradient[2]), view, lamp, half)
            factor, added = 1 - share_lit + share_lit * factor, share_lit * added
            r, g, b = r * factor + added, g * factor + added, b * factor + added
    return r, g, b, _passed(extinction * interval / unit)


@jit()
def _march(volume, maps, transfer, styles, bricks, geometry, scale, ray, seen):
    """Colour, light that passes, what is met first (-1 nothing, 0 the volume, class + 1), its distance."""
    contents, starts, classes = bricks
    inverse, _, planes, normals = geometry
    step, unit, shading = scale
    start, slope, lights = ray
    view, lamp, half = lights
    shape, brick_shape = volume.shape, contents.shape
    members, levels = (starts, classes, brick_shape), styles[:, 4]
    red, green, blue, light, met, distance = 0.0, 0.0, 0.0, 1.0, -1, np.inf
    near, far, face = _inside(planes, start, slope)
    if not far > near:
        return red, green, blue, light, met, distance
    count = int(np.ceil((far - near) / step - 1e-9))
    interval = (far - near) / max(count, 1)
    seen[:] = False
    i = 0
    while i < count and light >= 1 - FULL:
        t = near + (i + 0.5) * interval
        place = _place(start, slope, t)
        x, y, z = clamped(place[0], shape[0]), clamped(place[1], shape[1]), clamped(place[2], shape[2])
        brick = int(x) >> SHIFT, int(y) >> SHIFT, int(z) >> SHIFT
        entry = np.uint64(brick[0]), np.uint64(brick[1]), np.uint64(brick[2])
        content = int(contents[entry])
        if content > 0:
            i = skipped_to(start, slope, brick, brick_shape, content, near, interval, i)
            continue
        if -content & HAS_VALUES:
            sample = _sample_value(volume, (x, y, z), transfer, inverse, lights, interval, scale)
            weight = light * (1 - sample[3])
            red, green, blue = red + weight * sample[0], green + weight * sample[1], blue + weight * sample[2]
            light *= sample[3]
            if met < 0 and light < 0.5:
                met, distance = 0, t
        here = -1
        if -content & HAS_CLASSES and _may_be_new(styles, seen, members, brick):
            here = _class_at(maps, levels, members, x, y, z)
        if here >= 0 and styles[here, 3] > 0:
            cloud = styles[here, 5] > 0
            if cloud or not seen[here]:
                at, opacity, cap = t, styles[here, 3], False
                if cloud:
                    opacity = 1 - np.exp(np.log1p(-min(opacity, MOST_OPAQUE)) * interval / unit)
                else:
                    seen[here] = True
                    outside = near if i == 0 else t - interval
                    at = _first_place(maps, levels, members, here, start, slope, outside, t)
                    cap = i == 0 and at == near and face >= 0
                if cap:
                    normal = normals[face, 0], normals[face, 1], normals[face, 2]
                else:
                    normal = _normal(maps[here], start, slope, at, view, inverse)
                factor, added = _light(normal, view, lamp, half)
                factor, added = 1 - shading + shading * factor, shading * added
                weight = light * opacity
                red += weight * (styles[here, 0] * factor + added)
                green += weight * (styles[here, 1] * factor + added)
                blue += weight * (styles[here, 2] * factor + added)
                light *= 1 - opacity
                if met < 0 and (not cloud or light < 0.5):
                    met, distance = here + 1, at
        i += 1
    if light < 1 - FULL:
        return red / (1 - light), green / (1 - light), blue / (1 - light), 0.0, met, distance
    return red, green, blue, light, met, distance


@jit()
def render(
    first, last, volume, maps, transfer, styles, bricks, camera, geometry, scale, seen, rgba, depth, hits
):
    """Tiles ``first .. last - 1`` of a picture: ``rgba`` (H, W, 4) premultiplied, ``depth``, ``hits`` (H, W).

    ``transfer``: table (N, G, 4) of straight colours and extinctions over the unit length, and the slope at
    the end of its second axis; ``styles`` (C, 6): red, green, blue, opacity (0: hidden), level, 1 for a
    cloud; ``bricks``: what each has (minus the sum of HAS_...), or how far the next one with anything is, and
    the classes that may hold in each (starts, indices); ``camera`` (7, 3); ``geometry``: inverse affine
    (3, 3) and its offset (3,), planes (K, 4) in voxels and their normals (K, 3) in the world; ``scale``:
    step, unit length, shading.
    """
    inverse, offset = geometry[0], geometry[1]
    height, width = depth.shape
    across = (width + TILE - 1) // TILE
    right = _unit(camera[4, 0], camera[4, 1], camera[4, 2])
    up = _unit(camera[5, 0], camera[5, 1], camera[5, 2])
    for tile in range(first, last):
        for row in range((tile // across) * TILE, min((tile // across + 1) * TILE, height)):
            for column in range((tile % across) * TILE, min((tile % across + 1) * TILE, width)):
                origin, view = _ray(camera, row, column)
                start = _times(inverse, origin)
                start = start[0] + offset[0], start[1] + offset[1], start[2] + offset[2]
                lamp = _unit(
                    -view[0] + LAMP_UP * up[0] - LAMP_LEFT * right[0],
                    -view[1] + LAMP_UP * up[1] - LAMP_LEFT * right[1],
                    -view[2] + LAMP_UP * up[2] - LAMP_LEFT * right[2],
                )
                half = _unit(lamp[0] - view[0], lamp[1] - view[1], lamp[2] - view[2])
                ray = start, _times(inverse, view), (view, lamp, half)
                red, green, blue, light, met, distance = _march(
                    volume, maps, transfer, styles, bricks, geometry, scale, ray, seen[tile]
                )
                rgba[row, column, 0], rgba[row, column, 1] = red, green
                rgba[row, column, 2], rgba[row, column, 3] = blue, 1 - light
                depth[row, column], hits[row, column] = distance, met
