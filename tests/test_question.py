"""The question archetype as its user meets it, with a judge and without, on both lines of NeMo Gym."""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Environments
from generated import DATA, FULL, LINES, PLAYS, ROOT, Environment, edited, run_ok
from gym_servers import MODEL_TYPES, collect_rollouts, gym_eval_run, standin, started_by_ng_run, viewed
from standin_model import gives_up, text_of

PARAPHRASING = ROOT / "standins" / "paraphrasing_model.py"

Row = dict[str, Any]


# ------------------------------------------------------------------------------------------------------ its own tests


@pytest.mark.parametrize("line", LINES if FULL else LINES[-1:])
def test_its_own_tests_pass(environments: Environments, line: str) -> None:
    environment = environments("question", line)
    assert not (environment.path / "gymkit" / "judge.py").exists()
    if FULL:
        assert environment.own_tests() > 300
    else:
        files = ("questions", "cheats", "symbolic", "contract")
        assert environment.own_tests(*(f"tests/test_{name}.py" for name in files)) > 150


@pytest.mark.long
@pytest.mark.parametrize("line", LINES if FULL else LINES[:1])
def test_its_own_tests_pass_with_a_judge(environments: Environments, line: str) -> None:
    environment = environments("question", line, "use_judge=true")
    if FULL:
        assert environment.own_tests() > 350
    else:
        assert environment.own_tests("tests/test_judge.py", "tests/test_cheats.py", PLAYS) > 40


# --------------------------------------------------------------------------------------------- a grader that is broken

ASKED = "tests/test_questions.py"
FORM = "not all(FORMS[self.form](answer)"
FIRST = ("reversed(response.output)", "response.output")


@pytest.mark.parametrize(
    ("file", "old", "new", "failing"),
    [
        pytest.param("questions.py", "bool(answers) and all(", "any(", "tests/test_cheats.py", id="any_answer"),
        pytest.param("constraints.py", "if not each.met(text)]", "if False]", ASKED, id="no_constraint"),
        pytest.param("gymkit/forms.py", FORM, "not any(True", ASKED, id="no_form", marks=pytest.mark.full),
        pytest.param("gymkit/answers.py", *FIRST, "tests/test_cheats.py", id="first_message", marks=pytest.mark.full),
    ],
)
def test_a_generous_grader_fails_its_tests(
    environments: Environments, file: str, old: str, new: str, failing: str
) -> None:
    environments("question", LINES[0]).fails_with(file, old, new, failing)


# -------------------------------------------------------------------------------------------------- data sets of others


def mmlu(folder: Path, python: Path) -> Path:
    """As MMLU's Parquet files: options as a list, the answer as a place in it."""
    rows = [
        {"question": "Which is a fruit?", "subject": "x", "choices": ["iron", "apple", "oak", "tea"], "answer": 1},
        {"question": "Which is a metal?", "subject": "x", "choices": ["iron", "apple", "oak", "tea"], "answer": 0},
        {"question": "Which is none?", "subject": "x", "choices": ["iron", "apple", "oak", "tea"], "answer": 7},
    ]
    write = (
        "import json, sys, pyarrow, pyarrow.parquet;"
        "pyarrow.parquet.write_table(pyarrow.Table.from_pylist(json.loads(sys.argv[1])), 'mmlu.parquet')"
    )
    run_ok(python, "-c", write, json.dumps(rows), cwd=folder)
    return folder / "mmlu.parquet"


def gsm8k(folder: Path, python: Path) -> Path:
    """As GSM8K's JSONL: the way to the answer, and the answer after four signs."""
    rows = [
        {"question": "Six boxes hold seven pens each. How many pens?", "answer": "6*7=<<6*7=42>>42\n#### 42"},
        {"question": "And a thousand more?", "answer": "#### 1,042"},
        {"question": "And what is the colour?", "answer": "#### \\frac{"},
    ]
    text = "\n".join([*(json.dumps(row) for row in rows), "{no json"])
    (folder / "gsm8k.jsonl").write_text(text + "\n")
    return folder / "gsm8k.jsonl"


