"""Chromium, driven by Playwright."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

#: Chromium without a user interface: the same engine for a third of the CPU time.
HEADLESS = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or CHROMIUM

needs_chromium = pytest.mark.skipif(HEADLESS is None, reason="chromium is not installed")

_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP evil.example 127.0.0.1",  # a foreign name for this machine
)


@contextmanager
def chromium(executable: str | None = CHROMIUM) -> Iterator[Browser]:
    """Run a browser."""
    # Of requests that a test has never let through, tasks are left. That they are dropped would be
    # logged in the middle of whatever test runs then.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield browser
        browser.close()
