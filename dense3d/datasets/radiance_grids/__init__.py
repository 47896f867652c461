"""Data sets of radiance grids with boxes, voxel labels and finer grids: the releases' layouts, our own."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "base": ["RadianceGridDataset"],
        "loading": ["LoadRadianceGrid", "PackGridInputs"],
        "releases": [
            "Front3DNeRF",
            "HM3DNeRF",
            "HypersimNeRF",
            "NeRFMAEPretraining",
            "ScanNetNeRF",
            "SyntheticGrids",
        ],
    },
)
