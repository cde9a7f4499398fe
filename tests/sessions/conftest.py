"""A store whose commands can be counted."""

from collections.abc import Callable
from typing import Any

import pytest

from server.services import Services
from settings import Settings
from tests.sessions.tools import Commands, watched_store


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def store(services: Services, settings: Settings, commands: Commands, opened: Callable[[Any], Any]) -> Any:
    return opened(watched_store(settings, commands))
