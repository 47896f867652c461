"""Rasterisation: closed forms, properties that any renderer has, modes, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.ops import backends, rasterize_gaussians
from tests.ops.gaussian_scenes import SIZE, one_gaussian, scene

BACKENDS = [row.backend for row in backends("rasterize_gaussians") if row.device == "cpu"]


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    return request.param


def test_one_gaussian_is_the_closed_form(backend):
    """opacity exp(-r^2 / 2 (variance on the image + 0.3)), 0 below 1/255, over the background."""
    background = torch.tensor([[0.0, 1.0, 0.5]]).double()
    inputs = one_gaussian()
    images, alphas, info = rasterize_gaussians(
        **inputs, width=17, height=13, backgrounds=background, render_mode="RGB+D", backend=backend
    )
    y, x = torch.meshgrid(torch.arange(13) - 6.0, torch.arange(17) - 8.0, indexing="ij")
    variance = (20 * 0.2 / 2) ** 2 + 0.3
    alpha = 0.5 * torch.exp(-(x * x + y * y).double() / (2 * variance))
    alpha = torch.where(alpha < 1 / 255, 0, alpha)
    torch.testing.assert_close(alphas[0, ..., 0], alpha)
    expected = alpha[..., None] * inputs["colors"] + (1 - alpha[..., None]) * background
    torch.testing.assert_close(images[0, ..., :3], expected)
    torch.testing.assert_close(images[0, ..., 3], 2 * alpha)
    assert torch.equal(info.counts[0], (alpha > 0).int())
    reach = math.ceil(math.sqrt(2 * math.log(255 * 0.5) * variance))
    assert info.radii.tolist() == [[[reach, reach]]]


def test_two_gaussians_hide_each_other_by_depth(backend):
    """Where both have their centre: colours mixed front to back whatever their order in the input."""
    near, far = one_gaussian(1.0, opacity=0.75), one_gaussian(3.0, opacity=0.5)
    far["colors"] = torch.tensor([[0.0, 1.0, 0.0]]).double()
    for pair in ((near, far), (far, near)):
        shared = {name: near[name] for name in ("viewmats", "Ks")}
        both = {n: torch.cat([one[n] for one in pair]) for n in near if n not in shared}
        images, alphas, _ = rasterize_gaussians(**both, **shared, width=17, height=13, backend=backend)
        expected = 0.75 * near["colors"][0] + 0.25 * 0.5 * far["colors"][0]
        torch.testing.assert_close(images[0, 6, 8], expected)
        assert alphas[0, 6, 8].item() == pytest.approx(1 - 0.25 * 0.5)


@pytest.mark.parametrize(("convention", "largest"), [("gsplat", 0.999), ("inria", 0.99)])
def test_an_opaque_gaussian_lets_some_light_through_and_many_stop(backend, convention, largest):
    inputs = one_gaussian(opacity=1.0)
    options = dict(width=17, height=13, convention=convention, backend=backend)
    alpha = rasterize_gaussians(**inputs, **options)[1][0, 6, 8].item()
    assert alpha == pytest.approx(largest)
    shared = {name: inputs.pop(name) for name in ("viewmats", "Ks")}
    stack = {name: value.repeat(5, *[1] * (value.ndim - 1)) for name, value in inputs.items()}
    _, alphas, info = rasterize_gaussians(**stack, **shared, **options)
    # one more would leave 1e-6 of the light, or 1e-4 to within the rounding of the last digit
    blended = int(info.counts[0, 6, 8])
    assert alphas[0, 6, 8].item() == pytest.approx(1 - (1 - largest) ** blended)
    assert blended == 1 if convention == "gsplat" else blended in (1, 2)


@pytest.mark.parametrize("convention", ["gsplat", "inria"])
def test_the_order_of_the_input_does_not_matter(backend, convention):
    inputs = scene()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    mixed = {n: v if n in ("viewmats", "Ks") else v[order] for n, v in inputs.items()}
    options = dict(**SIZE, convention=convention, render_mode="RGB+ED", backend=backend)
    one, two = (rasterize_gaussians(**arguments, **options) for arguments in (inputs, mixed))
    torch.testing.assert_close(one[0], two[0])
    assert torch.equal(one[2].radii[:, order], two[2].radii)


def test_there_are_no_seams_between_tiles(backend):
    """gsplat's boxes cover all that counts, so pictures in one tile and in tiles of any size are the same."""
    inputs = scene()
    whole = rasterize_gaussians(**inputs, **SIZE, tile_size=64, backend="reference")
    for tile_size in (7, 16):
        tiled = rasterize_gaussians(**inputs, **SIZE, tile_size=tile_size, backend=backend)
        torch.testing.assert_close(tiled[0], whole[0])
        assert torch.equal(tiled[2].counts, whole[2].counts)


