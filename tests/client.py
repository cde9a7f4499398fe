"""A small browser: keeps cookies, fills in forms, follows nothing by itself."""

import json
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

PASSWORD = "correct horse battery staple"


class Browser:
    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.cookies: dict[str, str] = {}
        self._client = AsyncHTTPClient(force_instance=True, max_clients=200)

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        sent = dict(headers or {})
        if self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        request = HTTPRequest(
            self.base_url + path,
            method,
            body=body,
            headers=sent,
            follow_redirects=False,
            allow_nonstandard_methods=True,
            decompress_response=False,
        )
        response = await self._client.fetch(request, raise_error=False)
        for line in response.headers.get_list("Set-Cookie"):
            self._keep(line)
        return response

    async def get(self, path: str, headers: dict[str, str] | None = None) -> HTTPResponse:
        return await self.request("GET", path, headers=headers)

    async def post(
        self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return await self.request("POST", path, urlencode(fields).encode(), form)

    async def submit(self, path: str, fields: dict[str, str], page: str | None = None) -> HTTPResponse:
        """Opens `page` (or `path`) as a person would, and sends its form with its hidden fields."""
        shown = await self.get(page or path)
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown.body.decode()))
        return await self.post(path, {name: unescape(value) for name, value in hidden.items()} | fields)

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        """Calls the API with a JSON body."""
        if body is None:
            return await self.request(method, path, headers=headers)
        kind = {"Content-Type": "application/json", **(headers or {})}
        return await self.request(method, path, json.dumps(body).encode(), kind)

    async def sign_up(self, email: str, password: str = PASSWORD) -> HTTPResponse:
        return await self.submit("/signup", {"email": email, "password": password})

    async def sign_in(self, email: str, password: str = PASSWORD, **fields: str) -> HTTPResponse:
        return await self.submit("/login", {"email": email, "password": password, **fields})

    async def sign_out(self) -> HTTPResponse:
        return await self.submit("/logout", {}, page="/account")

    async def is_signed_in(self) -> bool:
        return bool((await self.state())["authenticated"])

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((await self.get("/api/session")).body)
        return state

    def copy(self) -> "Browser":
        """Somebody who got hold of the cookies."""
        other = Browser(self.base_url)
        other.cookies = dict(self.cookies)
        return other

    def _keep(self, line: str) -> None:
        pair, *attributes = [part.strip() for part in line.split(";")]
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value
