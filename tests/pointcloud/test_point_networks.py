"""Point transformer and classifier: patches, tokens, batches of one and of unequal clouds, bad input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError, DataError
from dense3d.pointcloud import PointClassifier, PointTransformer
from dense3d.pointcloud.classification_head import ClassificationHead, cloud_feature
from dense3d.pointcloud.grouping import group_patches
from dense3d.pointcloud.patch_embedding import PatchEmbedding
from dense3d.pointcloud.transformer import initialise
from dense3d.structures import PointDataSample

SMALL = dict(embed_dim=24, depth=2, num_heads=2, num_groups=8, group_size=4)


def classifier(**settings) -> PointClassifier:
    torch.manual_seed(0)
    return PointClassifier(SMALL, num_classes=5, **settings).eval()


def labelled(*labels: int) -> list[PointDataSample]:
    return [PointDataSample(gt_label=torch.tensor(label)) for label in labels]


def by_convolutions(embedding: PatchEmbedding, patches: torch.Tensor) -> torch.Tensor:
    """The embedding as the paper draws it: convolutions, the maximum in front of the points' own channels."""

    def convolve(layer, x):
        return F.conv1d(x, layer.weight[..., None], layer.bias)

    batch, groups, size, _ = patches.shape
    points = patches.flatten(0, 1).transpose(1, 2)
    points = convolve(embedding.linear2, F.relu(embedding.norm1(convolve(embedding.linear1, points))))
    whole = points.max(dim=2, keepdim=True).values.expand(-1, -1, size)
    hidden = embedding.norm3(convolve(embedding.linear3, torch.cat([whole, points], dim=1)))
    return convolve(embedding.linear4, F.relu(hidden)).max(dim=2).values.view(batch, groups, -1)


@pytest.mark.parametrize("training", [False, True])
def test_the_embedding_is_that_of_the_paper(training):
    torch.manual_seed(0)
    ours, theirs = PatchEmbedding(16).train(training), PatchEmbedding(16).train(training)
    theirs.load_state_dict(ours.state_dict())
    patches, chosen = torch.randn(2, 6, 5, 3), torch.rand(2, 6).argsort(dim=1) < 4
    expected = by_convolutions(theirs, patches)
    torch.testing.assert_close(ours(patches), expected)
    ours.load_state_dict(theirs.state_dict())
    found = ours(patches, chosen)
    theirs_again = by_convolutions(theirs, patches)
    torch.testing.assert_close(found, theirs_again[chosen].view(2, 4, 16))
    # batch statistics are over all patches, whatever is chosen
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_gradients_of_chosen_patches_are_the_same():
    torch.manual_seed(0)
    ours, theirs = PatchEmbedding(8), PatchEmbedding(8)
    theirs.load_state_dict(ours.state_dict())
    patches, chosen = torch.randn(2, 6, 5, 3), torch.rand(2, 6).argsort(dim=1) < 3
    ours(patches, chosen).square().sum().backward()
    by_convolutions(theirs, patches)[chosen].square().sum().backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters()):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-3, msg=name)


def test_patches_are_neighbours_less_their_centre():
    points = torch.rand(2, 50, 3, generator=torch.Generator().manual_seed(0)) + 1
    patches = group_patches(points, 5, 7)
    assert (patches.centre_indices[:, 0] == 0).all()
    for cloud, centres, indices, local in zip(points, patches.centres, patches.indices, patches.points):
        distances = torch.cdist(centres, cloud)
        for row, chosen in zip(distances, indices):
            assert torch.equal(row[chosen], row.sort().values[:7])
        torch.testing.assert_close(local + centres[:, None], cloud[indices])
        assert (local[:, 0] == 0).all()


def test_fewer_points_than_groups_or_neighbours_is_one_sentence():
    for groups, size in ((64, 4), (4, 64)):
        with pytest.raises(DataError, match=r"a cloud of 40 points cannot be cut into .*: give clouds of 64"):
            group_patches(torch.rand(1, 40, 3), groups, size)
    with pytest.raises(DataError, match="a cloud of 5 points"):
        group_patches(torch.rand(2, 40, 3), 8, 4, lengths=torch.tensor([40, 5]))


def test_duplicated_points_are_no_trouble():
    points = torch.rand(1, 4, 3).repeat(1, 10, 1)
    assert PointTransformer(**SMALL).eval()(points)[0].isfinite().all()


@pytest.mark.parametrize("count", [8, 33, 100])
def test_batch_equals_single_whatever_the_number_of_points(count):
    model, points = classifier(), torch.randn(3, count, 3)
    single = torch.cat([model(cloud[None]) for cloud in points])
    torch.testing.assert_close(model(points), single)