def test_inria_cuts_at_tiles(backend):
    """The square of three standard deviations is widened to tiles: what lies beyond adds nothing."""
    inputs = one_gaussian(opacity=1.0)
    inputs["Ks"][0, :2, 2] = torch.tensor([10.5, 10.5])
    pictures = {
        size: rasterize_gaussians(
            **inputs, width=40, height=40, convention="inria", tile_size=size, backend=backend
        )[1][0, ..., 0]
        for size in (4, 64)
    }
    radius = math.ceil(3 * math.sqrt(4.3 + math.sqrt(0.1)))
    last = (10 + radius + 3) // 4 * 4  # first column behind the tiles of 4
    assert not pictures[4][:, last:].any()
    torch.testing.assert_close(pictures[4][:last, :last], pictures[64][:last, :last])


def test_batches_of_cameras_are_cameras_one_by_one(backend):
    inputs = scene(cameras=3)
    options = dict(**SIZE, render_mode="RGB+D", backend=backend)
    images, alphas, info = rasterize_gaussians(**inputs, **options)
    for camera in range(3):
        alone = inputs | {name: inputs[name][camera : camera + 1] for name in ("viewmats", "Ks")}
        image, alpha, one = rasterize_gaussians(**alone, **options)
        assert torch.equal(images[camera], image[0]) and torch.equal(alphas[camera], alpha[0])
        assert torch.equal(info.radii[camera], one.radii[0])


def test_modes_are_parts_of_each_other(backend):
    inputs = scene(channels=5)
    pictures = {
        mode: rasterize_gaussians(**inputs, **SIZE, render_mode=mode, backend=backend)[:2]
        for mode in ("RGB", "D", "ED", "RGB+D", "RGB+ED")
    }
    rgb, alpha = pictures["RGB"]
    assert rgb.shape[-1] == 5
    torch.testing.assert_close(pictures["RGB+D"][0][..., :5], rgb)
    torch.testing.assert_close(pictures["RGB+D"][0][..., 5:], pictures["D"][0])
    torch.testing.assert_close(pictures["ED"][0] * alpha, pictures["D"][0])
    torch.testing.assert_close(pictures["RGB+ED"][0][..., 5:], pictures["ED"][0])


def test_covariances_take_the_place_of_quaternions_and_scales(backend):
    """Those of axes permuted by a rotation by 120 degrees about (1, 1, 1): x to y, y to z, z to x."""
    inputs = scene()
    inputs["quats"] = torch.tensor([[2.0, 2.0, 2.0, 2.0]]).double().expand(60, 4)
    expected = rasterize_gaussians(**inputs, **SIZE, backend=backend)[0]
    covars = torch.diag_embed(inputs["scales"].roll(1, -1).square())
    found = rasterize_gaussians(
        **inputs | dict(quats=None, scales=None), **SIZE, covars=covars, backend=backend
    )[0]
    torch.testing.assert_close(found, expected)


def test_antialiased_opacity_makes_up_for_the_dilation(backend):
    """A Gaussian far below a pixel keeps its light, opacity times its area, in antialiased mode only."""
    inputs = one_gaussian(scale=0.05)
    variance = (20 * 0.05 / 2) ** 2
    options = dict(width=17, height=13, backend=backend)
    centres = {
        mode: rasterize_gaussians(**inputs, **options, rasterize_mode=mode)[1][0, 6, 8].item()
        for mode in ("classic", "antialiased")
    }
    assert centres["classic"] == pytest.approx(0.5)
    assert centres["antialiased"] == pytest.approx(0.5 * variance / (variance + 0.3))


def test_colours_of_each_camera(backend):
    inputs = scene()
    colors = torch.stack([inputs["colors"], 1 - inputs["colors"]])
    both = rasterize_gaussians(**inputs | dict(colors=colors), **SIZE, backend=backend)[0]
    for camera in range(2):
        alone = inputs | dict(colors=colors[camera])
        torch.testing.assert_close(
            both[camera], rasterize_gaussians(**alone, **SIZE, backend=backend)[0][camera]
        )


