import hmac
from ipaddress import ip_address

from tornado.web import HTTPError

from handlers.base import BaseHandler
from server.proxies import is_forwarded


class MonitoringHandler(BaseHandler):
    """Probes come by address, not by name, and have no session."""

    is_page = False
    checks_host = False
    uses_session = False

    def answer(self, status: int, text: str) -> None:
        self.set_status(status)
        self.set_error_headers(status)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(text + "\n")


class HealthHandler(MonitoringHandler):
    """Whether the process is alive. Asks nobody else, or an outage of the database would restart us."""

    def get(self) -> None:
        self.answer(200, "alive")


class ReadyHandler(MonitoringHandler):
    """Whether requests should be sent here: not while stopping, and not without a database."""

    async def get(self) -> None:
        if self.settings["stopping"].is_set():
            return self.answer(503, "stopping")
        if not await self.services.is_database_up():
            return self.answer(503, "no database")
        return self.answer(200, "ready")


class MetricsHandler(MonitoringHandler):
    """Figures for Prometheus: for who has the token, and in development for this machine."""

    async def prepare(self) -> None:
        await super().prepare()
        if not (self._has_token() or self._is_local()):
            raise HTTPError(401)

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.services.metrics.exposition())

    def set_error_headers(self, status: int) -> None:
        super().set_error_headers(status)
        if status == 401:
            self.set_header("WWW-Authenticate", "Bearer")

    def _has_token(self) -> bool:
        token = self.settings["metrics_token"]
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
        return bool(token) and scheme.lower() == "bearer" and is_right

    def _is_local(self) -> bool:
        # A proxy on this machine speaks for the whole world, and says so in a header.
        return (
            self.settings["are_metrics_local"]
            and not is_forwarded(self.request)
            and _is_loopback(self.request.remote_ip or "")
        )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
