"""The checkout page in a real browser, without JavaScript, by keyboard, as narrow as a phone."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.browser


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    if not (CHROMIUM and DRIVER):
        pytest.fail("needs chromium and chromedriver on the PATH", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_experimental_option(
        "mobileEmulation", {"deviceMetrics": {"width": 320, "height": 640, "pixelRatio": 2.0}}
    )
    no_scripts = {"profile.managed_default_content_settings.javascript": 2}
    options.add_experimental_option("prefs", no_scripts)
    browser = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=DRIVER)
    )
    yield browser
    browser.quit()


def type_card(browser: webdriver.Chrome, *, cvc: str) -> None:
    first = browser.find_element(By.ID, "card_number")
    first.send_keys("4444 3333 2222 1111")
    # From the first field on by keyboard alone, in the order a person reads.
    for text in (Keys.TAB + "Thandi Nkosi", Keys.TAB + "12/39", Keys.TAB + cvc, Keys.ENTER):
        browser.switch_to.active_element.send_keys(text)


def test_a_payer_fails_once_and_then_pays(
    merchant: Any, browser: webdriver.Chrome, wait_until: Any
) -> None:
    created = merchant.purchase(success_redirect="")
    browser.get(created["checkout_url"])
    assert browser.find_element(By.ID, "amount").text.replace("\u00a0", " ") == "R 250.00"
    assert browser.find_element(By.ID, "cancel").is_displayed()
    page = browser.find_element(By.TAG_NAME, "html")
    widths: Any = [page.get_property(name) for name in ("scrollWidth", "clientWidth")]
    assert widths[0] <= widths[1]

    type_card(browser, cvc="321")
    alert = wait_until(
        lambda: browser.find_elements(By.CSS_SELECTOR, "[role=alert]"), what="the alert"
    )[0]
    assert "security code" in alert.text
    assert merchant.read(created)["status"] == "error"

    type_card(browser, cvc="123")
    wait_until(lambda: browser.find_elements(By.ID, "paid_amount"), what="the receipt")
    assert browser.current_url.endswith("/invoice/")
    assert merchant.read(created)["status"] == "paid"
