from typing import Any

from tornado.web import GZipContentEncoding, HTTPError, StaticFileHandler

from handlers.headers import add_security_headers
from handlers.site import SiteHandler

YEAR_SECONDS = 31536000
FINGERPRINT_LENGTH = 12


class SiteStaticHandler(SiteHandler, StaticFileHandler):
    """Files of the pages. An address with a fingerprint (`?v=`) never changes, so browsers keep it."""

    @classmethod
    def get_version(cls, settings: dict[str, Any], path: str) -> str | None:
        """The first characters of Tornado's fingerprint: all 128 would outweigh the page."""
        version = super().get_version(settings, path)
        return version and version[:FINGERPRINT_LENGTH]

    def set_default_headers(self) -> None:
        add_security_headers(self._headers, is_page=False, is_secure=self.settings["is_secure"])

    def prepare(self) -> None:
        self.admit()
        if "Range" not in self.request.headers:
            # Files only: they hold no secret that the length of an answer could tell of (BREACH).
            self._transforms = [GZipContentEncoding(self.request)]

    def compute_etag(self) -> str | None:
        """Tornado's, as a weak one: compressed or not it is the same file, but not the same bytes."""
        etag = super().compute_etag()
        return etag and f"W/{etag}"

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        try:
            return super().validate_absolute_path(root, absolute_path)
        except ValueError:  # a NUL in it
            raise HTTPError(404) from None

    def set_extra_headers(self, path: str) -> None:
        # Only under its own fingerprint: while versions change, an old file must not be kept under a new one.
        is_current = self.get_query_argument("v", "") == self.get_version(self.settings, path)
        self.set_header(
            "Cache-Control", f"public, max-age={YEAR_SECONDS}, immutable" if is_current else "no-cache"
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's signature
        self.set_header("Cache-Control", "no-store")
        if status_code == 405:
            self.set_header("Allow", "GET, HEAD")
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish("There is no such file.\n" if status_code in {403, 404} else "That does not work here.\n")
