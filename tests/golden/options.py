"""Arguments of an official constructor: each is read, known to be without effect, or refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dense3d.errors import DataError

_ABSENT = object()


class Options:
    """The ``config`` of a kit, from which an adapter takes what it reads; the rest is refused.

    Args:
        config: argument -> value.
        source: named in messages.

    Example:
        >>> options = Options({"depth": 4, "drop_rate": 0.1, "ape": True}, "kit")
        >>> options.take("depth"), options.take("heads", 3)
        (4, 3)
        >>> options.neutral("drop_rate")
        >>> options.left
        ['ape']
    """

    def __init__(self, config: Mapping[str, Any], source: object) -> None:
        self._config, self.source = dict(config), source
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._config

    @property
    def left(self) -> list[str]:
        """Arguments that nothing has read so far."""
        return sorted(set(self._config) - self._read)

    def take(self, name: str, default: Any = _ABSENT) -> Any:
        """The value of an argument.

        Args:
            name: of the argument.
            default: what the official constructor takes where the kit does not give it.

        Raises:
            DataError: the config does not give it, and there is no default.
        """
        self._read.add(name)
        if name not in self._config and default is _ABSENT:
            raise DataError(f"the config of {self.source} lacks {name!r}; restore the kit")
        return self._config.get(name, default)

    def take_all(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Several arguments with their defaults."""
        return {name: self.take(name, default) for name, default in defaults.items()}

    def choose(self, name: str, table: Mapping[Any, Any], default: Any = _ABSENT) -> Any:
        """What a table gives for the value of an argument.

        Raises:
            DataError: the value is not in the table.
        """
        value = self.take(name, default)
        if not isinstance(value, (str, int, float, type(None))) or value not in table:
            raise self.refusal(name, value, f"supported are {', '.join(map(str, table))}")
        return table[value]

    def only(self, name: str, *values: Any) -> None:
        """Accept an argument that has one of these values, as nothing else is built.

        Raises:
            DataError: it has another value.
        """
        value = self.take(name, values[0])
        if value not in values:
            raise self.refusal(name, value, f"supported are {', '.join(map(str, values))}")

    def agree(self, name: str, found: Any) -> Any:
        """``found``, what the kit's parameters show.

        Raises:
            DataError: the config states the argument, and another value.
        """
        value = self.take(name, found)
        if _plain(value) != _plain(found):
            raise self.refusal(name, value, f"its parameters are those of {name}={found!r}")
        return found

    def ratio(self, name: str, dim: int, width: int) -> float:
        """The factor by which a network of ``dim`` channels has layers of ``width``.

        Raises:
            DataError: the config states another one.
        """
        value = self.take(name, width / dim)
        if int(dim * value) != width:
            raise self.refusal(name, value, f"its parameters are of {width} channels from {dim}")
        return value

    def neutral(self, *names: str) -> None:
        """Arguments without effect on outputs in evaluation mode with loaded weights."""
        self._read.update(names)

    def refusal(self, name: str, value: Any, reason: str) -> DataError:
        """The error for a value that is not supported."""
        return DataError(f"{self.source}: {name}={value!r} of the config is not supported: {reason}")

    def refuse_rest(self) -> None:
        """Nothing may be left over.

        Raises:
            DataError: the adapter has read neither the argument nor called it neutral.
        """
        if self.left:
            raise DataError(
                f"{self.source}: the golden adapter does not know the config argument {self.left[0]!r}"
            )


def _plain(value: Any) -> Any:
    """Tuples and ranges as the lists that JSON has."""
    return list(value) if isinstance(value, (tuple, range)) else value


def square(options: Options, name: str, default: int) -> int:
    """Side of the square image that an argument gives as one number or as two equal ones.

    Raises:
        DataError: the image is no square.

    Example:
        >>> square(Options({"img_size": [96, 96]}, "kit"), "img_size", 224)
        96
    """
    value = options.take(name, default)
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise options.refusal(name, value, "images are square")
    return sides.pop()
