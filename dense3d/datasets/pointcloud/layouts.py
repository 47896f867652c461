"""Where the files of public data sets of point clouds lie, for ``dense3d check-data``."""

from __future__ import annotations

from dense3d.datasets.layout_parts import LayoutPart

_SHAPES = ("shapenet_pc", "*.npy")
_SCANS = ("scans", "*/*_vh_clean_2.ply")


def _of_scan(ending: str) -> dict:
    """What each scan has beside its mesh."""
    return dict(partner_of=_SCANS, partner=lambda name: name.removesuffix("_vh_clean_2.ply") + ending)


def _area(number: int, rooms: int) -> list[LayoutPart]:
    return [LayoutPart(f"Area_{number}", "*/Annotations", rooms)]


CLOUD_LAYOUTS: dict[str, list[LayoutPart]] = {
    "shapenet55": [
        LayoutPart("ShapeNet-55", "train.txt", 1),
        LayoutPart("ShapeNet-55", "test.txt", 1),
        LayoutPart(*_SHAPES, 52470),
    ],
    "modelnet40": [
        LayoutPart(".", "modelnet40_shape_names.txt", 1),
        LayoutPart(".", "modelnet40_train.txt", 1, needed_for="the text files"),
        LayoutPart(".", "modelnet40_test.txt", 1, needed_for="the text files"),
        LayoutPart(".", "*/*_[0-9][0-9][0-9][0-9].txt", 12311, needed_for="the text files"),
        LayoutPart(".", "modelnet40_*_8192pts_fps.dat", 2, needed_for="the pickles of Point-MAE"),
        LayoutPart(".", "*way*shot/*.pkl", 40, needed_for="few-shot classification"),
    ],
    "scanobjectnn": [
        LayoutPart("main_split", "*_objectdataset.h5", 2, needed_for="OBJ_BG"),
        LayoutPart("main_split_nobg", "*_objectdataset.h5", 2, needed_for="OBJ_ONLY"),
        LayoutPart("main_split", "*_objectdataset_augmentedrot_scale75.h5", 2),
    ],
    "shapenetpart": [
        LayoutPart(".", "synsetoffset2category.txt", 1, needed_for="the names of categories, which we know"),
        LayoutPart("train_test_split", "shuffled_train_file_list.json", 1),
        LayoutPart("train_test_split", "shuffled_val_file_list.json", 1),
        LayoutPart("train_test_split", "shuffled_test_file_list.json", 1),
        LayoutPart(".", "[0-9]*/*.txt", 16881),
    ],
    "scannet": [
        LayoutPart(".", "scannetv2_train.txt", 1),
        LayoutPart(".", "scannetv2_val.txt", 1),
        LayoutPart(".", "scannetv2_test.txt", 1, needed_for="a submission to the benchmark's server"),
        LayoutPart(*_SCANS, 1513),
        LayoutPart("scans", "*/*_vh_clean_2.labels.ply", 1513, **_of_scan("_vh_clean_2.labels.ply")),
        LayoutPart("scans", "*/scene*.txt", 1513, **_of_scan(".txt")),
        LayoutPart("scans", "*/*.aggregation.json", 1513, needed_for="instances and boxes"),
        LayoutPart("scans", "*/*_vh_clean_2.0.010000.segs.json", 1513, needed_for="instances and boxes"),
        LayoutPart(".", "scannetv2-labels.combined.tsv", 1, needed_for="instances and boxes"),
    ],
    "s3dis": [
        part
        for number, rooms in enumerate((44, 40, 23, 49, 68, 48), start=1)
        for part in _area(number, rooms)
    ],
    "sunrgbd": [
        LayoutPart(
            f"sunrgbd_pc_bbox_votes_50k_v1_{split}",
            kind,
            count,
            partner_of=(f"sunrgbd_pc_bbox_votes_50k_v1_{split}", "*_pc.npz"),
            partner=lambda name, kind=kind: name.removesuffix("_pc.npz") + kind[1:],
        )
        for split, count in (("train", 5285), ("val", 5050))
        for kind in ("*_pc.npz", "*_bbox.npy")
    ],
    "sunrgbd_raw": [
        LayoutPart(".", "SUNRGBDMeta3DBB_v2.mat", 1),
        LayoutPart("SUNRGBDtoolbox/traintestSUNRGBD", "allsplit.mat", 1),
        LayoutPart("SUNRGBDtoolbox/Metadata", "SUNRGBDMeta.mat", 1, needed_for="labels v1, the usual ones"),
        LayoutPart("SUNRGBD", "**/depth/*.png", 10335),
        LayoutPart("SUNRGBD", "**/image/*.jpg", 10335),
    ],
    **{
        f"{name}_prepared": [
            LayoutPart(".", "prepared.json", 1, remedy=f"dense3d prepare {name} makes it"),
            LayoutPart("train", "*.npz", train, remedy=f"dense3d prepare {name} goes on there"),
            LayoutPart("val", "*.npz", val, remedy=f"dense3d prepare {name} goes on there"),
        ]
        for name, train, val in (("scannet", 1201, 312), ("sunrgbd", 5285, 5050))
    },
}
# Folders of Pointcept, by the data set's name with _pointcept behind.
for _name, _parts in {
    "scannet": (("train", 1201), ("val", 312)),
    "s3dis": tuple((f"Area_{n}", rooms) for n, rooms in enumerate((44, 40, 23, 49, 68, 48), start=1)),
}.items():
    CLOUD_LAYOUTS[f"{_name}_pointcept"] = [
        LayoutPart(
            folder,
            f"*/{kind}.npy",
            rooms,
            partner_of=(folder, "*/coord.npy"),
            partner=lambda name, kind=kind: name.removesuffix("coord.npy") + f"{kind}.npy",
            needed_for="features" if kind in ("color", "normal") else None,
        )
        for folder, rooms in _parts
        for kind in ("coord", "color", "normal", "segment20" if _name == "scannet" else "segment")
    ]
