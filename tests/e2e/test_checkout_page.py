"""The checkout page in a real browser: a card is refused, the next attempt pays."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from ..person import CARD, Person

pytestmark = pytest.mark.browser

WAIT_SECONDS = 20
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=420,900",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    chromium, driver = next(filter(None, found), None), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail("Chromium is missing: apt-get install chromium chromium-driver", pytrace=False)
    options = Options()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}"):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


def test_a_person_pays_in_the_browser_at_the_second_attempt(
    browser: webdriver.Chrome, person: Person
) -> None:
    asked = person.ask_deposit("250.00")
    browser.get(asked["checkout_url"])
    assert "250.00" in browser.find_element(By.TAG_NAME, "body").text
    _pay(browser, cvc="999")
    alert = WebDriverWait(browser, WAIT_SECONDS).until(
        lambda page: page.find_element(By.CSS_SELECTOR, "[role=alert]")
    )
    assert alert.text
    assert person.balance() == ("0.00", "0.00")
    _pay(browser, cvc="123")
    WebDriverWait(browser, WAIT_SECONDS).until(
        lambda page: page.current_url != asked["checkout_url"]
    )
    person.until_status(asked["id"], "completed")
    assert person.balance() == ("250.00", "0.00")


def _pay(browser: webdriver.Chrome, *, cvc: str) -> None:
    for name, value in {
        "card_number": CARD,
        "cardholder_name": "Sipho Dlamini",
        "expires": "12/35",
        "cvc": cvc,
    }.items():
        field = browser.find_element(By.ID, name)
        field.clear()
        field.send_keys(value)
    browser.find_element(By.ID, "pay").click()
