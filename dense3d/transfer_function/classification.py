"""Marks of a volume and what they lead to: scores and labels, by a method that can be changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import numpy as np

from dense3d.errors import ConfigError, DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.classified import Base, Classified, seeds
from dense3d.transfer_function.classifier import Classifier, Progress, Scores
from dense3d.transfer_function.edge_upsampling import slowest_first, upsampled_along_edges
from dense3d.transfer_function.editing import Snapshot
from dense3d.transfer_function.mark_editing import MarkEditor
from dense3d.transfer_function.marks import AnyMark, Grid, prompt_of, without_contradictions
from dense3d.transfer_function.methods import check_method, make_classifier, method_names
from dense3d.transfer_function.prompts import Prompt
from dense3d.transfer_function.resolving import resolve
from dense3d.transfer_function.upsampling import repeated


class Classification(MarkEditor):
    """Classes and marks of a volume with their classification.

    Args:
        volume: any; its axes need no particular order.
        limit: the most voxels that an axis of the working grid has.
        method: one of :func:`~.methods.method_names`; the first unless given.
        checkpoint: file with the weights of the image backbone that a method looks through.
    """

    def __init__(
        self,
        volume: Volume,
        limit: int,
        method: str | None = None,
        checkpoint: str | os.PathLike | None = None,
    ) -> None:
        _require_limit(limit)
        _require_numbers(volume)
        self.volume = volume.canonical()
        self.working = volume.reduced(limit)
        if not np.isfinite(self.working.values).all():
            raise DataError(f"{volume.name}: voxels are NaN or infinite; give them a value first")
        # A volume too large for memory comes reduced already.
        self.factors = tuple(new // old for new, old in zip(self.working.factors, self.volume.factors))
        super().__init__(Grid(self.volume.shape, self.volume.spacing, self.factors))
        self.checkpoint = None if checkpoint is None else os.fspath(checkpoint)
        self.generation = 0  # how often a method was prepared
        self._classifiers: dict[str, Classifier] = {}
        self._complete: set[str] = set()
        self._computing, self._preparing = threading.Lock(), threading.Lock()
        self._prompt_of: dict[int, Prompt] = {}  # by the id of its mark
        self._bases: dict[tuple, Base] = {}
        self._scores: tuple[tuple, np.ndarray] | None = None
        self.method = method or method_names(self.checkpoint)[0]
        self._classifiers[self.method] = make_classifier(self.method, self.working, self.checkpoint)

    # ------------------------------------------------------------------ method

    def set_method(self, name: str) -> None:
        """Classify by another method from now on; marks stay. It is made when it is prepared.

        Raises:
            ConfigError: there is no such method, or it needs a checkpoint.
        """
        check_method(name, self.checkpoint)
        with self.lock:
            if name != self.method:
                self.method = name
                self._changed()

    @property
    def ready(self) -> bool:
        """Whether marks can be classified without preparing anything."""
        return self.is_ready(self.method)

    def is_ready(self, method: str) -> bool:
        """The same for any method."""
        classifier = self._classifiers.get(method)
        return classifier is not None and classifier.ready

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
            if method not in self._classifiers:
                self._classifiers[method] = make_classifier(method, self.working, self.checkpoint)
            classifier = self._classifiers[method]
            if hasattr(classifier, "first"):
                classifier.first = self.visible_slice() or classifier.first
            try:
                classifier.prepare(progress or (lambda done, task, left: None))
                self._complete.add(method)
            finally:
                self.generation += 1  # what was classified on the way gets better

    def visible_slice(self) -> tuple[int, int] | None:
        """(axis, index) on the working grid of the axial slice that the page showed last, if it is known."""
        crosshair = self.view.get("crosshair")  # whatever a page or a session file says
        if not (isinstance(crosshair, (list, tuple)) and len(crosshair) == 3):
            return None
        if not all(type(x) is int and 0 <= x < n for x, n in zip(crosshair, self.volume.shape)):
            return None
        return 2, crosshair[2] // self.factors[2]

    # ------------------------------------------------------------------ scores and labels

    def preview(self, snapshot: Snapshot) -> Classified | None:
        """Roughly the scores of a document, much sooner; None where the method has no such thing."""
        classifier = self._classifiers.get(snapshot.method)
        if not snapshot.needs_method or not hasattr(classifier, "preview") or not classifier.ready:
            return None
        classified = self._classified(snapshot, classifier.preview)
        return None if classified.scores is None else classified

    def classified(self, snapshot: Snapshot | None = None) -> Classified:
        """Scores of a document, computed where they are looked at.

        Args:
            snapshot: the present document unless given.
        """
        return self._classified(snapshot or self.snapshot())

    def _classified(
        self,
        snapshot: Snapshot,
        classify: Callable[[Sequence[Prompt], Sequence[int]], Scores | None] | None = None,
    ) -> Classified:
        class_ids, document = snapshot.class_ids, snapshot.document
        with self._computing:
            prompts = self._prompts(document.marks)
            painted = [prompt for prompt in prompts if prompt.kind == "stroke"] if class_ids else []
            scores = base = None
            if snapshot.needs_method:
                if not self.is_ready(snapshot.method):
                    self.prepare()
                classifier = self._classifiers[snapshot.method]
                base = self._base(snapshot, classifier)
                samples = seeds(base.labels, class_ids) if base else []
                scores = (classify or classifier.classify)([*samples, *prompts], class_ids)
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
        """(X, Y, Z) uint8 class ids on the canonical grid, from scores brought to it along its edges."""
        snapshot = self.snapshot()
        found = np.zeros(self.volume.shape, np.uint8)
        order = slowest_first(self.volume.values)
        grids = (self.volume.values, self.working.values, self._marked(snapshot), found)
        values, working, marked, turned = (grid.transpose(order) for grid in grids)
        scores = self.scores(snapshot).transpose(0, *(1 + axis for axis in order))
        labels = resolve(scores, snapshot.thresholds)
        factors = tuple(self.factors[axis] for axis in order)
        for low, slab in upsampled_along_edges(scores, labels, values, working, factors, marked):
            turned[low : low + slab.shape[1]] = snapshot.ids[resolve(slab, snapshot.thresholds)]
        imported = snapshot.document.imported
        if imported is not None and snapshot.class_ids:
            same = repeated(self.classified(snapshot).unchanged(), self.volume.shape, self.factors)
            known = np.zeros(256, np.uint8)
            known[snapshot.ids] = snapshot.ids
            for plane, labels, holds in zip(found, imported.labels, same):  # looking up needs 8 bytes a voxel
                np.copyto(plane, known[labels], where=holds)
        return found

    def labels_source(self) -> np.ndarray:
        """(X, Y, Z) uint8 class ids on the grid of the file."""
        return self.volume.to_source(self.labels_full())

    @property
    def voxel_ml(self) -> float:
        """Millilitres of a voxel of the canonical grid."""
        return abs(float(np.linalg.det(self.volume.affine[:3, :3]))) / 1000

    # ------------------------------------------------------------------ inside

    def _prompts(self, marks: tuple[AnyMark, ...]) -> list[Prompt]:
        known = self._prompt_of
        self._prompt_of = {mark.id: known.get(mark.id) or prompt_of(mark, self.grid) for mark in marks}
        return without_contradictions(list(self._prompt_of.values()), self.grid)

    def _marked(self, snapshot: Snapshot) -> np.ndarray:
        """(X, Y, Z) bool: the voxels of the working grid with clicks and strokes."""
        marked = np.zeros(self.working.shape, bool)
        with self._computing:
            prompts = self._prompts(snapshot.document.marks)
        for prompt in prompts:
            if prompt.kind in ("point", "stroke"):
                marked[tuple(prompt.voxels.T)] = True
        return marked

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


def _require_limit(limit: int) -> None:
    if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 1:
        raise ConfigError(
            f"limit={limit!r}: an axis of the working grid keeps a whole number of voxels; 256 is usual"
        )


def _require_numbers(volume: Volume) -> None:
    values = volume.values
    if values.ndim != 3 or not values.size or values.dtype.kind not in "biuf":
        sizes = " x ".join(map(str, values.shape))
        raise DataError(
            f"{volume.name}: a volume has x, y and z and holds real numbers, not {sizes} of {values.dtype}"
        )
