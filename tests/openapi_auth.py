"""What schemathesis loads beside the description: whoever makes a call is signed in."""

import os

import requests
import schemathesis
from schemathesis import AuthContext, Case

from tests.client import PASSWORD


@schemathesis.auth(refresh_interval=None)
class Member:
    """Signs in again when a call has ended the session, as many calls do. Asking first costs no hash."""

    def __init__(self) -> None:
        self._site = requests.Session()

    def get(self, case: Case, context: AuthContext) -> str:
        address = f"{os.environ['SITE']}/api/session"
        if not self._site.get(address, timeout=10).json()["authenticated"]:
            account = {"email": "member@example.com", "password": PASSWORD}
            self._site.post(address, json=account, timeout=10).raise_for_status()
        return f"sid={self._site.cookies['sid']}"

    def set(self, case: Case, data: str, context: AuthContext) -> None:
        case.headers = {**(case.headers or {}), "Cookie": data}
