# Part of the template: changes belong there (`copier update` merges this file).
"""Keys that stand in the environment's variables, kept out of what is shown, logged, recorded or answered."""

import json
import os
import re

_NAMES = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)S?(?:_|$)", re.IGNORECASE)
SHORTEST = 8
"""What is shorter may stand anywhere by chance."""


def secrets_of_environ() -> list[bytes]:
    """The values of the variables whose names are those of keys, tokens, secrets or passwords, as bytes of a text and
    of JSON.
    """
    found: set[bytes] = set()
    for name, value in os.environ.items():
        if _NAMES.search(name) and len(value.strip()) >= SHORTEST:
            text = value.strip()
            found |= {form.encode("utf-8", "replace") for form in (text, json.dumps(text)[1:-1])}
    # A long one may hold a short one.
    return sorted(found, key=len, reverse=True)


def redacted_bytes(data: bytes, secrets: list[bytes]) -> bytes:
    """The same, as long as before, with stars in place of secrets."""
    for secret in secrets:
        if secret in data:
            data = data.replace(secret, b"*" * len(secret))
    return data


def redacted(text: str) -> str:
    """A text without the secrets of the environment's variables."""
    for secret in secrets_of_environ():
        text = text.replace(secret.decode("utf-8", "replace"), "*" * 8)
    return text
