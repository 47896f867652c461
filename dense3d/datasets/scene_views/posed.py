"""Posed RGB-D frames of scenes: ScanNet's export, transforms files, and the synthetic rooms' views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from dense3d.datasets.pointcloud.base import PointCloudDataset, read_lines
from dense3d.datasets.posed_rgb.frames import PosedFrame, PosedScene
from dense3d.datasets.posed_rgb.layouts import is_scene, read_scene
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS

PAGE = "docs/gaussian2scene.md"


@DATASETS.register_module()
class PosedSceneViews(PointCloudDataset):
    """One sample for every so many frames of each scene, with frames near it.

    A scene is a folder that :func:`dense3d.datasets.posed_rgb.layouts.read_scene` reads. Frames whose pose
    was lost, or that have no depth, are left out and reported.

    Args:
        data_root: a scene, or a folder of scenes.
        scenes: text file with the names of the scenes to take, such as ScanNet's ``scannetv2_train.txt``.
        every: take each so-manyth frame.
        num_views: V, frames of a sample.
        gap: frames between those of a sample.
        scan: file of a scene's scan, with ``{scene}`` for its name, below ``data_root``; for a pipeline with
            ``LoadPoints`` and ``LoadSceneViews(cloud="scan")``. It has to be in the frame of the poses.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.

    Raises:
        DataError: there is no scene, none of a scene's frames has a depth, or a scene has fewer usable frames
            than a sample needs.
    """

    METAINFO = {"classes": ()}  # noqa: RUF012 - mmengine's own form

    def __init__(
        self,
        data_root: str = "",
        scenes: str | None = None,
        every: int = 1,
        num_views: int = 1,
        gap: int = 1,
        scan: str | None = None,
        **kwargs: Any,
    ) -> None:
        if min(every, num_views, gap) < 1:
            raise ConfigError(f"every={every}, num_views={num_views} and gap={gap} of views are at least 1")
        self.scenes, self.every, self.num_views, self.gap, self.scan = scenes, every, num_views, gap, scan
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The frames, scene by scene."""
        lost: list[str] = []
        for folder in self._folders():
            scene = read_scene(folder)
            lost += scene.left_out
            frames = frames_with_depth(scene)
            lost += [f"{f.image_path}: no depth" for f in scene.frames if f.depth_path is None]
            for index in range(0, len(frames), self.every):
                chosen = frames_near(frames, index, self.num_views, self.gap, scene.root)
                main = chosen[0]
                path = self._scan(folder) or str(main.image_path)
                yield dict(
                    sample_id=f"{folder.name}/{main.name}",
                    path=path,
                    frames=chosen,
                    needs=_needs(chosen, path),
                )
        if lost:
            self.left_out += lost
            print_log(f"{self.data_root}: {len(lost)} frames are left out; {lost[0]}", "current", 30)

    def _folders(self) -> list[Path]:
        if is_scene(self.root):
            return [self.root]
        if self.scenes is not None:
            return [self.root / name for name in read_lines(Path(self.scenes))]
        found = sorted(folder for folder in self.root.iterdir() if folder.is_dir() and is_scene(folder))
        if not found:
            raise DataError(f"{self.root} holds no scene of posed photographs; see {PAGE}")
        return found

    def _scan(self, folder: Path) -> str | None:
        return None if self.scan is None else str(self.root / self.scan.format(scene=folder.name))


def frames_with_depth(scene: PosedScene) -> list[PosedFrame]:
    """The frames of a scene that have a depth map.

    Raises:
        DataError: none has.
    """
    frames = [frame for frame in scene.frames if frame.depth_path is not None]
    if not frames:
        raise DataError(
            f"{scene.root}: none of its {len(scene.frames)} photographs has a depth map, and clouds for "
            "pre-training on scenes are made of those: add depth/NAME.png (ScanNet's sensor files hold it), "
            "or depth_file_path to the transforms file"
        )
    return frames


def frames_near(
    frames: list[PosedFrame], index: int, count: int, gap: int, root: Path
) -> tuple[PosedFrame, ...]:
    """A frame and ``count - 1`` others, ``gap`` apart and around the end of the list where it is reached.

    Raises:
        DataError: there are fewer frames than that.
    """
    if len(frames) < count:
        raise DataError(
            f"{root} has {len(frames)} frames with pose and depth, and num_views={count} are wanted of a "
            "scene: set a smaller num_views, or leave the scene out"
        )
    steps = [(index + step * gap) % len(frames) for step in range(count)]
    if len(set(steps)) < count:
        steps = [(index + step) % len(frames) for step in range(count)]
    return tuple(frames[step] for step in steps)


def _needs(frames: tuple[PosedFrame, ...], path: str) -> tuple[str, ...]:
    files = [path] + [str(p) for f in frames for p in (f.image_path, f.depth_path) if p is not None]
    return tuple(dict.fromkeys(files))
