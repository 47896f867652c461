"""Panoptic data sets for training: COCO's layout, and Cityscapes and ADE20K converted to it.

Unlike mmdet's, labels follow the order of ``classes`` and not that of the file's categories, so that things
come first wherever the file has them; maps are found by the annotation's own ``file_name``; files are checked
when they are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import ADE20KPanopticDataset as MMDetADE20KPanopticDataset
from mmdet.datasets import CocoPanopticDataset as MMDetCocoPanopticDataset

from dense3d.datasets.panoptic.conversion import IGNORED
from dense3d.datasets.panoptic.files import PanopticFile, labels_of, read_panoptic
from dense3d.datasets.panoptic.schema import LARGEST_SIDE
from dense3d.datasets.scan.coco_file import describe_absent
from dense3d.datasets.scan.schema import shortened
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import DataError
from dense3d.files import is_folder
from dense3d.registry import DATASETS


@DATASETS.register_module()
class CocoPanopticDataset(StrictSamples, MMDetCocoPanopticDataset):
    """Panoptic segmentation in COCO's format, checked when it is read.

    Labels are positions in ``classes``, things first. The kinds of the classes come from ``isthing`` of the
    file: ``thing_classes`` and ``stuff_classes`` of the metainfo follow it. Crowd regions keep their class in
    the map of classes but are no instances. Segments of categories that are not among the classes become
    void. An entry ``aliases`` of the metainfo maps names of categories to names of classes.

    Args:
        skip_bad_samples: in training, let the next sample stand in for one whose files are broken.
        *args, **kwargs: as for mmdet's ``CocoPanopticDataset``; ``data_prefix`` has ``img`` and ``seg``.

    Raises:
        DataError: data root or file missing or of another format; classes that the file lacks, or stuff
            before things; see also :func:`~dense3d.datasets.panoptic.read_panoptic`.
    """

    def __init__(self, *args, metainfo: dict | None = None, **kwargs) -> None:
        self._given_metainfo = metainfo or {}
        super().__init__(*args, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Samples of the file, one an image."""
        root = self.data_root
        if root and "://" not in root and not is_folder(root):
            raise DataError(f"{root}: {describe_absent(Path(root))}; set data_root (layouts: data/README.md)")
        panoptic = read_panoptic(self.ann_file)
        if len(self.metainfo["classes"]) > IGNORED:
            raise DataError(
                f"{panoptic.path}: {len(self.metainfo['classes'])} classes; maps of classes have 8 bits, so "
                f"that {IGNORED} is the most: train on a part of the classes"
            )
        self.cat2label = labels_of(panoptic, self.metainfo["classes"], self.metainfo.get("aliases"))
        first = {label: number for number, label in reversed(self.cat2label.items())}  # of several categories
        self.cat_ids = [first[label] for label in sorted(first)]
        self._adopt_kinds(panoptic)
        return [self._sample(image, panoptic) for image in panoptic.images.values()]

    def prepare_data(self, idx: int) -> Any:
        """Sample ``idx`` as the pipeline gives it; in training its steps find the data set in ``dataset``."""
        if self.test_mode:
            return super().prepare_data(idx)
        return self.pipeline({**self.get_data_info(idx), "dataset": self})

    def _sample(self, image: dict[str, Any], panoptic: PanopticFile) -> dict[str, Any]:
        """Paths, size, ``instances`` (things that are no crowds) and ``segments_info`` of an image."""
        annotation = panoptic.annotations.get(image["id"], {"segments_info": ()})
        segments = [self._segment(s, panoptic, image) for s in annotation["segments_info"]]
        folder = self.data_prefix.get("seg") if "file_name" in annotation else None
        return {
            "img_path": str(Path(self.data_prefix["img"] or "") / self.image_file(image)),
            "img_id": image["id"],
            "seg_map_path": str(Path(folder) / annotation["file_name"]) if folder else None,
            "height": image["height"],
            "width": image["width"],
            "segments_info": segments,
            "instances": [
                {"bbox": s.pop("bbox"), "bbox_label": s["category"], "ignore_flag": 0}
                for s in segments
                if s["is_thing"]
            ],
        }

    @staticmethod
    def image_file(image: dict[str, Any]) -> str:
        """The image's file, relative to the folder of images."""
        return image["file_name"]

    def _segment(
        self, segment: dict[str, Any], panoptic: PanopticFile, image: dict[str, Any]
    ) -> dict[str, Any]:
        label = self.cat2label.get(segment["category_id"], IGNORED)
        is_thing = label < len(self.metainfo["thing_classes"]) and not segment.get("iscrowd", 0)
        parsed = {"id": segment["id"], "category": label, "is_thing": is_thing}
        if is_thing:
            parsed["bbox"] = _corners(segment, panoptic.where(image["id"]))
        return parsed

    def _adopt_kinds(self, panoptic: PanopticFile) -> None:
        """Take what is a thing, and colours that are not given, from the file."""
        classes, categories = self.metainfo["classes"], [panoptic.categories[i] for i in self.cat_ids]
        for number, label in self.cat2label.items():
            if panoptic.categories[number]["isthing"] != categories[label]["isthing"]:
                raise DataError(
                    f"{panoptic.path}: categories {number} and {self.cat_ids[label]} are one class, "
                    f"{classes[label]!r}, but one is a thing and the other stuff; correct the aliases"
                )
        things = tuple(name for name, category in zip(classes, categories) if category["isthing"])
        stuff = tuple(name for name, category in zip(classes, categories) if not category["isthing"])
        if (*things, *stuff) != tuple(classes):
            raise DataError(
                f"{panoptic.path}: by 'isthing' there, the classes of the config do not list all things "
                f"before all stuff; write metainfo=dict(classes={(*things, *stuff)!r})"
            )
        self._metainfo.update(thing_classes=things, stuff_classes=stuff, category_ids=self.cat_ids)
        if "classes" in self._given_metainfo and "palette" not in self._given_metainfo:
            self._metainfo.pop("palette", None)  # it is that of COCO's classes
            if all(_is_colour(category.get("color")) for category in categories):
                self._metainfo["palette"] = [tuple(category["color"]) for category in categories]


