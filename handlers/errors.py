from tornado.web import HTTPError

from handlers.base import METHODS
from handlers.pages import PageHandler


class NotFoundHandler(PageHandler):
    """Every address that is no page."""

    is_return_target = False
    session_touch = False
    checks_csrf = False

    def allowed_methods(self) -> list[str]:
        return list(METHODS)

    def check_trusted_origin(self, origin: str) -> bool:  # noqa: ARG002 - nothing here could be forged
        return True

    async def prepare(self) -> None:
        await super().prepare()
        raise HTTPError(404)
