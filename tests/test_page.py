"""The page at `/`, in a real browser: a person plays an episode to its reward, wherever the page is opened.

The player reads the feedback on the page and thinks with the environment's own policy.py, so that every archetype can
be played.
"""

import base64
import json
import shutil
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from generated import ARCHETYPES, FULL, LINES, Environment
from gym_servers import serving
from needs import BROWSERS
from playwright.sync_api import Browser, BrowserContext, Frame, Page, Playwright, Route, expect, sync_playwright


def on(*archetypes: str, in_full: Iterable[str] = ()) -> pytest.MarkDecorator:
    """Run a test on these archetypes. One line of NeMo Gym will do: the page is the same on both."""
    environments = [
        # Those of one archetype share its server and a browser.
        pytest.param(f"{archetype} {LINES[-1]}", marks=pytest.mark.xdist_group(f"page {archetype}"))
        for archetype in (in_full if FULL and in_full else archetypes)
    ]
    return pytest.mark.parametrize("environment", environments, indirect=True)


pytestmark = pytest.mark.needs("a browser")

on_one_archetype = on("game")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEY = "open sesame, ümlaut"
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}

# Plays the demo row: a move a line on its output, the text of the answer a line on its input.
PLAYER = """
import json, sys
sys.path.insert(0, ".")
from policy import play
moves = play(json.loads(open("data/demo.jsonl", encoding="utf-8").readline()))
try:
    move = next(moves)
    while True:
        print(json.dumps(move), flush=True)
        move = moves.send(json.loads(sys.stdin.readline()))
except StopIteration:
    pass
"""

# Serves a tool that takes every kind of argument, from the environment's own tests.
FORM_SERVER = """
import sys
sys.path[:0] = [".", "tests"]
from test_page import FormServer
from gymkit.serve import run
run(FormServer)
"""


# ----------------------------------------------------------------------------------------------------- the servers


class HostPage(BaseHTTPRequestHandler):
    """A page of another site that shows the environment in a frame: `/?http://...`."""

    def do_GET(self) -> None:
        body = f'<!doctype html><link rel="icon" href="data:,"><iframe src="{self.path[2:]}" width=1000 height=800>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def host_page() -> Iterator[str]:
    """A site of its own: to a browser, localhost is another site than 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), HostPage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def url(environment: Environment) -> Iterator[str]:
    """The environment, open to all."""
    with serving(environment) as url:
        yield url


@pytest.fixture(scope="module")
def locked_url(environment: Environment, host_page: str) -> Iterator[str]:
    """The environment with an API key; `host_page` may frame it."""
    with serving(environment, ENV_API_KEY=KEY, ENV_FRAME_ANCESTORS=f"'self' {host_page}") as url:
        yield url


# ----------------------------------------------------------------------------------------------------- the browser


def browser_path() -> str | None:
    """The system's Chromium or Chrome; None where there is only Playwright's own."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        if browser_path() is None and not Path(playwright.chromium.executable_path).exists():
            pytest.fail(
                "No Chromium or Chrome here. Install one (Debian: apt-get install chromium; elsewhere: "
                "uv run playwright install chromium), or leave these tests out: --ignore tests/test_page.py",
                pytrace=False,
            )
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
    yield browser
    browser.close()


class Watch:
    """What a page must not do: complain, or ask another host for anything."""

    def __init__(self, page: Page, *hosts: str, expected: str = "nothing") -> None:
        self.hosts = {"127.0.0.1", *hosts}
        self.expected = expected
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._request(request.url))

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and self.expected not in text:
            self.complaints.append(f"{kind}: {text}")

    def _request(self, url: str) -> None:
        if not url.startswith("data:") and url.split("/")[2].split(":")[0] not in self.hosts:
            self.strangers.append(url)

    def check(self) -> None:
        assert self.complaints == []
        assert self.strangers == []


@contextmanager
def opened(browser: Browser, url: str, *hosts: str, expected: str = "nothing", **options: Any) -> Iterator[Page]:
    """The page, in a fresh context that is watched (`Watch`).

    Args:
        hosts: Which it may ask besides this machine.
        expected: Stands in the browser's own messages about failures.
    """
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    page = context.new_page()
    watch = Watch(page, *hosts, expected=expected)
    try:
        page.goto(url)
        yield page
        watch.check()
    finally:
        context.close()


# ------------------------------------------------------------------------------------------------------ the player


