"""The peer: Starlette with starsessions on Redis, under uvicorn with uvloop and httptools."""

import os
from datetime import UTC, datetime, timedelta

import uvicorn
from redis.asyncio import BlockingConnectionPool, Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware
from starsessions.stores.redis import RedisStore

LIFETIME = timedelta(days=7)


async def sign_in(request: Request) -> Response:
    number = request.path_params["number"]
    request.session["user"] = {"id": number.zfill(32), "email": f"user{number}@example.com"}
    request.session["csrf"] = "c" * 64
    return Response(status_code=204)


async def show(request: Request) -> Response:
    now = datetime.now(UTC)
    user = request.session.get("user")
    ends_at = (now + LIFETIME).isoformat(timespec="milliseconds")
    return JSONResponse(
        {
            "authenticated": user is not None,
            "user": user,
            "csrf_token": request.session.get("csrf"),
            "expires_at": ends_at,
            "ends_at": ends_at,
            "server_time": now.isoformat(timespec="milliseconds"),
        }
    )


def make_app() -> Starlette:
    # With its own pool it refuses requests beyond 100 at once; with this one they wait.
    pool = BlockingConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=100)
    store = RedisStore(connection=Redis(connection_pool=pool))
    return Starlette(
        routes=[Route("/sign-in/{number}", sign_in, methods=["POST"]), Route("/api/session", show)],
        middleware=[
            Middleware(SessionMiddleware, store=store, lifetime=LIFETIME, cookie_https_only=False),
            Middleware(SessionAutoloadMiddleware),
        ],
    )


if __name__ == "__main__":
    uvicorn.run(
        make_app(), host="127.0.0.1", port=int(os.environ["PORT"]), loop="uvloop", http="httptools",
        log_level="warning", access_log=False,
    )  # fmt: skip