def test_clouds_of_several_sizes_equal_single_ones():
    model, clouds = classifier(), [torch.randn(n, 3) for n in (40, 17, 23)]
    inputs = {"points": torch.cat(clouds), "lengths": torch.tensor([40, 17, 23]), "features": None}
    torch.testing.assert_close(model(inputs), torch.cat([model(cloud[None]) for cloud in clouds]))


def test_the_order_of_points_behind_the_first_does_not_matter():
    model, points = classifier(), torch.randn(1, 60, 3)
    shuffled = torch.cat([points[:, :1], points[:, 1:][:, torch.randperm(59)]], dim=1)
    torch.testing.assert_close(model(shuffled), model(points))


def test_losses_and_predictions():
    model, points = classifier(), torch.randn(3, 40, 3)
    samples = labelled(1, 2, 4)
    losses, logits = model(points, samples, mode="loss"), model(points)
    torch.testing.assert_close(losses["loss"], F.cross_entropy(logits, torch.tensor([1, 2, 4])))
    found = model(points, samples, mode="predict")
    torch.testing.assert_close(torch.stack([s.pred_scores for s in found]), logits.softmax(dim=1))
    assert [int(s.pred_label) for s in found] == logits.argmax(dim=1).tolist()
    assert "pred_vote_logits" not in found[0]


def test_bad_labels_and_features_are_sentences():
    model, points = classifier(), torch.randn(2, 40, 3)
    with pytest.raises(DataError, match="label 5 and the model 5 classes"):
        model(points, labelled(0, 5), mode="loss")
    with pytest.raises(DataError, match="without gt_label"):
        model(points, None, mode="loss")
    with pytest.raises(DataError, match="reads coordinates alone"):
        model({"points": points, "features": points})
    with pytest.raises(DataError, match=r"\(B, N, 3\)"):
        model(points[0])


def test_wrong_settings_are_sentences():
    with pytest.raises(ConfigError, match="num_groups=0"):
        PointTransformer(**SMALL | {"num_groups": 0})
    with pytest.raises(ConfigError, match="24 channels cannot be shared by 5 heads"):
        PointTransformer(**SMALL | {"num_heads": 5})
    with pytest.raises(ConfigError, match="voting draws points"):
        classifier(voting=dict(rounds=3))
    with pytest.raises(ConfigError, match="rounds"):
        classifier(voting=dict(round=3), sampling=dict(num_points=1024))


def test_a_frozen_backbone_keeps_weights_and_statistics():
    torch.manual_seed(0)
    model = PointClassifier(dict(SMALL, frozen=True), num_classes=5, head=dict(hidden_channels=())).train()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model(torch.randn(3, 40, 3), labelled(0, 1, 2), mode="loss")["loss"].backward()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    assert all(parameter.grad is not None for parameter in model.head.parameters())


def test_the_head_without_hidden_layers_is_linear():
    head, feature = ClassificationHead(6, 3, hidden_channels=()), torch.randn(2, 6)
    torch.testing.assert_close(head(2 * feature) - head(feature), head(feature) - head(0 * feature))


def test_the_feature_is_class_token_and_maximum():
    tokens = torch.randn(2, 5, 3)
    expected = torch.cat([tokens[:, 0], tokens[:, 1:].amax(dim=1)], dim=1)
    torch.testing.assert_close(cloud_feature(tokens), expected)


def test_initial_weights_are_the_official_ones():
    torch.manual_seed(0)
    network = PointTransformer(embed_dim=192, depth=2, num_heads=3)
    initialise(network)
    weights = [m.weight for m in network.modules() if isinstance(m, torch.nn.Linear)]
    joined = torch.cat([weight.detach().flatten() for weight in weights])
    assert joined.std() == pytest.approx(0.02, rel=0.02) and abs(joined.mean()) < 1e-3
    biases = [m.bias for m in network.modules() if isinstance(m, torch.nn.Linear) and m.bias is not None]
    assert all((bias == 0).all() for bias in biases)
    token = PointTransformer(**SMALL | {"embed_dim": 480}, class_token=True).cls_token.detach()
    assert token.std() == pytest.approx(0.02, rel=0.1)
    # PyTorch's own before: uniform with bound 1 / sqrt(fan in)
    plain = PointTransformer(embed_dim=192, depth=1, num_heads=3).blocks[0].mlp.fc1.weight.detach()
    assert plain.abs().max() == pytest.approx(192**-0.5, rel=1e-2)


def test_half_precision_on_a_cpu():
    model, points = classifier().train(), torch.randn(4, 40, 3)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(points, labelled(0, 1, 2, 3), mode="loss")["loss"]
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
