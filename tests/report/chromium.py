"""A headless Chromium for tests: the distribution's, installed if it may be."""

import json
import os
import shutil
import subprocess
from functools import cache

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@cache
def programs():
    """Paths of the browser and of its driver; a reason to skip where there are none."""
    found = _find()
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = _find()
    if not found:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    return found


def _find():
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def _install():
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium", "chromium-driver"]):
        subprocess.run(["apt-get", "-qq", *command], env=quiet, capture_output=True, check=False, timeout=900)


def start(profile, width=1280, height=900):
    """A browser of this size with a profile of its own, which keeps logs of its console and of its network."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    browser, driver = programs()
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def prefer(browser, scheme):
    """Let the system prefer "light" or "dark"."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )


def requests(browser):
    """What the browser asked for since the last call: URLs."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
