# Part of the template: changes belong there (`copier update` merges this file).
"""The server.py of a wrapped class. Its layout is ruff's: what is written here is formatted afterwards."""

import textwrap

from gymkit.wrapping.code import Wrapped, capitalized, docstring, import_lines, quoted, renamed, row_key
from gymkit.wrapping.interface import Method, Parameter

MODEL_NAMES = {"copy", "json", "dict", "schema", "validate", "construct", "register", "model_config", "model_fields"}
"""Fields cannot be called so: pydantic's models have these names themselves."""

SERVER_NAMES = {
    *("config", "episode", "grade", "metrics", "threads", "connections", "new_episode", "end_episode", "check_row"),
    *("has_tools", "has_user", "grades_text", "on_start", "on_stop", "session_of", "session_for", "list_tools"),
    *("show_metrics", "setup_webserver", "runs_code", "server_client", "grade_transcript", "run_webserver"),
    *("copy", "json", "dict", "schema", "validate", "construct", "load_config_from_global_config"),
}
"""Methods cannot be called so: the server has these names itself."""


def server_code(wrapped: Wrapped) -> str:
    """The text of server.py."""
    models, tools, routes = [], [], []
    for method in _tools(wrapped):
        model = _model(method)
        if model not in models:
            models.append(model)
        routes.append(f'        app.post("/{method.name}")(self.{_called(method)})\n')
        tools.append(_tool(wrapped, method))
    name = wrapped.class_name
    module, kind = wrapped.interface.module, wrapped.interface.name
    of = f"`{module}.{kind}`" if kind else f"the functions of `{module}`"
    register = f"        app = super().setup_webserver()\n{''.join(routes)}        return app\n"
    parts = [
        f'"""The environment around {of}.\n\n'
        '`uv run gymkit wrap` brings changes of the domain into what nobody has edited here.\n"""\n\n',
        "\n".join(_imports(wrapped)),
        _dataset(wrapped),
        f"\n\n\nclass {name}Config(EnvironmentConfig):\n"
        '    """Settings of this environment: each with a default here; the file in configs/ may give others."""\n',
        *(f"\n\n{model}" for model in models),
        f"\n\nclass {name}ResourcesServer(EnvironmentServer):\n    config: {name}Config\n",
        f"\n    def setup_webserver(self) -> FastAPI:\n{register}" if routes else "",
        "\n    # --- how an episode begins and what it is worth ---\n",
        *(f"\n{method}" for method in _lifecycle(wrapped)),
        "\n    # --- the tools ---\n" if tools else "",
        *(f"\n{tool}" for tool in tools),
        f"\n\nVERIFIER_FIXTURE = verifier_fixture({name}ResourcesServer)\n"
        f'\nif __name__ == "__main__":\n    run({name}ResourcesServer)\n',
    ]
    return "".join(parts)


def _tools(wrapped: Wrapped) -> list[Method]:
    methods = list(wrapped.interface.methods)
    if wrapped.interface.shape == "gymnasium":
        methods.insert(0, Method("look", "See what is to be seen now.", [], returns_text=True))
    return methods


def _called(method: Method) -> str:
    """The tool's method in the server."""
    return f"{method.name}_tool" if method.name in SERVER_NAMES or method.name.startswith("model_") else method.name


