"""Non-maximum suppression of axis-aligned boxes: plain, per class, soft, and with the groups it forms.

Soft-NMS: Bodla et al., "Soft-NMS: Improving Object Detection With One Line of Code", ICCV 2017.
"""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from torch import Tensor

from dense3d.ops.dispatch import register_backend

SOFT_METHODS = ("naive", "linear", "gaussian")


def nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    offset: int = 0,
    score_threshold: float = 0.0,
    max_num: int = -1,
) -> tuple[Tensor, Tensor]:
    """Keep the best box of every heap of boxes whose IoU is greater than ``iou_threshold``.

    Args:
        boxes: ``(N, 4)`` as ``(x1, y1, x2, y2)`` in pixels.
        scores: ``(N,)``.
        iou_threshold: boxes with a greater IoU with a kept box are dropped.
        offset: 1 where a box includes its last pixel, so that its width is ``x2 - x1 + 1``.
        score_threshold: when positive, boxes whose score is not greater are left out beforehand.
        max_num: keep at most that many; all when not positive.

    Returns:
        ``(K, 5)`` boxes with scores by falling score, and their indices ``(K,)``.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.9], [5.0, 5.0, 9.0, 9.0]])
        >>> nms(boxes, torch.tensor([0.5, 0.9, 0.3]), 0.5)[1].tolist()
        [1, 2]
    """
    candidates = (scores > score_threshold).nonzero().flatten() if score_threshold > 0 else None
    if candidates is None:
        keep = nms_indices(boxes, scores, iou_threshold, offset)
    else:
        keep = candidates[nms_indices(boxes[candidates], scores[candidates], iou_threshold, offset)]
    keep = keep[:max_num] if max_num > 0 else keep
    return torch.cat([boxes[keep], scores[keep, None]], dim=1), keep


