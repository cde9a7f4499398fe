"""The site's table of contents: every address and the handler behind it."""

import asyncio
import re
from pathlib import Path
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from handlers.account import AccountHandler
from handlers.account_deletion import AccountDeletedHandler, AccountDeletionHandler
from handlers.account_password import AccountPasswordHandler
from handlers.account_sessions import AccountSessionsHandler, RevokeOthersHandler, RevokeSessionHandler
from handlers.api.errors import ApiNotFoundHandler
from handlers.api.events import EventsApiHandler
from handlers.api.openapi import OpenApiHandler
from handlers.api.session import SessionApiHandler
from handlers.api.sessions import SessionsApiHandler, SessionsItemApiHandler
from handlers.api.users import UsersApiHandler
from handlers.confirm import ConfirmHandler
from handlers.errors import NotFoundHandler
from handlers.home import HomeHandler
from handlers.login import LoginHandler
from handlers.logout import LogoutHandler
from handlers.monitoring import HealthHandler, MetricsHandler, ReadyHandler
from handlers.pages import PageHandler
from handlers.signup import SignupHandler
from handlers.static import SiteStaticHandler
from server.inflight import InFlight
from server.logs import log_request
from server.openapi import describe
from server.proxies import TrustedProxies
from server.services import Services
from settings import VERSION, Settings

ROOT = Path(__file__).resolve().parent.parent

# What programs ask for all the time comes first: Tornado tries one pattern after the other.
ROUTES: list[tuple[str, type[RequestHandler]]] = [
    (r"/api/session", SessionApiHandler),
    (r"/api/events", EventsApiHandler),
    (r"/", HomeHandler),
    (r"/signup", SignupHandler),
    (r"/login", LoginHandler),
    (r"/logout", LogoutHandler),
    (r"/confirm", ConfirmHandler),
    (r"/account", AccountHandler),
    (r"/account/sessions", AccountSessionsHandler),
    (r"/account/sessions/revoke-others", RevokeOthersHandler),
    (r"/account/sessions/([0-9a-f]{16})/revoke", RevokeSessionHandler),
    (r"/account/password", AccountPasswordHandler),
    (r"/account/delete", AccountDeletionHandler),
    (r"/account/deleted", AccountDeletedHandler),
    (r"/api/sessions", SessionsApiHandler),
    (r"/api/sessions/([0-9a-f]{16})", SessionsItemApiHandler),
    (r"/api/users", UsersApiHandler),
    (r"/api/openapi\.json", OpenApiHandler),
    (r"/api(?:/.*)?", ApiNotFoundHandler),
    (r"/healthz", HealthHandler),
    (r"/readyz", ReadyHandler),
    (r"/metrics", MetricsHandler),
]


class Site(Application):
    """A Tornado application that knows its proxies."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Every request comes by here first."""
        self.settings["trusted_proxies"].apply(request)
        return super().find_handler(request, **kwargs)


def make_app(settings: Settings, services: Services) -> Application:
    """The site as a Tornado application. Its setting "stopping" is an event: set it and it says goodbye."""

    def on_answer(handler: RequestHandler) -> None:
        log_request(handler)
        services.metrics.count_request(handler)

    return Site(
        [*ROUTES],
        default_handler_class=NotFoundHandler,
        services=services,
        sessions=services.sessions,
        login_url="/login",
        hosts=frozenset(settings.hosts),
        public_url=settings.public_url,
        trusted_proxies=TrustedProxies(settings.trusted_proxies),
        trusted_origins=_trusted_origins(settings),
        cross_origin_protection=True,
        is_secure=settings.is_secure,
        metrics_token=settings.metrics_token,
        are_metrics_local=not settings.is_production,
        is_registration_open=settings.registration == "open",
        return_targets=_return_targets(),
        api_description=describe(VERSION, services.sessions.cookie.name, settings.password_min_length),
        stopping=asyncio.Event(),
        in_flight=InFlight(services.metrics.set_in_flight),
        log_function=on_answer,
        # Not compressed: the length of a page with a secret token and a text of somebody else's choice in it
        # tells the token bit by bit (BREACH). Files are: handlers/static.py.
        compress_response=False,
        template_path=str(ROOT / "templates"),
        static_path=str(ROOT / "static"),
        static_handler_class=SiteStaticHandler,
    )


def _trusted_origins(settings: Settings) -> frozenset[str]:
    return frozenset((*settings.trusted_origins, settings.public_url)) - {""}


def _return_targets() -> list[re.Pattern[str]]:
    """The pages that people may be sent back to after signing in."""
    return [
        re.compile(pattern)
        for pattern, handler in ROUTES
        if issubclass(handler, PageHandler) and handler.is_return_target and "get" in vars(handler)
    ]