def ifeval(folder: Path, python: Path) -> Path:
    """As IFEval's JSONL: names of constraints, and arguments of each."""

    def row(key: int, names: list[str], arguments: list[Row]) -> Row:
        return {"key": key, "prompt": f"Write text {key}.", "instruction_id_list": names, "kwargs": arguments}

    words = {"num_words": 20, "relation": "at least", "num_bullets": None}
    rows = [
        row(1, ["length_constraints:number_words", "punctuation:no_comma"], [words, {}]),
        row(2, ["detectable_format:number_bullet_lists"], [{"num_bullets": 3}]),
        row(3, ["combination:two_responses"], [{}]),
        row(4, ["keywords:existence", "startend:quotation"], [{"keywords": ["tea"]}]),
        row(5, [], []),
    ]
    (folder / "ifeval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "ifeval.jsonl"


def letters_in_csv(folder: Path, python: Path) -> Path:
    """A CSV file with a column for each option, and the answer as a letter."""
    with (folder / "letters.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [["Question", "A", "B", "Answer"], ["Which is wet?", "rain", "sand", "A"], ["?", "a", "b", "C"]]
        )
        writer.writerow(["too few"])
    return folder / "letters.csv"


LAYOUTS = [
    (mmlu, "question=question,answer=answer,options=choices", 2, ["record 3: answer: '7' is none of the 4 options"]),
    (gsm8k, "", 2, ["record 3: expected_output: '\\\\frac{' cannot be read", "record 4: this is no JSON"]),
    (
        ifeval,
        "question=prompt,constraints=instruction_id_list,arguments=kwargs",
        2,
        [
            "record 3: constraints: there is no 'combination:two_responses'",
            "record 4: constraints: as many",
            "record 5:",
        ],
    ),
    (
        letters_in_csv,
        "question=Question,answer=Answer,options=A+B",
        1,
        ["record 2: answer: 'C'", "record 3: it has not"],
    ),
]


def test_a_data_set_of_others_makes_rows(environments: Environments, tmp_path: Path) -> None:
    environment = environments("question", LINES[-1])
    for make, columns, count, refusals in LAYOUTS:
        source = make(tmp_path, environment.python)
        done = environment.run(*DATA, "--from", source, *(["--map", columns] if columns else []))
        target = environment.path / "data" / f"{source.stem}.jsonl"
        try:
            assert done.returncode == 0, done.stderr
            assert f"{count} rows, {len(refusals)} records refused" in done.stdout
            assert [text for text in refusals if text not in done.stderr] == []
            rows = [json.loads(line) for line in target.read_text().splitlines()]
            assert len(rows) == len({row["row_key"] for row in rows}) == count
            if make is not LAYOUTS[0][0] and not FULL:
                continue
            said = environment.run_ok("uv", "run", "python", "rollout.py", "--data", target)
            assert said.rstrip().endswith("Reward: 1")
        finally:
            target.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "nowhere.jsonl"), "No such file"),
        (("--from", "rows.xml"), ".parquet is wanted"),
        (("--from", "data/train.jsonl"), "tasks.py makes that split's rows"),
        (("--from", "data/train.jsonl", "--split", "other", "--map", "question"), "is not of the form FIELD=COLUMN"),
        (("--from", "data/train.jsonl", "--split", "other", "--map", "question=none"), "it has no column 'none'"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused(environments: Environments, arguments: Row, says: str) -> None:
    environment = environments("question", LINES[-1])
    done = environment.run(*DATA, *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (environment.path / "data" / "other.jsonl").exists()


RHYMES = """

right = tasks


def tasks():
    splits = right()
    next(task for task in splits["train"] if task["kind"] == "constraints")["expected_output"] = [{"kind": "rhymes"}]
    return splits
"""


def test_a_task_that_makes_no_row_is_named(environments: Environments) -> None:
    environment = environments("question", LINES[-1])
    tasks = environment.path / "tasks.py"
    with edited(tasks, tasks.read_text(encoding="utf-8") + RHYMES):
        done = environment.run(*DATA)
    assert done.returncode == 1
    assert "data/train.jsonl, constraints-train-00: constraints.0: there is no 'rhymes'" in done.stderr
    assert "Nothing was written" in done.stderr


# ----------------------------------------------------------------------------------------------------- with NeMo Gym

EXTRA = ("Which organ pumps blood? [500]", "Which organ? [503]", "Which one is it? [prose]", "Say it: [nothing]")
SPOILED = (
    "Which organ? {answer: 400}",
    "Which organ pumps? {answer: prose}",
    "Which one pumps blood? {answer: nothing}",
)
"""Questions at which the judge fails, and those at whose answers it does."""


def extra_rows() -> list[Row]:
    return [
        {
            "task_id": f"extra-{number}",
            "responses_create_params": {"input": [{"role": "user", "content": question}]},
            "ground_truth": [{"expected_output": ["the heart"]}],
            "kind": "words",
            "row_key": f"key-{number}",
        }
        for number, question in enumerate([*EXTRA, *SPOILED])
        if not gives_up(question)
    ]


@contextmanager
def more_rows(environment: Environment, split: str) -> Iterator[list[Row]]:
    """A split with rows at which the judge fails."""
    path = environment.path / "data" / f"{split}.jsonl"
    before = path.read_text(encoding="utf-8")
    extra = extra_rows()
    with edited(path, before + "".join(json.dumps(row) + "\n" for row in extra)):
        yield [json.loads(line) for line in before.splitlines()] + extra


def prompt_of(row: Row) -> str:
    return text_of(row["responses_create_params"]["input"][-1]["content"])


def deserved(row: Row) -> float | None:
    """What the stand-ins make a row worth; None for a masked sample."""
    prompt = prompt_of(row)
    if gives_up(prompt) or any(prompt == question for question in SPOILED):
        return 0.0
    return None if prompt in EXTRA else 1.0


def check(rows: list[Row], results: list[Row], failures: list[Row]) -> None:
    """Each row came back once, with what it deserves."""
    by_key = {row["row_key"]: row for row in rows}
    found = {row["row_key"]: None if row["mask_sample"] else row["reward"] for row in [*results, *failures]}
    assert len(results) + len(failures) == len(rows)
    assert found == {key: deserved(row) for key, row in by_key.items()}
    assert {None, 0.0, 1.0} == set(found.values())
    for row in [*results, *failures]:
        assert row.get("failure_kind") == ("judge_failed" if row["mask_sample"] else None)
    judged = [row for row in results if row["judged"]]
    assert len(judged) >= 3
    assert all(row["kind"] == "words" and row["judge_calls"] >= 1 for row in judged)


JUDGED = "question use_judge=true"


@contextmanager
def standins(environment: Environment, folder: Path) -> Iterator[tuple[str, list[str], Path]]:
    """The policy's base URL, the judge's overrides, and the log of what the judge was shown."""
    log = folder / "judge.jsonl"
    judge = environment.path / "tests" / "standin_judge.py"
    with (
        standin(PARAPHRASING, environment, folder / "policy.jsonl") as url,
        standin(judge, environment, log) as judge_url,
    ):
        overrides = [f"+judge_base_url={judge_url}", "+judge_api_key=none", "+judge_model_name=judge"]
        yield url, overrides, log


def judge_by(environment: Environment, model_type: str) -> AbstractContextManager[None]:
    """Change the judge's model server in the config, as the comment there says."""
    config = environment.path / "configs" / "my_env.yaml"
    text = before = config.read_text()
    if model_type == "vllm_model":
        openai, vllm = re.findall(
            r"^    openai_model:\n(?:      .*\n)+|^    # vllm_model:\n(?:    #   .*\n)+", before, re.M
        )
        text = before.replace(openai, "").replace(vllm, vllm.replace("    # ", "    "))
    return edited(config, text)


@pytest.mark.long
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", [f"{JUDGED} {line}" for line in LINES if line == "0.7"], indirect=True)
@pytest.mark.parametrize("model_type", MODEL_TYPES if FULL else MODEL_TYPES[1:])
def test_gym_eval_run_with_a_judge(
    environment: Environment, venv_of_servers: list[str], model_type: str, tmp_path: Path
) -> None:
    """Policy and judge are called by the same kind of model server."""
    output = environment.path / "results" / f"judged_{model_type}.jsonl"
    with (
        judge_by(environment, model_type),
        more_rows(environment, "validation") as rows,
        standins(environment, tmp_path) as (url, judge, log),
    ):
        gym_eval_run(environment, output, url, model_type, *judge, *venv_of_servers)
    failures = read(output.with_name(f"{output.stem}_failures.jsonl"))
    assert {row["failure_kind"] for row in failures} == {"judge_failed"}
    check(rows, read(output), failures)
    [seen] = viewed(environment, output)["runs"]
    assert seen["masked"] == {"judge_failed": len(failures)}
    assert seen["graded"] == len(rows) - len(failures)
    assert all(material["answer_1"] and material["answer_2"] for material in read(log))


@pytest.mark.full
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", [f"{JUDGED} {line}" for line in LINES], indirect=True)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_ng_run_with_a_judge(
    environment: Environment, venv_of_servers: list[str], model_type: str, tmp_path: Path
) -> None:
    output = environment.path / "results" / f"ng_judged_{model_type}.jsonl"
    with (
        judge_by(environment, model_type),
        more_rows(environment, "example") as rows,
        standins(environment, tmp_path) as (url, judge, log),
        started_by_ng_run(*(environment, tmp_path / "servers.log", url, model_type, *judge, *venv_of_servers)) as head,
    ):
        collect_rollouts(environment, "my_env_simple_agent", "data/example.jsonl", output, head)
    failures = output.with_name(f"{output.stem}_failures.jsonl")
    check(rows, read(output), read(failures) if failures.exists() else [])
    assert read(log)


@pytest.mark.full
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", [f"question {line}" for line in LINES], indirect=True)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_nemo_gym_without_a_judge(
    environment: Environment, venv_of_servers: list[str], model_type: str, tmp_path: Path
) -> None:
    """`gym eval run` on 0.7, `ng_run` on 0.4. What no rule decides earns nothing."""
    output = environment.path / "results" / f"unjudged_{model_type}.jsonl"
    rows = read(environment.path / "data" / "validation.jsonl")
    with standin(PARAPHRASING, environment, tmp_path / "policy.jsonl") as url:
        if environment.line == "0.7":
            gym_eval_run(environment, output, url, model_type, *venv_of_servers)
        else:
            log = tmp_path / "servers.log"
            with started_by_ng_run(environment, log, url, model_type, *venv_of_servers) as head:
                collect_rollouts(environment, "my_env_simple_agent", "data/validation.jsonl", output, head)
    found = {row["row_key"]: row["reward"] for row in read(output)}
    assert found == {row["row_key"]: 0.0 if row["kind"] == "words" else deserved(row) for row in rows}
    assert not any(row["mask_sample"] for row in read(output))


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]
