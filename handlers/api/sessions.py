from typing import Any

from tornado.web import HTTPError

from handlers.api.base import ApiHandler, Problem, utc
from handlers.api.member import member
from server.sessions import SessionRecord


class SessionsApiHandler(ApiHandler):
    """Where the member is signed in; DELETE signs all other devices out."""

    @member
    async def get(self) -> None:
        records = await self.services.access.sessions(self.session)
        self.answer(200, {"sessions": [self._description(record) for record in records]})

    @member
    async def delete(self) -> None:
        ask_for_a_recent_password(self)
        ended = await self.services.access.revoke_others(self.session)
        if ended:
            await self.tell_others(self.current_user["id"], "sessions_revoked")
        self.answer(200, {"ended": ended})

    def _description(self, record: SessionRecord) -> dict[str, Any]:
        is_current = record.id == self.session.id
        return {
            "id": record.handle,
            "current": is_current,
            "device": record.client.label,
            "ip": record.client.ip,
            "created_at": utc(record.created_at),
            "last_seen_at": utc(record.seen_at),
            "last_active_at": utc(record.active_at),
            "expires_at": utc(self.session.expires_at if is_current else record.expires_at),
        }


class SessionsItemApiHandler(ApiHandler):
    """One of the member's sessions. To end one's own is to sign out."""

    @member
    async def delete(self, handle: str) -> None:
        if handle == self.session.handle:
            await self.sign_out()
        else:
            ask_for_a_recent_password(self)
            revoked = await self.services.access.revoke(self.session, handle)
            if revoked is None:
                raise HTTPError(404)
            await self.tell_others(self.current_user["id"], "session_revoked", revoked.client)
        self.set_status(204)


def ask_for_a_recent_password(handler: ApiHandler) -> None:
    """Raises `Problem` 403 if the password was typed too long ago for what is sensitive."""
    if not handler.services.access.is_confirmed(handler.session):
        raise Problem(403, "reauth_required", "Sign in again, or confirm your password at /confirm.")
