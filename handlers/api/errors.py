from tornado.web import HTTPError

from handlers.api.base import ApiHandler


class ApiNotFoundHandler(ApiHandler):
    """Every address under /api/ that is no call."""

    uses_session = False

    def allowed_methods(self) -> list[str]:
        return ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

    def check_trusted_origin(self, origin: str) -> bool:  # noqa: ARG002 - nothing here could be forged
        return True

    async def prepare(self) -> None:
        await super().prepare()
        raise HTTPError(404)
