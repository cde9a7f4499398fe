"""The composition root: everything a handler may use, made from the settings, opened and closed together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from server.accounts import (
    Access,
    Accounts,
    Blocklist,
    DeviceCookie,
    Endings,
    Failures,
    Guard,
    Limits,
    Passwords,
    Throttle,
    User,
    Users,
    device_label,
)
from server.audit import session_events
from server.csrf import CsrfTokens
from server.database import open_database, ping
from server.errors import StartError
from server.live import Live, Mailboxes, open_live
from server.metrics import Metrics
from server.secret import development_secret
from server.sessions import (
    Lifetime,
    MongoSessionStore,
    Options,
    SessionCookie,
    Sessions,
    StoreUnavailable,
    ValueCipher,
    together,
)
from settings import Settings

SITE_NAME = "Latchkey"
SIGNATURE_MARGIN_SECONDS = 86400


@dataclass(frozen=True)
class Services:
    """What handlers and commands work with. Made by `open_services`."""

    database: Any
    sessions: Sessions
    accounts: Accounts
    access: Access
    guard: Guard
    device_cookie: DeviceCookie
    csrf: CsrfTokens
    live: Live
    lifetime: Lifetime
    remembered_lifetime: Lifetime
    metrics: Metrics

    async def is_database_up(self) -> bool:
        """Whether the database answers within its deadline."""
        return await ping(self.database)


@asynccontextmanager
async def open_services(settings: Settings, mongodb_uri: str) -> AsyncIterator[Services]:
    """The services on the database at `mongodb_uri`, indexes made; all closed at the end.

    Raises `StartError` or `SettingsError`.
    """
    async with AsyncExitStack() as stack:
        deadline, metrics = settings.store_deadline, Metrics()
        database = await stack.enter_async_context(
            open_database(mongodb_uri, settings.mongodb_database, deadline, [metrics])
        )
        passwords = await stack.enter_async_context(
            Passwords(settings.argon2_memory_kib, settings.argon2_time_cost)
        )
        keys = settings.session_encryption_keys
        store = MongoSessionStore(database["sessions"], deadline, ValueCipher(keys) if keys else None)
        users = Users(database["users"], deadline)
        secrets = settings.cookie_secrets or (development_secret(settings.data_dir),)
        throttle = Throttle(database["throttle"], deadline, secrets)
        failures = Failures(database["failures"], deadline, secrets)
        mailboxes = Mailboxes(database["mailboxes"], deadline)

        async def forget(user: User) -> None:
            await mailboxes.remove(user.id)
            await failures.forget(user.email)

        try:
            await store.create_indexes()
            await users.create_indexes()
            await throttle.create_indexes()
            await failures.create_indexes()
            endings = await stack.enter_async_context(Endings(users, store, patience=deadline, forget=forget))
        except StoreUnavailable as error:
            raise StartError(f"the database cannot be made ready: {error}") from None
        device_label("curl")  # loads its tables now: somebody's sign-in need not wait for that
        lifetime = Lifetime(settings.session_idle_timeout, settings.session_absolute_timeout)
        remembered = Lifetime(
            settings.remember_idle_timeout, settings.remember_absolute_timeout, persistent=True
        )
        events = together(metrics.session_events(), session_events())
        options = Options(deadline=deadline, touch_interval=settings.session_touch_interval, events=events)
        sessions = Sessions(store, _cookie(settings, secrets), lifetime, options)
        stack.push_async_callback(sessions.close)
        blocklist = Blocklist((SITE_NAME, *settings.hosts))
        accounts = Accounts(users, passwords, blocklist, settings.password_min_length)
        access = Access(
            accounts, users, store, endings, failures,
            max_sessions=settings.session_max_per_user, confirmation_seconds=settings.reauth_window,
        )  # fmt: skip
        live = await stack.enter_async_context(
            open_live(
                database,
                sessions,
                mailboxes,
                deadline,
                poll_timeout=settings.poll_timeout,
                max_polls=settings.poll_max_per_process,
            )
        )
        yield Services(
            database,
            sessions,
            accounts,
            access,
            Guard(accounts, throttle, failures, _limits(settings)),
            DeviceCookie(secrets),
            CsrfTokens(secrets),
            live,
            lifetime,
            remembered,
            metrics,
        )


def _limits(settings: Settings) -> Limits:
    return Limits(
        account_failures=settings.throttle_account_failures,
        address_failures=settings.throttle_address_failures,
        signups=settings.throttle_signups,
    )


def _cookie(settings: Settings, secrets: tuple[str, ...]) -> SessionCookie:
    longest = max(settings.session_absolute_timeout, settings.remember_absolute_timeout)
    return SessionCookie(
        settings.cookie_name,
        secrets,
        max_age=longest + SIGNATURE_MARGIN_SECONDS,
        secure=settings.is_secure,
        samesite=settings.cookie_samesite,
        path=settings.cookie_path,
        domain=settings.cookie_domain,
        partitioned=settings.cookie_partitioned,
    )
