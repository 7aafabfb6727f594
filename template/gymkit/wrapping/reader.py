# Part of the template: changes belong there (`copier update` merges this file).
"""Read a class or a module's functions: `python -m gymkit.wrapping.reader REQUEST ANSWER`, two files of JSON.

A process of its own, because importing a module runs it: it may print, wait or exit. What is wrong becomes one line in
the answer.
"""

import ast
import contextlib
import importlib
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

from docstring_parser import parse

from gymkit.wrapping.hints import NoJson, default_source, description_in, source_of
from gymkit.wrapping.interface import Interface, Method, Parameter, WrapError, as_data

RESERVED = {"seed_session", "verify", "close_session", "aggregate_metrics", "mcp"}
"""Endpoints of NeMo Gym's: no tool can have such a name."""
NOT_THE_USERS = ("builtins", "abc", "typing", "enum", "collections", "pydantic", "gymnasium.core", "threading")
"""Modules whose classes bring methods that are none of the domain's."""
NUMBERS = (bool, int, float)


def read(module_name: str, name: str, wanted: list[str], reward: str) -> Interface:
    """What there is to wrap.

    Args:
        module_name: The module.
        name: The class; empty for the module's functions.
        wanted: The methods that become tools; empty for all.
        reward: The member that is the reward, which is no tool.

    Raises:
        WrapError: one line with file and remedy.
    """
    module = _imported(module_name)
    file = _shown(module)
    if not name:
        found = {
            key: value
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
        }
        return Interface(
            "functions", module_name, "", file, _summary(module), methods=_methods(found, file, wanted, bound=False)
        )
    kind = getattr(module, name, None)
    if not inspect.isclass(kind):
        classes = [
            key for key, value in vars(module).items() if inspect.isclass(value) and value.__module__ == module_name
        ]
        raise WrapError(f"{file} has no class {name}. Its classes: {', '.join(classes) or 'none'}.")
    if inspect.isabstract(kind):
        raise WrapError(f"{file}: {name} is abstract: name a class that can be made.")
    shape = _shape(kind)
    interface = Interface(shape, module_name, name, file, _summary(kind))
    if shape == "dataset":
        interface.constructor = _config(kind, file)
        return interface
    interface.constructor = _constructor(kind, file)
    if shape == "gymnasium":
        interface.methods = [_step(kind, file)]
        interface.render = "ansi" if "ansi" in getattr(kind, "metadata", {}).get("render_modes", []) else None
        return interface
    interface.members = _members(kind)
    interface.truths = [key for key in interface.members if _result(kind, key) is bool]
    acting = {key: value for key, value in _acting(kind) if key != reward}
    if "close" in acting and len(inspect.signature(acting["close"]).parameters) == 1:
        interface.close = _kind(acting.pop("close"))
    interface.methods = _methods(acting, file, wanted, bound=True)
    return interface


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise WrapError(
                f"There is no module {name}: name a file beside server.py, or install its package with `uv add`."
            ) from None
        raise WrapError(
            f"{name} cannot be imported, because it imports {error.name}: `uv add` the package that has it, or put the "
            "file beside server.py."
        ) from None
    except SystemExit:
        raise WrapError(
            f"{name} ends the process when it is imported: put what it does under `if __name__ == '__main__':`."
        ) from None
    except BaseException as error:
        raise WrapError(f"{name} cannot be imported: {type(error).__name__}: {_line(error)}. Mend it first.") from None


def _shape(kind: type) -> str:
    """Which of the known shapes a class has."""
    bases = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    if "gymnasium.core.Env" in bases:
        return "gymnasium"
    if callable(getattr(kind, "score_answer", None)) and hasattr(kind, "__getitem__"):
        return "dataset"
    return "class"


# ------------------------------------------------------------------------------------------------------------ methods


