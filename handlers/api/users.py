from handlers.api.base import Problem
from handlers.api.session import SessionDescription
from server.accounts import EmailTaken, InvalidAccount, Refusal


class UsersApiHandler(SessionDescription):
    """New accounts. Whoever makes one is signed in."""

    async def post(self) -> None:
        if not self.settings["is_registration_open"]:
            raise Problem(403, "registration_closed", "New accounts are not open to everybody here.")
        body = self.json_body()
        email, password = self.text_in(body, "email"), self.text_in(body, "password")
        try:
            user = await self.services.accounts.create(email, password)
        except InvalidAccount as error:
            reasons = " ".join(self._explain(refusal) for refusal in error.refusals.values())
            raise Problem(422, "invalid_input", reasons) from None
        except EmailTaken:
            raise Problem(409, "email_taken", "There is already an account with this address.") from None
        await self.sign_in(user, is_remembered=False)
        self.answer(201, self.description())

    def _explain(self, refusal: Refusal) -> str:
        shortest = self.services.accounts.password_min_length
        return {
            Refusal.EMAIL_MISSING: "The email address is missing.",
            Refusal.EMAIL_INVALID: "The email address is not valid.",
            Refusal.PASSWORD_MISSING: "The password is missing.",
            Refusal.PASSWORD_TOO_SHORT: f"The password has fewer than {shortest} characters.",
            Refusal.PASSWORD_TOO_LONG: "The password has more than 256 characters.",
        }[refusal]
