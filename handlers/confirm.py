from tornado.web import authenticated

from handlers.pages import PageHandler
from server.accounts import TooManyAttempts


class ConfirmHandler(PageHandler):
    """Asks for the password again before something sensitive, then leads to the page that asked."""

    is_return_target = False

    @authenticated
    def get(self) -> None:
        self._show(200, self.get_query_argument("next", ""))

    @authenticated
    async def post(self) -> None:
        password, wanted = self.field("password"), self.field("next")
        if not password:
            return self._show(422, wanted, "Enter your password")
        try:
            user = await self.authenticate_again(password)
        except TooManyAttempts as error:
            return self._show(429, wanted, self.too_many(error))
        if user is None or not await self.services.access.confirm(self.session, user):
            return self._show(401, wanted, "Check your password")
        return self.redirect(self.next_page(wanted), status=303)

    def _show(self, status: int, wanted: str, problem: str = "") -> None:
        self.set_status(status)
        self.render(
            "confirm.html",
            errors={"password": problem} if problem else {},
            next=wanted if self.next_page(wanted) == wanted else "",
        )
