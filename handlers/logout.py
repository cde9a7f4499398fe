from handlers.pages import PageHandler


class LogoutHandler(PageHandler):
    """Signs out, by POST only. Without a session there is nothing to end, and nothing to prove."""

    @property
    def checks_csrf(self) -> bool:  # type: ignore[override]
        return self.session.user_id is not None

    async def post(self) -> None:
        await self.sign_out()
        self.redirect("/", status=303)
