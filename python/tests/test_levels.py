"""Levels: made on access, and like a list of (price, size) tuples in every way."""

from __future__ import annotations

import copy
import json
import pickle

import msgpack
import pytest

from slipstream.core.mktdata import Level, Levels

RAW = [[100.0, 1.0], [99.0, 2.0], [98.0, 3.0]]


@pytest.fixture
def levels() -> Levels:
    return Levels([list(pair) for pair in RAW])


def test_a_level_is_a_tuple_with_names_and_keys() -> None:
    level = Level(1.5, 2.5)
    assert level == (1.5, 2.5) and level == [1.5, 2.5] and [1.5, 2.5] == level
    assert not level != (1.5, 2.5) and level != (1.5, 2.6) and level != [1.5]
    assert (level.price, level.size, level["price"], level["size"], level[0], level[-1]) == (
        1.5,
        2.5,
        1.5,
        2.5,
        1.5,
        2.5,
    )
    price, size = level
    assert (price, size) == (1.5, 2.5)
    assert isinstance(level, tuple) and hash(level) == hash((1.5, 2.5))
    assert dict(level) == {"price": 1.5, "size": 2.5} and level[0:1] == (1.5,)
    with pytest.raises(KeyError):
        level["volume"]


def test_indexing_gives_levels(levels: Levels) -> None:
    assert levels[0]["price"] == 100.0 and levels[0].size == 1.0 and levels[-1].price == 98.0
    assert type(levels[1]) is Level
    assert len(levels) == 3 and levels
    with pytest.raises(IndexError):
        levels[3]


def test_slices_are_levels_too(levels: Levels) -> None:
    top = levels[:2]
    assert isinstance(top, list) and len(top) == 2 and top[1]["size"] == 2.0
    assert [level.price for level in levels[::-1]] == [98.0, 99.0, 100.0]
    assert levels[:20] == RAW


def test_iteration_gives_levels(levels: Levels) -> None:
    assert all(type(level) is Level for level in levels)
    assert all(type(level) is Level for level in list(levels))
    assert all(type(level) is Level for level in reversed(levels))
    assert [price for price, _ in levels] == [100.0, 99.0, 98.0]
    best, *rest = levels
    assert best.price == 100.0 and rest[0]["price"] == 99.0
    assert max(levels, key=lambda level: level.size).price == 98.0
    assert tuple(levels)[0].price == 100.0 and [*levels][0].price == 100.0


def test_comparison_with_lists(levels: Levels) -> None:
    assert levels == RAW and RAW == levels
    assert levels == [tuple(pair) for pair in RAW] and [tuple(pair) for pair in RAW] == levels
    assert levels == [Level(*pair) for pair in RAW]
    assert levels != RAW[:2] and levels != [] and Levels() == [] and not Levels()
    assert levels != "abc"
    assert [99.0, 2.0] in levels and (99.0, 2.0) in levels and (99.0, 9.0) not in levels


def test_list_methods_see_levels(levels: Levels) -> None:
    assert levels.index((99.0, 2.0)) == 1 and levels.count([98.0, 3.0]) == 1
    assert type(levels.pop()) is Level and len(levels) == 2
    levels.remove((100.0, 1.0))
    levels.append(Level(97.0, 4.0))
    levels.sort(key=lambda level: level.price)
    assert levels == [(97.0, 4.0), (99.0, 2.0)]
    assert (levels + [(1.0, 1.0)])[-1] == (1.0, 1.0) and ([(1.0, 1.0)] + levels)[1].price == 97.0
    assert levels.copy() == levels and levels.copy() is not levels


def test_it_travels(levels: Levels) -> None:
    assert json.loads(json.dumps({"bids": levels})) == {"bids": RAW}
    assert pickle.loads(pickle.dumps(levels)) == RAW
    assert type(pickle.loads(pickle.dumps(levels))) is Levels
    assert pickle.loads(pickle.dumps(levels[0])) == levels[0]
    assert copy.deepcopy(levels) == RAW and copy.deepcopy(levels) is not levels
    assert msgpack.unpackb(msgpack.packb(levels)) == RAW


def test_levels_are_made_on_access(levels: Levels) -> None:
    assert type(list.__getitem__(levels, 0)) is list
