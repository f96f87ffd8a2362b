"""Book levels: ``Level``, one price and size, and ``Levels``, one side of a book.

A book message carries 40 and more levels, and most programs look at one or two. So ``Levels`` keeps the pairs
as they were decoded and makes a ``Level`` at the moment somebody looks at one: wrapping a side costs the
same whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, overload


class _Pair(NamedTuple):
    price: float
    size: float


class Level(_Pair):
    """One level of a book: a tuple ``(price, size)``, both float, in the venue's own units.

    Also ``level.price``, ``level.size``, ``level["price"]``, ``level["size"]``. Equal to a tuple or list of
    the same two numbers.
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        if key.__class__ is str:
            if key == "price":
                return self.price
            if key == "size":
                return self.size
            raise KeyError(key)
        return tuple.__getitem__(self, key)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, list):
            other = tuple(other)
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def keys(self) -> tuple[str, str]:
        """Return the two field names, so that ``dict(level)`` gives ``{"price": ..., "size": ...}``."""
        return ("price", "size")


_level = partial(tuple.__new__, Level)
_raw_item = list.__getitem__


def pairs(side: Levels) -> Iterator[tuple[float, float]]:
    """Iterate over a side without making a ``Level`` of each pair: for arithmetic over whole books."""
    return list.__iter__(side)


class Levels(list[Level]):
    """One side of a book, best level first: a list of ``Level``, made when they are looked at.

    Indexing, slicing, iteration, comparison and every list method see ``Level`` objects, never the raw pairs;
    ``json.dumps`` writes ``[[price, size], ...]``. It is an ordinary list otherwise and may be changed.
    """

    __slots__ = ()

    if TYPE_CHECKING:  # at run time list's own, which is C

        def __init__(self, raw: Iterable[Any] = ()) -> None: ...

    @overload
    def __getitem__(self, key: SupportsIndex) -> Level: ...
    @overload
    def __getitem__(self, key: slice) -> Levels: ...
    def __getitem__(self, key: Any) -> Any:
        item = _raw_item(self, key)
        return Levels(item) if key.__class__ is slice else _level(item)

    def __iter__(self) -> Iterator[Level]:
        return map(_level, list.__iter__(self))

    def __reversed__(self) -> Iterator[Level]:
        return map(_level, list.__reversed__(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, tuple)):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other))

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __contains__(self, level: object) -> bool:
        return any(mine == level for mine in self)

    def __add__(self, other: Iterable[Any]) -> list[Any]:
        return [*self, *other]

    def __radd__(self, other: Iterable[Any]) -> list[Any]:
        return [*other, *self]

    def __repr__(self) -> str:
        return repr(list(self))

    def copy(self) -> Levels:
        """Return a copy of this side."""
        return Levels(list(self))

    def index(self, level: Any, start: SupportsIndex = 0, stop: SupportsIndex = 2**63 - 1) -> int:
        """Return where ``level`` (a pair) first stands; ``ValueError`` when it does not."""
        return list(self).index(level, start, stop)

    def count(self, level: Any) -> int:
        """Return how often ``level`` (a pair) occurs."""
        return list(self).count(level)

    def pop(self, index: SupportsIndex = -1) -> Level:
        """Remove and return the level at ``index``."""
        return _level(super().pop(index))

    def remove(self, level: Any) -> None:
        """Remove the first level equal to ``level`` (a pair)."""
        del self[self.index(level)]

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Sort in place, as ``list.sort``."""
        self[:] = sorted(self, key=key, reverse=reverse)
