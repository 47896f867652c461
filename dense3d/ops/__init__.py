"""Functions on tensors: no weights, no registry. Each runs everywhere; ``backends()`` lists what serves it.

Names are imported on first use, so that ``import dense3d.ops`` costs nothing.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "assignment": ["linear_sum_assignment"],
        "banded": ["band_attention", "band_attention_reference", "band_mask"],
        "box_nms": ["batched_nms", "nms", "nms_match", "soft_nms"],
        "boxes": ["bbox_overlaps"],
        "boxes3d": ["points_in_boxes_all", "points_in_boxes_part"],
        "chamfer": ["chamfer_distance", "chamfer_distance_reference", "chamfer_loss"],
        "curves": [
            "curve_order",
            "hilbert_code",
            "hilbert_code_reference",
            "morton_code",
            "morton_code_reference",
        ],
        "deform_conv": ["deform_conv2d", "deform_conv2d_reference", "modulated_deform_conv2d"],
        "deformable_attention": [
            "multi_scale_deformable_attention",
            "multi_scale_deformable_attention_reference",
        ],
        "disparity": ["fill_from_left", "left_right_check", "resize_disparity", "warp_by_disparity"],
        "dispatch": ["backends", "register_backend", "select_backend"],
        "farthest_points": ["farthest_point_sample", "farthest_point_sample_reference"],
        "focal_loss": ["sigmoid_focal_loss", "softmax_focal_loss"],
        "gaussian_colors": ["rgb_to_sh", "sh_to_rgb", "spherical_harmonics", "spherical_harmonics_reference"],
        "gaussian_initialisation": ["gaussians_from_points"],
        "gaussian_projection": ["project_gaussians"],
        "gaussian_rasterization": ["rasterize_gaussians", "rasterize_gaussians_reference"],
        "grid_rendering": ["grid_occupancy", "render_grid", "render_grid_reference"],
        "grouping": ["ball_query", "ball_query_reference", "gather_points", "group_points"],
        "lane_nms": ["line_nms"],
        "local_ops": ["carafe", "masked_conv2d", "psa_mask"],
        "mmcv_imports": ["install_mmcv_extension", "mmcv_extension_state"],
        "nearest_points": [
            "interpolate_nearest",
            "interpolate_nearest_reference",
            "knn",
            "knn_reference",
        ],
        "photometric": ["photometric_loss", "structural_similarity"],
        "roi": ["deform_roi_pool", "roi_align", "roi_align_reference", "roi_align_rotated", "roi_pool"],
        "rotated": ["box_iou_rotated", "box_iou_rotated_reference", "nms_rotated"],
        "rotated3d": ["box_iou_3d", "box_iou_3d_loss", "box_iou_3d_reference", "nms_3d"],
        "sampling": ["point_sample"],
        "sparse_convolution": ["ConvRules", "sparse_conv", "sparse_conv_reference"],
        "voxel_hash": ["VoxelHash", "cube_offsets"],
        "voxels": ["unique_voxels", "voxel_coordinates", "voxelize", "voxelize_reference"],
        # helpers of these two are imported from volume_rendering_rays, _surfaces and _tables
        "volume_rendering": ["composite", "composite_reference"],
        "volume_rendering_casting": ["cast_rays", "cast_rays_reference"],
    },
)
