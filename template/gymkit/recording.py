# Part of the template: changes belong there (`copier update` merges this file).
"""What is kept of an episode to look at: its pictures as files, and a page that shows it step by step."""

import base64
import binascii
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from gymkit.items import Item, output_text
from gymkit.pictures import has_pictures
from gymkit.redaction import redacted

DATA_URL = re.compile(r"data:image/(\w+);base64,(.*)", re.DOTALL)


@dataclass
class Step:
    """One turn: what was said and called, what the tools answered, and the pictures that came with it."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    """Each with the name of its style: `said`, `called` or `answered`."""
    pictures: list[str] = field(default_factory=list)


def steps(result: Item) -> Iterator[Step]:
    """The turns of an episode, from what `/verify` answered."""
    step = Step()
    for item in result["response"]["output"]:
        by_the_model = item["type"] in ("function_call", "reasoning") or item.get("role") == "assistant"
        if by_the_model and any(style == "answered" for style, _ in step.lines):
            yield step
            step = Step()
        if item["type"] == "function_call":
            step.lines.append(("called", f"{item['name']} {item['arguments']}"))
        elif item["type"] == "function_call_output":
            step.lines.append(("answered", output_text(item["output"])))
        elif has_pictures(item):
            step.pictures += [part["image_url"] for part in item["content"] if part["type"] == "input_image"]
        elif item["type"] == "message" and isinstance(item["content"], list):
            step.lines.append(("said", "".join(part.get("text", "") for part in item["content"])))
    yield step


def save_pictures(result: Item, folder: Path) -> Path | None:
    """Write an episode's pictures into a new folder below `folder`; that folder, or None where there are none."""
    name = re.sub(r"[^\w.-]", "_", str(result.get("task_id", "episode")))[:80]
    target = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6:06d}"
    written = 0
    for number, step in enumerate(steps(result), 1):
        for picture in step.pictures:
            found = DATA_URL.fullmatch(picture)
            try:
                data = base64.b64decode(found[2], validate=True) if found else b""
            except binascii.Error:
                data = b""
            if found and data:
                target.mkdir(parents=True, exist_ok=True)
                written += 1
                (target / f"{written:03d}-turn-{number:03d}.{found[1]}").write_bytes(data)
    return target if written else None


def write_page(result: Item, path: Path) -> None:
    """Write a page that holds the episode, pictures included, and plays it like a film."""
    prompt = result["responses_create_params"]["input"]
    texts = [prompt] if isinstance(prompt, str) else [str(item.get("content", "")) for item in prompt]
    reward = "masked" if result.get("mask_sample") else f"{result['reward']:g}"
    shown: list[str] = []
    picture = ""
    for step in steps(result):
        # A turn without a picture of its own shows the one before.
        for source in step.pictures or [picture]:
            lines = "".join(f'<p class="{style}">{escape(text)}</p>' for style, text in step.lines)
            image = f'<img src="{escape(source)}" alt="the screen">' if DATA_URL.fullmatch(source) else ""
            shown.append(f"<section>{image}<div>{lines}</div></section>")
            picture = source
    page = PAGE.format(
        title=escape(str(result.get("task_id", "episode"))),
        prompt=escape("\n\n".join(texts)),
        reward=reward,
        steps="\n".join(shown),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(redacted(page), encoding="utf-8")


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  body {{ font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 66rem; padding: 0 1rem }}
  h1 {{ font-size: 1.2rem }}
  pre {{ white-space: pre-wrap; background: #eef1f5; padding: .7rem 1rem; border-radius: 6px; font: inherit }}
  section {{ display: none }}
  section.now {{ display: block }}
  img {{ width: 100%; border: 1px solid #cbd2d9; border-radius: 6px }}
  section p {{ margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere }}
  .called {{ font-family: ui-monospace, monospace; color: #2563a8 }}
  .answered {{ color: #52606d }}
  nav {{ position: sticky; top: 0; background: white; padding: .5rem 0; display: flex; gap: .6rem }}
  input {{ flex: 1 }}
</style>
<h1>{title} · reward {reward}</h1>
<pre>{prompt}</pre>
<nav><button id="play">Pause</button><input id="at" type="range" min="0" value="0"><span id="where"></span></nav>
{steps}
<script>
  const steps = [...document.querySelectorAll("section")], at = document.getElementById("at");
  const play = document.getElementById("play");
  let timer = null;
  at.max = steps.length - 1;
  function show() {{
    steps.forEach((step, number) => step.classList.toggle("now", number === +at.value));
    document.getElementById("where").textContent = `${{+at.value + 1}} / ${{steps.length}}`;
  }}
  function toggle() {{
    if (timer) {{ clearInterval(timer); timer = null }}
    else timer = setInterval(() => {{ at.value = (+at.value + 1) % steps.length; show() }}, 1500);
    play.textContent = timer ? "Pause" : "Play";
  }}
  play.onclick = toggle;
  at.oninput = () => {{ if (timer) toggle(); show() }};
  show();
  toggle();
</script>
</html>
"""
