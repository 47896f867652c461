"""Networks on point clouds, and what goes with them."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "classifier": ["PointClassifier"],
        "data_preprocessor": ["PointDataPreprocessor"],
        "hunet": ["HUNet"],
        "scene_features": ["SceneFeatures"],
        "part_segmenter": ["PartSegmenter"],
        "point_tokenizer": ["PointTokenizer"],
        "pointnet2": ["PointNet2"],
        "scene_segmenter": ["SceneSegmenter"],
        "set_abstraction": ["PointFeatures", "SetAbstraction"],
        "transformer": ["PointTransformer"],
        "voxel_seeds": ["VoxelSeeds"],
    },
)
