from tornado.web import HTTPError

from handlers.pages import PageHandler
from server.accounts import EmailTaken, InvalidAccount, Refusal


class SignupHandler(PageHandler):
    """The form for a new account. Whoever makes one is signed in."""

    is_return_target = False

    async def prepare(self) -> None:
        if not self.settings["is_registration_open"]:
            raise HTTPError(404)
        await super().prepare()

    def get(self) -> None:
        self._show(self.get_query_argument("next", ""))

    async def post(self) -> None:
        email, wanted = self.field("email"), self.field("next")
        try:
            user = await self.services.accounts.create(email, self.field("password"))
        except InvalidAccount as error:
            errors = {field: self._explain(refusal) for field, refusal in error.refusals.items()}
            return self._show(wanted, email, errors)
        except EmailTaken:
            return self._show(wanted, email, {"email": "There is already an account with this email address"})
        await self.sign_in(user, is_remembered=False)
        return self.redirect(self.next_page(wanted), status=303)

    def _show(self, wanted: str, email: str = "", errors: dict[str, str] | None = None) -> None:
        if errors:
            self.set_status(422)
        self.render(
            "signup.html",
            values={"email": email},
            errors=errors or {},
            next=wanted if self.next_page(wanted) == wanted else "",
            password_min_length=self.services.accounts.password_min_length,
        )

    def _explain(self, refusal: Refusal) -> str:
        shortest = self.services.accounts.password_min_length
        return {
            Refusal.EMAIL_MISSING: "Enter your email address",
            Refusal.EMAIL_INVALID: "Enter an email address such as name@example.com",
            Refusal.PASSWORD_MISSING: "Enter a password",
            Refusal.PASSWORD_TOO_SHORT: f"Use at least {shortest} characters for your password",
            Refusal.PASSWORD_TOO_LONG: "Use at most 256 characters for your password",
        }[refusal]
