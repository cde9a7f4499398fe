"""The calls: what each does, takes and answers."""

from server.openapi.call import call, empty_answer, json_answer, parameter
from server.openapi.schemas import Json


def paths(password_min_length: int) -> Json:
    """By address and method: the calls."""
    email = {"type": "string", "format": "email", "examples": ["ann@example.com"]}
    password = {"type": "string", "examples": ["correct horse battery staple"]}
    new_password = {**password, "minLength": password_min_length, "maxLength": 256}
    remember = {"type": "boolean", "default": False, "description": "Outlive the closing of the browser."}
    handle = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
    cursor = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
    seconds = {"type": "number", "minimum": 0, "maximum": 999999999, "multipleOf": 0.001}
    flag = {"type": "integer", "enum": [0, 1], "default": 1}
    return {
        "/api/session": {
            "get": call(
                "getSession", "Who is signed in, and for how long",
                "Counts as activity, so it moves the idle timeout on. Nobody signed in is a 200 too.",
                answer=json_answer(200, "The session", "Session"), problems=["unavailable"],
            ),
            "post": call(
                "signIn", "Sign in",
                "Always makes a new session; the one that the request's cookie named ends.",
                body={"email": email, "password": password, "remember": remember},
                answer=json_answer(201, "Signed in", "Session", ["New-Session"]),
                problems=["invalid_credentials", "csrf_failed", "too_many_attempts", "unavailable"],
            ),
            "delete": call(
                "signOut", "Sign out",
                "Without a session it is a 204 too.",
                answer=empty_answer(204, "Nobody is signed in any more", ["Set-Cookie"]),
                problems=["csrf_failed", "unavailable"],
            ),
        },
        "/api/sessions": {
            "get": call(
                "listSessions", "Where one is signed in",
                "The own session is among them, marked `current`.",
                answer=json_answer(200, "All live sessions of the person", "Sessions"),
                problems=["unavailable"], is_for_members=True,
            ),
            "delete": call(
                "endOtherSessions", "Sign out everywhere else",
                "The own session stays.",
                answer=json_answer(200, "How many have ended", "Ended"),
                problems=["csrf_failed", "reauth_required", "unavailable"], is_for_members=True,
            ),
        },
        "/api/sessions/{id}": {
            "delete": call(
                "endSession", "Sign out one session",
                "One's own, too: that is signing out.",
                parameters=[parameter("id", "As listSessions tells it.", handle, "path")],
                answer=empty_answer(204, "It has ended", ["Set-Cookie"]),
                problems=["csrf_failed", "reauth_required", "not_found", "unavailable"], is_for_members=True,
            ),
        },
        "/api/events": {
            "get": call(
                "pollEvents", "Wait for news",
                "A long-poll: answered at once if there is news after `after` or the session ends, else "
                "after `wait` seconds, without events. Ask again with the `cursor` of the answer, and after "
                "Retry-After if there is one.",
                parameters=[
                    parameter("after", "The last cursor; without it only what is new from now on.", cursor),
                    parameter("cursor", "The same as `after`, by the name it has in the answer.", cursor),
                    parameter("wait", "Seconds; at most, and by default, what the site is set to.", seconds),
                    parameter("touch", "0: this poll does not keep the session alive.", flag),
                ],
                answer=json_answer(200, "News, or none", "Events", ["Ask-Again"]),
                problems=["invalid_input", "too_many_polls", "unavailable"], is_for_members=True,
            ),
        },
        "/api/users": {
            "post": call(
                "signUp", "Make an account and sign in",
                "The address counts the same however its letters are written.",
                body={"email": email, "password": new_password},
                answer=json_answer(201, "Made, and signed in", "Session", ["New-Session"]),
                problems=[
                    "csrf_failed", "registration_closed", "email_taken", "too_many_attempts", "unavailable",
                ],
            ),
        },
        "/api/openapi.json": {
            "get": call(
                "getDescription", "This description",
                "Needs no session.",
                answer=json_answer(200, "OpenAPI 3.1", "Description"),
            ),
        },
    }  # fmt: skip
