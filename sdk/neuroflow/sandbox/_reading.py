"""Reads what a user wrote as a config's values, and lists all that is malformed."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

from neuroflow.sandbox import _native
from neuroflow.sandbox.errors import ConfigError

Path = str | os.PathLike[str]

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


class Reading:
    """Collects the problems of one config, so that all are told at once."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    def __call__(self, key: str, read: Callable[[Any], T], value: Any) -> T:  # noqa: ANN401
        """Reads `value`. After a problem the value returned is never used: `done` raises."""
        try:
            return read(value)
        except (TypeError, ValueError) as problem:
            self._problems.append(f"{key}: {problem}")
            return value  # type: ignore[no-any-return]

    def done(self) -> None:
        """Raises `ConfigError` if anything was malformed."""
        if self._problems:
            raise ConfigError(self._problems)


def optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """`None`, which is no limit, or what `read` reads."""
    return lambda value: None if value is None else read(value)


def size(value: int | str) -> int:
    """Bytes, from a number of them or from text such as `256MB`."""
    return _native.parse_size(value if isinstance(value, str) else str(_whole(value)))


def cores(value: float) -> float:
    """A number of cores, which may be a fraction of one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{_shown(value)} is not a number of cores; write one, as in 0.5")
    return float(value)


def seconds(value: float | str) -> float:
    """Seconds, from a number of them or from text such as `1m`."""
    if isinstance(value, str):
        return _native.parse_seconds(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{_shown(value)} is not a time; write seconds or a unit, as in `30s`")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{_shown(value)} is not a time; for no limit write None")
    return value


def count(value: int) -> int:
    """A whole number, zero or more."""
    number = _whole(value)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"{_shown(value)} is out of range")
    return number


def flag(value: bool) -> bool:
    """`True` or `False`, and nothing that is merely true or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{_shown(value)} is not True or False")
    return value


def path(value: Path) -> str:
    """A path, as text."""
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError(f"{_shown(value)} is not a path; write a str")
    return text


def text(value: str) -> str:
    """Text that can be passed on, as UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)} is not text")
    value.encode()
    return value


def data(value: bytes) -> bytes:
    """Bytes, or what holds some."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{_shown(value)} is not bytes; use `.encode()` on text")
    return bytes(value)


def texts(value: Iterable[str]) -> list[str]:
    """A list of text. A lone `str` is a slip: it would be read letter by letter."""
    return [text(entry) for entry in _entries(value)]


def paths(value: Iterable[Path]) -> list[str]:
    """A list of paths, as text."""
    return [path(entry) for entry in _entries(value)]


def environment(value: Mapping[str, str]) -> dict[str, str]:
    """Variables by name."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{_shown(value)} is not a mapping of names to values")
    return {text(name): text(entry) for name, entry in value.items()}


def profile(value: Mapping[str, Any] | Path) -> dict[str, Any] | str:
    """A seccomp profile: OCI/Docker data, or the path of a file with it."""
    return dict(value) if isinstance(value, Mapping) else path(value)


def one_of(kinds: type[E]) -> Callable[[Any], E]:
    """A member of `kinds`, or its value as text."""

    def read(value: Any) -> E:  # noqa: ANN401
        try:
            return kinds(value)
        except ValueError:
            known = ", ".join(kind.value for kind in kinds)
            raise ValueError(f"{_shown(value)} is none of {known}") from None

    return read


def _entries(value: Iterable[T]) -> Iterable[T]:
    if isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable):
        raise TypeError(f"{_shown(value)} is not a list; write [{value!r}]")
    return value


def _whole(value: int) -> int:
    # A bool is an int to Python; as a limit it is a slip.
    if isinstance(value, bool):
        raise TypeError(f"{_shown(value)} is not a number")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{_shown(value)} is not a whole number") from None


def _shown(value: object) -> str:
    """`value` in backticks, short enough for a message."""
    text = repr(value)
    return f"`{text[:80]}…`" if len(text) > 80 else f"`{text}`"
