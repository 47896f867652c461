"""Readers and writers of volumes and their segmentations.

>>> from dense3d.datasets.volumes import open_volume
>>> open_volume("scan.nii.gz").canonical().reduced(256).shape  # doctest: +SKIP
(256, 256, 160)
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "header": ["VolumeHeader"],
        "opening": ["open_volume", "volume_header", "volume_of"],
        "raw": ["RawLayout"],
        "segmentation": ["Segmentation"],
        "segmentation_reading": ["read_segmentation"],
        "segmentation_writing": ["SEGMENTATION_FORMATS", "write_segmentation"],
        "meshes": ["write_meshes"],
    },
)
