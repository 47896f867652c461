"""Classes of what is in a room."""

CLASSES = (
    "floor", "wall", "door", "window", "picture", "table", "chair", "sofa", "bed", "shelf", "cabinet", "lamp",
    "bathtub", "monitor",
)  # fmt: skip
STUFF = 2  # so many first classes are no things and have no box
ON_WALLS = ("door", "window", "picture")
