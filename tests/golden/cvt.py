"""Golden adapter of CvT (system ``cvt``).

The kits floor odd sizes at the first convolution, as the official code does; the adapter therefore runs the
stages without the padding that the backbone adds.
"""

from __future__ import annotations

from torch import Tensor, nn

from dense3d.backbones import CvT
from dense3d.backbones.cvt import Stage
from dense3d.checkpoints import cvt as converters
from tests.golden import UnknownCheckError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_place
from tests.golden.options import Options
from tests.golden.weights import load_kit, load_strictly, tensors_of

_PROJECTIONS = {"dw_bn": "conv", "avg": "avg", "linear": "linear"}
_ACTIVATIONS = {"x*sigmoid(1.702x)": "quick_gelu", "QuickGELU": "quick_gelu", "gelu": "gelu", "GELU": "gelu"}
_PER_STAGE = {  # official list -> key of ours
    "PATCH_SIZE": "kernel",
    "PATCH_STRIDE": "stride",
    "PATCH_PADDING": "kernel_padding",
    "DIM_EMBED": "dims",
    "NUM_HEADS": "num_heads",
    "DEPTH": "depths",
    "MLP_RATIO": "mlp_ratio",
    "QKV_BIAS": "qkv_bias",
    "CLS_TOKEN": "class_token",
    "KERNEL_QKV": "projection_kernel",
    "PADDING_KV": "key_padding",
    "STRIDE_KV": "key_stride",
    "PADDING_Q": "query_padding",
    "STRIDE_Q": "query_stride",
}


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and its tail, and load their weights."""
    arch = _architecture(kit.options)
    model = load_kit(CvT(arch, output_norm=False, in_channels=kit.options.take("in_chans", 3)), kit, "cvt")
    head = model.class_head(kit.options.take("num_classes", 1000))
    load_strictly(head, converters.convert_head(tensors_of(kit)), kit)

    def features(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, found = model.stem(inputs["image"]), {}
        for index in range(len(model.depths)):
            tokens, grid = model.tokens(index, x)
            prefix = model.stages[index].num_prefix
            x = tokens[:, prefix:].transpose(1, 2).unflatten(2, grid)
            found[f"f{index + 1}"] = x
        return found | {"cls": tokens[:, :1]}

    def logits(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": head(model.embed(inputs["image"]))}

    def part(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        stage, block = _place(kit, check, model, inputs["tokens"].shape[-1])
        module = block.attn if check["name"].startswith("mixer") else block
        grid = tuple(int(side) for side in inputs["hw"])
        return {"y": module(inputs["tokens"], grid, stage.num_prefix)}

    return by_name({"features": features, "logits": logits, "mixer": part, "block": part})


def _architecture(options: Options) -> dict:
    # of training alone; nothing in the official network reads POS_EMBED
    options.neutral("INIT", "ATTN_DROP_RATE", "DROP_RATE", "DROP_PATH_RATE", "POS_EMBED")
    count = options.take("NUM_STAGES")
    arch = {ours: list(options.take(official))[:count] for official, ours in _PER_STAGE.items()}
    methods = list(options.take("QKV_PROJ_METHOD"))[:count]
    unknown = [method for method in methods if method not in _PROJECTIONS]
    if unknown:
        raise options.refusal("QKV_PROJ_METHOD", unknown[0], f"supported are {', '.join(_PROJECTIONS)}")
    arch["projection"] = [_PROJECTIONS[method] for method in methods]
    arch["activation"] = options.choose("act_layer", _ACTIVATIONS, "gelu")
    arch["norm_eps"] = options.take("norm_eps", 1e-5)
    return arch


def _place(kit: GoldenKit, check: dict, model: CvT, width: int) -> tuple[Stage, nn.Module]:
    """The stage and block that the note names."""
    number, block = stated_place(kit, check)
    if number >= len(model.depths) or model.channels[number] != width:
        raise UnknownCheckError(f"{check['name']}: stage {number} of this CvT has no {width} channels")
    return model.stages[number], model.stages[number].blocks[block]
