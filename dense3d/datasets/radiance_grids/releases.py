"""The released data sets of radiance grids: what their density is, their classes, their splits."""

from __future__ import annotations

from dense3d.datasets.radiance_grids.base import RadianceGridDataset
from dense3d.datasets.synthetic.rooms.classes import CLASSES as ROOM_CLASSES
from dense3d.registry import DATASETS


@DATASETS.register_module()
class Front3DNeRF(RadianceGridDataset):
    """Front3D-NeRF: rooms of 3D-FRONT; 122, 20 and 17 scenes for detection, raw density.

    For voxel labels there are 18 classes and void, whose names the release does not give.
    """

    CLASSES = ("void", *(f"class {number}" for number in range(1, 19)))
    DENSITY_KIND = "raw_exp"
    SPLIT_FILE = "3dfront_split.npz"


@DATASETS.register_module()
class HM3DNeRF(RadianceGridDataset):
    """Habitat-Matterport 3D scenes, raw density; 20 classes of voxels and void, without released names."""

    CLASSES = ("void", *(f"class {number}" for number in range(1, 21)))
    DENSITY_KIND = "raw_exp"
    SPLIT_FILE = "hm3d_split.npz"


@DATASETS.register_module()
class HypersimNeRF(RadianceGridDataset):
    """Hypersim scenes, whose released grids hold opacity already."""

    DENSITY_KIND = "alpha"
    SPLIT_FILE = "hypersim_split.npz"


@DATASETS.register_module()
class ScanNetNeRF(RadianceGridDataset):
    """ScanNet scenes; 60, 15 and 15 for detection, density of a field with a ReLU."""

    DENSITY_KIND = "relu"
    SPLIT_FILE = "scannet_split.npz"


@DATASETS.register_module()
class NeRFMAEPretraining(RadianceGridDataset):
    """The mix of Front3D, HM3D and Hypersim that NeRF-MAE pre-trains on.

    The official script reads all of its grids as raw density, those of Hypersim too.
    """

    DENSITY_KIND = "raw_exp"
    SPLIT_FILE = "nerfmae_split.npz"


@DATASETS.register_module()
class SyntheticGrids(RadianceGridDataset):
    """Rooms of the synthetic world, whose grids say themselves that they hold opacity."""

    CLASSES = ("void", *ROOM_CLASSES)
    SPLIT_FILE = "synthetic_split.npz"
    REMEDY = "make it with: dense3d make-synthetic grids {0}"
