from typing import Any

from tornado.web import StaticFileHandler

from handlers.headers import add_security_headers

YEAR_SECONDS = 31536000
FINGERPRINT_LENGTH = 12


class SiteStaticHandler(StaticFileHandler):
    """Files of the pages. An address with a fingerprint (`?v=`) never changes, so browsers keep it."""

    @classmethod
    def get_version(cls, settings: dict[str, Any], path: str) -> str | None:
        """The first characters of Tornado's fingerprint: all 128 would outweigh the page."""
        version = super().get_version(settings, path)
        return version and version[:FINGERPRINT_LENGTH]

    def set_default_headers(self) -> None:
        add_security_headers(self._headers, is_page=False, is_secure=self.settings["is_secure"])

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - Tornado's signature
        is_fingerprinted = "v" in self.request.query_arguments
        self.set_header(
            "Cache-Control", f"public, max-age={YEAR_SECONDS}, immutable" if is_fingerprinted else "no-cache"
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's signature
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish("There is no such file.\n" if status_code in {403, 404} else "That does not work here.\n")
