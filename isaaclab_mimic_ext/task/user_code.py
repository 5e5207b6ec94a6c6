"""Python code of a task: import its modules, call its functions, and report errors at its file and line."""

import re
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from isaaclab_mimic_ext.errors import TaskCodeError, UsageError, choices
from isaaclab_mimic_ext.task.folders import available_tasks, task_dir, task_dirs

_TASKS = "isaaclab_mimic_ext.tasks"


def find_task_module(task_name: str, module_name: str) -> ModuleType | None:
    """Import a module of a task's folder; None if the folder does not have it.

    Raises:
        TaskCodeError: the module cannot be imported.
    """
    name = f"{_TASKS}.{task_name}.{module_name}"
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            return None
        raise task_code_error(error, task_dir(task_name) / f"{module_name}.py") from error


def task_function(module: ModuleType, name: str, arguments: str) -> Callable[..., Any]:
    """Function of a task's module.

    Raises:
        TaskCodeError: the module does not define the function.
    """
    function = getattr(module, name, None)
    if callable(function):
        return function
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    hint = f" (did you mean '{near[0]}'?)" if (near := get_close_matches(name, own, n=1)) else ""
    raise TaskCodeError(f"{shown_path(module.__file__ or '')}: {name}({arguments}) not found{hint}; define this function")


def call_task_code(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a task.

    Raises:
        TaskCodeError: the function raises an error.
    """
    try:
        return function(*arguments)
    except (TaskCodeError, MemoryError):
        raise
    except Exception as error:
        raise call_error(error, function) from error


def call_error(error: Exception, function: Callable[..., Any]) -> TaskCodeError:
    """Error for users, of an error that a function of a task raised."""
    path, line = place_of(function)
    return task_code_error(error, path, getattr(function, "__name__", repr(function)), line)


def wrong_result(function: Callable[..., Any], fault: str) -> TaskCodeError:
    """Error for users, of a function of a task that returns a wrong value."""
    path, line = place_of(function)
    return TaskCodeError(f"{shown_path(path)}:{line}: {getattr(function, '__name__', function)}: {fault}")


def task_code_error(
    error: BaseException, path: str | Path, name: str | None = None, line: int | None = None
) -> TaskCodeError:
    """Error for users, of an error that the code of a task raised.

    Args:
        path, line: file and line of the code that was called, for an error that was raised elsewhere.
        name: name of the function that was called; None if a module was imported.
    """
    if isinstance(error, SyntaxError):
        code = f": {error.text.strip()}" if error.text else ""
        place = f"{shown_path(error.filename or path)}:{error.lineno}"
        return TaskCodeError(f"{place}: {type(error).__name__}: {error.msg}{code}")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == str(path) or any(Path(frame.filename).is_relative_to(folder) for folder in task_dirs()):
            path, line = frame.filename, frame.lineno
            break
    place = shown_path(path) if line is None else f"{shown_path(path)}:{line}"
    if isinstance(error, UsageError):
        return TaskCodeError(f"{place}: {error}")
    cause = type(error).__name__ if name is None else f"{name} raises {type(error).__name__}"
    return TaskCodeError(f"{place}: {cause}: {_reason(error)}")


def place_of(function: Callable[..., Any]) -> tuple[str, int]:
    """File and first line of a function; those of its class if it is an object that can be called."""
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else ("<unknown>", 0)


def shown_path(path: str | Path) -> str:
    """Path for messages: relative to the working directory if it is below it."""
    path = Path(path)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _reason(error: BaseException) -> str:
    """Text of an error in one line, with a remedy or the nearest name where one is known."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError) and error.name:
        if error.name.startswith(f"{_TASKS}."):
            task_name = error.name.removeprefix(f"{_TASKS}.").partition(".")[0]
            return f"{text}; {choices(task_name, available_tasks())}"
        return f"{text}; install it, or correct its name"
    if found := re.search(r"cannot import name '(\w+)' from '([\w.]+)'", text):
        near = get_close_matches(found[1], dir(sys.modules.get(found[2])), n=1)
        return found[0] + (f" (did you mean '{near[0]}'?)" if near else "")
    if "incompatible function arguments" in text:
        return _wrong_arguments(text)
    return text


def _wrong_arguments(text: str) -> str:
    """Shorten the text of a call of MuJoCo with wrong arguments, which lists all arguments with their types."""
    signature, _, given = text.partition(" Invoked with: ")
    head, named = signature.partition(". The following")[0], given.partition("kwargs: ")[2]
    known = re.findall(r"(\w+): ", signature)
    unknown = next((name for name in re.findall(r"(?:^|, )(\w+)=", named) if name not in known), None)
    if unknown is None:
        return f"{head} (got {named})"
    near = get_close_matches(unknown, known, n=1)
    return f"{head}: '{unknown}' is not an argument" + (f" (did you mean '{near[0]}'?)" if near else "")
