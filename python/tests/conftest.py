"""Fixtures of all tests."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream.core.mktdata import AsyncMarketDataClient, MarketDataClient

sys.path.insert(0, os.path.dirname(__file__))

from scripted import Connection, Daemon


@pytest.fixture
def socket_dir() -> Iterator[str]:
    """A directory with a path short enough for a socket (107 bytes), which tmp_path's may not be."""
    path = tempfile.mkdtemp(prefix="slip-")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemon(socket_dir: str) -> Iterator[Daemon]:
    daemon = Daemon(os.path.join(socket_dir, "d.sock"))
    yield daemon
    daemon.close()


class Blocking:
    """An ``AsyncMarketDataClient`` driven from blocking code, so that one test serves both clients."""

    def __init__(self, client: AsyncMarketDataClient, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.client, name)
        if not inspect.ismethod(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            if inspect.isasyncgen(result):
                return self._blocking(result)
            return self.loop.run_until_complete(result)

        return call

    def _blocking(self, generator: Any) -> Iterator[Any]:
        while True:
            try:
                yield self.loop.run_until_complete(generator.__anext__())
            except StopAsyncIteration:
                return


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[Callable[..., Any]]:
    """Make a connected client of the test's daemon, blocking or asyncio, by the same arguments."""
    loop = asyncio.new_event_loop()
    made: list[Any] = []

    def make(*args: Any, connect: bool = True, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", 5.0)
        arguments = args or (daemon.path,)
        client: Any = (
            MarketDataClient(*arguments, **kwargs)
            if request.param == "sync"
            else Blocking(AsyncMarketDataClient(*arguments, **kwargs), loop)
        )
        made.append(client)
        if connect:
            client.connect()
        return client

    yield make
    for client in made:
        client.close()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def pair(make_client: Callable[..., Any], daemon: Daemon) -> tuple[Any, Connection]:
    """A connected client and the daemon's end of it."""
    client = make_client()
    return client, daemon.next_connection()
