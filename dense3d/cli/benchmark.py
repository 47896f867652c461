"""Time dense3d next to its peers and print the ratios.

All run in turns within one process.
"""

from __future__ import annotations

import argparse

from dense3d.benchmarks import SUITES
from dense3d.cli.common import at_least_one
from dense3d.errors import ConfigError

EPILOG = (
    "A ratio is a peer's time over dense3d's, the median of the turns; for models speed and "
    "peak memory are multiples of the first line's. "
    "Examples: dense3d benchmark ops nms roi_align --threads 2 --markdown table.md; "
    "dense3d benchmark models relation-detr --device cuda --compile"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", help=f"what to time: {', '.join(SUITES)}")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these cases; a wrong name lists them")
    parser.add_argument("--only", nargs="+", metavar="CASE", default=[], help="the same")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ... (default: cpu)")
    parser.add_argument("--threads", type=at_least_one, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--repeats", type=at_least_one, default=7, help="timings of each implementation (default: 7)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write all timings here")
    parser.add_argument("--markdown", metavar="FILE", help="also write the table here")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count the processor's seconds, on a CPU that others use, too; with --threads 1",
    )
    images = parser.add_argument_group("suites models and backbones")
    images.add_argument(
        "--size",
        nargs="+",
        default=None,
        metavar="SIZE",
        help="of images: HEIGHTxWIDTH of models (default: 800x1333), sides of backbones (default: 224)",
    )
    images.add_argument(
        "--batch", type=at_least_one, nargs="+", default=None, help="batch sizes (default of models: 2 1)"
    )
    images.add_argument("--precision", nargs="+", metavar="NAME", default=None, help="default: fp32 bf16")
    scaling = parser.add_argument_group("suite backbones")
    scaling.add_argument(
        "--scaling",
        action="store_true",
        help="instead: time mixers of tokens over the size of images, draw it, print how they grow",
    )
    scaling.add_argument(
        "--out",
        metavar="FILE",
        default="backbone-scaling.png",
        help="the picture (default: backbone-scaling.png)",
    )
    models = parser.add_argument_group("suite models")
    models.add_argument("--mode", nargs="+", choices=("inference", "training"), default=None)
    models.add_argument("--compile", action="store_true", help="also with torch.compile")
    models.add_argument("--tiny", action="store_true", help="small models, to try the benchmark itself")
    stereo = parser.add_argument_group("suite stereo (cases are pairs of the sample data)")
    stereo.add_argument(
        "--model",
        nargs=3,
        action="append",
        metavar=("LABEL", "CONFIG", "CHECKPOINT"),
        help="a network beside semi-global matching; may be given several times; one whose config trains on "
        "other data is called transfer",
    )
    stereo.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="make images smaller by this factor for the networks (default: 1)",
    )
    stereo.add_argument(
        "--pictures",
        metavar="DIR",
        help="draw the disparity maps there; suite rasterize: time and memory over the number of Gaussians",
    )
    clicks = parser.add_argument_group("suite transfer-function (cases are volumes of the sample data)")
    clicks.add_argument(
        "--rule",
        choices=("random", "error"),
        default="random",
        help="where simulated clicks fall: in the interior of structures, or in the largest error",
    )
    clicks.add_argument("--checkpoint", metavar="FILE", help="of a ViT, whose features take part, too")


def run(arguments: argparse.Namespace) -> None:
    common = dict(
        only=[*arguments.cases, *arguments.only],
        device=arguments.device,
        threads=arguments.threads,
        json_file=arguments.json,
        markdown_file=arguments.markdown,
    )
    if arguments.suite == "models":
        from dense3d.benchmarks.model_run import benchmark_models

        size = arguments.size or ["800x1333"]
        if len(size) > 1:
            raise ConfigError(f"--size {' '.join(size)}: models are timed at one size at a time")
        conditions = dict(repeats=arguments.repeats, batches=tuple(arguments.batch or (2, 1)))
        if arguments.mode:
            conditions["modes"] = tuple(arguments.mode)
        if arguments.precision:
            conditions["precisions"] = tuple(arguments.precision)
        if arguments.compile:
            conditions["compiled"] = (False, True)
        benchmark_models(size=size[0], conditions=conditions, tiny=arguments.tiny, **common)
    elif arguments.suite == "stereo":
        from dense3d.benchmarks.stereo_run import benchmark_stereo

        files = {name: common[name] for name in ("only", "json_file", "markdown_file")}
        benchmark_stereo(
            models=arguments.model or (), scale=arguments.scale, pictures=arguments.pictures, **files
        )
    elif arguments.suite == "backbones":
        from dense3d.benchmarks.backbone_run import benchmark_backbones

        benchmark_backbones(
            sizes=arguments.size or (),
            batches=arguments.batch or (),
            precisions=arguments.precision or (),
            scaling_file=arguments.out if arguments.scaling else None,
            repeats=arguments.repeats,
            cpu_time=arguments.cpu_time,
            **common,
        )
    elif arguments.suite == "transfer-function":
        from dense3d.benchmarks.transfer_function_run import benchmark_transfer_function

        benchmark_transfer_function(rule=arguments.rule, checkpoint=arguments.checkpoint, **common)
    else:
        from dense3d.benchmarks.run import benchmark

        is_drawn = arguments.suite == "rasterize" and arguments.pictures
        if is_drawn:
            from dense3d.benchmarks.rasterize import check_drawn, draw_scaling

            check_drawn(common["only"])
        timings = benchmark(arguments.suite, repeats=arguments.repeats, cpu_time=arguments.cpu_time, **common)
        if is_drawn:
            print(draw_scaling(timings, arguments.pictures))
