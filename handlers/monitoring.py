from handlers.base import BaseHandler


class MonitoringHandler(BaseHandler):
    """Probes come by address, not by name, and have no session."""

    is_page = False
    checks_host = False
    uses_session = False

    def answer(self, status: int, text: str) -> None:
        self.set_status(status)
        self.set_error_headers(status)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(text + "\n")


class HealthHandler(MonitoringHandler):
    """Whether the process is alive. Asks nobody else, or an outage of the database would restart us."""

    def get(self) -> None:
        self.answer(200, "alive")


class ReadyHandler(MonitoringHandler):
    """Whether requests should be sent here: not while stopping, and not without a database."""

    async def get(self) -> None:
        if self.settings["stopping"].is_set():
            return self.answer(503, "stopping")
        if not await self.services.is_database_up():
            return self.answer(503, "no database")
        return self.answer(200, "ready")
