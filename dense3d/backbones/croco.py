"""CroCo's network of two views: one encoder for both, and a decoder in which the first sees the second.

Weinzaepfel et al., "CroCo", NeurIPS 2022, and "CroCo v2", ICCV 2023. Cross-view completion, stereo and
optical flow are this network with different heads; names of weights are the official ones.
"""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.errors import ConfigError, DataError
from dense3d.layers.cross_attention import CrossAttentionBlock
from dense3d.layers.patch_embed import Grid, PatchEmbed, resize_position_table, sincos_position_table
from dense3d.layers.rotary import Rotation
from dense3d.layers.rotary_grid import GridRope
from dense3d.layers.transformer_block import TransformerBlock

TABLES = ("enc_pos_embed", "dec_pos_embed")
ENCODER = ("patch_embed.", "enc_")  # how names of the encoder's weights begin
# Of a complete image, the rows and columns of its patches; of scattered patches, (B, N, 2) or (N, 2)
Positions = Grid | Tensor


class CrocoNetwork(BaseModule):
    """Encoder and decoder of CroCo, without what comes before (masks) and behind (heads).

    The defaults are the official ones: those of the first version, with fixed tables of positions.

    Args:
        img_size: pixels, one number or (height, width), of the images that the fixed tables are for; other
            images get them resized bicubically. Rotary positions need none: any size goes.
        patch_size: side of a patch in pixels.
        pos_embed: ``"cosine"``, fixed tables added before the encoder and before the decoder; or ``"RoPE"``
            and a base, ``"RoPE100"`` in the second version, see :class:`dense3d.layers.GridRope`.
        enc_embed_dim, enc_depth, enc_num_heads: channels, blocks and heads of the encoder.
        dec_embed_dim, dec_depth, dec_num_heads: those of the decoder.
        mlp_ratio: width of feed-forward networks in multiples of the channels.
        norm_im2_in_dec: whether each decoder block norms the second view's tokens.
        norm_eps: epsilon of all norms.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: ``dict(type="Pretrained", checkpoint=path)`` reads what pre-training wrote, or a converted
            checkpoint; with ``part="encoder"``, the encoder alone.

    Shape:
        images ``(B, 3, H, W)``, normalised RGB, H and W multiples of ``patch_size``.

    Raises:
        ConfigError: an argument is none of the above, or heads do not share the channels.
        DataError: images are not made of whole patches or have another number of channels.

    Example:
        >>> small = dict(enc_embed_dim=24, enc_depth=2, enc_num_heads=3, dec_embed_dim=16, dec_depth=3)
        >>> network = CrocoNetwork(pos_embed="RoPE100", dec_num_heads=2, **small)
        >>> images = torch.zeros(4, 3, 32, 48)  # two left ones, two right ones
        >>> blocks, tokens, grid = network.encode(images)
        >>> len(blocks), tokens.shape, grid
        (2, torch.Size([4, 6, 24]), (2, 3))
        >>> left, right = tokens.chunk(2)
        >>> [tuple(x.shape) for x in network.decode(left, grid, right, grid)]
        [(2, 6, 16), (2, 6, 16), (2, 6, 16)]
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        pos_embed: str = "cosine",
        enc_embed_dim: int = 768,
        enc_depth: int = 12,
        enc_num_heads: int = 12,
        dec_embed_dim: int = 512,
        dec_depth: int = 8,
        dec_num_heads: int = 16,
        mlp_ratio: float = 4.0,
        norm_im2_in_dec: bool = True,
        norm_eps: float = 1e-6,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if enc_depth < 1 or dec_depth < 1:
            raise ConfigError(
                f"enc_depth={enc_depth} and dec_depth={dec_depth}: both need at least one block"
            )
        self.patch_size, self.with_cp = patch_size, with_cp
        self.enc_embed_dim, self.dec_embed_dim = enc_embed_dim, dec_embed_dim
        self.patch_embed = PatchEmbed(patch_size, 3, enc_embed_dim)
        self.enc_blocks = nn.ModuleList(
            TransformerBlock(enc_embed_dim, enc_num_heads, mlp_ratio, norm_eps=norm_eps)
            for _ in range(enc_depth)
        )
        self.enc_norm = nn.LayerNorm(enc_embed_dim, eps=norm_eps)
        self.decoder_embed = nn.Linear(enc_embed_dim, dec_embed_dim)
        self.dec_blocks = nn.ModuleList(
            CrossAttentionBlock(dec_embed_dim, dec_num_heads, mlp_ratio, norm_im2_in_dec, norm_eps)
            for _ in range(dec_depth)
        )
        self.dec_norm = nn.LayerNorm(dec_embed_dim, eps=norm_eps)
        self._build_positions(pos_embed, img_size, enc_num_heads, dec_num_heads)
        self.apply(initialise)

    def _build_positions(
        self, pos_embed: str, img_size: int | tuple[int, int], enc_num_heads: int, dec_num_heads: int
    ) -> None:
        dims = {"enc": (self.enc_embed_dim, enc_num_heads), "dec": (self.dec_embed_dim, dec_num_heads)}
        base = _rope_base(pos_embed)
        self.table_grid = None if base else _table_grid(img_size, self.patch_size)
        for part, (dim, heads) in dims.items():
            setattr(self, f"{part}_rope", GridRope(dim // heads, base) if base else None)
            if not base and dim % 4:
                raise ConfigError(
                    f"pos_embed='cosine' needs a multiple of 4 channels, not {part}_embed_dim={dim}"
                )
            table = None if base else sincos_position_table(self.table_grid, dim)[0]  # (N, D)
            self.register_buffer(f"{part}_pos_embed", table)

    def encode(self, images: Tensor) -> tuple[list[Tensor], Tensor, Grid]:
        """Encode each image by itself.

        Args:
            images: ``(B, 3, H, W)``; the two views of a pair can be samples of one batch.

        Returns:
            the tokens ``(B, N, D)`` after each block, the last ones after the final norm, and the positions:
            rows and columns of the N patches.
        """
        tokens, grid = self.embed(images)
        return *self.encode_tokens(tokens, grid), grid

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """What enters the first block: tokens ``(B, N, D)`` and their grid."""
        self.check_images(images)
        tokens, grid = self.patch_embed(images)
        return self._add_table(tokens, self.enc_pos_embed, grid), grid

    def encode_tokens(self, tokens: Tensor, positions: Positions) -> tuple[list[Tensor], Tensor]:
        """Blocks and final norm of the encoder on tokens ``(B, N, D)``, all or scattered ones.

        Returns:
            the tokens after each block, and the last ones after the final norm.
        """
        rotation, blocks = _rotation(self.enc_rope, positions), []
        for block in self.enc_blocks:
            tokens = self._run(block, tokens, None, 0, rotation)
            blocks.append(tokens)
        return blocks, self.enc_norm(tokens)

    def decode(
        self, tokens1: Tensor, positions1: Positions, tokens2: Tensor, positions2: Positions
    ) -> list[Tensor]:
        """Tokens ``(B, N, D')`` of the first view after each decoder block, the last ones normed.

        Args:
            tokens1: ``(B, N, D)`` of the first view, as :meth:`encode` gives them.
            positions1: their grid.
            tokens2: ``(B, K, D)`` of the second view.
            positions2: their grid.
        """
        embedded = self.decoder_embed(tokens1), self.decoder_embed(tokens2)
        return self.decode_embedded(embedded[0], positions1, embedded[1], positions2)

    def decode_embedded(
        self, tokens1: Tensor, positions1: Positions, tokens2: Tensor, positions2: Positions
    ) -> list[Tensor]:
        """:meth:`decode` of tokens ``(B, N, D')`` that ``decoder_embed`` has seen already."""
        tokens = self._add_table(tokens1, self.dec_pos_embed, positions1)
        memory = self._add_table(tokens2, self.dec_pos_embed, positions2)
        rotation = _rotation(self.dec_rope, positions1)
        same = positions1 is positions2 or (isinstance(positions1, tuple) and positions1 == positions2)
        memory_rotation = rotation if same else _rotation(self.dec_rope, positions2)
        blocks = []
        for block in self.dec_blocks:
            tokens = self._run(block, tokens, memory, rotation, memory_rotation)
            blocks.append(tokens)
        return [*blocks[:-1], self.dec_norm(blocks[-1])]

    def check_images(self, images: Tensor) -> None:
        """Complain about images that are no whole patches.

        Raises:
            DataError: they are not, or have another number of channels than 3.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise DataError(
                f"images of shape {tuple(images.shape)} are no RGB images (B, 3, H, W); convert them"
            )
        height, width = images.shape[-2:]
        if not height or not width or height % self.patch_size or width % self.patch_size:
            raise DataError(
                f"images of {height} x {width} pixels are not made of whole patches of {self.patch_size} x "
                f"{self.patch_size}; resize, crop or pad them to multiples of it"
            )

    def _add_table(self, tokens: Tensor, table: Tensor | None, positions: Positions) -> Tensor:
        if table is None:
            return tokens
        if isinstance(positions, Tensor):
            raise ConfigError("pos_embed='cosine' adds its table to complete grids; give rows and columns")
        table = resize_position_table(table[None], self.table_grid, tuple(positions))
        return tokens + table.to(tokens.dtype)

    def _run(self, block: nn.Module, *arguments) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, *arguments, use_reentrant=False)
        return block(*arguments)

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; everything else was initialised at construction.

        Raises:
            CheckpointError: the file cannot be read, or names or shapes differ; the message lists them.
            ConfigError: ``part`` is neither ``"all"`` nor ``"encoder"``.
        """
        if not self.init_cfg or self.init_cfg.get("type") != "Pretrained":
            return
        from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of

        path, part = self.init_cfg["checkpoint"], self.init_cfg.get("part", "all")
        if part not in ("all", "encoder"):
            raise ConfigError(f"part={part!r} of a CroCo checkpoint: use 'all' or 'encoder'")
        whole = weights_of(load_checkpoint(path), path)
        prefix = "network." if any(name.startswith("network.") for name in whole) else ""
        weights = {n.removeprefix(prefix): v for n, v in whole.items() if n.startswith(prefix)}
        if "prediction_head.weight" in whole and self.table_grid:  # pre-trained, on square images
            for name in TABLES:
                if name in weights:
                    weights[name] = fit_table(weights[name], self.table_grid, square=True)
        if part == "encoder":
            kept = {n: v for n, v in self.state_dict().items() if not n.startswith(ENCODER)}
            weights = kept | {n: v for n, v in weights.items() if n.startswith(ENCODER)}
        load_into(self, weights, source=str(path))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Resize tables of another grid, as the official code does for square ones, then load."""
        for name in TABLES:
            if getattr(self, name) is not None and prefix + name in state_dict:
                state_dict[prefix + name] = fit_table(state_dict[prefix + name], self.table_grid)
        super()._load_from_state_dict(state_dict, prefix, *args)


def fit_table(table: Tensor, grid: Grid, square: bool = False) -> Tensor:
    """A table of positions ``(N, D)`` for ``grid``: resized bicubically if it is one of another, square grid.

    Args:
        table: row-major.
        grid: the wanted one.
        square: whether a table of just as many rows is known to be of a square grid all the same.

    Example:
        >>> fit_table(torch.zeros(9, 4), (2, 5)).shape
        torch.Size([10, 4])
    """
    side = round(len(table) ** 0.5)
    if side * side != len(table) or (len(table) == grid[0] * grid[1] and not square):
        return table
    return resize_position_table(table[None], (side, side), grid)[0]


def initialise(module: nn.Module) -> None:
    """Xavier-uniform matrices with zero biases; a patch kernel as one matrix, with torch's own bias."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, PatchEmbed):
        nn.init.xavier_uniform_(module.proj.weight.data.flatten(1))


def _rotation(rope: GridRope | None, positions: Positions) -> Rotation | None:
    if rope is None:
        return None
    return rope.rotation(positions) if isinstance(positions, Tensor) else rope(tuple(positions))


def _rope_base(pos_embed: str) -> float | None:
    """The base in ``"RoPE100"``; None for ``"cosine"``."""
    if pos_embed == "cosine":
        return None
    name, base = str(pos_embed)[:4], str(pos_embed)[4:]
    try:
        value = float(base) if name == "RoPE" else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"pos_embed={pos_embed!r}: use 'cosine', or 'RoPE' and a base, such as 'RoPE100'")
    return value


def _table_grid(img_size: int | tuple[int, int], patch_size: int) -> Grid:
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    if height < patch_size or width < patch_size or height % patch_size or width % patch_size:
        raise ConfigError(
            f"img_size={img_size} is not made of whole patches of {patch_size} x {patch_size} pixels"
        )
    return height // patch_size, width // patch_size
