"""The compositions by name. A layout that needs other scenes or several cameras adds its own here."""

from __future__ import annotations

from dense3d.datasets.synthetic.composition import Composition, compose_room
from dense3d.datasets.synthetic.street import compose_street

COMPOSITIONS: dict[str, Composition] = {"room": compose_room, "street": compose_street}
