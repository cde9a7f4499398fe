"""Commands for the operator, on the same services as the site."""

import getpass
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

from server.accounts import EmailTaken, InvalidAccount, User
from server.embedding import open_shared_uri
from server.errors import SettingsError, StartError
from server.services import Services, open_services
from server.sessions import StoreUnavailable
from settings import Settings

LONG_SECONDS = 60.0  # for what touches every document there is


async def run_command(settings: Settings, name: str, arguments: tuple[str, ...]) -> None:
    """Runs a command; the site may be running meanwhile. Its result is one line on standard output.

    Raises `SettingsError` for a command that does not exist, and `StartError`, in words, if it cannot be
    carried out.
    """
    command = _COMMANDS.get((name, len(arguments)))
    if command is None:
        raise SettingsError(f"{' '.join((name, *arguments))!r} is no command; see python run.py --help")
    if name == "create-user":
        arguments += (_read_password(),)
    if name == "end-all-sessions":
        _ask("Sign everybody out?")
        settings = replace(settings, store_deadline=max(settings.store_deadline, LONG_SECONDS))
    async with open_shared_uri(settings) as database, open_services(settings, database.uri) as services:
        try:
            await command(services, *arguments)
        except StoreUnavailable as error:
            raise StartError(f"the database did not answer; repeat the command: {error}") from None


async def _create_user(services: Services, email: str, password: str) -> None:
    try:
        user = await services.accounts.create(email, password)
    except InvalidAccount as error:
        raise StartError(f"no account was made: {error}") from None
    except EmailTaken:
        raise StartError(f"no account was made: {email} has one already") from None
    print(f"{user.email} can sign in now")


async def _disable_user(services: Services, email: str) -> None:
    user = await _user(services, email)
    ended = await services.access.disable(user)
    print(f"{user.email} cannot sign in any more; {_sessions(ended)} ended")


async def _enable_user(services: Services, email: str) -> None:
    user = await _user(services, email)
    await services.access.enable(user)
    print(f"{user.email} can sign in again")


async def _delete_user(services: Services, email: str) -> None:
    user = await _user(services, email)
    ended = await services.access.delete(user)
    print(f"{user.email} has no account any more; {_sessions(ended)} ended")


async def _end_sessions(services: Services, email: str) -> None:
    user = await _user(services, email)
    ended = await services.access.end_sessions(user)
    print(f"{user.email} is signed out; {_sessions(ended)} ended")


async def _end_all_sessions(services: Services) -> None:
    await services.access.end_every_session()
    print("everybody is signed out")


async def _list_sessions(services: Services, email: str) -> None:
    user = await _user(services, email)
    records = await services.access.sessions_of(user.id)
    for record in records:
        times = f"signed in {record.created_at:%Y-%m-%d %H:%M}, last active {record.active_at:%Y-%m-%d %H:%M}"
        print(f"{record.handle}  {times} UTC  {record.client.ip}  {record.client.label}")
    print(f"{user.email} has {_sessions(len(records))}")


_COMMANDS: dict[tuple[str, int], Callable[..., Awaitable[None]]] = {
    ("create-user", 1): _create_user,
    ("disable-user", 1): _disable_user,
    ("enable-user", 1): _enable_user,
    ("delete-user", 1): _delete_user,
    ("list-sessions", 1): _list_sessions,
    ("end-sessions", 1): _end_sessions,
    ("end-all-sessions", 0): _end_all_sessions,
}


async def _user(services: Services, email: str) -> User:
    user = await services.accounts.find(email)
    if user is None:
        raise StartError(f"{email} has no account")
    return user


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"


def _read_password() -> str:
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise StartError("no account was made: the two passwords differ")
        return password
    return sys.stdin.readline().rstrip("\n")


def _ask(question: str) -> None:
    """Asks at a terminal. A script has made up its mind."""
    if sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise StartError("nothing was done")
