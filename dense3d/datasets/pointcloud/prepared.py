"""Rooms as ``dense3d prepare`` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dense3d.datasets.pointcloud.base import PointCloudDataset
from dense3d.datasets.pointcloud.loading import Arrays, reader
from dense3d.datasets.prepared.manifest import require_complete
from dense3d.datasets.prepared.scene_files import read_scene
from dense3d.errors import ConfigError
from dense3d.registry import DATASETS


@DATASETS.register_module()
class PreparedRooms(PointCloudDataset):
    """ScanNet or SUN RGB-D with boxes, from a folder that ``dense3d prepare`` made; z up, in metres.

    The folder says what it is; a config that expects something else is refused. ``metainfo`` holds
    ``axis_aligned``, which checkpoints keep and compare.

    Args:
        data_root: the folder.
        split: ``"train"`` or ``"val"``.
        dataset: ``"scannet"`` or ``"sunrgbd"``, if it has to be that one.
        axis_aligned: whether boxes have to be axis-aligned, if that matters.
        labels: version of the annotation that it has to be, such as ``"v1"``.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.

    Raises:
        DataError: the folder was not prepared, in another format, or not to the end.
        ConfigError: it is something else than the config expects.
    """

    REMEDY = "make it with dense3d prepare scannet|sunrgbd ROOT {}"

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        dataset: str | None = None,
        axis_aligned: bool | None = None,
        labels: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.split = split
        self.expected = {"dataset": dataset, "axis_aligned": axis_aligned, "labels": labels}
        super().__init__(data_root=data_root, **kwargs)

    def full_init(self) -> None:
        """Load the list of scenes, and take classes and alignment from the folder."""
        if not self._fully_initialized:
            manifest = require_complete(self.root, self.split)
            for name, value in self.expected.items():
                if value is not None and getattr(manifest, name) != value:
                    raise ConfigError(
                        f"{self.data_root} was prepared with {name}={getattr(manifest, name)!r}, but the "
                        f"config expects {value!r}: prepare it anew, or change the config"
                    )
            known = {"classes": manifest.classes, "axis_aligned": manifest.axis_aligned}
            self._metainfo = {**known, **self._metainfo}
        super().full_init()

    def records(self) -> Iterator[dict[str, Any]]:
        """The scenes in the order in which they were listed."""
        for name in require_complete(self.root, self.split).splits[self.split]:
            path = self.root / self.split / f"{name}.npz"
            yield dict(sample_id=name, reader="prepared_room", path=str(path))


@reader("prepared_room")
def _read_room(record: dict[str, Any]) -> Arrays:
    return read_scene(record["path"])