def _corners(segment: dict[str, Any], where: str) -> list[float]:
    """x1, y1, x2, y2 in pixels of a segment's ``bbox``."""
    box = segment.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
        raise DataError(
            f"{where}: segment {segment['id']} has bbox {shortened(box)}, not [x, y, width, height] in "
            "pixels; dense3d.datasets.panoptic.counted_segments gives the boxes of a map"
        )
    x, y, width, height = box
    return [x, y, x + width, y + height]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST_SIDE


def _is_colour(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)
    )


@DATASETS.register_module()
class CityscapesPanopticDataset(CocoPanopticDataset):
    """Cityscapes as *createPanopticImgs* of cityscapesscripts converts it, with 8 thing and 11 stuff classes.

    Image ids are ``<city>_<sequence>_<frame>``; the images lie in a folder a city.
    """

    METAINFO: ClassVar[dict] = {
        "classes": (
            "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
            "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
            "vegetation", "terrain", "sky",
        ),
        "palette": [
            (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230),
            (119, 11, 32), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153),
            (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180),
        ],
    }  # fmt: skip

    @staticmethod
    def image_file(image: dict[str, Any]) -> str:
        """``<city>/<id>_leftImg8bit.png``; the converted file names it otherwise."""
        frame = str(image["id"])
        return f"{frame.split('_')[0]}/{frame}_leftImg8bit.png"


@DATASETS.register_module()
class ADE20KPanopticDataset(CocoPanopticDataset):
    """ADE20K with 100 thing and 50 stuff classes, as *prepare_ade20k_pan_seg* of Mask2Former converts it.

    That script pastes things over stuff after it has counted the stuff's pixels: load and evaluate with
    ``strict=False``.
    """

    METAINFO: ClassVar[dict] = {**MMDetADE20KPanopticDataset.METAINFO, "aliases": {"plane": "airplane"}}
