"""Samples in a member of a zip archive."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import IO

from dense3d.datasets.volumes.binary import EXPANSION, Binary
from dense3d.datasets.volumes.memory import readable_size
from dense3d.errors import DataError


@dataclass(frozen=True)
class ZippedBinary(Binary):
    """:class:`Binary` of a zip archive.

    Args:
        member: name of the member.
    """

    member: str = ""

    def check(self) -> None:
        """Judge the declared size by what the archive says of the member, and that by its compressed size.

        Raises:
            DataError: they contradict each other.
        """
        super().check()
        with zipfile.ZipFile(self.path) as archive:
            information = archive.getinfo(self.member)
        most = information.compress_size * EXPANSION["gzip"]
        if self.total + self.offset > min(information.file_size, most):
            raise DataError(
                f"{self.path}: its header declares {readable_size(self.total)} of samples but its archive "
                f"holds {readable_size(information.file_size)}; it is damaged, so save it again"
            )

    def _open(self) -> IO[bytes]:
        return zipfile.ZipFile(self.path).open(self.member)
