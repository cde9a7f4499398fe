"""The security headers of every answer: pages, errors, redirects, static files and JSON."""

from tornado.httputil import HTTPHeaders

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'"
)
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"

_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: that would make the Origin of our own forms "null", which is refused.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_HSTS = "max-age=63072000; includeSubDomains"


def add_security_headers(headers: HTTPHeaders, *, is_page: bool, is_secure: bool) -> None:
    """Sets them all. `is_page`: HTML, which may load the site's own files; other answers load nothing.

    `is_secure`: the site is reached over https, and browsers shall never try anything else.
    """
    headers.pop("Server", None)  # names the version (ASVS 13.4.6)
    headers["Content-Security-Policy"] = _PAGE_POLICY if is_page else _DATA_POLICY
    for name, value in _EVERYWHERE.items():
        headers[name] = value
    if is_secure:
        headers["Strict-Transport-Security"] = _HSTS