def _acting(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods that are the domain's own, in the order of the source; a base class's come first."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] in NOT_THE_USERS or base.__module__ in NOT_THE_USERS:
            continue
        for key, value in vars(base).items():
            if inspect.isfunction(value) and not key.startswith("_"):
                found[key] = value
            else:
                found.pop(key, None)
    yield from found.items()


def _methods(found: dict[str, Callable[..., Any]], file: str, wanted: list[str], *, bound: bool) -> list[Method]:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise WrapError(f"{file} has no method {missing[0]}. Its methods: {', '.join(found) or 'none'}.")
    if not found:
        raise WrapError(f"{file}: there is no public method that could be a tool.")
    names = wanted or list(found)
    return [_method(name, found[name], file, [each for each in found if each != name], bound) for name in names]


def _method(name: str, function: Callable[..., Any], file: str, others: list[str], bound: bool) -> Method:
    where = f"{file}, line {function.__code__.co_firstlineno}: {name}"  # type: ignore[attr-defined]
    without = f"leave it out with --methods {','.join(others)}" if others else "wrap a small class that uses it"
    if name in RESERVED:
        raise WrapError(f"{where} has the name of an endpoint of NeMo Gym's: rename it, or {without}.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise WrapError(f"{where} is a generator, and a tool answers once: return a list, or {without}.")
    text = parse(inspect.getdoc(function) or "")
    described = {each.arg_name: _flat(each.description) for each in text.params}
    parameters = []
    for parameter in list(inspect.signature(function).parameters.values())[1 if bound else 0 :]:
        made = _parameter(parameter, _hints(function, where), described, f"{where}({parameter.name})", without)
        if made is not None:
            parameters.append(made)
    said = [part for part in (text.short_description, text.long_description) if part]
    returns = _hints(function, where).get("return")
    return Method(
        name,
        "\n\n".join(said) or f"{name.replace('_', ' ').capitalize()}.",
        parameters,
        inspect.iscoroutinefunction(function),
        returns is str,
    )


def _hints(function: Any, where: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise WrapError(f"{where}: its types cannot be read: {_line(error)}. Mend them first.") from None


def _parameter(
    parameter: inspect.Parameter, hints: dict[str, Any], described: dict[str, str], where: str, without: str
) -> Parameter | None:
    """A parameter, or None for one whose default cannot be written down: it keeps its default."""
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise WrapError(f"{where} is positional-only, and tools are called by names: remove the `/`, or {without}.")
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise WrapError(f"{where} takes anything: name its arguments, or {without}.")
    required = parameter.default is inspect.Parameter.empty
    kind = type(parameter.default)
    hint = hints.get(parameter.name, str if required else kind if kind in (str, int, float, bool) else Any)
    default = None if required else default_source(parameter.default)
    if not required and default is None:
        return None
    try:
        source = source_of(hint)
    except NoJson as error:
        if not required:
            return None
        raise WrapError(f"{where}: JSON cannot hold {error}: take a type that it can, or {without}.") from None
    if parameter.default is None and "None" not in source.text and source.text != "Any":
        source.text, source.json_text = f"{source.text} | None", f"{source.json_text} | None"
    text = description_in(hint) or described.get(parameter.name, "")
    return Parameter(
        parameter.name,
        source.text,
        sorted(source.imports | (default.imports if default else set())),
        source.json_text,
        text or f"The {parameter.name.strip('_').replace('_', ' ')}.",
        default.text if default else None,
        default.json_text if default else None,
        described=bool(text),
        limits=source.limits,
        typed=parameter.name in hints,
    )


def _constructor(kind: type, file: str) -> list[Parameter]:
    where = f"{file}: {kind.__name__}"
    function = kind.__init__ if kind.__init__ is not object.__init__ else kind.__new__
    hints = _hints(kind.__init__, where) or _class_hints(kind)
    described = {
        each.arg_name: _flat(each.description)
        for source in (kind, function)
        for each in parse(inspect.getdoc(source) or "").params
    }
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except ValueError:
        return []
    found = []
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        made = _parameter(parameter, hints, described, f"{where}({parameter.name})", "make it from such a type")
        if made is not None and not (_shape(kind) == "gymnasium" and parameter.name == "render_mode"):
            found.append(made)
    return found


def _config(kind: type, file: str) -> list[Parameter]:
    """The configuration that a procedural dataset is made with."""
    function: Any = kind.__init__
    hints = _hints(function, f"{file}: {kind.__name__}")
    for name in list(inspect.signature(function).parameters)[1:2]:
        config = hints.get(name)
        if not inspect.isclass(config) or not {"seed", "size"} <= set(inspect.signature(config).parameters):
            raise WrapError(f"{file}: {kind.__name__}({name}) must be a configuration with a seed and a size.")
        made = (config.__module__, config.__name__)
        return [Parameter(name, config.__name__, [made], "Any", "The configuration.")]
    raise WrapError(f"{file}: {kind.__name__} takes no configuration with a seed and a size.")


def _class_hints(kind: type) -> dict[str, Any]:
    with contextlib.suppress(Exception):
        return get_type_hints(kind, include_extras=True)
    return {}


# ------------------------------------------------------------------------------------------------------------ rewards


def _members(kind: type) -> dict[str, str]:
    """The bool and number members of a class: properties, methods without arguments, attributes."""
    found: dict[str, str] = {}
    for key in dir(kind):
        value = inspect.getattr_static(kind, key)
        if not key.startswith("_") and _result(kind, key) in NUMBERS:
            found[key] = "property" if isinstance(value, property) else _kind(value)
    for key, hint in _class_hints(kind).items():
        if hint in NUMBERS and not key.startswith("_"):
            found.setdefault(key, "property")
    for key in _assigned(kind):
        found.setdefault(key, "property")
    return found


def _result(kind: type, key: str) -> Any:
    """The type of a property, or of what a method without arguments returns."""
    value = inspect.getattr_static(kind, key, None)
    function = value.fget if isinstance(value, property) else value
    if not inspect.isfunction(function):
        return _class_hints(kind).get(key)
    required = [each for each in inspect.signature(function).parameters.values() if each.default is each.empty]
    if len(required) != 1 or (not isinstance(value, property) and len(inspect.signature(function).parameters) != 1):
        return None
    with contextlib.suppress(Exception):
        return get_type_hints(function).get("return")
    return None


def _kind(function: Any) -> str:
    return (
        "async method"
        if inspect.iscoroutinefunction(function)
        else "method"
        if inspect.isfunction(function)
        else "property"
    )


def _assigned(kind: type) -> Iterator[str]:
    """The attributes to which the constructor assigns a bool or a number."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__)))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value: Any = getattr(node, "value", None)
        hint = getattr(getattr(node, "annotation", None), "id", "")
        plain = isinstance(value, ast.Constant) and isinstance(value.value, NUMBERS)
        for target in targets:
            is_number = plain or hint in ("bool", "int", "float")
            if is_number and isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
                yield target.attr


# ---------------------------------------------------------------------------------------------------------- gymnasium


def _step(kind: type, file: str) -> Method:
    """The tool of a Gymnasium environment."""
    try:
        space = kind().action_space
    except Exception as error:
        raise WrapError(
            f"{file}: {kind.__name__}() fails: {type(error).__name__}: {_line(error)}. It must want no arguments."
        ) from None
    spaces = {base.__name__ for base in type(space).__mro__}  # Without importing a package that is not always here.
    if "Discrete" in spaces:
        low, high = int(space.start), int(space.start + space.n) - 1
        text, limits, description = "int", f"ge={low}, le={high}", f"The action, from {low} to {high}."
    elif spaces & {"MultiDiscrete", "MultiBinary", "Box"}:
        if len(space.shape) != 1:
            raise WrapError(f"{file}: the action space {space} has no form that a model could write: make it flat.")
        size = space.shape[0]
        text, limits = f"list[{'float' if 'Box' in spaces else 'int'}]", f"min_length={size}, max_length={size}"
        description = f"The action: {size} numbers, of {space}."
    else:
        raise WrapError(f"{file}: the action space {space} is not understood: take Discrete, MultiDiscrete or Box.")
    action = Parameter("action", text, [], text, description, limits=limits)
    return Method("step", "Act once. The answer is what is seen then.", [action], returns_text=True)


# --------------------------------------------------------------------------------------------------------------- text


def _summary(thing: Any) -> str:
    """The first sentence of its docstring; empty where it has none."""
    document = inspect.getdoc(thing) if inspect.ismodule(thing) or thing.__doc__ else ""
    text = _flat((document or "").split("\n\n")[0])
    if inspect.isclass(thing) and text.startswith(f"{thing.__name__}("):  # what a dataclass writes by itself
        return ""
    sentence = text.split(". ")[0].strip()
    return sentence if not sentence or sentence.endswith((".", "!", "?")) else sentence + "."


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())


def _line(error: BaseException) -> str:
    return _flat(str(error))[:300]


def _shown(module: Any) -> str:
    path = Path(getattr(module, "__file__", None) or module.__name__)
    return path.name if "site-packages" not in path.parts else module.__name__


def main() -> None:
    request, answer = (Path(argument) for argument in sys.argv[1:])
    try:
        said: dict[str, Any] = {"interface": as_data(read(**json.loads(request.read_text(encoding="utf-8"))))}
    except WrapError as error:
        said = {"error": str(error)}
    answer.write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
