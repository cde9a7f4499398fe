from handlers.pages import PageHandler
from server.accounts import TooManyAttempts
from server.sessions import Absence


class LoginHandler(PageHandler):
    """The sign-in form. Whoever is signed in already may sign in anew; the old session ends."""

    is_return_target = False

    def get(self) -> None:
        self._show(200, self.get_query_argument("next", ""))

    async def post(self) -> None:
        email, password = self.field("email"), self.field("password")
        wanted, is_remembered = self.field("next"), bool(self.field("remember"))
        missing = {}
        if not email.strip():
            missing["email"] = "Enter your email address"
        if not password:
            missing["password"] = "Enter your password"  # noqa: S105 - a text
        if missing:
            return self._show(422, wanted, email, is_remembered, missing)
        try:
            user = await self.authenticate(email, password)
        except TooManyAttempts as error:
            return self._show(429, wanted, email, is_remembered, {"form": self.too_many(error)})
        if user is None or not await self.sign_in(user, is_remembered=is_remembered):
            # One message for an unknown address and a wrong password: nobody learns who has an account.
            wrong = {"form": "Check your email address and password"}
            return self._show(401, wanted, email, is_remembered, wrong)
        await self.tell_others(user.id, "signed_in")
        return self.redirect(self.next_page(wanted), status=303)

    def _show(
        self,
        status: int,
        wanted: str,
        email: str = "",
        is_remembered: bool = False,
        errors: dict[str, str] | None = None,
    ) -> None:
        self.set_status(status)
        self.render(
            "login.html",
            values={"email": email, "remember": is_remembered},
            errors=errors or {},
            next=wanted if self.next_page(wanted) == wanted else "",
            idle_minutes=self.services.lifetime.idle // 60,
            has_ended=self.session.absence in {Absence.ENDED, Absence.RETIRED},
        )
