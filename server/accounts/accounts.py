"""Signing up and in: the rules for addresses and passwords, and who a pair of them belongs to."""

from contextlib import suppress

from email_validator import EmailNotValidError, validate_email

from server.accounts.blocklist import Blocklist
from server.accounts.passwords import HashQueueFull, Passwords
from server.accounts.users import User, Users
from server.sessions import StoreUnavailable

MAX_EMAIL_LENGTH = 254  # RFC 5321
MAX_PASSWORD_LENGTH = 256  # in characters as Unicode counts them (code points), as the least length is


class InvalidAccount(Exception):
    """The account cannot be made. `problems` says why to people, by field: "email" and "password"."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(". ".join(problems.values()))
        self.problems = problems


class Accounts:
    """What pages and commands ask about accounts."""

    def __init__(
        self, users: Users, passwords: Passwords, blocklist: Blocklist, password_min_length: int
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._blocklist = blocklist
        self.password_min_length = password_min_length

    def check(self, email: str, password: str) -> str:
        """The address as an account would have it. Raises `InvalidAccount` if the two can make none."""
        normalised = normalise_email(email)
        problems = {"email": _email_problem(email), "password": self._password_problem(password, email)}
        if normalised is None or any(problems.values()):
            raise InvalidAccount({field: text for field, text in problems.items() if text})
        return normalised

    async def create(self, email: str, password: str) -> User:
        """Makes an account. Raises `InvalidAccount`, `EmailTaken`, `HashQueueFull` or `StoreUnavailable`."""
        normalised = self.check(email, password)
        return await self._users.create(normalised, await self._passwords.hash(password))

    async def find(self, email: str) -> User | None:
        """The account with this address, however it is written, or None."""
        normalised = normalise_email(email)
        return await self._users.find_by_email(normalised) if normalised else None

    async def hash_new_password(self, password: str, email: str) -> str:
        """The hash of a password that the account with this address may get. Raises `InvalidAccount` or
        `HashQueueFull`."""
        if problem := self._password_problem(password, email):
            raise InvalidAccount({"password": problem})
        return await self._passwords.hash(password)

    async def authenticate(self, email: str, password: str) -> User | None:
        """The user with this address and password, or None. Which half was wrong is not told, not even by
        the time it takes. Raises `HashQueueFull` or `StoreUnavailable`."""
        normalised = normalise_email(email)
        user = await self._users.find_by_email(normalised) if normalised else None
        known_hash = user.password_hash if user else None
        is_right = await self._passwords.verify(known_hash, password[: MAX_PASSWORD_LENGTH + 1])
        if not user or not is_right or user.is_disabled:
            return None
        if self._passwords.needs_rehash(user.password_hash):
            with suppress(HashQueueFull, StoreUnavailable):  # next time, then
                new_hash = await self._passwords.hash(password)
                await self._users.set_password_hash(user.id, user.password_hash, new_hash)
        return user

    def _password_problem(self, password: str, email: str) -> str:
        if not password:
            return "Enter a password"
        if len(password) < self.password_min_length:
            return f"Use at least {self.password_min_length} characters for your password"
        if len(password) > MAX_PASSWORD_LENGTH:
            return f"Use at most {MAX_PASSWORD_LENGTH} characters for your password"
        return self._blocklist.problem(password, email)


def normalise_email(email: str) -> str | None:
    """The one spelling of an address under which its account is kept, or None if it is no address.

    Case is folded in the local part too: nobody expects Alice@ and alice@ to be two people.
    """
    if not 1 <= len(email) <= MAX_EMAIL_LENGTH * 2:
        return None
    try:
        address = validate_email(email.strip(), check_deliverability=False).normalized
    except (EmailNotValidError, UnicodeError):
        return None
    return address.lower() if len(address) <= MAX_EMAIL_LENGTH else None


def _email_problem(email: str) -> str:
    if not email.strip():
        return "Enter your email address"
    return "" if normalise_email(email) else "Enter an email address such as name@example.com"
