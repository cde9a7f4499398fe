from tornado.web import HTTPError

from handlers.api.base import ApiHandler
from handlers.base import METHODS


class ApiNotFoundHandler(ApiHandler):
    """Every address under /api/ that is no call."""

    uses_session = False

    def allowed_methods(self) -> list[str]:
        return list(METHODS)

    def check_trusted_origin(self, origin: str) -> bool:  # noqa: ARG002 - nothing here could be forged
        return True

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.method != "OPTIONS":  # a browser hides the 404 from a script if its preflight fails
            raise HTTPError(404)

    def refined_status(self, status: int) -> int:
        return 404 if status in {400, 415} else super().refined_status(status)
