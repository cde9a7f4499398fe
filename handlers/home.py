from handlers.pages import PageHandler


class HomeHandler(PageHandler):
    """The front page; says who is signed in."""

    def get(self) -> None:
        self.render("home.html")
