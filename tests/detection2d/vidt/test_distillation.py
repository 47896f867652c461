"""Token matching: the teacher comes from a config and a file, and stays out of the student."""

from __future__ import annotations

import copy

import pytest
import torch

from dense3d.errors import CheckpointError, ConfigError

CONFIG = """
default_scope = "dense3d"
model = dict(
    type="ViDT",
    backbone=dict(
        type="ReconfiguredSwin",
        arch=dict(embed_dim={dim}, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2)),
        num_det_tokens={tokens},
        pos_dim=32,
        window_size=4,
        drop_path_rate=0.0,
    ),
    num_classes=5,
    embed_dims=64,
    feedforward_channels=64,
    decoder_layers=2,
)
"""


@pytest.fixture
def teacher(build, tmp_path):
    """Function that writes a teacher's config and weights: the arguments that a student takes."""

    def function(dim=16, tokens=12, weights=True):
        arch = dict(embed_dim=dim, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2))
        config, checkpoint = tmp_path / "teacher.py", tmp_path / "teacher.pth"
        config.write_text(CONFIG.format(dim=dim, tokens=tokens))
        if weights:
            model = build(body=dict(arch=arch, num_det_tokens=tokens))
            torch.save(dict(state_dict=model.state_dict()), checkpoint)
        return dict(config=str(config), checkpoint=str(checkpoint))

    return function


def test_a_student_that_is_the_teacher_has_nothing_to_learn(build, batch, teacher):
    student = build(teacher=teacher())
    losses = student.eval().loss(*batch(masks=False))
    assert losses["loss_distil"] < 1e-4
    losses["loss_distil"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


def test_a_larger_teacher(build, batch, teacher):
    student = build(teacher=teacher(dim=32))
    before = copy.deepcopy(student.state_dict())
    images, samples = batch(contents=((64, 96), (40, 60)), masks=False)
    losses = student.train().loss(images, samples)
    assert losses["loss_distil"] > 0.1
    losses["loss_distil"].backward()
    assert student.backbone.det_token.grad.abs().sum() > 0
    assert set(student.state_dict()) == set(before), "the teacher is no part of the checkpoint"
    assert not any(p.requires_grad or p.grad is not None for p in student.teacher.model.parameters())
    assert not student.teacher.model.training


def test_training_leaves_the_teacher_as_it_is(build, batch, teacher):
    student = build(teacher=teacher(dim=32)).train()
    images, samples = batch(masks=False)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    states = []
    for _ in range(2):
        sum(student.loss(images, samples).values()).backward()
        optimizer.step()
        student.train()  # as after an evaluation
        states.append(copy.deepcopy(student.teacher.model.state_dict()))
    saved = torch.load(student.teacher.checkpoint)["state_dict"]
    assert all(torch.equal(value, saved[name]) for state in states for name, value in state.items())


def test_the_loss_is_the_weighted_mean_distance(build, batch, teacher):
    images, samples = batch(masks=False)
    arguments = teacher(dim=32)
    student = build(teacher=dict(arguments, weight=2.0)).eval()
    found = student.loss(images, samples)["loss_distil"]
    (decoded, memory), (other, taught) = (m.decode(images, samples) for m in (student, student.teacher.model))
    expected = (memory.tokens - taught.tokens).norm(dim=-1).mean()
    expected = expected + (decoded.states[-1] - other.states[-1]).norm(dim=-1).mean()
    torch.testing.assert_close(found, 2 * expected)


def test_teachers_that_do_not_fit(build, batch, teacher):
    with pytest.raises(ConfigError, match=r"num_det_tokens.*must be the same"):
        build(teacher=teacher(tokens=7)).loss(*batch(masks=False))
    (missing := teacher(weights=False))["checkpoint"] += ".absent"
    with pytest.raises(CheckpointError, match=r"teacher\.pth\.absent"):
        build(teacher=missing).loss(*batch(masks=False))
