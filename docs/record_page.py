"""Take docs/page.png, the README's picture of the page, from an environment that is running.

    uv run python docs/record_page.py http://127.0.0.1:11000

It must be the sample game: three guesses find the demo row's word. Chromium or Chrome is wanted, as by the tests.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

PICTURE = Path(__file__).with_name("page.png")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GUESSES = ("slate", "robin", "piano")


def main(url: str) -> None:
    with sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, BROWSERS)), None)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 1130})
        page.goto(url)
        for number, guess in enumerate(GUESSES, 1):
            page.get_by_label("word").fill(guess)
            page.keyboard.press("Enter")
            expect(page.locator("#transcript > li")).to_have_count(number)
        page.get_by_role("button", name="Ask for the verdict").click()
        expect(page.locator(".verdict .reward")).to_have_text("Reward: 1")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
