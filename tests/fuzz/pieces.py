"""What has broken parsers before, here or elsewhere: strange input is put together from it."""

PIECES = [
    b"", b"\0", b"\r", b"\n", b"\t", b" ", b";", b"=", b",", b'"', b"'", b"\\", b"/", b"//", b"/\\",
    b"..", b"%", b"%00", b"%0d%0a", b"%ff", b"&", b"+", b"?", b"#", b"@", b"|", b"2|1:0|10:", b"<script>",
    b"{{7*7}}", b"${x}", b"$where", b'{"$gt":""}', b"[" * 200, b"{" * 200, b"1e999", b"-0", b"NaN",
    b"9" * 400, b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", "ß".encode(), "İ".encode(), "\u202e".encode(),
    "😀".encode(), "e\u0301".encode(), b"xn--", b"a" * 300, b"a@b.c", b"ann@example.com", b"@[127.0.0.1]",
    b"http://evil.example", b"javascript:", b"/account", b"/login?next=/account",
    b"Mozilla/5.0 (X11; Linux x86_64)", b"Chrome/140.0", b"sid=", b"csrf=", b"device=", b"__Host-sid=",
]  # fmt: skip
