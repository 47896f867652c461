"""What browser and server say to each other.

**Coordinates.** Voxels in messages from the page and in ``state`` are indices of the canonical grid (the
file's axes in their nearest right-anterior-superior order, ``state.volume.shape``); ``planes`` and ``maps``
are on the working grid (``state.volume.working``), whose voxel is ``voxel // factors``. Radii are in
millimetres. Colours are three integers 0..255, thresholds and opacities numbers 0..1. Scores are bytes; a
class holds where its score is more than ``int(255 * threshold)`` and more than every other such class's
score, the first of equals in the order of ``state.classes``; where none does it is background, class 0.

**HTTP.** JSON bodies have at most 1 MiB. Wrong input is a 4xx with ``{"message": sentence}``.

* ``GET /``, ``GET /static/<file>``: the page and its files. ``/?token=`` sets the cookie (elsewhere than on
  loopback) and redirects to ``/``
* ``GET /api/state``: the state, as below
* ``GET /api/volume``: uint16 little endian on the working grid, x fastest, ``state.volume.range`` to
  0..65535; header ``X-Shape: X Y Z``
* ``GET /api/maps``: scores: for each group of four classes RGBA8, x fastest; headers ``X-Revision``,
  ``X-Shape``, ``X-Class-Ids`` (four a group, 0: no class)
* ``GET /api/slice``: PNG of a slice with its overlay: ``axis`` 0..2, ``index`` (canonical), ``width``
  (pixels, <= 2048), ``overlay`` 0 or 1, ``low``, ``high`` (window). Its columns are the first of the other
  two axes, its rows the second, the larger index on top; square millimetres
* ``GET /api/render``: PNG of the 3D view: ``azimuth``, ``elevation`` (degrees), ``zoom`` (1: fits),
  ``pan_x``, ``pan_y`` (radii of the volume), ``low``, ``high`` (corners of what is left of it, three shares
  0..1 with commas), ``shading``, ``volume`` (0: the classes alone), ``width``, ``height`` (<= 2048),
  ``quality`` preview or high
* ``GET /api/pick``: the same and ``x``, ``y`` in pixels from the upper left corner: ``{class, voxel}`` of
  what is seen there (voxel canonical), or null
* ``GET /api/unsure``: [x, y, z] of the voxel most worth a click; null: all is sure or not classified yet.
* ``GET /api/histogram``: voxels by value and gradient magnitude: a grey picture of bytes, the steepest row
  first; headers ``X-Shape`` (columns, rows), ``X-Range`` (low, high, and the gradient at the upper edge)
* ``GET /api/files``: what can be opened: {folder, files: [{name, format, folder, bytes, raw}], more (there
  are others), opening}; with ``name`` (and ``raw``): {name, format, shape, spacing, dtype, frames, bytes,
  notes}, from the header of that one
* ``POST /api/open``: ``{name, frame?, raw?}``: opens a volume of the folder for all pages, whose websockets
  close with code 4410; the work so far is saved. After a 4xx the present volume is still open. ``raw`` is a
  layout as ``--raw`` takes it
* ``GET /api/export/formats``: ``[{format, label, suffix}]``
* ``POST /api/export``: ``{format, classes?: [id]}``; answers the file as a download
* ``POST /api/import``: body: a segmentation file, query ``name`` (its file name, for the format) and
  ``role``: segmentation (default; a step that undo takes back), reference (Dice only), session or
  transfer_function

Where no volume is open yet, ``GET /api/state`` has ``volume`` null, and what needs one answers 409.

**WebSocket** ``/ws``, with ``?volume=`` the ``volume.key`` of the state that the page was built from: where
another volume is open it is closed with code 4410, and the page loads again. The page sends JSON text of at
most 1 MiB: ``type``, ``request`` (a whole number that it chooses; the answer carries it back), in any of them
``planes`` [x, y, z], the slices that the page shows now, and

* ``prompt``: ``class`` (0: background), ``kind``, ``positive`` (default true), and by kind: point: ``voxels``
  [[x, y, z], ...]; stroke: ``voxels``, the path of a ball of ``radius`` (0: the path alone); lasso: ``axis``,
  ``index``, ``polygon`` [[a, b], ...] in the other two axes, ascending; box: ``low``, ``high``, both corners
  inside the box
* ``erase``: ``voxel``, ``radius``, ``class`` (absent: every class): takes back marks within the ball
* ``undo``, ``redo``: and nothing else
* ``class.add``: ``name``, ``color``, ``opacity``, ``threshold``: all optional; ``done.class`` is the new id
* ``class.update``: ``class`` and what changes of ``name``, ``color``, ``opacity``, ``threshold``, ``visible``
* ``class.remove``: ``class``
* ``clear``: ``class`` (absent: all): takes its marks back
* ``planes``: nothing but ``planes``; scores of these slices come first from here on
* ``view``: ``view``: an object of at most 16 kB that the page finds again after a reload; no step, and not
  sent to other tabs before their next ``state``
* ``method``: ``method``: one of ``state.methods``; prepares it
* ``prepare``, ``cancel``: starts or ends the preparation of the method
* ``transfer_function``: ``transfer_function``: an object, as in ``state``; a step

The server answers each message with ``{"type": "done", request, revision, step}`` (``step``: the name of the
step that it made, or null where nothing changed) or ``{"type": "error", request, message}`` (``request`` null
where it could not be read), and sends without being asked:

* ``{"type": "state", ...}``: the whole state, at the start and to every tab after every change;
* ``{"type": "progress", task, done, left_s, ready}``: ``done`` 0..1, ``left_s`` seconds or null; the last has
  ``done`` 1 or ``"cancelled": true`` or ``"failed": sentence``;
* ``{"type": "current", revision}``: the page has all maps of that revision now, whether or not any changed;
* binary frames: one or more boxes of scores, one after another, each the uint32 little endian length of a
  JSON header, the header in UTF-8, and the payload. The header is ``{type, revision, groups: [g, ...],
  class_ids, offset: [x, y, z], shape: [x, y, z]}`` on the working grid. The payload is, for each group of
  ``groups``, RGBA8 of that box, x fastest (what ``texSubImage3D`` takes); ``class_ids`` has four ids a group
  (0: free, its scores are 0). ``planes`` come within milliseconds of a click, one a visible slice, all in one
  frame, with ``axis`` and ``index`` (working) and all groups; their box is one voxel thick along ``axis``.
  They come twice where the method has a preview. ``maps`` follow, in slabs, one group each, only what
  changed; the last of a revision has ``"last": true``. Textures start at 0, and a class keeps group and
  channel (``state.classes[].slot`` = 4 * group + channel) for as long as it is there. A page that connects
  (again) gets state and all maps, whatever it had.

**State**:

* ``revision``, counted up by every change; ``measured``: the revision that ``ml``, ``dice`` and
  ``uncertainty`` belong to
* ``volume``: {name, shape, spacing, affine, orientation (of the file, such as "LPS"), dtype, range: [low,
  high], modality, frames, working: {shape, spacing, affine, factors}, window: {low, high}, presets: [{name,
  low, high}], histogram: {counts, low, high}, transfer_functions: [presets as in ``transfer_function``,
  the one that is shown at the start first], notes: [sentence], key (changes with the volume)}
* ``classes``: [{id, name, color, opacity, threshold, visible, slot, ml (null: not known yet), dice (null: no
  reference)}]
* ``prompts``: [{id, class, kind, positive, center, and by kind voxels (of a stroke: its path) and radius, or
  axis, index and polygon, or low and high}]
* ``undo``, ``redo``: name of the step or null; ``steps``: names, oldest first
* ``method``: name; ``methods``: [{name, label}]; ``ready``; ``progress``: the last such message, or null
* ``transfer_function``: {name, points: [{value, color, opacity}, ...] by ascending value, regions: [{values:
  [low, high], slopes: [low, high], color, opacity}, ...]}, or null; where there are regions, they count and
  the points do not. Gradients are in values per millimetre, 1e9 stands for no bound
* ``file``: {name, frame, raw} as ``POST /api/open`` takes it, or null where no folder is open
* ``uncertainty``: {counts (64 bins of the margin between the best two classes, 0..1), unsure (share of
  voxels)} or null
* ``view``: the object that the page sent last, or {}
* ``session``: {file, saved (whether all is on disk), problem (a sentence, or null)}; ``notes``: [sentence]
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence

import numpy as np

MAX_MESSAGE = 1 << 20  # bytes of a message, and of a JSON body
MAX_SIDE = 2048  # pixels of a picture's width or height


def binary(header: dict, payload: bytes | memoryview) -> bytes:
    """A box of a binary frame: length of the header, header, payload.

    Example:
        >>> frame = binary({"type": "maps"}, b"ab")
        >>> frame[4:-2], frame[-2:]
        (b'{"type":"maps"}', b'ab')
    """
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((struct.pack("<I", len(text)), text, payload))


def read_binary(frame: bytes) -> list[tuple[dict, memoryview]]:
    """Header and payload of each box of a binary frame: what a page does, for tests and scripts."""
    boxes, rest = [], memoryview(frame)
    while rest:
        (length,) = struct.unpack_from("<I", rest)
        header, rest = json.loads(bytes(rest[4 : 4 + length])), rest[4 + length :]
        size = 4 * len(header["groups"]) * math.prod(header["shape"])
        boxes.append((header, rest[:size]))
        rest = rest[size:]
    return boxes


def interleave(maps: Sequence[np.ndarray | None], shape: tuple[int, int, int]) -> np.ndarray:
    """(Z, Y, X, 4) uint8 from up to four (X, Y, Z) maps of one group; None is a free channel."""
    group = np.zeros((*shape[::-1], 4), np.uint8)
    for channel, scores in enumerate(maps):
        if scores is not None:
            group[..., channel] = scores.transpose(2, 1, 0)
    return group
