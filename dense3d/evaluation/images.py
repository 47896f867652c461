"""Do a metric and a data loader speak of the same images? Asked before anything is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from dense3d.errors import DataError


def refuse_twins(samples: Sequence[Mapping[str, Any]], key: str = "img_id") -> None:
    """Refuse a data set that has an image twice.

    Args:
        samples: what is known of each sample before it is loaded; ``img_path`` names its file.
        key: of the image's number.

    Raises:
        DataError: the first such image and its files.
    """
    first: dict[Any, str] = {}
    for sample in samples:
        number, path = sample[key], str(sample.get("img_path"))
        if number in first:
            files = path if first[number] == path else f"{first[number]} and {path}"
            raise DataError(f"the data set has image {number} twice ({files}), but the metric counts it once")
        first[number] = path


def refuse_strangers(
    samples: Sequence[Mapping[str, Any]],
    known: Mapping[Any, str | None],
    where: str,
    key: str = "img_id",
    file: str = "img_path",
) -> None:
    """Refuse a data set with images that a metric does not know, or knows as others.

    Args:
        samples: as in :func:`refuse_twins`.
        known: the metric's images: number -> file, or None where it cannot be told.
        where: what the metric reads.
        key: of the image's number in a sample.
        file: key of the path in a sample that is compared; folders and suffixes may differ.

    Raises:
        DataError: the first such image, and how many there are.
    """
    strangers = [sample for sample in samples if sample[key] not in known]
    if strangers:
        raise DataError(
            f"{where}: {len(strangers)} of the data set's {len(samples)} images are not in it, first image "
            f"{strangers[0][key]!r} ({strangers[0].get('img_path')}); give the metric the annotations of the "
            "data set"
        )
    for sample in samples:
        theirs, ours = known[sample[key]], sample.get(file)
        if theirs and ours and PurePath(theirs).stem != PurePath(ours).stem:
            raise DataError(
                f"{where}: image {sample[key]!r} is {theirs} there and {ours} in the data set; give the "
                "metric the annotations of the data set"
            )
