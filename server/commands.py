"""Commands for the operator, on the same services as the site."""

import getpass
import sys

from server.accounts import EmailTaken, InvalidAccount
from server.embedding import open_shared_uri
from server.errors import StartError
from server.services import open_services
from settings import Settings


async def create_user(settings: Settings, email: str) -> None:
    """Makes an account. The password is asked at the prompt, or read from standard input's first line.

    Raises `StartError`, in words, if the account cannot be made.
    """
    password = _read_password()
    async with open_shared_uri(settings) as database, open_services(settings, database.uri) as services:
        try:
            user = await services.accounts.create(email, password)
        except InvalidAccount as error:
            raise StartError(f"no account was made: {error}") from None
        except EmailTaken:
            raise StartError(f"no account was made: {email} has one already") from None
    print(f"{user.email} can sign in now")


def _read_password() -> str:
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise StartError("no account was made: the two passwords differ")
        return password
    return sys.stdin.readline().rstrip("\n")
