"""The examples of docs/api.md."""

import re
from pathlib import Path

API = Path(__file__).parent.parent.parent / "docs" / "api.md"


def example(language: str, site: str) -> str:
    """The one example in this language, for the site at this origin."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", API.read_text(), re.MULTILINE | re.DOTALL)
    return str(text).replace("http://127.0.0.1:8000", site)
