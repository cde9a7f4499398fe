"""PageHandler: what pages for people have in common. Forms, redirects back, error pages."""

from http.client import responses
from math import ceil
from typing import Any
from urllib.parse import quote, urlsplit

from tornado.web import Finish, HTTPError

from handlers.base import BaseHandler
from server.accounts import HashQueueFull, TooManyAttempts
from server.services import SITE_NAME

MAX_NEXT_LENGTH = 512

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

_NOTICE = "notice"

_BUSY = ("One moment, please", "Many people are signing in right now. Try again in a few seconds.")
_ERRORS = {
    400: ("That didn’t look right", "Your browser sent something we couldn’t read. Go back and try again."),
    403: (
        "We couldn’t accept this form",
        "Nothing was changed. It may be out of date: go back, reload the page and send the form again.",
    ),
    404: ("Page not found", "There is nothing at this address. It may have been mistyped, or moved."),
    405: ("That doesn’t work here", "This address exists, but not for what your browser tried to do."),
    413: ("That was too much", "What your browser sent is larger than anything this site needs."),
    421: ("Wrong address", "This site doesn’t answer to the name your browser used."),
    500: (
        "Something went wrong",
        "It’s our fault, not yours, and it has been noted. Please try again in a moment.",
    ),
    503: (
        "We’ll be right back",
        "The site can’t reach its database just now. If you were signed in, you still are: "
        "try again in a few seconds.",
    ),
}


class PageHandler(BaseHandler):
    """A page. Its forms carry `_csrf`, or they are refused before the handler runs."""

    is_return_target = True
    """Whether people who had to sign in may be brought back here."""

    checks_csrf = True

    async def prepare(self) -> None:
        if self.request.method in SAFE_METHODS and self.came_in_clear():
            # Only what a person may have typed. A program that spoke in clear shall fail and be mended.
            self.redirect(self.settings["public_url"] + (self.request.uri or "/"), permanent=True)
            raise Finish
        await super().prepare()
        if self.request.method in SAFE_METHODS or not self.checks_csrf:
            return
        token = self.request.headers.get("X-CSRF-Token") or self.field("_csrf")
        if not self.is_csrf_token(token):
            raise HTTPError(403, "the form's token is missing or of another session")

    def field(self, name: str) -> str:
        """A field of the posted form exactly as it was typed, "" if it is missing.

        Only the body counts, never the query. A field sent twice or not in UTF-8 is a 400.
        """
        values = self.request.body_arguments.get(name, [b""])
        try:
            (value,) = values
            return value.decode()
        except ValueError:  # two values, or not UTF-8
            raise HTTPError(400, f"field {name!r} is not one text") from None

    def show_next(self, notice: str) -> None:
        """Has the next page of this session say so, once."""
        self.session[_NOTICE] = notice

    def ask_to_confirm(self, page: str) -> None:
        """Sends people to type their password again, and then to `page`."""
        self.redirect(f"/confirm?next={quote(page, safe='')}", status=303)

    def next_page(self, wanted: str) -> str:
        """`wanted` if it leads to a page of this site, else the account page."""
        return wanted if self._is_page(wanted) else "/account"

    def too_many(self, error: TooManyAttempts) -> str:
        """Sets `Retry-After`, and says in words what it means."""
        self.set_header("Retry-After", str(error.retry_after))
        minutes = ceil(error.retry_after / 60)
        wait = "a minute" if minutes == 1 else f"{minutes} minutes"
        return f"Too many tries. Wait {wait}, then try again"

    def get_template_namespace(self) -> dict[str, Any]:
        namespace = super().get_template_namespace()
        return namespace | {
            "site_name": SITE_NAME,
            "csrf_token": self.csrf_token,
            # For the warning before it ends; in some error pages there is none.
            "member_session": self.session if self.current_user and self.session.user_id else None,
            "is_registration_open": self.settings["is_registration_open"],
            "notice": self._take_notice(),
            "errors": {},
        }

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.set_error_headers(status_code)
        standard = responses.get(status_code, "Error")
        heading, message = _ERRORS.get(status_code, (standard, "Your request could not be answered."))
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, HashQueueFull):
            heading, message = _BUSY
        elif isinstance(error, TooManyAttempts):
            heading, message = "One moment, please", self.too_many(error) + "."
        self.render(
            "error.html", status=status_code, heading=heading, message=message, request_id=self.request_id
        )

    def _take_notice(self) -> str | None:
        if self.request.method != "GET" or not self.has_session or _NOTICE not in self.session:
            return None
        notice: str = self.session.pop(_NOTICE)
        return notice

    def _is_page(self, wanted: str) -> bool:
        # What browsers make of odd addresses differs from what servers read in them. So there is no list of
        # tricks here: plain visible ASCII, one leading slash, and a path that is one of our own pages.
        if len(wanted) > MAX_NEXT_LENGTH or not wanted.isascii() or not wanted.isprintable():
            return False
        if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or " " in wanted:
            return False
        path = urlsplit(wanted).path
        return any(pattern.fullmatch(path) for pattern in self.settings["return_targets"])
