"""SiteHandler: what every answer of the site has in common, static files included."""

from typing import Any

from tornado.concurrent import future_add_done_callback
from tornado.web import HTTPError, RequestHandler

from server.proxies import forwarded_protocol

MAX_BODY_BYTES = 64 * 1024


class SiteHandler(RequestHandler):
    """Counts the request until its answer is sent, and refuses what no handler should see."""

    checks_host = True

    def admit(self) -> None:
        """Call it first in `prepare`. Raises HTTPError 421 for a foreign host name or for http where
        there should be https, 413 for a large body."""
        self.settings["in_flight"].add(self)
        if self.checks_host and self.request.host_name not in self.settings["hosts"]:
            # Links and redirects are made for the hosts we know; another name is a trick (DNS rebinding).
            raise HTTPError(421)
        if self.checks_host and self.came_in_clear():
            raise HTTPError(421)
        if len(self.request.body) > MAX_BODY_BYTES:
            raise HTTPError(413)

    def came_in_clear(self) -> bool:
        """Whether a proxy says that the client used http although the site is on https. Anybody is believed:
        a lie is to nobody's cost but the liar's."""
        return bool(self.settings["is_secure"]) and forwarded_protocol(self.request) == "http"

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Any:
        sent = super().finish(chunk)
        # A stopping server waits until the last byte has gone out, not until the handler has ended.
        future_add_done_callback(sent, lambda _: self.settings["in_flight"].discard(self))
        return sent

    def _origin_matches_host(self, origin: str) -> bool:
        # Tornado's, which fails for an origin that is no address, such as http://[
        try:
            return bool(super()._origin_matches_host(origin))
        except ValueError:
            return False
