"""A quiz: the final message is graded, and there are no tools. The class has a name of its own."""

from gymkit.answers import Response, final_answer
from gymkit.fixture import verifier_fixture
from gymkit.rows import Row, expected_output
from gymkit.serve import run
from gymkit.server import EnvironmentServer
from quiz import letter_of


class QuizServer(EnvironmentServer):
    def grade(self, episode: None, row: Row, response: Response) -> float:
        return float(letter_of(final_answer(response)) == expected_output(row))


VERIFIER_FIXTURE = verifier_fixture(QuizServer)

if __name__ == "__main__":
    run(QuizServer)
