"""A real mongod for the whole run, a database of its own for each test, and the site on a free port."""

import asyncio
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop
from tornado.web import Application

from server.app import make_app
from server.mongod import EmbeddedMongod
from server.services import Services, open_services
from settings import Settings
from tests.client import Browser
from tests.site import Site, running

pytest.register_assert_rewrite("tests.sessions.contract", "tests.sessions.tools")

SECRET = "a secret for tests, forty characters long"


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mongod")
    mongod = EmbeddedMongod(folder, None, arguments=["--setParameter", "enableTestCommands=1"])
    with asyncio.Runner() as runner:
        runner.run(mongod.__aenter__())
        yield mongod.uri
        runner.run(mongod.__aexit__(None, None, None))
    shutil.rmtree(folder)  # 300 MB


@pytest.fixture
def database_name(mongodb_uri: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.drop_database(name)


@pytest.fixture
def settings(request: pytest.FixtureRequest, mongodb_uri: str, database_name: str) -> Settings:
    """Cheap hashes and a database of one's own; indirect parameters change what a test needs changed."""
    chosen = {
        "mongodb_uri": mongodb_uri,
        "mongodb_database": database_name,
        "cookie_secrets": (SECRET,),
        "argon2_memory_kib": 7168,
        "argon2_time_cost": 1,
    }
    return Settings(**chosen | getattr(request, "param", {}))


@pytest.fixture
def opened(io_loop: IOLoop) -> Iterator[Callable[[AbstractAsyncContextManager[Any]], Any]]:
    """Enters async context managers on the test's loop and leaves them, last first, at its end."""
    managers: list[AbstractAsyncContextManager[Any]] = []

    def enter(manager: AbstractAsyncContextManager[Any]) -> Any:
        value = io_loop.run_sync(manager.__aenter__)
        managers.append(manager)
        return value

    yield enter
    for manager in reversed(managers):
        io_loop.run_sync(lambda manager=manager: manager.__aexit__(None, None, None))


@pytest.fixture
def services(opened: Callable[[Any], Any], settings: Settings) -> Services:
    opened_services: Services = opened(open_services(settings, settings.mongodb_uri))
    return opened_services


@pytest.fixture
def app(settings: Settings, services: Services) -> Application:
    return make_app(settings, services)


@pytest.fixture
def browser(app: Application, http_server: Any, base_url: str) -> Browser:
    return Browser(base_url)


@pytest.fixture
def other_browser(app: Application, http_server: Any, base_url: str) -> Browser:
    return Browser(base_url)


@pytest.fixture
def site(
    request: pytest.FixtureRequest, mongodb_uri: str, database_name: str, tmp_path: Path
) -> Iterator[Site]:
    """The site as its own process, with cheap hashes; an indirect parameter lists more flags."""
    database = [
        "--mongodb-uri",
        mongodb_uri,
        "--mongodb-database",
        database_name,
        "--data-dir",
        str(tmp_path),
    ]
    with running(*database, "--argon2-memory-kib", "7168", *getattr(request, "param", [])) as started:
        yield started


@pytest.fixture
def sessions(services: Services) -> Any:
    """The collection, for looking and for making sessions old."""
    return services.database["sessions"]


@pytest.fixture
def expected_errors() -> list[str]:
    """Put parts of the messages here that a test expects at level ERROR."""
    return []


@pytest.fixture(autouse=True)
def _no_unexpected_errors(expected_errors: list[str]) -> Iterator[None]:
    """An unexpected line at level ERROR fails the test that caused it."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    messages = [record.getMessage() for record in records]
    surprises = [text for text in messages if not any(part in text for part in expected_errors)]
    assert not surprises, surprises


def pytest_configure() -> None:
    # Otherwise asyncio makes a loop of its own for the first who asks, and nobody closes that one.
    asyncio.set_event_loop(None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With NO_SKIPS set, where everything the tests need is there, a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "NO_SKIPS" in os.environ and reporter and reporter.stats.get("skipped"):
        reporter.write_line("\nNO_SKIPS is set, and tests were skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
