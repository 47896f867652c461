"""Gaussian splats of a scene: parameters, fitting to posed photographs, files, meshes.

B. Kerbl, G. Kopanas, T. Leimkühler, G. Drettakis, "3D Gaussian Splatting for Real-Time Radiance Field
Rendering", SIGGRAPH 2023. Images come from :func:`dense3d.ops.rasterize_gaussians`.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "gaussians": ["Gaussians"],
        "ply_files": ["read_splats", "write_splats"],
        "fitting": ["Fitter"],
        "settings": ["FitSettings"],
    },
)
