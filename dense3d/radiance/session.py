"""A fit in a folder: checkpoints, previews, progress; killed at any moment, it goes on bit for bit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from dense3d.engine.checkpoint import load_checkpoint, save_checkpoint
from dense3d.engine.interrupt import Interrupts
from dense3d.errors import CheckpointError, ConfigError
from dense3d.files import is_file
from dense3d.radiance.evaluation import score
from dense3d.radiance.previews import preview
from dense3d.radiance.views import PosedView
from dense3d.visualization.pictures import write_picture

STATE = "state.pth"
AVERAGED = 50  # steps whose PSNR is averaged for a line of progress
LINE_SECONDS = 5.0
SAVE_SECONDS = 60.0
SHOW_SECONDS = 4.0
PREVIEWS = 5  # during a fit


class Fitter(Protocol):
    """What a session runs. ``kind`` names it, in state files and in sentences.

    Attributes:
        step: how many steps were made.
        settings: has ``steps``, and ``as_dict()``.
    """

    kind: str
    step: int
    settings: Any

    @property
    def is_done(self) -> bool:
        """Whether all steps were made."""

    def fit_one(self) -> tuple[float, float]:
        """One step; the loss and the PSNR in dB of what it looked at."""

    def background(self) -> Tensor:
        """(3,) behind the scene where it is evaluated."""

    def picture(self, view: PosedView, background: Tensor) -> Tensor:
        """(H, W, 3) in 0..1 of the scene as it is now, on the CPU."""

    def size(self) -> str:
        """How large the scene is, for a line of progress."""

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""


class FitInterrupted(SystemExit):
    """A fit was asked to stop and has saved its state; exits quietly with ``128 + signal``."""


def load_state(folder: Path, kind: str) -> dict[str, Any]:
    """The state that a fit of this kind has left in its folder.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of something else.
    """
    path = folder / STATE
    if not is_file(path):
        raise CheckpointError(f"{path} does not exist, so there is no fit to resume: leave out --resume")
    state = load_checkpoint(path)
    if state.get("kind") != f"dense3d {kind}":
        raise CheckpointError(f"{path} is no state of a fit of {kind}: name the folder of one")
    return state["fitter"]


def require_new(folder: Path) -> None:
    """See that a folder holds no other fit.

    Raises:
        ConfigError: it does.
    """
    if is_file(folder / STATE):
        raise ConfigError(
            f"{folder} holds a fit: go on with --resume, or name another folder with --out for a new one"
        )


class Session:
    """Runs a fitter to its end and writes what there is to see on the way.

    Args:
        fitter: new or resumed.
        folder: for ``state.pth`` and ``previews``.
        test: photographs that were held out; the first is previewed.
        tell: is given lines of progress.
        show: is called with the line of progress every few seconds, for a viewer.
    """

    def __init__(
        self,
        fitter: Fitter,
        folder: Path,
        test: Sequence[PosedView],
        tell: Callable[[str], None],
        show: Callable[[str], None] | None = None,
    ) -> None:
        self.fitter, self.folder, self.test, self.tell, self.show = fitter, folder, list(test), tell, show
        self._recent: deque[float] = deque(maxlen=AVERAGED)
        self._held_out = ""

    def run(self, save_every: int | None = None) -> None:
        """Make all steps that are left.

        Args:
            save_every: steps between checkpoints; one a minute unless given.

        Raises:
            FitInterrupted: after Ctrl+C or SIGTERM, once the state is saved.
            TrainingError: the loss is not finite; the last checkpoint stays.
        """
        fitter, interrupts = self.fitter, Interrupts()
        begin = told = saved = shown = time.monotonic()
        first = fitter.step
        preview_every = max(1, fitter.settings.steps // PREVIEWS)
        with interrupts.caught():
            while not fitter.is_done:
                self._recent.append(fitter.fit_one()[1])
                now = time.monotonic()
                if fitter.step % preview_every == 0:
                    self._preview()
                if now - told >= LINE_SECONDS or fitter.is_done or fitter.step == first + 1:
                    self.tell(self._line((now - begin) / (fitter.step - first)))
                    told = now
                if self.show is not None and (now - shown >= SHOW_SECONDS or fitter.is_done):
                    self.show(self._line((now - begin) / (fitter.step - first)))
                    shown = now
                due = now - saved >= SAVE_SECONDS if save_every is None else fitter.step % save_every == 0
                if due or fitter.is_done or interrupts.received is not None:
                    self.save()
                    saved = now
                if interrupts.received is not None and not fitter.is_done:
                    self.tell(
                        f"stopped after step {fitter.step}; the state is saved in {self.folder / STATE}: go "
                        "on with --resume"
                    )
                    raise FitInterrupted(128 + interrupts.received)

    def save(self) -> None:
        """Write the state, whole or not at all."""
        kind = f"dense3d {self.fitter.kind}"
        save_checkpoint({"kind": kind, "fitter": self.fitter.state()}, self.folder / STATE)

    def _line(self, seconds: float) -> str:
        fitter = self.fitter
        left = round(seconds * (fitter.settings.steps - fitter.step))
        mean = sum(self._recent) / len(self._recent)
        return (
            f"step {fitter.step:>6}/{fitter.settings.steps}  PSNR {mean:5.2f} dB{self._held_out}  "
            f"{fitter.size()}  {seconds:.3f} s a step  ETA {left // 60}:{left % 60:02d}"
        )

    def _preview(self) -> None:
        if not self.test:
            return
        fitter, view, background = self.fitter, self.test[0], self.fitter.background()
        image = fitter.picture(view, background)
        self._held_out = f" (held out {score(image, view, background)[0]:5.2f})"
        picture = preview(image, view, background)
        write_picture(picture, self.folder / "previews" / f"step_{fitter.step:06d}.png")
