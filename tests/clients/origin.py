"""Another origin, which serves docs/examples/spa/; and TLS in front of the site, as a proxy puts it."""

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.clients.npm import package

SPA = Path(__file__).parent.parent.parent / "docs" / "examples" / "spa"
KINDS = {".html": "text/html", ".js": "text/javascript"}


class SpaHandler(BaseHTTPRequestHandler):
    """The files of the example, with the address of the site written into the page."""

    def __init__(self, api: str, *args: Any) -> None:
        self.api = api
        super().__init__(*args)

    def do_GET(self) -> None:
        name = self.path.strip("/") or "index.html"
        path = package("axios/dist/axios.min.js") if name == "axios.min.js" else SPA / name
        if not path.exists():
            self.send_error(404)
            return
        body = path.read_bytes().replace(b"http://127.0.0.1:8000", self.api.encode())
        self.send_response(200)
        self.send_header("Content-Type", KINDS[path.suffix])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class ProxyHandler(BaseHTTPRequestHandler):
    """Hands each request on to the site at `host`, and its answer back."""

    protocol_version = "HTTP/1.1"

    def __init__(self, host: str, *args: Any) -> None:
        self.host = host
        super().__init__(*args)

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(HTTPConnection(self.host)) as connection:
            connection.request(self.command, self.path, body or None, dict(self.headers))
            answer = connection.getresponse()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            with suppress(OSError):  # the browser has left, with a long-poll under way
                self.end_headers()
                self.wfile.write(answer.read())

    do_GET = do_POST = do_DELETE = do_OPTIONS = forward  # noqa: N815 - the library's names

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving(handler: type, target: str, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serves on loopback in a thread, and gives the port. `target` is what the handler is made with."""
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(handler, target))
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(folder: Path, *names: str) -> ssl.SSLContext:
    """What a TLS server for these names needs, made now and trusted by nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "tls.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
