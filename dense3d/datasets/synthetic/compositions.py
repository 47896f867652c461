"""The compositions by name. A layout that needs other scenes or several cameras adds its own here."""

from __future__ import annotations

from functools import partial

from dense3d.datasets.synthetic.composition import CLOSE_UP, Composition, compose_room
from dense3d.datasets.synthetic.room_tour import compose_tour
from dense3d.datasets.synthetic.single_object import compose_object
from dense3d.datasets.synthetic.stereo_scenes import compose_stereo
from dense3d.datasets.synthetic.street import compose_street

COMPOSITIONS: dict[str, Composition] = {
    "room": compose_room,
    "close_up": partial(compose_room, arrangement=CLOSE_UP),
    "street": compose_street,
    "stereo": compose_stereo,
    "tour": compose_tour,
    "object": compose_object,
}
