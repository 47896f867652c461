"""Transfer functions by example: click on a structure of a volume, see what else belongs to it.

workspace = dense3d.transfer_function.open("ct.nii.gz")
liver = workspace.add_class("liver")
workspace.click(liver, (60, 50, 15))
workspace.export("liver.nii.gz")
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__, submod_attrs={"opening": ["open"], "workspace": ["Workspace"]}
)
