"""Furnished rooms as clouds of points: semantic labels, instances, oriented boxes, colours and normals.

Names are imported on first use.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "classes": ["CLASSES"],
        "furnishing": ["Item", "Room", "furnish"],
        "sampling": ["RoomCloud", "make_furnished_room", "make_room"],
        "viewing": ["RoomView", "view_room"],
    },
)