def nms_indices(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices ``(K,)`` of the boxes that :func:`nms` keeps, by falling score."""
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    # torchvision compares in double precision; mmcv's threshold is a float, like the IoU that it meets
    return torchvision.ops.nms(boxes.float(), scores.float(), float(np.float32(iou_threshold)))


def batched_nms(
    boxes: Tensor, scores: Tensor, idxs: Tensor, nms_cfg: dict | None, class_agnostic: bool = False
) -> tuple[Tensor, Tensor]:
    """Suppress within each group of ``idxs`` only: boxes of different classes do not compete.

    Args:
        boxes: ``(N, 4)`` as ``(x1, y1, x2, y2)``, or ``(N, 5)`` as ``(cx, cy, w, h, angle in radians)``.
        scores: ``(N,)``.
        idxs: group of each box ``(N,)``.
        nms_cfg: ``type`` (``"nms"`` by default, ``"soft_nms"`` or ``"nms_rotated"``), ``class_agnostic``,
            ``split_thr`` (from that many boxes on the groups are handled one by one, default 10000), and
            the arguments of the function named by ``type``. ``None`` only sorts by score.
        class_agnostic: ignore ``idxs``.

    Returns:
        boxes with scores ``(K, 5)`` or ``(K, 6)`` by falling score, and their indices ``(K,)``.

    Raises:
        ValueError: ``type`` is another word.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
        >>> scores = torch.tensor([0.5, 0.9])
        >>> batched_nms(boxes, scores, torch.tensor([0, 1]), {"iou_threshold": 0.5})[1].tolist()
        [1, 0]
    """
    if nms_cfg is None:
        scores, keep = scores.sort(descending=True)
        return torch.cat([boxes[keep], scores[:, None]], dim=1), keep
    options = dict(nms_cfg)
    suppress = _suppression(options.pop("type", "nms"))
    class_agnostic = options.pop("class_agnostic", class_agnostic)
    split_thr = options.pop("split_thr", 10000)
    apart = boxes if class_agnostic or len(boxes) == 0 else _move_groups_apart(boxes, idxs)
    if len(boxes) < split_thr:
        dets, keep = suppress(apart, scores, **options)
        scores = dets[:, -1]
    else:
        max_num = options.pop("max_num", -1)
        keep, scores = _one_group_after_another(apart, scores, idxs, suppress, options)
        keep, scores = (keep[:max_num], scores[:max_num]) if max_num > 0 else (keep, scores)
    return torch.cat([boxes[keep], scores[:, None]], dim=1), keep


def _suppression(name: str):
    if name == "nms_rotated":
        from dense3d.ops.rotated import nms_rotated

        return nms_rotated
    known = {"nms": nms, "soft_nms": soft_nms}
    if name not in known:
        raise ValueError(f"nms type must be one of {[*known, 'nms_rotated']}, not {name!r}")
    return known[name]


def _move_groups_apart(boxes: Tensor, idxs: Tensor) -> Tensor:
    """Shift every group beyond the reach of the others; rotated boxes move by their centre."""
    if boxes.shape[1] == 5:
        reach = boxes[:, :2].max() + boxes[:, 2:4].max()
    else:
        reach = boxes.max()
    shift = idxs.to(boxes) * (reach + 1)  # (N,)
    moved = boxes.shape[1] if boxes.shape[1] == 4 else 2
    return torch.cat([boxes[:, :moved] + shift[:, None], boxes[:, moved:]], dim=1)


def _one_group_after_another(boxes, scores, idxs, suppress, options) -> tuple[Tensor, Tensor]:
    kept, kept_scores = [], []
    for group in idxs.unique():
        members = (idxs == group).nonzero().flatten()
        dets, keep = suppress(boxes[members], scores[members], **options)
        kept.append(members[keep])
        kept_scores.append(dets[:, -1].to(scores))
    scores, order = torch.cat(kept_scores).sort(descending=True, stable=True)
    return torch.cat(kept)[order], scores


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: str = "linear",
    offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """Lower the scores of boxes that overlap a better one instead of dropping them at once.

    A box is multiplied by ``1 - iou`` (``"linear"``, from ``iou_threshold`` on), by
    ``exp(-iou^2 / sigma)`` (``"gaussian"``) or by 0 (``"naive"``, from ``iou_threshold`` on) for every
    box selected before it, and dropped when its score falls below ``min_score``. It is sequential, so
    it runs on the CPU in float32 wherever the tensors live.

    Args:
        boxes: ``(N, 4)`` as ``(x1, y1, x2, y2)`` in pixels.
        scores: ``(N,)``.
        iou_threshold: where the linear and the naive method begin.
        sigma: width of the gaussian method.
        min_score: boxes whose score falls below are dropped.
        method: ``"linear"``, ``"gaussian"`` or ``"naive"``.
        offset: 1 where a box includes its last pixel.

    Returns:
        ``(K, 5)`` boxes with lowered scores in the order of selection, and their indices ``(K,)``.

    Raises:
        ValueError: ``method`` is another word.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
        >>> dets, keep = soft_nms(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.3)
        >>> dets[:, 4].tolist()
        [0.8999999761581421, 0.4000000059604645]
    """
    if method not in SOFT_METHODS:
        raise ValueError(f"method must be one of {SOFT_METHODS}, not {method!r}")
    from dense3d.ops import _suppression

    keep, lowered = _suppression.soft_nms(
        _float32_array(boxes),
        _float32_array(scores).copy(),
        *np.float32([iou_threshold, sigma, min_score]),
        SOFT_METHODS.index(method),
        np.float32(offset),
    )
    keep = torch.from_numpy(keep).to(boxes.device)
    return torch.cat([boxes[keep], torch.from_numpy(lowered)[:, None].to(boxes)], dim=1), keep


def nms_match(dets: Tensor, iou_threshold: float) -> list[Tensor]:
    """The groups that NMS forms: each kept box followed by those that it suppressed.

    Args:
        dets: ``(N, 5)`` as ``(x1, y1, x2, y2, score)``.
        iou_threshold: boxes with an IoU not less than that join the group.

    Returns:
        for each kept box, by falling score, the indices ``(k,)`` of its group by falling score.

    Example:
        >>> dets = torch.tensor([[0, 0, 4, 4, 0.5], [0, 0, 4, 3.9, 0.9], [5, 5, 9, 9, 0.3]])
        >>> [group.tolist() for group in nms_match(dets, 0.5)]
        [[1, 0], [2]]
    """
    if len(dets) == 0:
        return []
    from dense3d.ops import _suppression

    order = dets[:, 4].sort(descending=True).indices.cpu().numpy()
    leader = _suppression.nms_leaders(_float32_array(dets[:, :4]), order, np.float32(iou_threshold))
    return [torch.from_numpy(group).to(dets.device) for group in _groups(leader, order)]


def _groups(leader: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Split ``order`` by leader; groups follow the place of their leader, members keep their order."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    group = rank[leader[order]]  # place of the leader of each box, in the order of scores
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[by_group])) + 1
    return np.split(order[by_group], starts)


def _float32_array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().float().numpy())


register_backend("nms", "torchvision", implementation=nms)
register_backend("batched_nms", "torch", implementation=batched_nms)
register_backend("soft_nms", "numba", implementation=soft_nms)
register_backend("nms_match", "numba", implementation=nms_match)
