"""A data set of radiance grids in the layout of the NeRF-RPN and NeRF-MAE releases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from dense3d.datasets.radiance_grids.splits import LAYOUT, SPLITS, find_split_file, read_split
from dense3d.datasets.strict import SampleError, StrictSamples
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS
from dense3d.structures.cloud_files.arrays import load_npy
from dense3d.structures.radiance_grid import DENSITY_KINDS


@DATASETS.register_module()
class RadianceGridDataset(StrictSamples, BaseDataset):
    """Scenes as grids, with what there is to learn of them.

    ``<features>/<scene>.npz`` holds the grid; ``<boxes>/<scene>.npy`` ``(N, 7)`` oriented boxes or ``(N, 6)``
    corners, in voxels; ``<labels>/<scene>.npy`` ``(W, L, H)`` classes of voxels, 0 for none;
    ``<finer>/<scene>.npz`` a finer grid; ``*_split.npz`` the scenes of ``train``, ``val`` and ``test``. A
    sample starts as a record of these files, which
    :class:`~dense3d.datasets.radiance_grids.loading.LoadRadianceGrid` reads.

    Args:
        data_root: folder of the data set.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        split_file: in the data root; the only one there unless given. ``""`` takes all grids there are.
        features: folder of the grids.
        boxes, labels, finer: folders of what is to be learnt; None for none.
        density_kind: what the density is of grids that do not say it, see
            :class:`dense3d.structures.RadianceGrid`; None refuses these.
        share: of the split's scenes, so many of the first are taken, rounded down; at least one.
        classes: names of voxel classes, void first; those of the data set unless given.
        skip_bad_samples: leave out scenes without a file, and let the next stand in for one that cannot be
            read; only in training. Scenes without a box are left out of training and counted; a test keeps
            them, where all that is found is false.
        **kwargs: ``pipeline``, ``test_mode`` ... of mmengine's ``BaseDataset``.

    Raises:
        ConfigError: a name or a share makes no sense.
        DataError: there is no such folder, or a scene lacks a file; the first is named.
    """

    CLASSES: tuple[str, ...] = ()
    DENSITY_KIND: str | None = None
    SPLIT_FILE: str | None = None
    REMEDY = ""  # what makes the folder, if a command of ours does

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        split_file: str | None = None,
        features: str = "features",
        boxes: str | None = None,
        labels: str | None = None,
        finer: str | None = None,
        density_kind: str | None = None,
        share: float = 1.0,
        classes: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in (*SPLITS, "all"):
            raise ConfigError(f"split={split!r}: use one of {', '.join((*SPLITS, 'all'))}")
        if not 0 < share <= 1:
            raise ConfigError(f"share={share}: give a share of the scenes above 0, up to 1")
        self.density_kind = density_kind or self.DENSITY_KIND
        if self.density_kind not in (None, *DENSITY_KINDS):
            raise ConfigError(f"density_kind={density_kind!r}: use one of {', '.join(DENSITY_KINDS)}")
        self.split, self.share = split, share
        self.split_file = split_file
        self.folders = {"features": features, "boxes": boxes, "labels": labels, "finer": finer}
        self.left_out: list[str] = []
        metainfo = {"classes": tuple(classes or self.CLASSES), **(kwargs.pop("metainfo", None) or {})}
        super().__init__(data_root=str(data_root), metainfo=metainfo, **kwargs)

    @property
    def root(self) -> Path:
        """The data set's folder.

        Raises:
            DataError: there is none.
        """
        root = Path(self.data_root or "")
        if not self.data_root or not is_folder(root):
            remedy = self.REMEDY.format(root) if self.REMEDY else f"its layout is described in {LAYOUT}"
            raise DataError(f"{root}: the data root does not exist; {remedy}")
        return root

    def scenes(self) -> list[str]:
        """Names of the split's scenes, in the order of its file."""
        if self.split_file == "":
            found = sorted(path.stem for path in (self.root / self.folders["features"]).glob("*.npz"))
            if not found:
                raise DataError(f"{self.root / self.folders['features']} holds no grid; see {LAYOUT}")
            return found
        if self.split_file:
            return read_split(self.root / self.split_file, self.split)
        usual = self.root / self.SPLIT_FILE if self.SPLIT_FILE else None
        path = usual if usual is not None and is_file(usual) else find_split_file(self.root)
        return read_split(path, self.split)

    def records(self) -> list[dict[str, Any]]:
        """A record for each scene that is taken, whether its files are there or not."""
        scenes = self.scenes()
        return [self._record(scene) for scene in scenes[: max(int(self.share * len(scenes)), 1)]]

    def load_data_list(self) -> list[dict[str, Any]]:
        """A record for each scene whose files are there."""
        records = self.records()
        faults = {i: path for i, record in enumerate(records) if (path := missing_file(record))}
        total = f" ({len(faults)} of {len(records)} scenes lack a file)" if len(faults) > 1 else ""
        if faults and (not self.skip_bad_samples or self.test_mode or len(faults) == len(records)):
            first = next(iter(faults.values()))
            raise DataError(f"{first} does not exist{total}; the layout is described in {LAYOUT}")
        for index, path in faults.items():
            self._leave_out(records[index], f"{path} does not exist")
        empty = [i for i, record in enumerate(records) if i not in faults and _has_no_box(record)]
        if len(empty) == len(records) - len(faults):
            raise DataError(f"{self.root}: no scene of the split {self.split!r} has a box to find")
        if self.test_mode:
            empty = []
        for index in empty:
            self._leave_out(records[index], f"{records[index]['boxes_path']} has no box")
        return [record for i, record in enumerate(records) if i not in faults and i not in empty]

    def bad_samples(self) -> list[str]:
        """A sentence for each scene that was left out at the start or skipped since."""
        return [*self.left_out, *super().bad_samples()]

    def _record(self, scene: str) -> dict[str, Any]:
        endings = {"features": ".npz", "boxes": ".npy", "labels": ".npy", "finer": ".npz"}
        paths = {
            "path" if name == "features" else f"{name}_path": str(
                self.root / folder / f"{scene}{endings[name]}"
            )
            for name, folder in self.folders.items()
            if folder is not None
        }
        return {"sample_id": scene, "density_kind": self.density_kind, **paths}

    def _leave_out(self, record: dict[str, Any], why: str) -> None:
        self.left_out.append(f"{why} (scene {record['sample_id']})")
        print_log(f"{self.left_out[-1]}: it is left out", "current", 30)

    def _files(self, index: int) -> list[str]:
        return [self.get_data_info(index)["path"]]

    def _explain(self, index: int, error: Exception) -> Exception:
        path = self._files(index)[0]
        return RuntimeError(f"sample {index} ({path}) cannot be prepared: {type(error).__name__}: {error}")

    def _diagnose(self, index: int, otherwise: str) -> SampleError:
        return SampleError(f"{self._files(index)[0]}: {otherwise} (sample {index})")


def missing_file(record: dict[str, Any]) -> str | None:
    """The first file of a record that is not there, or None."""
    paths = (value for name, value in record.items() if name == "path" or name.endswith("_path"))
    return next((path for path in paths if not is_file(path)), None)


def _has_no_box(record: dict[str, Any]) -> bool:
    if "boxes_path" not in record:
        return False
    try:
        return load_npy(Path(record["boxes_path"])).size == 0
    except DataError:
        return False  # what is wrong with it is told when it is read
