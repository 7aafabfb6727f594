# Part of the template: changes belong there (`copier update` merges this file).
"""The calls to a sandbox at E2B: `cells.py`, `commands.py` and `files.py`, with `output.py` for what is printed.

E2B's client takes a second or more to import. So nothing here imports it before a sandbox is used.
"""

import os

HOME = "/home/user"
"""The working folder."""
GRACE_SECONDS = 10
"""How long an answer may be on its way, beyond the time limit of what it answers."""


def reason(error: BaseException) -> str:
    """One line for an error of the client, without the key, which E2B may repeat."""
    text = " ".join(str(error).split()) or type(error).__name__
    key = os.environ.get("E2B_API_KEY")
    return (text.replace(key, "***") if key else text)[:300]


async def service_fails() -> bool:
    """Whether E2B's service itself cannot be used, whatever has become of a single sandbox."""
    from e2b_code_interpreter import AsyncSandbox, RateLimitException

    try:
        await AsyncSandbox.list(limit=1, request_timeout=GRACE_SECONDS).next_items()
    except RateLimitException:
        return False
    except Exception:
        return True
    return False
