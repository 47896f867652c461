"""Samples that lie in a file one after the other, plain or compressed: mapped or streamed, never whole."""

from __future__ import annotations

import bz2
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from dense3d.datasets.volumes.header import Bounds
from dense3d.datasets.volumes.memory import readable_size
from dense3d.errors import DataError

EXPANSION = {"gzip": 1032, "zlib": 1032}  # of deflate, at most: whatever declares more is false
LONGEST_STREAM = 2**34  # bytes that may be decompressed for one volume: 2048^3 voxels of 16 bits


@dataclass(frozen=True)
class Binary:
    """Where the samples of a file lie.

    Args:
        path: of the file that holds them.
        offset: bytes before the first, after decompression.
        dtype: with byte order.
        shape: (X, Y, Z).
        frames: how many volumes.
        order: "F" where x changes fastest, "C" where z does.
        frames_fastest: whether the frames of a voxel are neighbours; else frames follow each other.
        compression: None, "gzip", "zlib" or "bzip2".
        start: bytes of the file before the compressed data.
    """

    path: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, int, int]
    frames: int = 1
    order: str = "F"
    frames_fastest: bool = False
    compression: str | None = None
    start: int = 0

    @property
    def axis(self) -> int:
        """The slowest spatial axis."""
        return 2 if self.order == "F" else 0

    @property
    def total(self) -> int:
        """Bytes from the first sample to the last."""
        return int(np.prod(self.shape, dtype=object)) * self.frames * self.dtype.itemsize

    def check(self) -> None:
        """Judge the declared size by that of the file.

        Raises:
            DataError: the file is too short for what its header declares.
        """
        size = Path(self.path).stat().st_size
        declared = f"{self.path}: its header declares {readable_size(self.total)} of samples"
        if not self.compression:
            if size < self.offset + self.total:
                raise DataError(
                    f"{declared} but the file holds {readable_size(max(size - self.offset, 0))}: it is "
                    "truncated or its header is wrong; copy it again or correct the header"
                )
            return
        most = EXPANSION.get(self.compression)
        if most and self.total + self.offset > (size - self.start) * most:
            raise DataError(
                f"{declared} but {readable_size(size)} of compressed data cannot hold them: it is truncated "
                "or its header is wrong; copy it again or correct the header"
            )
        if self.total > LONGEST_STREAM:
            raise DataError(
                f"{declared} in compressed form, more than {readable_size(LONGEST_STREAM)}; decompress it "
                "first, so that it can be memory-mapped"
            )

    def mapped(self, frame: int) -> np.ndarray:
        """(X, Y, Z) memory map of one frame."""
        first = (self.order == "F") == self.frames_fastest  # whether the frame is the first array axis
        shape = (self.frames, *self.shape) if first else (*self.shape, self.frames)
        array = np.memmap(self.path, self.dtype, "r", self.offset, shape, self.order)
        return array[frame] if first else array[..., frame]

    def slabs(self, frame: int, bounds: Bounds) -> Iterator[np.ndarray]:
        """Pieces of one frame along :attr:`axis`.

        Raises:
            DataError: the data end too early or are damaged.
        """
        fast = self.frames if self.frames_fastest else 1
        plane = int(np.prod(self.shape, dtype=object)) // self.shape[self.axis] * self.dtype.itemsize * fast
        position = 0 if self.frames_fastest else frame * plane * self.shape[self.axis]
        done = 0
        with self._open() as stream:
            _skip(stream, self.offset + position, self.path)
            for start, stop in bounds:
                _skip(stream, (start - done) * plane, self.path)
                samples = _read(stream, (stop - start) * plane, self.path).view(self.dtype)
                done = stop
                yield self._shaped(samples, stop - start, frame)

    def _shaped(self, samples: np.ndarray, count: int, frame: int) -> np.ndarray:
        shape = list(self.shape)
        shape[self.axis] = count
        if not self.frames_fastest:
            return samples.reshape(shape, order=self.order)
        if self.order == "F":
            return samples.reshape((self.frames, *shape), order="F")[frame]
        return samples.reshape((*shape, self.frames))[..., frame]

    def _open(self) -> IO[bytes]:
        file = Path(self.path).open("rb")  # noqa: SIM115
        file.seek(self.start)
        if self.compression == "gzip":
            from isal import igzip

            return _Closing(igzip.GzipFile(fileobj=file), file)
        if self.compression == "bzip2":
            return _Closing(bz2.BZ2File(file), file)
        if self.compression == "zlib":
            return io.BufferedReader(_ZlibReader(file), 2**16)
        return file


class _Closing:
    """A decompressing file that closes the one beneath it, too."""

    def __init__(self, outer: IO[bytes], inner: IO[bytes]) -> None:
        self.outer, self.inner = outer, inner

    def __enter__(self) -> IO[bytes]:
        return self.outer

    def __exit__(self, *_: object) -> None:
        self.outer.close()
        self.inner.close()


class _ZlibReader(io.RawIOBase):
    """The decompressed bytes of a zlib stream, of which never more is held than is asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.decompress = file, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self.decompress.eof:
            waiting = self.decompress.unconsumed_tail or self.file.read(2**16)
            content = self.decompress.decompress(waiting, len(buffer))
            if content or not waiting:
                buffer[: len(content)] = content
                return len(content)
        return 0

    def close(self) -> None:
        self.file.close()
        super().close()


def _skip(stream: IO[bytes], count: int, path: str) -> None:
    """Read over what is not wanted; a plain file is not read."""
    if isinstance(stream, io.BufferedReader) and not isinstance(stream.raw, _ZlibReader):
        stream.seek(count, io.SEEK_CUR)
        return
    while count > 0:
        count -= _read(stream, min(count, 2**22), path).size


def _read(stream: IO[bytes], count: int, path: str) -> np.ndarray:
    """(count,) bytes, no fewer."""
    buffer = np.empty(count, np.uint8)
    view, done = memoryview(buffer), 0
    try:
        while done < count:
            got = stream.readinto(view[done : done + 2**26])
            if not got:
                raise EOFError
            done += got
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        damage = "end too early" if isinstance(error, EOFError) else f"are damaged ({error})"
        raise DataError(
            f"{path}: its samples {damage}; copy the file again from where it came from"
        ) from error
    return buffer
