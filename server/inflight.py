"""The requests under way, so that a stopping server can wait for them."""

import asyncio
from collections.abc import Callable


class InFlight:
    """A set of requests that can be awaited until it is empty. `on_change` hears how many there are."""

    def __init__(self, on_change: Callable[[int], object] = lambda _: None) -> None:
        self._on_change = on_change
        self._requests: set[object] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: object) -> None:
        self._requests.add(request)
        self._is_empty.clear()
        self._on_change(len(self))

    def discard(self, request: object) -> None:
        self._requests.discard(request)
        self._on_change(len(self))
        if not self._requests:
            self._is_empty.set()

    async def wait_empty(self) -> None:
        """Returns once no request is under way."""
        await self._is_empty.wait()
