"""A volume, what a person marked in it, and what follows: everything that the tool does without a browser."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dense3d.files import atomic_write, inside
from dense3d.structures.volume import Volume
from dense3d.transfer_function import exporting, importing, session
from dense3d.transfer_function.classified import Base, Classified, seeds
from dense3d.transfer_function.classifier import Classifier, Progress
from dense3d.transfer_function.editing import Snapshot
from dense3d.transfer_function.mark_editing import MarkEditor
from dense3d.transfer_function.marks import AnyMark, Grid, prompt_of, without_contradictions
from dense3d.transfer_function.measures import Uncertainty, dice, uncertainty, voxel_counts
from dense3d.transfer_function.methods import make_classifier, method_names
from dense3d.transfer_function.prompts import Prompt
from dense3d.transfer_function.resolving import resolve
from dense3d.transfer_function.session_file import SessionFile
from dense3d.transfer_function.upsampling import repeated, upsampled

if TYPE_CHECKING:
    from dense3d.transfer_function.functions import TransferFunction
    from dense3d.transfer_function.rendering import Renderer, Rendering, Scene
    from dense3d.transfer_function.view_camera import Camera

WORKING_LIMIT = 256


class Workspace(MarkEditor):
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
        self.volume = volume.canonical()
        self.working = volume.reduced(limit)
        # A volume too large for memory comes reduced already.
        self.factors = tuple(new // old for new, old in zip(self.working.factors, self.volume.factors))
        super().__init__(Grid(self.volume.shape, self.volume.spacing, self.factors))
        self.checkpoint = None if checkpoint is None else os.fspath(checkpoint)
        self.reference: dict[str, np.ndarray] = {}  # by the name in small letters
        self.reference_number = 0
        self.generation = 0  # how often a method was prepared
        self._classifiers: dict[str, Classifier] = {}
        self._complete: set[str] = set()
        self._computing, self._preparing = threading.Lock(), threading.Lock()
        self._prompt_of: dict[int, Prompt] = {}  # by the id of its mark
        self._bases: dict[tuple, Base] = {}
        self._scores: tuple[tuple, np.ndarray] | None = None
        self.session_file: SessionFile | None = None
        self._drawing = threading.Lock()
        self._renderer: Renderer | None = None
        self._drawn: np.ndarray | None = None
        self._is_method_chosen = method is not None
        self.set_method(method or method_names(self.checkpoint)[0])

    # ------------------------------------------------------------------ method

    def set_method(self, name: str) -> None:
        """Classify by another method from now on; marks stay.

        Raises:
            ConfigError: there is no such method.
        """
        with self.lock:
            if name not in self._classifiers:
                self._classifiers[name] = make_classifier(name, self.working, self.checkpoint)
            if name != self.method:
                self.method = name
                self._changed()

    @property
    def classifier(self) -> Classifier:
        """Of the chosen method."""
        return self._classifiers[self.method]

    @property
    def ready(self) -> bool:
        """Whether marks can be classified without preparing anything."""
        return self.is_ready(self.method)

    def is_ready(self, method: str) -> bool:
        """The same for a method that was chosen before."""
        return self._classifiers[method].ready

    @property
    def prepared(self) -> bool:
        """Whether nothing is left to prepare, which would make the classification better."""
        return self.method in self._complete

    def prepare(self, progress: Progress | None = None) -> None:
        """Do what the method does once for a volume, unless it is done.

        Args:
            progress: called with the share done, what is done, and seconds left or None. What it raises ends
                the preparation, which goes on where it can the next time.
        """
        method = self.method
        with self._preparing:
            if method in self._complete:
                return
            try:
                self._classifiers[method].prepare(progress or (lambda done, task, left: None))
                self._complete.add(method)
            finally:
                self.generation += 1  # what was classified on the way gets better

    # ------------------------------------------------------------------ results

    def classified(self, snapshot: Snapshot | None = None) -> Classified:
        """Scores of a document, computed where they are looked at.

        Args:
            snapshot: the present document unless given.
        """
        snapshot = snapshot or self.snapshot()
        class_ids, document = snapshot.class_ids, snapshot.document
        with self._computing:
            prompts = self._prompts(document.marks)
            painted = [prompt for prompt in prompts if prompt.kind == "stroke"] if class_ids else []
            scores = base = None
            if snapshot.needs_method:
                classifier = self._classifiers[snapshot.method]
                if not classifier.ready:
                    self.prepare()
                base = self._base(snapshot, classifier)
                samples = seeds(base.labels, class_ids) if base else []
                scores = classifier.classify([*samples, *prompts], class_ids)
        return Classified(class_ids, snapshot.thresholds, self.working.shape, scores, painted, base)

    def kept_scores(self, snapshot: Snapshot) -> np.ndarray | None:
        """The last computed scores, if they are those of this document."""
        kept = self._scores
        return kept[1] if kept is not None and kept[0] == self._what_scores_depend_on(snapshot) else None

    def keep_scores(self, snapshot: Snapshot, scores: np.ndarray) -> np.ndarray:
        """Keep the scores of a document for whoever asks next."""
        self._scores = (self._what_scores_depend_on(snapshot), scores)
        return scores

    def scores(self, snapshot: Snapshot | None = None) -> np.ndarray:
        """(C, X, Y, Z) uint8 on the working grid, in the order of :attr:`classes`; 255 is certain."""
        snapshot = snapshot or self.snapshot()
        kept = self.kept_scores(snapshot)
        return self.keep_scores(snapshot, self.classified(snapshot).volume()) if kept is None else kept

    def labels(self) -> np.ndarray:
        """(X, Y, Z) uint8 class ids on the working grid, 0 where no class holds."""
        snapshot = self.snapshot()
        return snapshot.ids[resolve(self.scores(snapshot), snapshot.thresholds)]

    def labels_full(self) -> np.ndarray:
        """(X, Y, Z) uint8 class ids on the canonical grid, from scores interpolated to it."""
        snapshot = self.snapshot()
        found = np.zeros(self.volume.shape, np.uint8)
        for low, slab in upsampled(self.scores(snapshot), self.volume.shape, self.factors):
            found[low : low + slab.shape[1]] = snapshot.ids[resolve(slab, snapshot.thresholds)]
        imported = snapshot.document.imported
        if imported is not None and snapshot.class_ids:
            same = repeated(self.classified(snapshot).unchanged(), self.volume.shape, self.factors)
            known = np.isin(imported.labels, snapshot.ids)
            np.copyto(found, np.where(known, imported.labels, 0).astype(np.uint8), where=same)
        return found

    def labels_source(self) -> np.ndarray:
        """(X, Y, Z) uint8 class ids on the grid of the file."""
        return self.volume.to_source(self.labels_full())

    def uncertainty(self) -> Uncertainty:
        """Where the classification is unsure: a histogram of margins."""
        snapshot = self.snapshot()
        return uncertainty(self.scores(snapshot), snapshot.thresholds)

    def volumes_ml(self) -> dict[int, float]:
        """Millilitres of each class, by id, at working resolution."""
        counts = voxel_counts(self.labels(), self.volume.shape, self.factors)
        return {one.id: float(counts[one.id]) * self.voxel_ml for one in self.classes}

    @property
    def voxel_ml(self) -> float:
        """Millilitres of a voxel of the canonical grid."""
        return abs(float(np.linalg.det(self.volume.affine[:3, :3]))) / 1000

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

    def curve(self) -> TransferFunction:
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
        """Write classes, marks and the whole history as a session file, whole or not at all."""
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
            SessionInUseError: another process has it open.
            SessionError: it is damaged, or made for another volume.
        """
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

    # ------------------------------------------------------------------ inside

    def _prompts(self, marks: tuple[AnyMark, ...]) -> list[Prompt]:
        known = self._prompt_of
        self._prompt_of = {mark.id: known.get(mark.id) or prompt_of(mark, self.grid) for mark in marks}
        return without_contradictions(list(self._prompt_of.values()), self.grid)

    def _base(self, snapshot: Snapshot, classifier: Classifier) -> Base | None:
        imported, class_ids = snapshot.document.imported, snapshot.class_ids
        if imported is None:
            return None
        key = (id(imported), class_ids, snapshot.method, self.generation)
        if key not in self._bases:
            labels = self.to_working(imported.labels)
            self._bases = {key: Base(labels, classifier.classify(seeds(labels, class_ids), class_ids))}
        return self._bases[key]

    def to_working(self, labels: np.ndarray) -> np.ndarray:
        """(X, Y, Z) labels of the working grid: those at the centres of its blocks of the canonical grid."""
        places = [
            np.minimum(np.arange(n) * f + f // 2, size - 1)
            for n, f, size in zip(self.working.shape, self.factors, self.volume.shape)
        ]
        return labels[np.ix_(*places)]

    def _what_scores_depend_on(self, snapshot: Snapshot) -> tuple:
        document = snapshot.document
        # What an import keeps depends on where classes hold.
        thresholds = document.imported and tuple(snapshot.thresholds)
        marks = (document.marks, document.imported, thresholds)
        return self.generation, snapshot.method, snapshot.class_ids, *marks
