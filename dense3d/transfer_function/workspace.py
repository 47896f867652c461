"""A volume, what a person marked in it, and what follows: everything that the tool does without a browser."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dense3d.files import atomic_write, inside, require_writable_file
from dense3d.structures.volume import Volume
from dense3d.transfer_function import exporting, importing, session
from dense3d.transfer_function.classification import Classification
from dense3d.transfer_function.measures import Uncertainty, dice, uncertainty, voxel_counts
from dense3d.transfer_function.methods import method_names
from dense3d.transfer_function.session_file import SessionFile
from dense3d.transfer_function.suggestion import next_click

if TYPE_CHECKING:
    from dense3d.transfer_function.functions import Regions, TransferFunction
    from dense3d.transfer_function.rendering import Renderer, Rendering, Scene
    from dense3d.transfer_function.view_camera import Camera

WORKING_LIMIT = 256


class Workspace(Classification):
    """A volume with classes, marks and their classification.

    Voxels are indices of the canonical grid: the file's axes in the order nearest to right, anterior,
    superior (``workspace.volume``). Classification runs at working resolution (``workspace.working``).

    Args:
        volume: any; its axes need no particular order.
        limit: the most voxels that an axis of the working grid has.
        method: one of :func:`~.methods.method_names`; the first unless given.
        checkpoint: file with the weights of the image backbone that a method looks through.

    Example:
        >>> values = np.zeros((8, 8, 8), np.int16)
        >>> values[2:5, 2:5, 2:5] = 100
        >>> workspace = Workspace(Volume(values, np.eye(4)))
        >>> cube = workspace.add_class("cube")
        >>> workspace.click(0, (7, 7, 7)), workspace.click(cube, (3, 3, 3))
        ('click on background', 'click on cube')
        >>> round(workspace.volumes_ml()[cube], 6)
        0.027
        >>> workspace.undo(), int(workspace.labels().max())
        ('click on cube', 0)
    """

    def __init__(
        self,
        volume: Volume,
        *,
        limit: int = WORKING_LIMIT,
        method: str | None = None,
        checkpoint: str | os.PathLike | None = None,
    ) -> None:
        super().__init__(volume, limit, method, checkpoint)
        self.reference: dict[str, np.ndarray] = {}  # by the name in small letters
        self.reference_number = 0
        self.session_file: SessionFile | None = None
        self._drawing = threading.Lock()
        self._renderer: Renderer | None = None
        self._drawn: np.ndarray | None = None
        self._is_method_chosen = method is not None

    # ------------------------------------------------------------------ figures

    def uncertainty(self) -> Uncertainty:
        """Where the classification is unsure: a histogram of margins."""
        snapshot = self.snapshot()
        return uncertainty(self.scores(snapshot), snapshot.thresholds)

    def next_click(self) -> tuple[int, int, int] | None:
        """The voxel most worth a click (:func:`~.suggestion.next_click`); None before scores are there."""
        snapshot = self.snapshot()
        scores = self.kept_scores(snapshot)
        found = None if scores is None else next_click(scores, snapshot.thresholds, self.working.spacing)
        if found is None:
            return None
        sizes = zip(found, self.factors, self.volume.shape)
        return tuple(min(i * f + f // 2, n - 1) for i, f, n in sizes)

    def volumes_ml(self) -> dict[int, float]:
        """Millilitres of each class, by id, at working resolution."""
        counts = voxel_counts(self.labels(), self.volume.shape, self.factors)
        return {one.id: float(counts[one.id]) * self.voxel_ml for one in self.classes}

    def dice(self) -> dict[int, float | None]:
        """Dice of each class with the reference of its name, on the canonical grid; None: there is none."""
        labels, found = self.labels_full(), {}
        for one in self.classes:
            reference = self.reference.get(one.name.casefold())
            found[one.id] = None if reference is None else dice(labels, reference, one.id, 1)
        return found

    def working_reference(self, name: str) -> np.ndarray | None:
        """(X, Y, Z) bool on the working grid: the reference structure of a name, if there is one."""
        reference = self.reference.get(name.casefold())
        return None if reference is None else self.to_working(reference)

    # ------------------------------------------------------------------ pictures

    def render(
        self,
        camera: Camera | None = None,
        width: int = 512,
        height: int = 512,
        quality: str = "preview",
        **options: Any,
    ) -> Rendering:
        """A picture of the volume and its classes in 3D.

        Args:
            camera: :class:`~.view_camera.Camera`; from the front unless given.
            width: pixels.
            height: pixels.
            quality: "preview" or "high".
            options: further ones of :class:`~.rendering.Scene`, such as ``clip``. ``transfer`` is the
                workspace's transfer function of intensities unless given; None leaves the classes alone.

        Returns:
            The picture, with depths and classes; ``.save(path)`` writes a PNG.

        Raises:
            DataError: a size or quality is not possible.
        """
        self.scores()
        return self.renderer().render(self.scene(camera, width, height, quality, **options))

    def scene(
        self, camera: Camera | None, width: int, height: int, quality: str = "preview", **options: Any
    ) -> Scene:
        """What :meth:`render` draws."""
        from dense3d.transfer_function.rendering import ClassLook, Scene
        from dense3d.transfer_function.view_camera import Camera

        document, hidden = self.document, self.hidden
        looks = [
            ClassLook(one.id, one.color, one.opacity, one.threshold, one.id not in hidden)
            for one in document.classes
        ]
        options.setdefault("transfer", self.curve())
        return Scene(camera or Camera(), width, height, looks, quality=quality, **options)

    def curve(self) -> TransferFunction | Regions:
        """The transfer function of intensities: the chosen one, else the first that suits the volume."""
        from dense3d.transfer_function.functions import preset, preset_names

        chosen = self.document.transfer_function
        return preset(preset_names(self.working)[0], self.working) if chosen is None else chosen.curve()

    def renderer(self) -> Renderer:
        """Of the working grid, with the present scores; only while the method is ready with them."""
        from dense3d.transfer_function.rendering import Renderer

        snapshot = self.snapshot()
        scores = self.scores(snapshot) if self.ready or not snapshot.needs_method else None
        with self._drawing:
            if self._renderer is None:
                self._renderer = Renderer(self.working)
            if scores is not None and scores is not self._drawn:
                self._renderer.set_scores(scores, snapshot.class_ids)
                self._drawn = scores
            return self._renderer

    # ------------------------------------------------------------------ files

    def import_segmentation(
        self, path: str | os.PathLike, names: Mapping[int, str] | None = None
    ) -> str | None:
        """Go on from a segmentation of this volume (:func:`~.importing.import_segmentation`)."""
        return importing.import_segmentation(self, path, names)

    @property
    def import_notes(self) -> tuple[str, ...]:
        """What a person should know of the imported segmentation, one sentence each; follows undo."""
        imported = self.document.imported
        return () if imported is None else tuple(f"{imported.name}: {note}" for note in imported.notes)

    def load_reference(self, path: str | os.PathLike, names: Mapping[int, str] | None = None) -> list[str]:
        """Compare with a segmentation by :meth:`dice` (:func:`~.importing.load_reference`)."""
        return importing.load_reference(self, path, names)

    def import_transfer_function(self, path: str | os.PathLike) -> str | None:
        """Show intensities by a transfer function of a file, in any format that is exported."""
        return importing.import_transfer_function(self, path)

    def set_reference(self, masks: dict[str, np.ndarray]) -> None:
        """Compare with these (X, Y, Z) masks of the canonical grid, by the name of a class."""
        with self.lock:
            self.reference = {name.casefold(): mask for name, mask in masks.items()}
            self.reference_number += 1
            self._changed(revise=False)

    def export(
        self,
        path: str | os.PathLike,
        format: str | None = None,
        class_ids: Sequence[int] | None = None,
    ) -> Path:
        """Write the result in the format of the suffix (:func:`~.exporting.export`)."""
        return exporting.export(self, path, format, class_ids)

    def session_text(self) -> bytes:
        """What :meth:`save` writes."""
        return session.encode(self, self.identity, self.method)

    @cached_property
    def identity(self) -> session.VolumeIdentity:
        """What tells this volume from others in session files."""
        return session.identity(self.volume)

    def save(self, path: str | os.PathLike) -> None:
        """Write classes, marks and the whole history as a session file, whole or not at all.

        Raises:
            ConfigError: nothing can be written there, or it is the volume itself.
        """
        exporting.require_target(self, path)
        with atomic_write(path) as file:
            file.write(self.session_text())

    def resume(self, path: str | os.PathLike) -> None:
        """Go on from a session file of this volume; what was here before is replaced.

        Raises:
            SessionError: it is damaged, of another version, or made for another volume.
        """
        found = session.decode(session.read(path), os.fspath(path))
        history = session.restored(found, self.grid, self.identity, os.fspath(path))
        self.restore(history, set(found.hidden), found.view)
        if found.method in method_names(self.checkpoint) and not self._is_method_chosen:
            self.set_method(found.method)

    @classmethod
    def load(
        cls, path: str | os.PathLike, volume: str | os.PathLike | Volume | None = None, **options: Any
    ) -> Workspace:
        """The workspace of a session file, which is not kept open.

        Args:
            path: of the session.
            volume: its volume or the file of it; the file of its name beside the session unless given.
            options: as of :func:`~.opening.open`.

        Raises:
            SessionError: it is damaged, of another version, or made for another volume.
            DataError: the volume cannot be read.
        """
        from dense3d.transfer_function.opening import open

        if volume is None:
            name = session.decode(session.read(path), os.fspath(path)).volume.name
            volume = inside(Path(path).parent, name, path)
        workspace = open(volume, **options)
        workspace.resume(path)
        return workspace

    def keep_in(self, path: str | os.PathLike) -> None:
        """Keep the work in a session file: what it holds is taken up, and every change is saved to it.

        Raises:
            ConfigError: nothing can be written there.
            SessionInUseError: another process has it open.
            SessionError: it is damaged, or made for another volume.
        """
        require_writable_file(path)
        file = SessionFile(path, self.session_text)
        try:
            if Path(path).exists():
                self.resume(path)
        except BaseException:
            file.discard()
            raise
        self.close()
        self.session_file = file
        self.listeners.append(file.changed)

    def close(self) -> None:
        """Save what the session file lacks, and give it free."""
        if self.session_file is not None:
            self.listeners.remove(self.session_file.changed)
            file, self.session_file = self.session_file, None
            file.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
