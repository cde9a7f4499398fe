"""Which passwords may be chosen, and that what was chosen counts to the last byte."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from server.accounts import Blocklist
from server.accounts.passwords import NICENESS
from server.services import Services
from settings import Settings
from tests.client import PASSWORD, Browser

pytestmark = pytest.mark.gen_test

ANN = "ann@example.com"


async def make(browser: Browser, password: str, email: str = ANN) -> tuple[int, str]:
    answer = await browser.call("POST", "/api/users", {"email": email, "password": password})
    body = json.loads(answer.body)
    return answer.code, body.get("detail", "")


@pytest.mark.covers("PWD-5", "PWD-13")
async def test_fourteen_characters_are_refused_and_fifteen_are_not(browser: Browser) -> None:
    short = await make(browser, "mossy otter li")

    assert short == (422, "Use at least 15 characters for your password.")
    assert (await make(browser, "mossy otter lid"))[0] == 201


@pytest.mark.covers("PWD-6", "PWD-7")
async def test_up_to_256_characters_all_count_and_more_are_refused(browser: Browser) -> None:
    longest = ("mossy otter lid " * 16)[:256]

    assert (await make(browser, longest + "!"))[0] == 422
    assert (await make(browser, longest))[0] == 201
    assert (await browser.sign_in(ANN, longest[:-1])).code == 401
    assert (await browser.sign_in(ANN, longest + "!")).code == 401
    assert (await browser.sign_in(ANN, longest)).code == 303


@pytest.mark.covers("PWD-8", "PWD-9", "PWD-19")
@pytest.mark.parametrize(
    "password",
    ["  spaces before and after  ", "nul\0and\x01control\tcharacters", "😀 smile, it is only a test 😀",
     "only lower case letters", "Ünïcödé über allés ist schön", "これはとても長いパスワードの例です"],
)  # fmt: skip
async def test_a_password_is_taken_byte_by_byte(browser: Browser, password: str) -> None:
    assert (await make(browser, password))[0] == 201
    alike = {password.strip(), password.swapcase(), password + " ", re.sub(r"[\0\1\t]", " ", password)}
    for changed in alike - {password}:
        assert (await browser.sign_in(ANN, changed)).code == 401
    assert (await browser.sign_in(ANN, password)).code == 303
    assert (await browser.call("POST", "/api/session", {"email": ANN, "password": password})).code == 201


@pytest.mark.covers("PWD-19")
async def test_the_two_spellings_of_an_accent_are_two_passwords(browser: Browser) -> None:
    await make(browser, "caf\u00e9 creme sans sucre")

    assert (await browser.sign_in(ANN, "cafe\u0301 creme sans sucre")).code == 401


@pytest.mark.covers("PWD-10", "PWD-12", "PWD-13")
@pytest.mark.parametrize(
    "password",
    ["1234567890123456", "qwertyuiop12345", "Mailcreated5240", "MOMSANALADVENTURE", "passwordpassword",
     "30secondstomars!", "Password12345678!", "12passwordpassword34"],
)  # fmt: skip
async def test_what_many_people_chose_is_refused(browser: Browser, password: str) -> None:
    status, reason = await make(browser, password)

    assert (status, "many people" in reason) == (422, True)


@pytest.mark.covers("PWD-10")
def test_the_list_is_useful_at_the_least_length() -> None:
    assert sum(len(password) >= 15 for password in Blocklist()._common) > 9000


@pytest.mark.covers("PWD-11")
@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("ababababababababab", "pattern"),
        ("zzzzzzzzzzzzzzzzzzzzz", "pattern"), ("gmtcmgctgmctmgtc", "pattern"), ("stuvwxyzstuvwxy", "pattern"),
        ("1q2w3e4r5t6y7u8i9o0p", "pattern"),
        ("poiuytrewqlkjhgfdsa", "pattern"), ("latchkey-latchkey", "name of this site"),
        ("Latchkey123456789", "name of this site"), ("rumpelstiltskin7", "your address"),
        ("rumpelstiltskin@example.com", "your address"), ("rumpel-rumpelstiltskin", "your address"),
        ("rumpelstiltskinpassword1", "your address"), ("rumpelstiltskingmtcgmtcgmtc", "your address"),
    ],
)  # fmt: skip
async def test_patterns_and_what_everybody_knows_are_refused(
    browser: Browser, password: str, reason: str
) -> None:
    status, detail = await make(browser, password, "rumpelstiltskin@example.com")

    assert (status, reason in detail) == (422, True), detail


@pytest.mark.covers("PWD-11")
def test_a_longer_part_of_the_address_is_seen_before_a_shorter_one_in_it() -> None:
    assert "your address" in Blocklist().problem("annabellesofia7", "ann.annabellesofia@example.com")


@pytest.mark.covers("PWD-9", "PWD-11")
@pytest.mark.parametrize(
    "password",
    ["correct horse battery staple", "ann likes very long walks", "latchkey opens my blue door",
     "581749306284175", "to be or not to be"],
)  # fmt: skip
async def test_a_good_password_is_not_refused_for_a_word_in_it(browser: Browser, password: str) -> None:
    assert (await make(browser, password))[0] == 201


@pytest.mark.covers("PWD-13", "PWD-15")
async def test_the_form_gives_the_reason_beside_the_field(browser: Browser) -> None:
    answer = await browser.sign_up(ANN, "qwertyuiop12345")
    text = answer.body.decode()

    assert answer.code == 422
    assert 'id="password-error"' in text
    assert "guessed first" in text
    assert re.search(r'name="password" type="password" autocomplete="new-password"', text)
    login = (await browser.get("/login")).body.decode()
    assert re.search(r'name="password" type="password" autocomplete="current-password"', login)
    for page in (text, login):
        assert re.search(r'name="email" type="email"[^>]* autocomplete="username"', page)
        assert "maxlength" not in page
        assert "onpaste" not in page


@pytest.mark.covers("PWD-1", "PWD-2")
@pytest.mark.parametrize(
    "settings",
    [{"argon2_memory_kib": Settings.argon2_memory_kib, "argon2_time_cost": Settings.argon2_time_cost}],
    indirect=True,
)
async def test_hashes_are_argon2id_each_with_a_salt_of_its_own(browser: Browser, services: Services) -> None:
    await make(browser, PASSWORD)
    await make(browser, PASSWORD, "bob@example.com")

    one, two = [user["password_hash"] async for user in services.database["users"].find()]
    assert one.startswith("$argon2id$v=19$m=65536,t=2,p=1$")
    assert one.split("$")[4] != two.split("$")[4]


@pytest.mark.covers("PWD-4")
async def test_a_damaged_hash_is_a_wrong_password(browser: Browser, services: Services) -> None:
    await make(browser, PASSWORD)
    for damaged in ("x", "", "$argon2id$v=19$m=8,t=1,p=1$bad$bad"):
        await services.database["users"].update_many({}, {"$set": {"password_hash": damaged}})
        assert (await browser.sign_in(ANN)).code == 401


@pytest.mark.covers("PWD-20")
async def test_text_that_is_none_is_refused(browser: Browser) -> None:
    body = b'{"email": "ann@example.com", "password": "a lone surrogate \\ud800"}'
    json_type = {"Content-Type": "application/json"}

    assert (await browser.request("POST", "/api/users", body, json_type)).code == 400
    assert (await browser.request("POST", "/api/session", body, json_type)).code == 400


@pytest.mark.covers("PWD-16")
@pytest.mark.parametrize("name", ["admin", "root", "test"])
async def test_there_is_no_account_at_the_start(browser: Browser, services: Services, name: str) -> None:
    assert (
        await browser.call("POST", "/api/session", {"email": f"{name}@example.com", "password": name})
    ).code == 401
    assert await services.database["users"].count_documents({}) == 0


@pytest.mark.covers("THR-8")
@pytest.mark.parametrize(
    "settings",
    [{"argon2_time_cost": 4, "throttle_account_failures": 1000, "throttle_address_failures": 1000}],
    indirect=True,
)
async def test_the_time_of_an_answer_does_not_tell_who_has_an_account(browser: Browser) -> None:
    """Interleaved, so that what else the machine does falls on both alike."""
    await make(browser, PASSWORD)
    browser.cookies.clear()
    known: list[float] = []
    unknown: list[float] = []
    for number in range(40):
        for email, times in ((ANN, known), (f"nobody{number}@example.com", unknown)):
            began = perf_counter()
            await browser.call("POST", "/api/session", {"email": email, "password": "a wrong one"})
            times.append(perf_counter() - began)

    # A hash that was left out would make one of them a third of the other.
    assert 0.75 < median(known) / median(unknown) < 1.33


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own here")
async def test_threads_that_hash_step_back_behind_everything_else(browser: Browser) -> None:
    await make(browser, PASSWORD)

    threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, thread) - usual for thread in threads} == {0, NICENESS}


@pytest.mark.covers("PWD-18", "AV-1")
@pytest.mark.parametrize("settings", [{"argon2_memory_kib": 65536, "argon2_time_cost": 2}], indirect=True)
async def test_hashing_does_not_stop_other_requests(browser: Browser) -> None:
    hashing = [
        asyncio.ensure_future(make(Browser(browser.base_url), PASSWORD, f"person{number}@example.com"))
        for number in range(10)
    ]
    answers = 0
    while not all(task.done() for task in hashing):
        assert (await browser.get("/healthz")).code == 200
        answers += 1

    assert {code for code, _ in await asyncio.gather(*hashing)} == {201}
    # On the event loop, two requests would be answered between two hashes.
    assert answers > 40
