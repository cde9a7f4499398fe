"""Signing up and in: the rules for addresses and passwords, and who a pair of them belongs to."""

from enum import StrEnum

from email_validator import EmailNotValidError, validate_email

from server.accounts.passwords import Passwords
from server.accounts.users import User, Users

MAX_EMAIL_LENGTH = 254  # RFC 5321
MAX_PASSWORD_LENGTH = 256


class Refusal(StrEnum):
    """What is wrong with a wanted account."""

    EMAIL_MISSING = "email_missing"
    EMAIL_INVALID = "email_invalid"
    PASSWORD_MISSING = "password_missing"  # noqa: S105 - a code, not a password
    PASSWORD_TOO_SHORT = "password_too_short"  # noqa: S105
    PASSWORD_TOO_LONG = "password_too_long"  # noqa: S105


class InvalidAccount(Exception):
    """The account cannot be made. `refusals` says why, by field: "email" and "password"."""

    def __init__(self, refusals: dict[str, Refusal]) -> None:
        super().__init__(", ".join(refusals.values()))
        self.refusals = refusals


class Accounts:
    """What pages and commands ask about accounts."""

    def __init__(self, users: Users, passwords: Passwords, password_min_length: int) -> None:
        self._users = users
        self._passwords = passwords
        self.password_min_length = password_min_length

    async def create(self, email: str, password: str) -> User:
        """Makes an account. Raises `InvalidAccount`, `EmailTaken`, `HashQueueFull` or `StoreUnavailable`."""
        normalised = normalise_email(email)
        refusals = {}
        if not normalised:
            refusals["email"] = Refusal.EMAIL_INVALID if email.strip() else Refusal.EMAIL_MISSING
        if refusal := self._password_refusal(password):
            refusals["password"] = refusal
        if not normalised or refusals:
            raise InvalidAccount(refusals)
        return await self._users.create(normalised, await self._passwords.hash(password))

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
            await self._users.set_password_hash(
                user.id, user.password_hash, await self._passwords.hash(password)
            )
        return user

    def _password_refusal(self, password: str) -> Refusal | None:
        if not password:
            return Refusal.PASSWORD_MISSING
        if len(password) < self.password_min_length:
            return Refusal.PASSWORD_TOO_SHORT
        if len(password) > MAX_PASSWORD_LENGTH:
            return Refusal.PASSWORD_TOO_LONG
        return None


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
    return address.casefold() if len(address) <= MAX_EMAIL_LENGTH else None
