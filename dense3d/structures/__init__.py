"""Plain data: cameras, calibrations, rigs, oriented boxes, point clouds, volumes and radiance grids.

Names are imported on first use.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "boxes3d": [
            "Boxes3D",
            "alpha_from_rotation_y",
            "boxes_of_corners",
            "rotation_y_from_alpha",
            "wrap_angle",
        ],
        "camera": ["PinholeCamera"],
        "cloud_files": ["read_cloud", "write_cloud"],
        "grid_sample": ["GridDataSample"],
        "kitti_calibration": ["KittiCalibration"],
        "occlusion": ["occlusion_level"],
        "point_cloud": ["PointCloud"],
        "point_sample": ["PointDataSample"],
        "projected_boxes": ["ProjectedBoxes", "project_boxes"],
        "radiance_grid": ["RadianceGrid"],
        "rectified_rig": ["RectifiedRig"],
        "stereo_sample": ["StereoSample"],
        "volume": ["Volume", "VolumeSource"],
        "volume_axes": ["AxisOrder", "axis_codes", "to_ras"],
    },
)
