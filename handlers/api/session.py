from datetime import UTC, datetime
from typing import Any

from handlers.api.base import ApiHandler, Problem, utc


class SessionDescription(ApiHandler):
    """Calls that answer with the state of the session."""

    def description(self) -> dict[str, Any]:
        session, user = self.session, self.current_user
        return {
            "authenticated": user is not None,
            "user": user,
            "csrf_token": self.csrf_token(),
            "expires_at": utc(session.expires_at) if user else None,
            "ends_at": utc(session.ends_at) if user else None,
            "server_time": utc(session.read_at or datetime.now(UTC)),
        }


class SessionApiHandler(SessionDescription):
    """One's own session: look, sign in, sign out."""

    def get(self) -> None:
        self.answer(200, self.description())

    async def post(self) -> None:
        body = self.json_body()
        email, password = self.text_in(body, "email"), self.text_in(body, "password")
        is_remembered = self.flag_in(body, "remember")
        user = await self.authenticate(email, password)
        if user is None or not await self.sign_in(user, is_remembered=is_remembered):
            raise Problem(401, "invalid_credentials", "The email address or the password is wrong.")
        await self.tell_others(user.id, "signed_in")
        self.answer(201, self.description())

    async def delete(self) -> None:
        await self.sign_out()
        self.set_status(204)
