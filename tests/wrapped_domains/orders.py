"""A domain for tests of `gymkit wrap`: a task over SQLite."""

import sqlite3


class OrdersTask:
    """Answer a question about orders with SQL.

    Args:
        question: What is asked.
        answer: The number that is right.
    """

    def __init__(self, question: str = "What do all orders cost?", answer: float = 60.0) -> None:
        self.question = question
        self._answer = answer
        self._said: float | None = None
        # An episode's calls come from several threads, one at a time.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("create table orders (id integer, price real)")
        self._database.executemany("insert into orders values (?, ?)", [(1, 10.0), (2, 20.0), (3, 30.0)])

    def query(self, sql: str) -> list[list[object]]:
        """Run one statement.

        Args:
            sql: The statement. The table is orders(id, price).
        """
        try:
            return [list(row) for row in self._database.execute(sql).fetchmany(100)]
        except sqlite3.Error as error:
            raise ValueError(str(error)) from error

    def answer(self, value: float) -> str:
        """Give the answer. Only the last one counts.

        Args:
            value: The number.
        """
        self._said = value
        return "Noted."

    def score(self) -> float:
        """1.0 for the right answer, else 0.0."""
        return float(self._said == self._answer)

    def close(self) -> None:
        self._database.close()
