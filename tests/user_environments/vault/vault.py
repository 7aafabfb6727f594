"""A vault of numbers: look them up, then say what they are."""


class Vault:
    """Numbers by name."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = numbers
        self.looked_up: set[str] = set()

    def look_up(self, name: str) -> str:
        """The number of a name."""
        if name not in self.numbers:
            return f"There is no {name!r}. The names are: {', '.join(self.numbers)}."
        self.looked_up.add(name)
        return f"{name} is {self.numbers[name]}"
