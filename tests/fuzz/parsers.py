"""Every parser that reads what a stranger wrote, each with what must hold whatever it reads.

A check takes bytes as they come from the network. It returns if the parser kept its promise: a value that
is what another reader makes of the bytes, or one of the errors that become an answer of 4xx. Else it raises.
`test_parsers.py` calls the checks in every test run, `guided.py` for as long as one likes.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import Any, TypeVar

from ada_url import URL
from tornado.httputil import HTTPHeaders, HTTPInputError, HTTPServerRequest, RequestStartLine
from tornado.web import HTTPError, RequestHandler

from handlers.api.base import ApiHandler
from handlers.api.events import _SECONDS, EventsApiHandler
from handlers.base import BaseHandler
from handlers.pages import PageHandler
from server import values
from server.accounts import Device, DeviceCookie, device_label
from server.accounts.accounts import MAX_EMAIL_LENGTH, normalise_email
from server.accounts.guard import network_of
from server.app import _return_targets
from server.csrf import CsrfTokens
from server.proxies import TrustedProxies
from server.sessions import SessionCookie
from server.sessions.record import USER_AGENT_LENGTH
from server.sessions.token import new_token

SECRETS = ("the newest of two secrets for tests", "the oldest of two secrets for tests")
TOKEN, NONCE, DEVICE = new_token(), b"a nonce", Device("a name").having("ann@example.com")
COOKIES = [SessionCookie("sid", SECRETS[start:], max_age=3600, secure=False) for start in (0, 1)]
DEVICES, FORMS = DeviceCookie(SECRETS), CsrfTokens(SECRETS)
SIGNED = (
    *(cookie.set_line(TOKEN, None).partition(";")[0] for cookie in COOKIES),
    f"sid={DEVICES.sign(DEVICE)}",
    f"sid={FORMS.sign_nonce(NONCE)}",
)
TARGETS = _return_targets()
SITE, PEER = "https://site.example", "10.0.0.1"
PROXIES = TrustedProxies(("10.0.0.0/8", "2001:db8::/32"))
FORWARDING = ("X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Proto", "Forwarded", "X-Scheme")
LABEL_LENGTH = 2 * USER_AGENT_LENGTH

Handler = TypeVar("Handler", bound=RequestHandler)


@dataclass(frozen=True)
class Parser:
    """A check, and input that gets past the first lines of what it checks."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]

    @property
    def name(self) -> str:
        return self.check.__name__


def handler(kind: type[Handler], body: bytes = b"", query: str = "", **headers: str) -> Handler:
    """A handler with a request, and without a connection and an application around it."""
    made = kind.__new__(kind)
    sent = HTTPHeaders({"Host": "site.example", **headers})
    made.request = request(sent, body, query)
    made.application = SimpleNamespace(settings={"return_targets": TARGETS})  # type: ignore[assignment]
    return made


