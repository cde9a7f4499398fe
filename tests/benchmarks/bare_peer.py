"""The yardstick: a Tornado handler that writes as many bytes, with no cookie and no database."""

import asyncio
import os

import uvloop
from tornado.web import Application, RequestHandler

BODY = b'{"authenticated": true, "padding": "' + b"x" * 264 + b'"}'


class BareHandler(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(BODY)


async def main() -> None:
    application = Application([("/api/session", BareHandler)], log_function=lambda _: None)
    application.listen(int(os.environ["PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
