"""Small variants of the detectors of 3D boxes."""

from __future__ import annotations

WIDTH = 32
NAMES = ("Pedestrian", "Car", "Cyclist")


def mono_detr(backbone: dict, maps: int) -> dict:
    """MonoDETR on one level more than the backbone has maps."""
    neck = dict(
        type="mmdet.ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=WIDTH,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=8),
        num_outs=maps + 1,
    )
    source = dict(type="PyramidDepthSource")
    return _detector("MonoDETR", backbone, neck, source, num_levels=maps + 1)


def monodino_detr(backbone: dict, _maps: int) -> dict:
    """MonoDINO-DETR with anchors and the relation of Relation-DETR."""
    neck = dict(
        type="HierarchicalFeatureFusion",
        in_channels="backbone",
        hidden_channels=(WIDTH, WIDTH),
        out_channels=WIDTH,
    )
    return _detector(
        "MonoDINODETR",
        backbone,
        neck,
        dict(type="RelativeDepthSource"),
        num_levels=3,
        input_size=(112, 112),  # patches have 14 or 16 pixels
        depth_head=dict(type="DPTHead", in_channels="backbone", hidden_channels=(8, 8, 16, 16), channels=8),
        anchors=True,
        relation=dict(type="PositionRelation", embed_dims=16, num_heads=4),
    )


def _detector(name: str, backbone: dict, neck: dict, source: dict, **settings) -> dict:
    return dict(
        type=f"dense3d.{name}",
        data_preprocessor=dict(
            type="ImgDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
        ),
        backbone=backbone,
        neck=neck,
        depth_predictor=dict(source=source, num_heads=4, feedforward_channels=64),
        class_names=NAMES,
        num_queries=10,
        num_groups=2,
        embed_dims=WIDTH,
        num_heads=4,
        feedforward_channels=64,
        encoder_layers=1,
        decoder_layers=2,
        test_cfg=dict(max_per_img=10, score_thr=0.0),
        **settings,
    )