def test_what_is_not_seen(backend):
    """Behind the camera, too near, too far, beside the image, too faint, too small: the background alone."""
    background = torch.tensor([0.5, 0.25, 1.0]).double()
    options = dict(width=17, height=13, backgrounds=background, backend=backend)

    def picture(change: dict, **more) -> tuple[bool, bool]:
        image, _, info = rasterize_gaussians(**one_gaussian() | change, **options | more)
        return torch.equal(image, background.expand_as(image)), bool(info.visible.any())

    for mean in ([0, 0, -2.0], [0, 0, 0.0], [0, 0, 0.009], [4.0, 0, 2.0], [0, -3.0, 2.0]):
        assert picture(dict(means=torch.tensor([mean]).double())) == (True, False)
    assert picture(dict(opacities=torch.tensor([0.003]).double())) == (True, False)
    assert picture({}, far=1.9) == (True, False)
    assert picture({}, near=2.1) == (True, False)
    assert picture({}, radius_clip=20.0) == (True, False)
    assert picture({}, radius_clip=1.0) == (False, True)


def test_nothing_to_render_is_the_background(backend):
    inputs = {n: v if n in ("viewmats", "Ks") else v[:0] for n, v in scene().items()}
    background = torch.tensor([[0.5, 0.25, 1.0], [0.0, 0.0, 1.0]]).double().requires_grad_()
    images, alphas, info = rasterize_gaussians(**inputs, **SIZE, backgrounds=background, backend=backend)
    assert torch.equal(images, background[:, None, None].expand(2, 26, 37, 3))
    assert not alphas.any() and info.radii.shape == (2, 0, 2)
    images.sum().backward()
    assert torch.equal(background.grad, torch.full((2, 3), 26.0 * 37))


def test_no_cameras(backend):
    inputs = scene()
    none = inputs | {name: inputs[name][:0] for name in ("viewmats", "Ks")}
    images, alphas, info = rasterize_gaussians(**none, **SIZE, backend=backend)
    assert (images.shape, alphas.shape, info.radii.shape) == ((0, 26, 37, 3), (0, 26, 37, 1), (0, 60, 2))


@pytest.mark.parametrize("scale", [[0.0, 0.0, 0.0], [0.3, 0.3, 0.0], [1e14, 1e14, 1.0], [1e-30, 0.2, 0.2]])
def test_degenerate_scales_are_rendered_or_left_out(backend, scale):
    """Points and discs are as wide as the dilation; what overflows is left out; nothing becomes NaN."""
    inputs = one_gaussian(dtype=torch.float32)
    inputs["scales"] = torch.tensor([scale])
    leaves = {n: v.requires_grad_() for n, v in inputs.items() if n != "Ks"}
    for mode in ("classic", "antialiased"):
        images, _, info = rasterize_gaussians(
            **leaves, Ks=inputs["Ks"], width=17, height=13, rasterize_mode=mode, backend=backend
        )
        assert torch.isfinite(images).all()
        images.sum().backward()
        assert all(torch.isfinite(leaf.grad).all() for leaf in leaves.values())
        assert bool(info.visible.any()) == (scale[0] < 1e9 and (mode == "classic" or min(scale[:2]) > 1e-9))


