"""The guard at the door: tries passwords and makes accounts for visitors, no faster than guessing allows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from weakref import WeakValueDictionary

from server.accounts.accounts import Accounts, normalise_email
from server.accounts.device_cookie import Device
from server.accounts.failures import Failures
from server.accounts.passwords import HashQueueFull
from server.accounts.throttle import Answer, Counter, Outcome, Throttle
from server.accounts.users import User
from server.audit import record
from server.sessions import StoreUnavailable

IPV6_PREFIX = 64
QUEUE_SECONDS = 4
PAUSE_SECONDS = 0.05
MAX_QUEUED = 100


class TooManyAttempts(Exception):
    """Refused without looking at the password. `retry_after`: seconds until another attempt has a chance."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"refused for {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where an attempt comes from: the network address, and the browser if it showed a device cookie."""

    address: str
    device: Device | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Failures within a minute that are free, for each account and each address; sign-ups a minute and
    address."""

    account_failures: int
    address_failures: int
    signups: int


class Guard:
    """Accounts for visitors: `Accounts` with the limits in front of it.

    Attempts count for the account, whether there is one or not, and for the address (IPv6: its /64, which is
    what one customer gets). From a browser that the account has signed in from before they count for this
    pair only: strangers can lock neither the account nor the address against its owner.
    """

    def __init__(self, accounts: Accounts, throttle: Throttle, failures: Failures, limits: Limits) -> None:
        self._accounts = accounts
        self._throttle = throttle
        self._failures = failures
        self._limits = limits
        self._queued = 0
        self._lines: WeakValueDictionary[Counter, asyncio.Lock] = WeakValueDictionary()

    async def authenticate(self, email: str, password: str, visitor: Visitor) -> User | None:
        """The user with this address and password, or None.

        Raises `TooManyAttempts`, `HashQueueFull` or `StoreUnavailable`; then nobody learns whether the
        password was right. A success clears the account's counter and is not counted for the address.
        """
        account = normalise_email(email) or email.strip().lower()
        own, *others = counters = self._counters(account, visitor)
        attempt = self._throttle.new_attempt()
        await self._begin(counters, attempt)
        try:
            user = await self._accounts.authenticate(email, password)
        except HashQueueFull:
            await self._withdraw(counters, attempt)
            raise
        if user is None:
            await self._fail(counters, attempt, account)
        else:
            await asyncio.gather(self._throttle.reset(own), self._withdraw(others, attempt))
            record("authn_login_success", user_id=user.id, account=self._throttle.label(account))
        return user

    async def create(self, email: str, password: str, visitor: Visitor) -> User:
        """Makes an account. Raises what `Accounts.create` raises, and `TooManyAttempts`."""
        self._accounts.check(email, password)
        # Every sign-up counts, the one that finds its address taken above all: it tells who has an account.
        counter = Counter("sign-up", network_of(visitor.address), self._limits.signups)
        answer = await self._throttle.attempt(counter, self._throttle.new_attempt())
        if answer.outcome is not Outcome.GRANTED:
            raise TooManyAttempts(answer.wait)
        user = await self._accounts.create(email, password)
        record("user_created", user_id=user.id)
        with suppress(StoreUnavailable):  # the account is there; those before it are nobody's
            await self._failures.forget(user.email)
        return user

    def _counters(self, account: str, visitor: Visitor) -> list[Counter]:
        """The account's own first."""
        if visitor.device and visitor.device.knows(account):
            pair = f"{visitor.device.name}:{account}"
            return [Counter("device", pair, self._limits.account_failures)]
        return [
            Counter("account", account, self._limits.account_failures),
            Counter("address", network_of(visitor.address), self._limits.address_failures),
        ]

    async def _begin(self, counters: Sequence[Counter], attempt: str) -> None:
        """Counts the attempt on all counters, or on none. In the same order always, so that two attempts
        never wait for each other."""
        for number, counter in enumerate(counters):
            try:
                answer = await self._queue(counter, attempt)
            except HashQueueFull:
                await self._withdraw(counters[:number], attempt)
                raise
            if answer.outcome is Outcome.REFUSED:
                await self._withdraw(counters[:number], attempt)
                raise TooManyAttempts(answer.wait)

    async def _queue(self, counter: Counter, attempt: str) -> Answer:
        """The answer to an attempt, once those under way leave room or have failed. Many people may sign in
        at once, but nobody guesses faster by guessing in parallel. Raises `HashQueueFull` if that is long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + QUEUE_SECONDS
        async with self._turn(counter, end):
            while (answer := await self._throttle.attempt(counter, attempt)).outcome is Outcome.BUSY:
                if loop.time() > end:
                    raise HashQueueFull
                await asyncio.sleep(PAUSE_SECONDS)  # those under way may be another process's
        return answer

    @asynccontextmanager
    async def _turn(self, counter: Counter, end: float) -> AsyncIterator[None]:
        """One after the other, in the order they came: nobody is overtaken until it is too late."""
        if self._queued >= MAX_QUEUED:
            raise HashQueueFull
        # Gone from the dictionary with the last who stands in line.
        line = self._lines.setdefault(counter, asyncio.Lock())
        self._queued += 1
        try:
            async with asyncio.timeout_at(end):
                await line.acquire()
        except TimeoutError:
            raise HashQueueFull from None
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            line.release()

    async def _fail(self, counters: Sequence[Counter], attempt: str, account: str) -> None:
        label = self._throttle.label(account)
        record("authn_login_fail", is_warning=True, account=label)
        _, *locks = await asyncio.gather(
            self._failures.add(account), *(self._throttle.failed(counter, attempt) for counter in counters)
        )
        for counter, is_locked in zip(counters, locks, strict=True):
            if is_locked:
                record("authn_login_lock", is_warning=True, reason=counter.kind, account=label)

    async def _withdraw(self, counters: Sequence[Counter], attempt: str) -> None:
        await asyncio.gather(*(self._throttle.withdraw(counter, attempt) for counter in counters))


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or IPv6Network((ip, IPV6_PREFIX), strict=False))
