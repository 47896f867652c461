"""What data sets of rooms share: the same files for segmentation, and for detection of the things alone."""

from __future__ import annotations

from typing import Any

from dense3d.datasets.pointcloud.base import PointCloudDataset, choice

TASKS = ("segmentation", "detection")


class RoomDataset(PointCloudDataset):
    """Base of the data sets of rooms, whose first ``STUFF`` classes (floor, wall) are no things.

    Args:
        task: ``"segmentation"`` for labels of all classes; ``"detection"`` for those of the things, counted
            from 0, which ``metainfo["classes"]`` then names: points of floor and walls have the label -1.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    STUFF = 2

    def __init__(self, task: str = "segmentation", **kwargs: Any) -> None:
        self.task = choice("task", task, TASKS)
        super().__init__(**kwargs)
        if self.task == "detection":
            self._metainfo["classes"] = tuple(self._metainfo["classes"][self.STUFF :])

    def load_data_list(self) -> list[dict[str, Any]]:
        """The records of all clouds, with the number of classes that a detector does not count."""
        stuff = self.STUFF if self.task == "detection" else 0
        return [{**record, "stuff": stuff} for record in super().load_data_list()]
