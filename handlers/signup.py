from tornado.web import HTTPError

from handlers.pages import PageHandler
from server.accounts import EmailTaken, InvalidAccount, TooManyAttempts


class SignupHandler(PageHandler):
    """The form for a new account. Whoever makes one is signed in."""

    is_return_target = False

    async def prepare(self) -> None:
        if not self.settings["is_registration_open"]:
            raise HTTPError(404)
        await super().prepare()

    def get(self) -> None:
        self._show(200, self.get_query_argument("next", ""))

    async def post(self) -> None:
        email, wanted = self.field("email"), self.field("next")
        try:
            user = await self.services.guard.create(email, self.field("password"), self.visitor())
        except InvalidAccount as error:
            return self._show(422, wanted, email, error.problems)
        except EmailTaken:
            taken = {"email": "There is already an account with this email address"}
            return self._show(422, wanted, email, taken)
        except TooManyAttempts as error:
            return self._show(429, wanted, email, {"form": self.too_many(error)})
        await self.sign_in(user, is_remembered=False)
        return self.redirect(self.next_page(wanted), status=303)

    def _show(self, status: int, wanted: str, email: str = "", errors: dict[str, str] | None = None) -> None:
        self.set_status(status)
        self.render(
            "signup.html",
            values={"email": email},
            errors=errors or {},
            next=wanted if self.next_page(wanted) == wanted else "",
            password_min_length=self.services.accounts.password_min_length,
        )