def _imports(wrapped: Wrapped) -> list[str]:
    interface = wrapped.interface
    needed = {
        ("fastapi", "FastAPI"),
        ("fastapi", "Request"),
        ("pydantic", "Field"),
        ("pydantic", "TypeAdapter"),
        ("gymkit.answers", "Response"),
        ("gymkit.answers", "boxed"),
        ("gymkit.answers", "clean"),
        ("gymkit.answers", "final_answer"),
        ("gymkit.answers", "stated"),
        ("gymkit.fixture", "verifier_fixture"),
        ("gymkit.grading", "Verdict"),
        ("gymkit.rows", "Row"),
        ("gymkit.rows", "expected_output"),
        ("gymkit.serve", "run"),
        ("gymkit.server", "EnvironmentConfig"),
        ("gymkit.server", "EnvironmentServer"),
        ("gymkit.server", "InvalidRow"),
        ("gymkit.shapes", "GymnasiumEpisode"),
        ("gymkit.shapes", "as_text"),
        ("gymkit.tools", "ToolRequest"),
        ("gymkit.tools", "ToolResponse"),
    }
    lines = [f"from {module} import {name}" for module, name in sorted(needed)]
    own = {item for method in interface.methods for each in method.parameters for item in each.imports}
    own |= {item for each in interface.constructor for item in each.imports}
    if interface.name:
        own.add((interface.module, interface.name))
    elif "." in interface.module:
        package, _, module = interface.module.rpartition(".")
        own.add((package, module))
    else:
        lines.append(f"import {interface.module}")
    return lines + [line for line in import_lines(own) if line not in lines]  # ruff drops what is not used.


def _dataset(wrapped: Wrapped) -> str:
    if wrapped.interface.shape != "dataset":
        return ""
    (config,) = wrapped.interface.constructor
    return f"\n\nDATASET = {wrapped.kind}({config.type}())\n" + '"""It knows how its answers are scored."""'


# --------------------------------------------------------------------------------------------------------------- tools


def _field(name: str) -> str:
    return f"{name}_" if name in MODEL_NAMES else name


def _request(method: Method) -> str:
    return f"{capitalized(method.name)}Request" if method.parameters else "NoArguments"


def _model(method: Method) -> str:
    if not method.parameters:
        return 'class NoArguments(ToolRequest):\n    """A tool without arguments."""\n'
    lines = [f"class {_request(method)}(ToolRequest):"]
    for each in method.parameters:
        kind = renamed(each.type, each.imports)
        begin = f"    {_field(each.name)}: {kind} = Field("
        arguments = [] if each.default is None else [f"default={renamed(each.default, each.imports)}"]
        if each.limits:
            arguments.append(each.limits)
        if _field(each.name) != each.name:
            arguments.append(f'alias="{each.name}"')
        column = len(begin) + sum(len(argument) + 2 for argument in arguments)
        lines.append(begin + ", ".join([*arguments, f"description={quoted(each.description, column + 12)}"]) + ")")
    return "\n".join(lines) + "\n"


def _tool(wrapped: Wrapped, method: Method) -> str:
    shape = wrapped.interface.shape
    keywords = ", ".join(f"{each.name}=body.{_field(each.name)}" for each in method.parameters)
    if shape == "functions":
        target, before = f"{wrapped.module}.{method.name}", ""
    else:
        kind = "GymnasiumEpisode" if shape == "gymnasium" else wrapped.kind
        target, before = f"episode.{method.name}", f"        episode: {kind} = self.episode(request)\n"
    call = f"{'await ' if method.is_async else ''}{target}({keywords})"
    answer = (
        call if shape == "gymnasium" else f"ToolResponse(output={call if method.returns_text else f'as_text({call})'})"
    )
    request = "" if shape == "functions" else ", request: Request"
    given = f"self, body: {_request(method)}{request}"
    return (
        f"    {'async ' if method.is_async else ''}def {_called(method)}({given}) -> ToolResponse:\n"
        f"{docstring(method.description, 8)}\n{before}        return {answer}\n"
    )


# ------------------------------------------------------------------------------------------------------------ episodes


def _lifecycle(wrapped: Wrapped) -> list[str]:
    """`new_episode`, `grade`, and what ends an episode."""
    shape = wrapped.interface.shape
    if shape == "dataset":
        return [_method(DATASET_GRADE)]
    if shape == "functions":
        return [_method(TEXT_GRADE), _method(GRADES_TEXT)]
    if shape == "gymnasium":
        return [_gymnasium_episode(wrapped), _method(GYMNASIUM_GRADE), _method(GYMNASIUM_END)]
    methods = [_new_episode(wrapped), _grade(wrapped)]
    if wrapped.interface.close:
        is_async = wrapped.interface.close.startswith("async")
        begin, wait = ("async ", "await ") if is_async else ("", "")
        methods.append(
            f"    {begin}def end_episode(self, episode: {wrapped.kind}) -> None:\n        {wait}episode.close()\n"
        )
    return methods


