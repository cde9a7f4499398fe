from tornado.web import authenticated

from handlers.pages import PageHandler


class AccountHandler(PageHandler):
    """The member's own page: who they are and how long this session lasts."""

    @authenticated
    def get(self) -> None:
        session = self.session
        assert session.client is not None  # @authenticated: there is a session
        assert session.lifetime is not None
        self.render(
            "account.html",
            user=self.current_user,
            created_at=session.created_at,
            expires_at=session.expires_at,
            ends_at=session.ends_at,
            persistent=session.lifetime.persistent,
            device=session.client.label,
            ip=session.client.ip,
            failed=self.services.access.failed_before(session),
        )
