"""What the command lines do, from Python.

    from dense3d.apis import train, test, infer
    run = train("dino_r18_synthetic-coco")
    test(run.config, run.checkpoint)
    infer(run.config, run.checkpoint, ["photos/*.jpg"], out="results")

Names are imported on first use, so that command lines can answer ``--help`` without torch.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "browsing": ["browse", "check_data"],
        "building": ["build_model"],
        "cloud_inference": ["CloudReport", "infer_clouds"],
        "cloud_prediction": ["CloudPredictor"],
        "cloud_probes": ["probe_clouds"],
        "grid_inference": ["GridReport", "infer_grids"],
        "grid_prediction": ["GridPredictor"],
        "comparison": ["compare_runs"],
        "conversion": ["convert_checkpoint"],
        "depth_curve": ["exit_curve"],
        "depth_derivation": ["derive_depths"],
        "exporting": ["export_detector"],
        "few_shot": ["few_shot"],
        "grid_extraction": ["GridReport", "extract_grid"],
        "inference": ["infer"],
        "kitti_evaluation": ["evaluate_kitti"],
        "pair_exporting": ["export_pair_network"],
        "pair_inference": ["infer_pairs", "PairReport"],
        "pair_prediction": ["PairPredictor"],
        "panoptic_evaluation": ["evaluate_panoptic"],
        "prediction": ["load", "Predictor"],
        "relation_analysis": ["analyse_relations"],
        "scene_inference": ["SceneReport", "infer_scenes"],
        "scene_prediction": ["ScenePredictor"],
        "scene_probes": ["probe_scenes"],
        "splat_fitting": ["FitReport", "fit_splats"],
        "splat_rendering": ["RenderReport", "render_splats"],
        "testing": ["test"],
        "training": ["train", "TrainedRun"],
    },
)