@contextmanager
def player(environment: Environment) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [environment.python, "-c", PLAYER],
        cwd=environment.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    yield process
    process.communicate(timeout=30)


def typed(value: Any, kind: str | None) -> str:
    """A value as it is typed into a control."""
    if kind == "list":
        return "\n".join(value)
    return value if kind == "text" else json.dumps(value, ensure_ascii=False)


def call(place: Page | Frame, tool: str, arguments: dict[str, Any]) -> str:
    """Fill in a tool's form and send it; the answer's text, from the page."""
    form = place.locator(f"form[data-tool='{tool}']")
    if not form.is_visible():
        place.locator("summary").filter(has=place.get_by_text(tool, exact=True)).first.click()
    for name, value in arguments.items():
        control = form.locator(f"[name='{name}']")
        kind = control.get_attribute("data-kind")
        if kind == "choice":
            control.select_option(typed(value, kind))
        else:
            control.fill(typed(value, kind))
    calls = place.locator("#transcript > li").count()
    form.get_by_role("button", name=f"Call {tool}").click()
    return answer_after(place, calls)


def call_by_keyboard(page: Page, tool: str, arguments: dict[str, Any]) -> str:
    """The same with nothing but keys."""
    calls = page.locator("#transcript > li").count()
    form = f"form[data-tool='{tool}']"
    if not page.locator(form).is_visible():
        tab_to(page, f"details:has(> {form}) > summary")
        page.keyboard.press("Enter")
    several_lines = False
    for name, value in arguments.items():
        kind = page.locator(f"{form} [name='{name}']").get_attribute("data-kind")
        text = typed(value, kind)
        tab_to(page, f"{form} [name='{name}']")
        if kind == "choice":
            page.keyboard.type(text)
        else:
            page.keyboard.insert_text(text)
        several_lines = "\n" in text
    if not arguments:
        tab_to(page, f"{form} button")
    page.keyboard.press("Control+Enter" if several_lines else "Enter")
    return answer_after(page, calls)


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Move the focus to an element, or keep it there."""
    for _ in range(200):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press(key)
    pytest.fail(f"the keyboard does not reach {selector}")


def answer_after(place: Page | Frame, calls: int) -> str:
    items = place.locator("#transcript > li")
    expect(items).to_have_count(calls + 1, timeout=60_000)
    expect(place.locator("#content[aria-busy]")).to_have_count(0)
    return items.last.locator(".answer > pre").first.inner_text()


def say(place: Page | Frame, text: str) -> str:
    """Say something; nobody answers, unless there is a user."""
    user = place.locator("form[data-tool='user/turn']")
    if user.count():
        user.locator("[name='text']").fill(text)
        said = place.locator("#transcript > li").count()
        user.get_by_role("button", name="Say it").click()
        return answer_after(place, said)
    place.locator("#answer").fill(text)
    said = place.locator("#transcript > li").count()
    place.get_by_role("button", name="Say it").click()
    expect(place.locator("#transcript > li")).to_have_count(said + 1)
    return ""


def play(environment: Environment, place: Page | Frame, how: Any = call) -> int:
    """Play the demo row to the end of policy.py; the number of calls and of what is said."""
    calls = 0
    with player(environment) as moves:
        assert moves.stdin and moves.stdout
        for line in moves.stdout:
            move = json.loads(line)
            answer = say(place, move) if isinstance(move, str) else how(place, *move)
            calls += 1
            moves.stdin.write(json.dumps(answer) + "\n")
            moves.stdin.flush()
    assert calls > 0
    return calls


def ask_for_the_verdict(place: Page | Frame) -> None:
    place.get_by_role("button", name="Ask for the verdict").click()
    expect(place.locator(".verdict .reward")).to_have_text("Reward: 1")


# ------------------------------------------------------------------------------------- an episode, played everywhere


@on(*ARCHETYPES)
def test_an_episode_is_played_to_its_reward(environment: Environment, browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("My Env")
        calls = play(environment, page)
        # What is said is none: a question has no tools, and of the assistant's calls the last is its answer.
        made = 0 if environment.path.joinpath("questions.py").exists() else calls
        made -= environment.path.joinpath("assistant.py").exists()
        expect(page.get_by_role("status")).to_have_text(f"running, {made} calls")
        ask_for_the_verdict(page)
        assert contrast(page) >= 4.5
        # Another one, in the same page.
        page.get_by_role("button", name="New episode").click()
        expect(page.locator("#transcript > li")).to_have_count(0)
        play(environment, page)
        ask_for_the_verdict(page)


@on("conversation")
@pytest.mark.full
def test_a_person_can_be_the_user(environment: Environment, browser: Browser, url: str) -> None:
    with opened(browser, url, expected="409") as page:
        form = page.locator("form[data-tool='user/turn']")
        for number, leaves in enumerate(("false", "true")):
            form.locator("[name='text']").fill("Who are you?")
            form.locator("[name='answer']").fill(f"Nobody {number}.")
            form.locator("[name='leaves']").select_option(leaves)
            form.get_by_role("button", name="Say it").click()
            assert answer_after(page, number) == f"Nobody {number}."
        form.get_by_role("button", name="Say it").click()
        assert "has left" in answer_after(page, 2)
        page.get_by_role("button", name="Ask for the verdict").click()
        expect(page.locator(".verdict .reward")).to_have_text("Reward: 0")


@on("computer_use")
def test_a_click_on_the_screens_picture_fills_in_its_place(
    environment: Environment, browser: Browser, url: str
) -> None:
    with opened(browser, url) as page:
        call(page, "screenshot", {})
        screen = page.locator("#transcript img").last
        box = screen.bounding_box()
        assert box and box["width"] < 1024  # Shown smaller than it is.
        screen.click(position={"x": box["width"] / 2, "y": box["height"] / 4})
        x, y = (int(page.locator(f"form[data-tool='left_click'] [name='{name}']").input_value()) for name in "xy")
        assert abs(x - 512) <= 3 and abs(y - 192) <= 3


@on("game", "sandbox", in_full=ARCHETYPES)  # with arguments of one line, and of several
def test_by_keyboard_alone(environment: Environment, browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        play(environment, page, call_by_keyboard)
        tab_to(page, "#verify", "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".verdict .reward")).to_have_text("Reward: 1")
        expect(page.get_by_role("button", name="New episode")).to_be_focused()


@on("game", "computer_use", in_full=ARCHETYPES)  # without a picture, and with a wide one
def test_on_a_phone(environment: Environment, browser: Browser, url: str) -> None:
    with opened(browser, url, **PHONE) as page:
        play(environment, page)
        ask_for_the_verdict(page)
        for width in (360, 320):
            page.set_viewport_size({"width": width, "height": 740})
            # Not innerWidth: on a phone that grows with what is too wide.
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@on("game", in_full=ARCHETYPES)
def test_in_the_dark(environment: Environment, browser: Browser, url: str) -> None:
    with opened(browser, url, color_scheme="dark") as page:
        play(environment, page)
        ask_for_the_verdict(page)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(json.loads(f"[{background[4:-1]}]")) < 64
        assert contrast(page) >= 4.5


@on("game", in_full=ARCHETYPES)
def test_with_an_api_key(environment: Environment, browser: Browser, locked_url: str) -> None:
    # The browser itself reports a 401.
    with opened(browser, locked_url, expected="401") as page:
        expect(page.locator("#content")).to_be_empty()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The environment does not take this key.")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_label("Key", exact=True)).to_be_hidden()
        play(environment, page)
        ask_for_the_verdict(page)
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("My Env")
        assert page.url == f"{locked_url}/"
        assert KEY not in page.content()


@on("game", in_full=ARCHETYPES)
def test_in_a_frame_of_another_site_without_its_cookies(
    environment: Environment, playwright: Playwright, host_page: str, locked_url: str, tmp_path: Path
) -> None:
    """As in a Space. The key is asked for there too, and kept without the storage that is blocked with cookies."""
    with closing(without_third_party_cookies(playwright, tmp_path)) as context:
        page = context.new_page()
        watch = Watch(page, "localhost", expected="401")
        with page.expect_request(f"{locked_url}/") as navigation:
            page.goto(f"{host_page}/?{locked_url}/")
        assert navigation.value.all_headers()["sec-fetch-site"] == "cross-site"
        frame = page.frame(url=f"{locked_url}/")
        assert frame
        frame.get_by_label("Key", exact=True).fill(KEY)
        frame.get_by_role("button", name="Enter").click()
        expect(frame.get_by_role("heading", level=1)).to_have_text("My Env")
        play(environment, frame)
        ask_for_the_verdict(frame)
        # There really are no cookies: in the frame not even one that is meant for other sites is kept.
        assert frame.evaluate("(document.cookie = 'probe=1; SameSite=None; Secure', document.cookie)") == ""
        assert page.evaluate("(document.cookie = 'probe=1', document.cookie)") == "probe=1"
        watch.check()


def without_third_party_cookies(playwright: Playwright, folder: Path) -> BrowserContext:
    """A browser whose owner has blocked them in its settings."""
    (folder / "Default").mkdir()
    settings = {"profile": {"cookie_controls_mode": 1, "block_third_party_cookies": True}}
    (folder / "Default" / "Preferences").write_text(json.dumps(settings))
    return playwright.chromium.launch_persistent_context(folder, executable_path=browser_path(), args=FLAGS)


@on_one_archetype
def test_a_site_that_is_not_allowed_to_cannot_frame_it(
    environment: Environment, browser: Browser, host_page: str, url: str
) -> None:
    page = browser.new_page()
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        page.goto(f"{host_page}/?{url}/")
    page.close()


# ------------------------------------------------------------------------------------------------ what is shown how


def png(width: int, height: int) -> str:
    """A black picture, as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\0" * width) * height)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def first_form(page: Page) -> Any:
    return page.locator("form[data-tool]").first


