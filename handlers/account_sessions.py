from tornado.web import HTTPError, authenticated

from handlers.pages import PageHandler

SESSIONS_PAGE = "/account/sessions"


class AccountSessionsHandler(PageHandler):
    """Where the member is signed in."""

    @authenticated
    async def get(self) -> None:
        records = await self.services.access.sessions(self.session)
        self.render("sessions.html", records=records, is_this=lambda record: record.id == self.session.id)


class RevokeSessionHandler(PageHandler):
    """Signs one device out; one's own is the sign-out button."""

    @authenticated
    async def post(self, handle: str) -> None:
        if handle == self.session.handle:
            await self.sign_out()
            return self.redirect("/", status=303)
        if not self.services.access.is_confirmed(self.session):
            return self.ask_to_confirm(SESSIONS_PAGE)
        revoked = await self.services.access.revoke(self.session, handle)
        if revoked is None:
            raise HTTPError(404)
        await self.tell_others(self.current_user["id"], "session_revoked", revoked.client)
        self.show_next(f"{revoked.client.label or 'The unknown device'} has been signed out.")
        return self.redirect(SESSIONS_PAGE, status=303)


class RevokeOthersHandler(PageHandler):
    """Signs all other devices out."""

    @authenticated
    async def post(self) -> None:
        if not self.services.access.is_confirmed(self.session):
            return self.ask_to_confirm(SESSIONS_PAGE)
        ended = await self.services.access.revoke_others(self.session)
        if ended:
            await self.tell_others(self.current_user["id"], "sessions_revoked")
        self.show_next(signed_out(ended))
        return self.redirect(SESSIONS_PAGE, status=303)


def signed_out(count: int) -> str:
    """How many other devices were signed out, as a sentence."""
    if count == 0:
        return "No other device was signed in."
    return f"{count} other {'device has' if count == 1 else 'devices have'} been signed out."
