"""The plain vision transformers that were released, as values of one :class:`ViTArchitecture`."""

from __future__ import annotations

from dataclasses import dataclass

from dense3d.backbones.plain import read_architecture
from dense3d.errors import ConfigError


@dataclass(frozen=True)
class ViTArchitecture:
    """What decides the names and shapes of a vision transformer's weights, and their meaning.

    Attributes:
        embed_dim: channels of a token, D.
        depth: number of blocks.
        num_heads: heads of the attention.
        patch_size: side of a patch in pixels.
        pretrain_size: side in pixels of the square image that the position table is for.
        in_channels: channels of the image.
        mlp_ratio: width of the feed-forward network in multiples of D.
        ffn: ``"mlp"`` (GELU) or ``"swiglu"``, which is narrower by a third.
        swiglu_multiple: the width of a SwiGLU is rounded up to a multiple of this.
        qkv_bias: ``"full"``, ``"query_value"`` (BEiT, DINOv3: keys have none) or ``"none"``.
        qk_scale: factor of the products of queries and keys; one over the root of a head's channels for None.
        layer_scale: initial factor of the residual branches; None for branches without one.
        num_registers: tokens beside the class token (registers, storage tokens, distillation token).
        distilled: whether the first of them is a distillation token, of which a classifier has a head.
        mask_token: whether there is a token for masked patches; it is learnt in masked pre-training only,
            which sets its ``requires_grad``.
        class_token: whether there is a class token.
        position: ``"learned"`` table, fixed ``"sincos"`` table, ``"rope"`` (relative to the image's size),
            ``"grid_rope"`` (whole numbers, :class:`dense3d.layers.GridRope`, which takes ``rope_base``) or
            None.
        position_antialias, position_offset: how the table is resized, see
            :func:`dense3d.layers.patch_embed.resize_position_table`.
        relative_position: whether each block has a table of relative position biases.
        rope_base, rope_min_period, rope_max_period, rope_normalize, rope_shift: see
            :class:`dense3d.layers.rotary.AxialRope`.
        rope_jitter, rope_rescale, rope_dtype: likewise.
        norm: ``"layer"``, or ``"rms"`` (root mean square, without mean and bias).
        norm_eps: epsilon of the norms.
        final_norm: whether there is a norm after the last block, through which every returned map goes.
        untied_norms: whether class token and registers have a final norm of their own.
        residual_blocks: blocks followed by a convolutional bottleneck (ViTDet).
    """

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int = 16
    pretrain_size: int = 224
    in_channels: int = 3
    mlp_ratio: float = 4.0
    ffn: str = "mlp"
    swiglu_multiple: int = 8
    qkv_bias: str = "full"
    qk_scale: float | None = None
    ffn_bias: bool = True
    proj_bias: bool = True
    layer_scale: float | None = None
    num_registers: int = 0
    distilled: bool = False
    mask_token: bool = False
    class_token: bool = True
    position: str | None = "learned"
    position_antialias: bool = False
    position_offset: float = 0.0
    relative_position: bool = False
    rope_base: float | None = 100.0
    rope_min_period: float | None = None
    rope_max_period: float | None = None
    rope_normalize: str = "separate"
    rope_shift: float | None = None
    rope_jitter: float | None = None
    rope_rescale: float | None = None
    rope_dtype: str = "float32"
    norm: str = "layer"
    norm_eps: float = 1e-6
    final_norm: bool = True
    untied_norms: bool = False
    residual_blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        positions = ("learned", "sincos", "rope", "grid_rope", None)
        for name, allowed in (("ffn", ("mlp", "swiglu")), ("position", positions)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}={getattr(self, name)!r} of a ViT: use one of {allowed}")
        if self.pretrain_size < self.patch_size:
            raise ConfigError(
                f"pretrain_size={self.pretrain_size} of a ViT holds no patch of {self.patch_size} pixels"
            )

    @property
    def table_grid(self) -> tuple[int, int]:
        """Rows and columns of the position table."""
        return (self.pretrain_size // self.patch_size,) * 2


_TINY = dict(embed_dim=192, depth=12, num_heads=3)
_SMALL = dict(embed_dim=384, depth=12, num_heads=6)
_BASE = dict(embed_dim=768, depth=12, num_heads=12)
_LARGE = dict(embed_dim=1024, depth=24, num_heads=16)
_HUGE = dict(embed_dim=1280, depth=32, num_heads=16)
_HUGE_PLUS = dict(embed_dim=1280, depth=32, num_heads=20)
_GIANT = dict(embed_dim=1536, depth=40, num_heads=24)
_7B = dict(embed_dim=4096, depth=40, num_heads=32)

_BEIT = dict(qkv_bias="query_value", layer_scale=0.1, position=None, relative_position=True, final_norm=False)
_DISTILLED = dict(num_registers=1, distilled=True)
_DINO = dict(position_offset=0.1)
_DINOV2 = dict(patch_size=14, pretrain_size=518, layer_scale=1.0, mask_token=True, position_offset=0.1)
_DINOV2_REG = {**_DINOV2, "num_registers": 4, "position_offset": 0.0, "position_antialias": True}
_DINOV3 = dict(
    qkv_bias="query_value",
    layer_scale=1e-5,
    num_registers=4,
    mask_token=True,
    position="rope",
    rope_rescale=2.0,
    norm_eps=1e-5,
)
_CROCO = dict(class_token=False, position="sincos")
_CROCO_V2 = dict(class_token=False, position="grid_rope")
_PLUS = dict(ffn="swiglu", mlp_ratio=6.0)

# Names are those of the official repositories where these have one.
ARCHITECTURES: dict[str, dict] = {
    "deit_tiny_patch16": _TINY,
    "deit_small_patch16": _SMALL,
    "deit_base_patch16": _BASE,
    "deit_tiny_distilled_patch16": {**_TINY, **_DISTILLED},
    "deit_small_distilled_patch16": {**_SMALL, **_DISTILLED},
    "deit_base_distilled_patch16": {**_BASE, **_DISTILLED},
    "augreg_tiny_patch16": _TINY,
    "augreg_small_patch16": _SMALL,
    "augreg_base_patch16": _BASE,
    "augreg_large_patch16": _LARGE,
    "mae_base_patch16": {**_BASE, "position": "sincos"},
    "mae_large_patch16": {**_LARGE, "position": "sincos"},
    "mae_huge_patch14": {**_HUGE, "patch_size": 14, "position": "sincos"},
    "beit_base_patch16": {**_BASE, **_BEIT},
    "beit_large_patch16": {**_LARGE, **_BEIT, "layer_scale": 1e-5},
    "beitv2_base_patch16": {**_BASE, **_BEIT},
    "beitv2_large_patch16": {**_LARGE, **_BEIT, "layer_scale": 1e-5},
    "croco_base_patch16": {**_BASE, **_CROCO},
    "croco_v2_small_patch16": {**_SMALL, **_CROCO_V2},
    "croco_v2_base_patch16": {**_BASE, **_CROCO_V2},
    "croco_v2_large_patch16": {**_LARGE, **_CROCO_V2},
    "dino_vits16": {**_SMALL, **_DINO},
    "dino_vits8": {**_SMALL, **_DINO, "patch_size": 8},
    "dino_vitb16": {**_BASE, **_DINO},
    "dino_vitb8": {**_BASE, **_DINO, "patch_size": 8},
    "dinov2_vits14": {**_SMALL, **_DINOV2},
    "dinov2_vitb14": {**_BASE, **_DINOV2},
    "dinov2_vitl14": {**_LARGE, **_DINOV2},
    "dinov2_vitg14": {**_GIANT, **_DINOV2, "ffn": "swiglu"},
    "dinov2_vits14_reg": {**_SMALL, **_DINOV2_REG},
    "dinov2_vitb14_reg": {**_BASE, **_DINOV2_REG},
    "dinov2_vitl14_reg": {**_LARGE, **_DINOV2_REG},
    "dinov2_vitg14_reg": {**_GIANT, **_DINOV2_REG, "ffn": "swiglu"},
    "dinov3_vits16": {**_SMALL, **_DINOV3},
    "dinov3_vits16plus": {**_SMALL, **_DINOV3, **_PLUS},
    "dinov3_vitb16": {**_BASE, **_DINOV3},
    "dinov3_vitl16": {**_LARGE, **_DINOV3},
    "dinov3_vitl16plus": {**_LARGE, **_DINOV3, **_PLUS},
    "dinov3_vith16plus": {**_HUGE_PLUS, **_DINOV3, **_PLUS},
    "dinov3_vit7b16": {
        **_7B,
        **_DINOV3,
        "ffn": "swiglu",
        "mlp_ratio": 3.0,
        "swiglu_multiple": 64,
        "qkv_bias": "none",
    },
}

# One small network of each pre-training, for tables of what goes with what.
TINY: dict[str, dict] = {
    family: dict(name=name, embed_dim=32, depth=4, num_heads=2, pretrain_size=56)
    for family, name in (
        ("DeiT", "deit_tiny_patch16"),
        ("MAE", "mae_base_patch16"),
        ("BEiT", "beit_base_patch16"),
        ("DINOv2", "dinov2_vits14"),
        ("DINOv3", "dinov3_vits16"),
    )
}


def architecture(arch: str | dict | ViTArchitecture) -> ViTArchitecture:
    """The architecture of a name, of a dict of its attributes, or of a name with attributes that differ.

    Args:
        arch: ``"dinov2_vits14"``, or ``dict(name="dinov2_vits14", depth=4)``, or a dict without a name, which
            then needs ``embed_dim``, ``depth`` and ``num_heads``.

    Raises:
        ConfigError: unknown name or attribute, or one is missing; the message lists the nearest.

    Example:
        >>> architecture("dinov3_vits16").num_registers
        4
        >>> architecture(dict(name="deit_tiny_patch16", patch_size=8)).table_grid
        (28, 28)
    """
    return read_architecture(ViTArchitecture, ARCHITECTURES, arch, "ViT")