def answer_with(page: Page, path: str, status: int = 200, body: Any = None, **headers: str) -> None:
    """Answer requests for `path` so, in the server's place."""

    def fulfil(route: Route) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        route.fulfill(status=status, headers={"Content-Type": "application/json", **headers}, body=text)

    page.route(f"**/{path}", fulfil)


def tool_name(page: Page) -> str:
    return first_form(page).get_attribute("data-tool") or ""


def press_call(page: Page) -> None:
    for control in first_form(page).locator("textarea, input").all():
        control.fill("1")
    first_form(page).get_by_role("button").click()


@on_one_archetype
def test_pictures_are_pictures_and_text_is_text(environment: Environment, browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        output = f"<b>before</b> {png(30, 20)} after <img src=x onerror=alert(1)>\n" + "line\n" * 100
        others = {"screenshot": png(2000, 50), "size": [1, 2], "parts": [{"image_url": png(7, 7)}]}
        answer_with(page, tool_name(page), body={"output": output, **others})
        press_call(page)
        answer = page.locator("#transcript .answer")
        expect(answer.locator("img")).to_have_count(3)
        widths = [image.evaluate("image => image.decode().then(() => image.naturalWidth)") for image in images(answer)]
        assert widths == [30, 2000, 7]
        assert answer.locator("b").count() == 0
        assert answer.locator("pre").first.inner_text() == "<b>before</b>"
        assert answer.locator(".key").all_inner_texts() == ["screenshot", "size", "parts"]
        long = answer.locator("pre").nth(1)
        assert long.evaluate("pre => pre.scrollHeight > pre.clientHeight && pre.tabIndex === 0")
        assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"]


def images(place: Any) -> list[Any]:
    return place.locator("img").all()


@on_one_archetype
def test_a_text_of_several_lines_is_typed_and_sent_as_it_is(
    environment: Environment, browser: Browser, url: str
) -> None:
    with opened(browser, url) as page:
        answer_with(page, tool_name(page), body={"output": "ok"})
        field = first_form(page).locator("[data-kind='text']").first
        field.focus()
        for key in ("a", "Shift+Enter", "b", "Enter", "Space", "c"):  # Enter calls only where there is one line.
            page.keyboard.press(key)
        expect(page.locator("#transcript > li")).to_have_count(0)
        with page.expect_request(f"**/{tool_name(page)}") as sent:
            page.keyboard.press("Control+Enter")
        assert json.loads(sent.value.post_data or "")[field.get_attribute("name")] == "a\nb\n c"


@on_one_archetype
def test_every_kind_of_argument_arrives_as_it_was_meant(environment: Environment, browser: Browser) -> None:
    values = {
        "text": '"quoted" <b>\nand a second line',
        "count": 7,
        "flag": True,
        "color": "red",
        "keys": ["ctrl", "c"],
        "point": {"x": 3, "y": 4},
        "either": "a text",
    }
    with serving(environment, "-c", FORM_SERVER) as url, opened(browser, url) as page:
        empty = {"ratio": 0.5, "maybe": None, "button": "right", "path": [], "note": None}
        assert json.loads(call(page, "everything", values)) == values | empty
        others = {"ratio": 1.5, "maybe": False, "button": "left", "path": [{"x": 1, "y": 0}], "note": "n"}
        assert json.loads(call(page, "everything", others)) == values | others
        assert call(page, "nothing", {}) == "done"
        form = page.locator("form[data-tool='everything']")
        form.locator("[name='point']").fill("{no JSON")
        form.get_by_role("button").click()
        expect(page.locator("#error")).to_contain_text("point is no JSON: ")
        form.locator("[name='point']").fill("")
        form.get_by_role("button").click()
        expect(form.locator("[name='point']")).to_be_focused()  # The browser says that it is required.
        expect(page.locator("#transcript > li")).to_have_count(3)


ERROR = {"output": "Error: so it is"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [
        (429, ERROR, {"Retry-After": "7"}, "Too many requests (429). Try again in 7 s."),
        (503, ERROR, {"Retry-After": "5"}, "The environment is full, or not ready (503). Try again in 5 s."),
        (503, "<html>Asleep", {}, "The environment is full, or not ready (503). Try again later."),
        (410, ERROR, {}, "Error: so it is (410)"),
        (502, "<html>Bad gateway", {}, "The environment answered 502, with something that is no JSON object."),
    ],
    ids=["limited", "full", "asleep", "ended", "proxy"],
)
@on_one_archetype
def test_a_refusal_is_a_readable_line(
    environment: Environment, browser: Browser, url: str, status: int, body: Any, headers: dict[str, str], says: str
) -> None:
    with opened(browser, url, expected=str(status)) as page:
        answer_with(page, tool_name(page), status, body, **headers)
        press_call(page)
        expect(page.locator("#error")).to_have_text(says)
        expect(page.locator("#transcript > li")).to_have_count(0)


@on_one_archetype
def test_a_server_that_has_gone_and_a_masked_sample_are_said(
    environment: Environment, browser: Browser, url: str
) -> None:
    with opened(browser, url, expected="ERR_FAILED") as page:
        page.route("**/seed_session", lambda route: route.abort())
        press_call(page)
        expect(page.locator("#error")).to_have_text("The environment does not answer. Is it still running?")
        page.unroute("**/seed_session")
        press_call(page)
        expect(page.locator("#transcript > li")).to_have_count(1)
        masked = {"reward": 0.0, "mask_sample": True, "failure_kind": "session_lost", "failure_reason": "It is gone."}
        answer_with(page, "verify", body=masked)
        page.get_by_role("button", name="Ask for the verdict").click()
        verdict = page.locator(".verdict")
        expect(verdict).to_contain_text("No reward")
        expect(verdict).to_contain_text("Masked (session_lost)")
        expect(verdict).to_contain_text("It is gone.")


@on_one_archetype
def test_a_call_that_is_wrong_is_answered_as_the_model_gets_it(
    environment: Environment, browser: Browser, url: str
) -> None:
    """A 422 is part of the transcript: its text is for the model."""
    with opened(browser, url, expected="422") as page:
        answer_with(page, tool_name(page), 422, {"output": "Error: called wrongly"})
        press_call(page)
        expect(page.locator("#transcript .answer.failed pre")).to_have_text("Error: called wrongly")


@on_one_archetype
def test_the_session_is_closed_when_the_player_leaves(environment: Environment, browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        tool = tool_name(page)
        with page.expect_response("**/seed_session") as seeded:
            press_call(page)
        headers = {"X-Session-Token": seeded.value.headers["x-session-token"]}
        expect(page.locator("#transcript > li")).to_have_count(1)
        page.goto("data:text/html,elsewhere")
    deadline = time.monotonic() + 10
    while (requests.post(f"{url}/{tool}", json={"word": "1"}, headers=headers, timeout=10)).status_code != 410:
        assert time.monotonic() < deadline
        time.sleep(0.1)


CONTRAST = """
() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (; element; element = element.parentElement) {
      const color = channels(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const ratios = [...document.querySelectorAll("body *")]
    .filter((element) => element.checkVisibility() && !element.disabled)
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((element) => {
      const [light, dark] = [channels(getComputedStyle(element).color).slice(0, 3), background(element)]
        .map(luminance).sort((a, b) => b - a);
      return (light + 0.05) / (dark + 0.05);
    });
  return Math.min(...ratios);
}
"""


def contrast(page: Page) -> float:
    """The lowest contrast of any text on the page to its ground, as WCAG counts it."""
    return page.evaluate(CONTRAST)
