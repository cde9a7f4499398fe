from handlers.api.base import Problem
from handlers.api.session import SessionDescription
from server.accounts import EmailTaken, InvalidAccount


class UsersApiHandler(SessionDescription):
    """New accounts. Whoever makes one is signed in."""

    async def post(self) -> None:
        if not self.settings["is_registration_open"]:
            raise Problem(403, "registration_closed", "New accounts are not open to everybody here.")
        body = self.json_body()
        email, password = self.text_in(body, "email"), self.text_in(body, "password")
        try:
            user = await self.services.guard.create(email, password, self.visitor())
        except InvalidAccount as error:
            raise Problem(422, "invalid_input", f"{error}.") from None
        except EmailTaken:
            raise Problem(409, "email_taken", "There is already an account with this address.") from None
        await self.sign_in(user, is_remembered=False)
        self.answer(201, self.description())
