"""What schemathesis loads beside the description: whoever makes a call has just signed in."""

import os

import requests
import schemathesis
from schemathesis import AuthContext, Case

from tests.client import PASSWORD


@schemathesis.auth(refresh_interval=None)
class Member:
    """A new session for each call, since many calls end the session they are made with."""

    def get(self, case: Case, context: AuthContext) -> str:
        account = {"email": "member@example.com", "password": PASSWORD}
        made = requests.post(f"{os.environ['SITE']}/api/session", json=account, timeout=10)
        made.raise_for_status()
        return f"sid={made.cookies['sid']}"

    def set(self, case: Case, data: str, context: AuthContext) -> None:
        case.headers = {**(case.headers or {}), "Cookie": data}
