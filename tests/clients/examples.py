"""The examples of docs/."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"
API = DOCS / "api.md"
LIVE = DOCS / "live.md"


def example(language: str, site: str, page: Path = API) -> str:
    """The first example in this language on the page, for the site at this origin."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return str(found[0]).replace("http://127.0.0.1:8000", site)
