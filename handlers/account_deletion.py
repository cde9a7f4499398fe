from tornado.web import authenticated

from handlers.pages import PageHandler
from server import audit


class AccountDeletionHandler(PageHandler):
    """Deletes the account. The page says what that means before it asks."""

    @authenticated
    def get(self) -> None:
        if not self.services.access.is_confirmed(self.session):
            return self.ask_to_confirm("/account/delete")
        self.render("deletion.html")
        return None

    @authenticated
    async def post(self) -> None:
        if not self.services.access.is_confirmed(self.session):
            return self.ask_to_confirm("/account/delete")
        user = await self.services.accounts.find(self.current_user["email"])
        is_own = user is not None and user.id == self.session.user_id
        await self.sign_out()  # first: only who ends the session may clear the cookie
        if user and is_own:
            await self.services.access.delete(user)
            audit.record("user_deleted", user_id=user.id)
        return self.redirect("/account/deleted", status=303)


class AccountDeletedHandler(PageHandler):
    """Where the deletion of an account leads."""

    is_return_target = False

    def get(self) -> None:
        if self.current_user:
            return self.redirect("/account")
        self.render("deleted.html")
        return None