def _new_episode(wrapped: Wrapped) -> str:
    interface = wrapped.interface
    begin = f"    def new_episode(self, row: Row) -> {wrapped.kind}:\n"
    if not interface.constructor:
        return f"{begin}        return {wrapped.kind}()\n"
    return begin + _made(wrapped, f"{wrapped.kind}({', '.join(map(_argument, interface.constructor))})")


def _gymnasium_episode(wrapped: Wrapped) -> str:
    arguments = [f'render_mode="{wrapped.interface.render}"'] if wrapped.interface.render else []
    env = f"{wrapped.kind}({', '.join([*arguments, *map(_argument, wrapped.interface.constructor)])})"
    begin = "    def new_episode(self, row: Row) -> GymnasiumEpisode:\n"
    return begin + _made(wrapped, f'GymnasiumEpisode({env}, seed=row["seed"])')


def _made(wrapped: Wrapped, episode: str) -> str:
    """The body of `new_episode`: an episode, or that the row makes none."""
    return (
        f"        try:\n            return {episode}\n"
        "        except (KeyError, TypeError, ValueError) as error:\n"
        f'            raise InvalidRow(f"{wrapped.interface.name}: {{type(error).__name__}}: {{error}}") from None\n'
    )


def _argument(parameter: Parameter) -> str:
    """An argument of the constructor, made of the row."""
    imports = [(module, name) for module, name in parameter.imports]
    key, kind = row_key(parameter), renamed(parameter.type, imports)
    default = None if parameter.default is None else renamed(parameter.default, imports)
    value = f'row["{key}"]' if default is None else f'row.get("{key}", {default})'
    if parameter.json_type != parameter.type:
        is_enum = kind.isidentifier() and parameter.json_type.startswith("Literal[")
        value = f"{kind}({value})" if is_enum else f"TypeAdapter({kind}).validate_python({value})"
    return f"{parameter.name}={value}"


def _grade(wrapped: Wrapped) -> str:
    how = wrapped.interface.members.get(wrapped.reward, "property")
    begin, wait = ("async ", "await ") if how == "async method" else ("", "")
    value = f"{wait}episode.{wrapped.reward}{'' if how == 'property' else '()'}"
    return (
        f"    {begin}def grade(self, episode: {wrapped.kind}, row: Row, response: Response) -> Verdict:\n"
        f"        return Verdict(reward=float({value}))\n"
    )


def _method(text: str) -> str:
    return textwrap.indent(text, "    ")


DATASET_GRADE = '''\
def grade(self, episode: None, row: Row, response: Response) -> Verdict:
    """Full marks alone count: some datasets give a part of them to who names many answers."""
    entry = {"question": row["question"], "answer": expected_output(row), "metadata": row["metadata"]}
    answers = boxed(final_answer(response))
    score = min((float(DATASET.score_answer(answer, entry)) for answer in answers), default=0.0)
    return Verdict(reward=float(score >= 1), metrics={"score": score})
'''

TEXT_GRADE = '''\
def grade(self, episode: None, row: Row, response: Response) -> Verdict:
    """The answer counts, not how it was come by: 1 where the last message states it and no other."""
    return Verdict(reward=float(stated(final_answer(response)) == [clean(expected_output(row))]))
'''

GRADES_TEXT = """\
@property
def grades_text(self) -> bool:
    return True
"""

GYMNASIUM_GRADE = """\
def grade(self, episode: GymnasiumEpisode, row: Row, response: Response) -> Verdict:
    return Verdict(reward=episode.reward, metrics={"steps": episode.steps})
"""

GYMNASIUM_END = """\
def end_episode(self, episode: GymnasiumEpisode) -> None:
    episode.close()
"""