def test_float32_is_kept_under_autocast(backend):
    inputs = scene(dtype=torch.float32)
    expected, alphas, _ = rasterize_gaussians(**inputs, **SIZE, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _, info = rasterize_gaussians(**inputs, **SIZE, backend=backend)
    assert found.dtype == alphas.dtype == info.means2d.dtype == torch.float32
    assert torch.equal(found, expected)
    half = {name: value.half() for name, value in inputs.items()}
    assert rasterize_gaussians(**half, **SIZE, backend=backend)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(means=torch.zeros(60, 2)), r"means must be \(60, 3\), not \(60, 2\)"),
        (dict(means=torch.zeros(60, 3).long()), "means must be of floating point, not torch.int64"),
        (dict(quats=torch.zeros(60, 4)), r"quats\[0\] is zero"),
        (dict(quats=torch.zeros(59, 4)), r"quats must be \(60, 4\) \(wxyz\)"),
        (dict(scales=-torch.ones(60, 3)), "scales must lie in 0 .. .* from -1 to -1: they are standard"),
        (dict(scales=torch.full((60, 3), torch.inf)), r"scales hold 180 values .* scales\[0, 0\]"),
        (dict(opacities=torch.full((60,), 1.5)), "opacities must lie in 0 .. 1"),
        (dict(opacities=torch.zeros(60, 1)), r"opacities must be \(60,\)"),
        (dict(colors=torch.full((60, 3), torch.nan)), r"colors hold 180 values that are NaN"),
        (dict(colors=torch.zeros(3, 60, 3)), r"colors must be \(60, channels\) or \(2, 60, channels\)"),
        (dict(colors=torch.zeros(60, 9, 3), sh_degree=3), r"colors must be \(60, 16 or more, 3\)"),
        (dict(colors=None), "colors must be given for render_mode 'RGB'"),
        (dict(covars=torch.zeros(60, 3, 3)), "covars take the place of quats and scales"),
        (dict(quats=None), "Gaussians need quats and scales, or covars"),
        (
            dict(
                quats=None,
                scales=None,
                covars=torch.eye(3).tril().add(torch.ones(3, 3).tril()).repeat(60, 1, 1),
            ),
            r"covars\[0\] is not a covariance: it is not symmetric.* L @ L.mT",
        ),
        (
            dict(quats=None, scales=None, covars=torch.diag(torch.tensor([1.0, -1, 1])).repeat(60, 1, 1)),
            r"covars\[0\] is not a covariance",
        ),
        (dict(Ks=torch.zeros(2, 3, 3, device="meta")), "Ks are on meta, but means on cpu"),
        (dict(opacities=torch.zeros(60, device="meta")), "opacities are on meta, but means on cpu"),
        (dict(viewmats=torch.eye(4)), r"viewmats must be \(cameras, 4, 4\)"),
        (dict(viewmats=torch.ones(2, 4, 4)), "last row 0 0 0 1"),
        (dict(viewmats=torch.diag(torch.tensor([1.0, 1, 0, 1])).repeat(2, 1, 1)), "cannot be inverted"),
        (
            dict(viewmats=torch.diag(torch.tensor([1.0, -1, 1, 1])).repeat(2, 1, 1)),
            r"viewmats\[0\] mirrors .* left-handed, as Unity's .* negate its second row",
        ),
        (
            dict(viewmats=torch.diag(torch.tensor([1.0, 2, 1, 1])).repeat(2, 1, 1)),
            r"viewmats\[0\] is no rigid motion: it stretches by 2, 1, 1",
        ),
        (dict(Ks=torch.eye(3)[None]), r"Ks must be \(2, 3, 3\)"),
        (dict(Ks=-torch.eye(3).repeat(2, 1, 1)), "positive focal lengths"),
        (dict(Ks=torch.ones(2, 3, 3)), "a skew is not supported"),
        (dict(backgrounds=torch.zeros(2, 4)), r"backgrounds must be \(2, 3\) or \(3,\)"),
    ],
)
def test_wrong_tensors_are_named(change, message):
    with pytest.raises(DataError, match=message):
        rasterize_gaussians(**scene() | change, **SIZE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(render_mode="RBG"), "render_mode must be one of .* did you mean 'RGB'"),
        (dict(rasterize_mode="aliased"), "rasterize_mode must be one of"),
        (dict(convention="INRIA"), "convention must be one of .* did you mean 'inria'"),
        (dict(sh_degree=4), "sh_degree must be 0, 1, 2 or 3"),
        (dict(width=0), "width must be a positive whole number"),
        (dict(tile_size=0), "tile_size must be a positive whole number"),
        (dict(eps2d=-0.1), "eps2d must not be negative"),
        (dict(radius_clip=math.nan), "radius_clip must not be negative, not nan"),
        (dict(near=-1.0), "near must not be negative, and far lie behind it, not -1.0 and 1"),
        (dict(near=2.0, far=1.0), "near must not be negative, and far lie behind it, not 2.0 and 1.0"),
    ],
)
def test_wrong_options_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        rasterize_gaussians(**scene() | SIZE | change)


def test_arguments_of_gsplat_alone_are_refused_by_name():
    for name, value in dict(absgrad=True, packed=True, camera_model="fisheye", near_plane=0.2).items():
        with pytest.raises(ConfigError, match=f"{name}={value!r} of gsplat is not supported here: "):
            rasterize_gaussians(**scene(), **SIZE, **{name: value})
    same = rasterize_gaussians(**scene(), **SIZE, absgrad=False, packed=False, camera_model="pinhole")
    assert torch.equal(same[0], rasterize_gaussians(**scene(), **SIZE)[0])
    with pytest.raises(TypeError, match="unexpected keyword argument 'absgrd'"):
        rasterize_gaussians(**scene(), **SIZE, absgrd=True)
