import pytest

from server.accounts import device_label

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.0 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Mobile Safari on iOS"),
        ("curl/8.5.0", "curl"),
        ("axios/1.6.0", "axios"),
        ("", ""),
        ("<script>alert(1)</script>", ""),
        ("\0\xff" * 100, ""),
    ],
)
def test_a_user_agent_is_named_without_versions(user_agent: str, label: str) -> None:
    assert device_label(user_agent) == label
