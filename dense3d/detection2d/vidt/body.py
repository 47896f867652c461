"""ViDT's body: a Swin whose blocks carry [DET] tokens beside the patches (reconfigured attention, RAM).

Song et al., "ViDT", ICLR 2022 (arXiv 2110.03921), section 3.1; official code github.com/naver-ai/vidt.
Patches attend within their windows as in Swin and never see a [DET] token. [DET] tokens attend to each other,
and in the stages of ``cross_indices`` to all patches as well. Both share norms, projections and MLP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.swin_transformer import PatchMerging

from dense3d.backbones.swin import Swin
from dense3d.backbones.window_attention import MASKED
from dense3d.errors import ConfigError
from dense3d.layers.attention import biased_attention
from dense3d.registry import MODELS

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

# ViDT's own size beside Swin's; heads have 16 channels.
NANO = dict(embed_dim=48, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24))


@dataclass
class BodyTokens:
    """What the body hands to the neck."""

    maps: list[Tensor]  # (B, C_i, h_i, w_i), fine to coarse: strides 8, 16, 32 and, merged once more, 64
    det: Tensor  # (B, n, C) [DET] tokens after the last stage
    det_position: Tensor  # (1, n, P)


@MODELS.register_module()
class ReconfiguredSwin(Swin):
    """Swin (version 1) with [DET] tokens.

    As a backbone it gives its maps of strides 8 to 64; :meth:`encode` gives the [DET] tokens too.

    Args:
        arch: ``"nano"`` (48 channels), a size of :class:`~dense3d.backbones.Swin`, or a dict as there.
        num_det_tokens: [DET] tokens, the most detections of an image.
        pos_dim: channels of their position, and of the map of the last merging.
        cross_indices: stages in which [DET] tokens attend to the patches.
        last_merging: merge the patches after the last stage once more.
        **swin: other arguments of :class:`~dense3d.backbones.Swin`, except ``version``, ``out_indices``,
            ``output_norm`` and those that only version 2 has.

    Raises:
        ConfigError: no [DET] token, stages that do not exist, arguments of another version.

    Example:
        >>> arch = dict(embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
        >>> body = ReconfiguredSwin(arch, num_det_tokens=5, pos_dim=32, window_size=4)
        >>> [tuple(m.shape) for m in body(torch.zeros(1, 3, 64, 96))]
        [(1, 32, 8, 12), (1, 64, 4, 6), (1, 128, 2, 3), (1, 32, 1, 2)]
        >>> body.encode(torch.zeros(1, 3, 64, 96)).det.shape
        torch.Size([1, 5, 128])
    """

    def __init__(
        self,
        arch: str | dict = "tiny",
        num_det_tokens: int = 100,
        pos_dim: int = 256,
        cross_indices: Sequence[int] = (3,),
        last_merging: bool = True,
        **swin,
    ) -> None:
        for name in ("version", "out_indices", "output_norm", "pretrained_window_sizes"):
            if name in swin:
                raise ConfigError(
                    f"ReconfiguredSwin has no {name}: it is a Swin of version 1 that hands out all maps but "
                    "the first, without norms; leave it out"
                )
        if num_det_tokens < 1:
            raise ConfigError(f"num_det_tokens={num_det_tokens}: without [DET] tokens nothing is detected")
        arch = NANO if arch == "nano" else arch
        stages = len(arch.get("depths", NANO["depths"])) if isinstance(arch, dict) else 4
        super().__init__(arch, output_norm=False, out_indices=range(stages), **swin)
        if any(not 0 <= index < stages for index in cross_indices):
            raise ConfigError(f"cross_indices={tuple(cross_indices)}, but the stages are 0..{stages - 1}")
        self.cross_indices = tuple(cross_indices)
        self.out_channels, self.out_strides = self.out_channels[1:], self.out_strides[1:]
        self.det_token = nn.Parameter(torch.empty(1, num_det_tokens, self.channels[0]))
        self.det_pos_embed = nn.Parameter(torch.empty(1, num_det_tokens, pos_dim))
        self.det_pos_linear = nn.ModuleList(
            nn.ModuleList(nn.Linear(pos_dim, dim) for _ in range(depth))
            for dim, depth in zip(self.channels, self.depths)
        )
        self.last_merging = None
        if last_merging:
            self.last_merging = PatchMerging(self.channels[-1])
            self.last_merging.reduction = nn.Linear(4 * self.channels[-1], pos_dim, bias=False)
            self.out_channels += (pos_dim,)
            self.out_strides += (2 * self.out_strides[-1],)
        for parameter in (self.det_token, self.det_pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        linears = [*self.det_pos_linear.modules(), *(self.last_merging or nn.Identity()).modules()]
        for linear in linears:
            if isinstance(linear, nn.Linear):
                nn.init.trunc_normal_(linear.weight, std=0.02)
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` to its maps, as the contract of backbones has it."""
        return tuple(self.encode(images).maps)

    def encode(self, images: Tensor, padding: Tensor | None = None) -> BodyTokens:
        """Maps and [DET] tokens.

        Args:
            images: ``(B, 3, H, W)``.
            padding: boolean ``(B, H, W)``, True where padded; None: nowhere.

        Raises:
            DataError: the batch has another number of channels, or no pixels.
        """
        self.check_images(images)
        height, width = images.shape[-2:]
        if padding is None:
            padding = torch.zeros(len(images), height, width, dtype=torch.bool, device=images.device)
        images = F.pad(images, (0, -width % self.patch_size, 0, -height % self.patch_size))
        x = self.stem(images)  # (B, h, w, C)
        det = self.det_token.expand(len(x), -1, -1)
        divisor = 2 ** (len(self.channels) - len(self.cross_indices))
        padding = resize_mask(padding, [max(1, side // divisor) for side in x.shape[1:3]])
        maps = []
        for index in range(len(self.channels)):
            if index:
                merging = self.downsampling(index)
                x, det = merging(x), merge_det_tokens(merging, det)
            x, det = self.run_stage(index, x, det, padding)
            maps.append(x)
        if self.last_merging is not None:
            maps.append(self.last_merging(x))
        return BodyTokens([m.permute(0, 3, 1, 2) for m in maps[1:]], det, self.det_pos_embed)

    def run_stage(
        self, index: int, x: Tensor, det: Tensor, padding: Tensor, cross: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Blocks of one stage.

        Args:
            index: of the stage.
            x: patches ``(B, h, w, C)``.
            det: ``(B, n, C)``.
            padding: boolean ``(B, h', w')``, resized to the patches.
            cross: whether [DET] tokens attend to patches; as ``cross_indices`` says unless given.
        """
        position, bias = None, None
        if (index in self.cross_indices) if cross is None else cross:
            padding = resize_mask(padding, x.shape[1:3])
            position = patch_position(padding, x.shape[-1]).flatten(1, 2)  # (B, h w, C)
            hidden = F.pad(padding.flatten(1).to(x.dtype) * MASKED, (0, det.shape[1]))  # (B, h w + n)
            bias = hidden[:, None, None]
        for block, project in zip(self.blocks(index), self.det_pos_linear[index]):
            arguments = (block, x, det, project(self.det_pos_embed), position, bias)
            if self.with_cp and self.training:
                x, det = checkpoint(reconfigured_block, *arguments, use_reentrant=False)
            else:
                x, det = reconfigured_block(*arguments)
        return x, det

    def layer_ids(self) -> dict[str, int]:
        """As Swin's; the projection of positions counts with its block, the last merging with the last."""
        ids = super().layer_ids()
        for name in ids:
            parts = name.split(".")
            if parts[0] == "det_pos_linear":
                ids[name] = sum(self.depths[: int(parts[1])]) + int(parts[2]) + 1
            elif parts[0] == "last_merging":
                ids[name] = sum(self.depths)
        return ids

    def no_weight_decay(self) -> set[str]:
        """[DET] tokens and their positions; the official recipe decays Swin's tables."""
        return {"det_token", "det_pos_embed"}

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """As Swin's; a plain Swin has no [DET] tokens, which then keep their initial values."""
        own = ("det_", "last_merging.")
        missing = {n: v for n, v in self.state_dict().items() if n.startswith(own) and n not in state}
        return super().adapt(state) | missing


def reconfigured_block(
    block: nn.Module,
    x: Tensor,
    det: Tensor,
    det_position: Tensor,
    position: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """One block of Swin on patches and [DET] tokens.

    Positions are added to the normalised tokens, so that queries, keys and values have them, and are no part
    of the residual stream. Keys of the cross-attention are those of the map before padding and shift.

    Args:
        block: torchvision's, with a window attention of dense3d.
        x: patches ``(B, h, w, C)``.
        det: ``(B, n, C)``.
        det_position: ``(1, n, C)``.
        position: of the patches ``(B, h w, C)``; None: [DET] tokens attend to each other alone.
        bias: of the cross-attention ``(B, 1, 1, h w + n)``.

    Returns:
        patches and [DET] tokens of the same shapes.
    """
    sizes = (x.shape[1] * x.shape[2], det.shape[1])
    tokens = torch.cat((x.flatten(1, 2), det), dim=1)  # (B, h w + n, C)
    patches, own = block.norm1(tokens).split(sizes, dim=1)
    own = own + det_position
    context = own if position is None else torch.cat((patches + position, own), dim=1)
    windows = block.attn(patches.unflatten(1, x.shape[1:3])).flatten(1, 2)
    attended = torch.cat((windows, _attend(block.attn, own, context, bias)), dim=1)
    tokens = tokens + block.stochastic_depth(attended)  # a sample drops both kinds or none
    tokens = tokens + block.stochastic_depth(block.mlp(block.norm2(tokens)))
    patches, det = tokens.split(sizes, dim=1)
    return patches.unflatten(1, x.shape[1:3]), det


def _attend(attention: nn.Module, query: Tensor, context: Tensor, bias: Tensor | None) -> Tensor:
    """Global attention of ``query`` ``(B, n, C)`` to ``context`` ``(B, N, C)`` by a window's weights."""
    channels = query.shape[-1]
    weights = attention.qkv.weight.split((channels, 2 * channels))
    biases = (None, None)
    if attention.qkv.bias is not None:
        biases = attention.qkv.bias.split((channels, 2 * channels))
    asking = F.linear(query, weights[0], biases[0])
    key, value = F.linear(context, weights[1], biases[1]).chunk(2, dim=-1)
    heads = [t.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for t in (asking, key, value)]
    out = biased_attention(*heads, bias, scale=attention.scale)  # (B, heads, n, C / heads)
    return attention.proj(out.transpose(1, 2).flatten(2))


def patch_position(padding: Tensor, channels: int) -> Tensor:
    """Sine position of the patches, y first, counted over what is no padding: ``(B, h, w, channels)``.

    Args:
        padding: boolean ``(B, h, w)``.
        channels: a multiple of four.

    Example:
        >>> patch_position(torch.zeros(1, 2, 3, dtype=torch.bool), 8).shape
        torch.Size([1, 2, 3, 8])
    """
    encode = SinePositionalEncoding(channels // 2, normalize=True, eps=1e-6)
    return encode(padding).permute(0, 2, 3, 1)


def merge_det_tokens(merging: nn.Module, det: Tensor) -> Tensor:
    """Bring [DET] tokens ``(B, n, C)`` to the channels of the merged patches: each stands for all four."""
    return merging.reduction(merging.norm(det.repeat(1, 1, 4)))


def resize_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """A boolean mask ``(B, H, W)`` by nearest neighbours to ``(B, *size)``.

    Example:
        >>> resize_mask(torch.tensor([[[False, False, True, True]]]), (1, 2)).tolist()
        [[[False, True]]]
    """
    if tuple(mask.shape[1:]) == tuple(size):
        return mask
    return F.interpolate(mask[:, None].float(), size=tuple(size))[:, 0] > 0.5


def padding_of(images: Tensor, samples: Sequence[DetDataSample] | None) -> Tensor | None:
    """Which pixels of a batch are padding, boolean ``(B, H, W)``; None: none is.

    Args:
        images: ``(B, 3, H, W)``.
        samples: with ``img_shape``, the height and width of each image's content; None: all is content.
    """
    size = tuple(images.shape[-2:])
    if samples is None or all(tuple(sample.img_shape[:2]) == size for sample in samples):
        return None
    padding = torch.ones(len(images), *size, dtype=torch.bool, device=images.device)
    for mask, sample in zip(padding, samples):
        height, width = sample.img_shape[:2]
        mask[:height, :width] = False
    return padding


def require_det_tokens(backbone: nn.Module) -> None:
    """Complain about a backbone that is no body of ViDT.

    Raises:
        ConfigError: it carries no [DET] tokens.
    """
    if not isinstance(backbone, ReconfiguredSwin):
        raise ConfigError(
            f"model.backbone={type(backbone).__name__} carries no [DET] tokens: ViDT's body is "
            "dense3d.ReconfiguredSwin, with the sizes (arch) and weights (init_cfg) of any Swin of version 1"
        )


def tiny_body(backbone: dict) -> dict:
    """A small body with the sizes of a Swin, for the table of compatibility."""
    sizes = {key: value for key, value in backbone.items() if key != "version"}
    return dict(sizes, type="dense3d.ReconfiguredSwin", num_det_tokens=20, pos_dim=64)
