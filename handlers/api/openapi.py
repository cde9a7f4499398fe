from handlers.api.base import ApiHandler


class OpenApiHandler(ApiHandler):
    """The description of the API, for people's tools."""

    uses_session = False

    def get(self) -> None:
        self.answer(200, self.settings["api_description"])