def request(headers: HTTPHeaders, body: bytes = b"", query: str = "") -> HTTPServerRequest:
    line = RequestStartLine("POST", "/?" + query, "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=headers, body=body)


@contextmanager
def refusing(*statuses: int) -> Iterator[None]:
    """The block may be refused with one of these statuses."""
    try:
        yield
    except HTTPError as error:
        if error.status_code not in statuses:
            raise


def cookies(data: bytes) -> None:
    """Only what was signed with one of the keys, for this purpose, is read from a cookie."""
    header = data.decode("latin-1")
    for cookie in COOKIES:
        read = cookie.read([header])
        assert {token.value for token in read} <= {TOKEN}
        assert len(read) <= header.count("sid=")
    for part in (header, *(pair.strip().partition("=")[2] for pair in header.split(";"))):
        assert DEVICES.read(part) in {None, DEVICE}
        assert FORMS.read_nonce(part) in {None, NONCE}
        assert not FORMS.is_valid(part, b"the id of a session")


def next_page(data: bytes) -> None:
    """Where people are sent after signing in is a page of this site, to a browser too (WHATWG URL)."""
    wanted = data.decode("utf-8", "replace")
    led = handler(PageHandler).next_page(wanted)
    assert led in {wanted, "/account"}
    assert all("!" <= character <= "~" for character in led)
    for page in ("/login", "//x/..//login", "/account/sessions?next=/"):
        url = URL(led, base=SITE + page)
        assert url.origin == SITE
        assert any(target.fullmatch(url.pathname) for target in TARGETS)


def json_body(data: bytes) -> None:
    """A JSON object, whole, whose fields have the types that were asked for."""
    call = handler(ApiHandler, data)
    with refusing(400, 422):
        body = call.json_body()
        assert json.loads(data) == body == json.loads(json.dumps(body))
        for name in ("email", "password", "remember"):
            with refusing(422):
                assert call.text_in(body, name).encode().decode() == body[name]
            with refusing(422):
                assert call.flag_in(body, name) is body.get(name, False)


def form(data: bytes) -> None:
    """A field is one text, or the form is refused."""
    page = handler(PageHandler, data, **{"Content-Type": "application/x-www-form-urlencoded"})
    with suppress(HTTPInputError), refusing(400):
        page.request._parse_body()
        text = page.field("email")
        assert text.encode() == b"".join(page.request.body_arguments.get("email", []))
        assert not FORMS.is_valid(text, b"the id of a session")


def email(data: bytes) -> None:
    """An address has one spelling, whose own spelling it is."""
    text = data.decode("utf-8", "replace")
    address = normalise_email(text)
    if address is None:
        return
    assert len(address) <= MAX_EMAIL_LENGTH
    assert address.isprintable()
    assert address.count("@") == 1
    assert " " not in address
    assert normalise_email(address) == normalise_email(f" {address}\t") == address
    if address.isascii():  # elsewhere large and small letters are no pairs
        assert normalise_email(address.upper()) == address


def user_agent(data: bytes) -> None:
    """The name of a browser is short, and no control sequence for a terminal."""
    label = device_label(data.decode("latin-1")[:USER_AGENT_LENGTH])
    assert len(label) <= LABEL_LENGTH
    assert label.isprintable()


def forwarding(data: bytes) -> None:
    """The client's address is one that stands in the headers, or the peer's; from a stranger it is the
    peer's."""
    sent = HTTPHeaders({"Host": "site.example"})
    for number, line in enumerate(data.decode("latin-1").splitlines()):
        with suppress(HTTPInputError):  # Tornado has refused those before
            sent.add(FORWARDING[number % len(FORWARDING)], line)
    for peer in (PEER, "192.0.2.1", "", "2001:db8::1%eth0"):
        asked = request(sent)
        asked.remote_ip, before = peer, asked.protocol
        PROXIES.apply(asked)
        seen = asked.remote_ip
        if peer != seen:
            assert peer == PEER or peer.startswith("2001:db8:")
            assert seen in "".join(sent.get_list("X-Forwarded-For") + sent.get_list("X-Real-Ip"))
            ip_address(seen)
        assert asked.protocol in {before, "http", "https"}
        network = network_of(seen)
        assert network_of(network.partition("/")[0]) == network


def networks(data: bytes) -> None:
    """TRUSTED_PROXIES is a list of networks that are read back as they were, or refused."""
    try:
        parsed = values.networks(data.decode("utf-8", "replace"))
    except ValueError:
        return
    assert values.networks(",".join(parsed)) == parsed
    proxies = TrustedProxies(parsed)
    assert all(proxies._is_trusted(str(ip_network(network)[0])) for network in parsed)


def events_query(data: bytes) -> None:
    """The cursor is a number that a database can hold, or the call is refused."""
    query = data.decode("latin-1").translate({13: None, 10: None, 32: "+"})
    try:
        call = handler(EventsApiHandler, query=query)
    except ValueError:  # more than 1,000 parameters: Tornado has refused those before
        return
    with refusing(400, 422):
        cursor, seconds = call._cursor(), call._parameter("wait", _SECONDS)
        assert cursor is None or 0 <= cursor < 2**63
        assert 0 <= float(seconds or 0) < 10**9
        call._keeps_alive()


def origin(data: bytes) -> None:
    """An Origin is this site's or it is not; an odd one is no error."""
    kind: Any = BaseHandler
    handler(kind)._origin_matches_host(data.decode("latin-1"))


PARSERS = (
    Parser(cookies, (*(line.encode() for line in SIGNED), "; ".join(SIGNED).encode())),
    Parser(next_page, (b"/account", b"/account/sessions?a=/b#c", b"//e.test", b"/\\e.test", b"https:e.test")),
    Parser(json_body, (b'{"email": "a@b.example", "password": "\\ud83d\\ude00", "remember": true}', b"[{}]")),
    Parser(form, (b"email=a%40b.example&password=x+y&remember=1&_csrf=0a", b"email=%ff", b"email=1&email=2")),
    Parser(email, ("Änn+x@Exämple.example".encode(), b"a@xn--exmple-cua.example", b'"a b"@[127.0.0.1]')),
    Parser(
        user_agent, (b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", b"curl/8.5")
    ),
    Parser(forwarding, (b"6.6.6.6, 192.0.2.1, 10.1.2.3\n::1\nhttps\nfor=1.2.3.4\nhttp", b"fe80::1%eth0")),
    Parser(networks, (b"10.0.0.0/8, ::1,2001:db8::/32", b"10.0.0.1/255.0.0.0")),
    Parser(events_query, (b"after=12&wait=0.5&touch=1", b"cursor=000000000000000001", b"after=1&after=2")),
    Parser(origin, (b"https://site.example", b"http://[::1]:80", b"null")),
)
