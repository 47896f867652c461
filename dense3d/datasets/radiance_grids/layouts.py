"""Where the files of released radiance grids lie, for ``dense3d check-data``."""

from __future__ import annotations

from dense3d.datasets.layout_parts import LayoutPart, new_suffix

_GRIDS = ("features", "*.npz")


def _detection(split: str, count: int | None) -> list[LayoutPart]:
    boxes = dict(partner_of=_GRIDS, partner=new_suffix(".npy"))
    return [
        LayoutPart(".", split, 1),
        LayoutPart(*_GRIDS, count),
        LayoutPart("obb", "*.npy", count, needed_for="oriented boxes", **boxes),
        LayoutPart("aabb", "*.npy", count, needed_for="upright boxes", **boxes),
        LayoutPart("semantics", "*.npy", None, needed_for="classes of voxels", **boxes),
        LayoutPart("features_256", "*.npz", None, needed_for="super-resolution to 256 voxels a side"),
        LayoutPart("features_384", "*.npz", None, needed_for="super-resolution to 384 voxels a side"),
    ]


GRID_LAYOUTS: dict[str, list[LayoutPart]] = {
    "nerfmae_pretraining": [LayoutPart(".", "nerfmae_split.npz", 1), LayoutPart(*_GRIDS, None)],
    "front3d_nerf": _detection("3dfront_split.npz", 159),
    "hm3d_nerf": _detection("hm3d_split.npz", None),
    "hypersim_nerf": _detection("hypersim_split.npz", None),
    "scannet_nerf": _detection("scannet_split.npz", 90),
}
