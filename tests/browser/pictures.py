"""The pictures in docs/images: made by the tests when UPDATE_SCREENSHOTS is set."""

import os
from pathlib import Path

from playwright.sync_api import Page

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"


def picture(page: Page, name: str, elsewhere: Path) -> None:
    """Keeps what the page looks like as docs/images/NAME.png, or in the folder `elsewhere`."""
    folder = IMAGES if "UPDATE_SCREENSHOTS" in os.environ else elsewhere
    before = page.viewport_size
    assert before
    page.set_viewport_size({"width": 960, "height": 720})
    page.screenshot(path=folder / f"{name}.png")
    page.set_viewport_size(before)
