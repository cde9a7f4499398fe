from tornado.web import authenticated

from handlers.account_sessions import signed_out
from handlers.pages import PageHandler
from server.accounts import InvalidAccount, TooManyAttempts


class AccountPasswordHandler(PageHandler):
    """A new password. It ends all other sessions."""

    @authenticated
    def get(self) -> None:
        if not self.services.access.is_confirmed(self.session):
            return self.ask_to_confirm("/account/password")
        return self._show()

    @authenticated
    async def post(self) -> None:
        access = self.services.access
        current, new = self.field("current_password"), self.field("new_password")
        if not access.is_confirmed(self.session):
            return self.ask_to_confirm("/account/password")
        try:
            user = await self.authenticate_again(current) if current else None  # no guess: nothing counts
        except TooManyAttempts as error:
            return self._show({"current_password": self.too_many(error)}, 429)
        if user is None:
            problem = "Check your current password" if current else "Enter your current password"
            return self._show({"current_password": problem})
        try:
            ended = await access.change_password(self.session, user, new)
        except InvalidAccount as error:
            return self._show({"new_password": error.problems["password"]})
        if ended is None:  # somebody else has just changed it
            return self._show({"current_password": "Check your current password"})
        await self.tell_others(user.id, "password_changed")
        self.show_next(f"Your password has been changed. {signed_out(ended)}")
        return self.redirect("/account", status=303)

    def _show(self, errors: dict[str, str] | None = None, status: int = 422) -> None:
        if errors:
            self.set_status(status)
        self.render(
            "password.html",
            errors=errors or {},
            password_min_length=self.services.accounts.password_min_length,
        )
