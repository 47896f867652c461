"""What pre-training on scenes makes of folders of photographs: pictures, renderings with depth, clouds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.scene_pipelines import named_scenes
from dense3d.apis.scene_prediction import ScenePredictor
from dense3d.files import require_writable_folder
from dense3d.json_files import write_json
from dense3d.results.names import FileNames


@dataclass
class SceneReport:
    """What a run of :func:`infer_scenes` wrote, and the scenes that it left out.

    Attributes:
        results: ``predictions.json``.
        found: for each scene a few words, by name.
        pictures, files: in the order of the scenes.
        left_out: scenes that cannot be read or that the model refuses, and why.
    """

    results: Path
    found: dict[str, str] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def infer_scenes(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: Any,
    out: str | Path,
    device: str | None = None,
    options: dict[str, Any] | None = None,
) -> SceneReport:
    """Run stage one or two of Gaussian2Scene, or PiMAE, on scenes and write what it makes of them.

    Args:
        config, checkpoint, device, options: see :class:`ScenePredictor`.
        inputs: see :class:`ScenePredictor`.
        out: folder; gets ``pictures/*.png``, ``clouds/*.ply``, ``predictions.json``, and of stage two
            ``renderings/*.npz`` with colours and depths.

    Raises:
        ConfigError: ``out`` cannot be written to.
        DataError: an input is not there. Scenes that cannot be read or that the model refuses are left out.
    """
    out = Path(out)
    require_writable_folder(out)
    named_scenes(inputs)  # what is wrong with the inputs is said before the network is built
    predictor = ScenePredictor(config, checkpoint, device, options)
    report, names, rows = SceneReport(out / "predictions.json"), FileNames(), []
    for result in predictor.each(inputs):
        if result.error is not None:
            report.left_out[result.name] = result.error
            continue
        stem = names.of(result.name.replace("/", "_") + ".png")
        report.found[result.name] = str(result)
        report.pictures.append(result.save(out / "pictures" / f"{stem}.png"))
        report.files.append(result.save(out / "clouds" / f"{stem}.ply"))
        if result.depths is not None:
            report.files.append(result.save(out / "renderings" / f"{stem}.npz"))
        rows.append(result.to_dict())
    write_json(report.results, rows)
    return report
