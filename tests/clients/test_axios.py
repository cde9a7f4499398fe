"""The real axios in Node, with a cookie jar."""

import subprocess

from tests.clients.npm import CLIENTS, package
from tests.site import Site


def test_axios_signs_up_reads_signs_out_and_knows_the_errors(site: Site) -> None:
    package("axios/package.json")
    run = subprocess.run(
        ["node", "axios.mjs", site.url], cwd=CLIENTS, capture_output=True, text=True, timeout=60, check=False
    )

    assert run.returncode == 0, run.stderr
