"""Translation of the command line into Hydra overrides: flags as in Isaac Lab's scripts, and short names of fields."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from isaaclab_mimic_ext.command_lines import in_quotes
from isaaclab_mimic_ext.commands.text_values import QUOTES, in_brackets, split_items, text_value, with_letters_in_quotes
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, SCRIPT_VERBS, MimicEnvCfg, foreign_flags
from isaaclab_mimic_ext.config.deprecated import DEPRECATED_FIELDS, current_name, warn_deprecated
from isaaclab_mimic_ext.config.flags import OPTIONS, SHORT, SWITCHES
from isaaclab_mimic_ext.config.generation import SETTINGS
from isaaclab_mimic_ext.config.groups import ADDED, all_groups, groups_of
from isaaclab_mimic_ext.config.help import field_of_path, nearest_field, owners_have_it, owners_text
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.config.task import GYM_ID
from isaaclab_mimic_ext.envs.external import is_external
from isaaclab_mimic_ext.envs.isaaclab.installation import OTHER_ENGINE, can_run
from isaaclab_mimic_ext.envs.isaaclab.launcher_flags import KNOWN_FLAGS, launcher_flags
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices
from isaaclab_mimic_ext.task.folders import task_of_gym_id
from isaaclab_mimic_ext.task.robot import RobotCfg

_OF_ONE_PATH = (
    *("inspect_dataset", "show_demo", "validate_dataset", "replay_demos", "regenerate", "report", "watch", "sweep_report"),
    "import_config",
)
"""Commands that accept the path of their input without the name of its field: `mimic report run`."""
_MAPPINGS = ("rename.objects", "rename.signals", "all_subtasks.", "agent.", "sim.env.", "camera_cfgs")
"""Mappings to which the user adds keys, which requires the prefix `++` in Hydra."""
_OF_MAPPINGS = ("task_constraint_configs",)
"""Lists whose items are mappings; items of other lists need no brackets around all of them."""
_ISAACLAB_SELECTORS = ("physics", "renderer", "presets")
"""Words that select presets in Isaac Lab's own commands: `physics=newton_mjwarp renderer=ovrtx presets=rgb,depth`."""
_BOOLS = ("true", "false")
_INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
log = logging.getLogger(__name__)

_OVERRIDE = re.compile(r"(?P<prefix>\+\+|\+|~)?(?P<key>[^=\s]+)=(?P<value>.*)", re.DOTALL)
_ENGINE = re.compile(r"\+{0,2}sim(\.engine)?=")
_INTERPOLATION = re.compile(r"\$\{(\w+)\}")
"""Value of another field in a value: `output_dir=runs/seed_${seed}`."""
_DATAGEN = "datagen_config"
"""Group whose fields may be set without the name of the group: `seed=3`."""
_TASK_FIELDS = tuple(field.name for field in fields(MimicEnvCfg))


def translate(argv: list[str], schema: type) -> list[str]:
    """Translate a command line into arguments of Hydra.

    The command line may contain flags of Isaac Lab, `--task <gym id>`, `seed=3` for `datagen_config.seed=3`, `num_trials=9`
    for `datagen_config.generation_num_trials=9`, `task.events.x=...` for `events.x=...`, and old names of fields. Short
    names may also be in values: `${seed}`. Flags of Isaac Lab's launcher that are not fields of the schema are added to
    `sim.launcher_args`.

    Raises:
        ConfigError: a flag is unknown or has no value, a word has no field, or a field is set twice to different values.
        SimulatorUnavailable: a flag is for Isaac Lab's launcher, which is not installed.
    """
    given: dict[str, str] = {}
    result: list[str] = []
    is_sweep = is_multirun(argv)
    for word in _with_registered_task(_overrides_for_flags(argv, schema), schema):
        match = _OVERRIDE.fullmatch(word)
        if word.startswith("="):
            raise ConfigError(f"'{word}' is not an override; use field=value")
        if match is None or match["key"].split(".")[0] not in _names(schema):
            match = _path_override(word, schema) or match
        if word.startswith("-") or match is None:
            result.append(word)
            continue
        name = current_name(_script_of(schema), match["key"])
        prefix, key = match["prefix"] or "", _full_key(name, schema)
        if (of_arm := _robot_of_arm(key, match["value"], schema)) is not None:
            _check_set_once(given, key, match["value"])
            result.append(of_arm)
            continue
        _check_not_in_list(key, schema)
        if key == "sim" and is_external(match["value"]):
            key = "sim.engine"
        value = _INTERPOLATION.sub(lambda found: f"${{{_full_key(found[1], schema)}}}", match["value"])
        if key in DEPRECATED_FIELDS and _DATAGEN in _names(schema):
            warn_deprecated(key)
            continue
        if key in ("task", "sim", "preset"):
            _check_is_name(key, value)
        if key != "objects":
            _check_set_once(given, key, value)
        if key == "sim.presets" and "sim" in _names(schema) and not value.startswith("["):
            value = f"[{value}]"
        if key not in _OF_MAPPINGS and flags_of(schema).get(f"--{key}", ("", ""))[1] == "list":
            value = in_brackets(value, is_sweep)
        prefix = _group_prefix(prefix, key, value, schema)
        value = with_letters_in_quotes(text_value(key, value, schema, is_sweep))
        if key.startswith("objects.") and key.count(".") == 2 and not prefix and "objects" in _names(schema):
            result.append(_new_object(key, value, is_sweep))
            continue
        is_mapping = key.startswith(_MAPPINGS) and key.split(".")[0] in _names(schema)
        result.append(f"{prefix or '++' * is_mapping}{key}={value}")
    return result


def _robot_of_arm(key: str, value: str, schema: type) -> str | None:
    """Override of the robot of one arm, `robot.left=ur5e` or `robot.left.mjcf=arm.xml`; None for other fields."""
    parts, known = key.split("."), [field.name for field in fields(RobotCfg)]
    if len(parts) not in (2, 3) or parts[0] != "robot" or "robot" not in _names(schema) or parts[1] in known:
        return None
    if len(parts) == 3:
        return f"++robot.arms.{'.'.join(parts[1:])}={with_letters_in_quotes(value)}"
    if get_close_matches(parts[1], known, n=1, cutoff=0.75):
        return None
    _check_is_name(key, value)
    return f"+robot@robot.arms.{parts[1]}={value}"


def _check_is_name(key: str, value: str) -> None:
    if re.fullmatch(r"null|true|false|[\d.]+", value):
        raise ConfigError(f"{key}: must be a name (got {value}); leave it out to keep its default")


def _check_set_once(given: dict[str, str], key: str, value: str) -> None:
    if given.setdefault(key, value) != value:
        raise ConfigError(f"{key}: is set twice, to {given[key]} and to {value}; set it once")


def _new_object(key: str, value: str, is_sweep: bool) -> str:
    """Override of a field of an object that the task file need not have: OmegaConf adds no typed item by its field."""
    _, name, field = key.split(".")
    items = split_items(value) if is_sweep else [value]
    return f"++objects={','.join(f'{{{name}:{{{field}:{item}}}}}' for item in items)}"


def _check_not_in_list(key: str, schema: type) -> None:
    """Refuse a field of a list, such as `cameras.size` of `render`, for which OmegaConf has only a traceback."""
    kind: Any = schema
    parts = key.split(".")
    for index, part in enumerate(parts):
        if get_origin(kind) is UnionType:  # list[str] | None
            kind = get_args(kind)[0]
        if get_origin(kind) is list and not part.isdigit():
            place = ".".join(parts[:index])
            raise ConfigError(f"{key}: {place} is a list and has no fields; use {place}=[<value>,<value>]")
        if not (isinstance(kind, type) and is_dataclass(kind)):
            return
        kind = get_type_hints(kind).get(part)


def _path_override(word: str, schema: type) -> re.Match[str] | None:
    """Return the override of the input that an existing path stands for, or None; some commands accept such a path."""
    script = _script_of(schema)
    meant = field_of_path(script, word) if script in _OF_ONE_PATH else None
    if script == "check_engine" and "=" not in word and not word.startswith("-"):
        meant = f"engine={word}"
    return None if meant is None else _OVERRIDE.fullmatch(meant)


def is_multirun(argv: Sequence[str]) -> bool:
    """Return whether the command line starts a sweep, judged by its words without composing a configuration."""
    if "hydra.mode=RUN" in argv or set(argv) & {"--run", "-r"}:
        return False
    sweeps = (word.startswith(("+sweep=", "hydra.mode=MULTIRUN")) for word in argv)
    return any(sweeps) or bool(set(argv) & {"--multirun", "-m"})


def selected_engines(words: Iterable[str]) -> list[str]:
    """Return the values of the overrides that select an engine."""
    return [word.partition("=")[2] for word in words if _ENGINE.match(word)]


def _group_prefix(prefix: str, key: str, value: str, schema: type) -> str:
    """Return the prefix of an override, which Hydra requires only for a group that the command does not have by default.

    Raises:
        ConfigError: the command does not have the group, or the option is for other commands.
    """
    folders, script = [conf_dir()], _script_of(schema)
    if prefix == "~" or key not in all_groups(folders):
        return prefix
    groups = groups_of(script, folders)
    if key not in groups:
        owners = [verb for other, verb in SCRIPT_VERBS.items() if key in groups_of(other, folders)]
        raise ConfigError(f"{key}: {SCRIPT_VERBS[script]} has no such group; {owners_have_it(owners)}")
    if value not in groups[key] and (folders[0] / key / f"{value}.yaml").is_file():
        raise ConfigError(f"{key}: '{value}' is for other commands; {choices(value, groups[key])}")
    return "+" if key in ADDED else ""


def _with_registered_task(words: Iterable[str], schema: type) -> Iterator[str]:
    """Yield the same words, with a gym id as task replaced by the overrides for its task.

    The ids of an included task select the task on any engine; the engine is Isaac Lab if it can run and the command line
    selects no engine. Other ids select a task registered with Isaac Lab.
    """
    words = list(words)
    for word in words:
        key, _, value = word.partition("=")
        if key != "task" or GYM_ID.fullmatch(value) is None:
            yield word
        elif (included := task_of_gym_id(value)) is not None:
            yield f"task={included}"
            if {"sim", "task"} <= _names(schema) and not selected_engines(words) and can_run():
                yield "sim=isaaclab"
        elif {"sim", "task"} <= _names(schema):
            yield from ("task=isaaclab", f"task.id={value}")
        else:
            yield word


def _script_of(schema: type) -> str:
    return next(script for script, own in SCRIPT_SCHEMAS.items() if own is schema)


def _names(schema: type) -> set[str]:
    return {field.name for field in fields(schema)}


def flags_of(schema: type) -> dict[str, tuple[str, str]]:
    """Return flag -> (field, kind) for the fields of a schema and of its `datagen_config`.

    The kind is `switch` for a bool, `list` for a list, and `option` for any other value. Mappings and groups have no flag.
    """
    hints = get_type_hints(schema)
    named = {**get_type_hints(hints.get(_DATAGEN, object)), **hints}
    named |= {short: named[name] for short, name in SETTINGS.items() if name in named}
    kinds = {name: _flag_kind(kind) for name, kind in named.items()}
    if kinds.keys() & {"task", "task_name"}:
        kinds["task"] = "option"
    flags = {f"--{name}": (name, kind) for name, kind in kinds.items() if kind is not None}
    others = foreign_flags.fields_of(_script_of(schema))
    return flags | {flag: (name, str(kinds[name])) for flag, name in others.items() if kinds.get(name) is not None}


def _flag_kind(kind: Any) -> str | None:
    if get_origin(kind) is UnionType:  # str | None
        kind = get_args(kind)[0]
    if get_origin(kind) is list:
        return "list"
    if get_origin(kind) is dict or is_dataclass(kind):
        return None
    return "switch" if kind is bool else "option"


def _overrides_for_flags(argv: list[str], schema: type) -> Iterator[str]:
    """Yield Hydra's flags first, then all other words, with flags replaced by overrides.

    Hydra's parser requires that no flag is between overrides.
    """
    flags = flags_of(schema)
    words = _with_values_of_switches(argv, flags)
    overrides: list[str] = []
    launcher_args: list[str] = []
    script = _script_of(schema)
    others = foreign_flags.fields_of(script)
    while (word := next(words, None)) is not None:
        name, has_value, value = word.partition("=")
        if name.startswith("--") and name not in others:
            name = f"--{current_name(script, name[2:])}"
        if SHORT.get(word, word) == "--info":
            topic = next(words, None)
            yield f"--info={topic if topic in _INFO_TOPICS else 'all'}"
            words = words if topic is None or topic in _INFO_TOPICS else chain([topic], words)
        elif SHORT.get(name, name) in OPTIONS:
            following = None if has_value else next(words, None)
            config = following or value
            if name == "--experimental-rerun" and not Path(config).is_file():
                raise ConfigError(f"{name}: '{config}' not found; use the config.pickle of an earlier job")
            if not has_value and following is None:
                raise ConfigError(f"{name}: requires a value, e.g. {name} <value>")
            yield from (word,) if following is None else (word, following)
        elif SHORT.get(word, word) in SWITCHES:
            yield word
        elif not word.startswith("-"):
            overrides.append(word)
        elif name in flags:
            first = _first_value(name, has_value, value, words, flags[name])
            items, words = _further_items(words) if flags[name][1] == "list" else ([], words)
            overrides.append(_override_for(first, items, flags[name]))
        elif (reason := foreign_flags.has_no_effect(script, name)) is not None:
            log.warning("%s: %s; leave it out", name, reason)
            if foreign_flags.takes_value(name):
                _value_of(name, has_value, value, words)
        else:
            takes_value = _launcher_takes_value(name, schema)
            launcher_args.append(f"{name}={_value_of(name, has_value, value, words)}" if takes_value else word)
    yield from overrides
    if launcher_args:
        yield f"sim.launcher_args=[{','.join(map(in_quotes, launcher_args))}]"


def _with_values_of_switches(argv: Iterable[str], flags: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Return the words, with the value of a switch joined to it: `--video=false` for `--video false`."""
    joined: list[str] = []
    for word in argv:
        if joined and word.lower() in _BOOLS and flags.get(joined[-1], ("", ""))[1] == "switch":
            joined[-1] += f"={word.lower()}"
        else:
            joined.append(word)
    return iter(joined)


def _first_value(name: str, has_value: str, value: str, words: Iterator[str], flag: tuple[str, str]) -> str:
    """Return the value of a flag; a switch needs none."""
    if flag[1] == "switch":
        return value if has_value else "true"
    return _value_of(name, has_value, value, words)


def _further_items(words: Iterator[str]) -> tuple[list[str], Iterator[str]]:
    """Return the words up to the next flag or override, which are further items of a list, and the rest of the words."""
    rest = list(words)
    is_other = (word.startswith("-") or ("=" in word and not Path(word).exists()) for word in rest)
    number = next((index for index, other in enumerate(is_other) if other), len(rest))
    return rest[:number], iter(rest[number:])


def _override_for(value: str, items: list[str], flag: tuple[str, str]) -> str:
    """Return the override for a flag; a list is written as `[a,b]` or, as in Isaac Lab's commands, as `a b`."""
    field, kind = flag
    if kind == "list" and value != "null" and (items or not value.startswith("[")):
        quote = in_quotes if any(set("[]{}(),'\"") & {*item} for item in (value, *items)) else str
        return f"{field}=[{','.join(map(quote, (value, *items)))}]"
    return f"{field}={in_quotes(value) if kind == 'option' and value.startswith(QUOTES) else value}"


def _value_of(name: str, has_value: str, value: str, words: Iterator[str]) -> str:
    """Return the value of a flag, which follows the '=' or is the next word."""
    text = value if has_value else next(words, None)
    if text is None:
        raise ConfigError(f"{name}: requires a value, e.g. {name} <value>")
    return text


def _launcher_takes_value(name: str, schema: type) -> bool:
    """Return whether a flag of Isaac Lab's launcher takes a value.

    Raises:
        ConfigError: the launcher does not have the flag, or the command does not start Isaac Lab.
        SimulatorUnavailable: Isaac Lab is not installed.
    """
    if "sim" not in _names(schema):
        raise ConfigError(_unknown_flag(name, schema))
    try:
        flags = launcher_flags()
    except SimulatorUnavailable as error:
        if name not in KNOWN_FLAGS:
            raise ConfigError(_unknown_flag(name, schema)) from None
        reason = str(error).removeprefix("sim.engine: ").replace(OTHER_ENGINE, "leave the flag out")
        raise SimulatorUnavailable(f"{name}: a flag of Isaac Lab's launcher, which is not available: {reason}") from None
    if name not in flags:
        raise ConfigError(_unknown_flag(name, schema, flags))
    return flags[name]


def _unknown_flag(name: str, schema: type, of_launcher: Iterable[str] = ()) -> str:
    """Return an error message with the nearest flag, or else all flags, and the commands that have the unknown flag."""
    script, field = _script_of(schema), name.removeprefix("--")
    own = [flag for flag in flags_of(schema) if flag == "--task" or flag not in foreign_flags.fields_of(script)]
    ours = dict.fromkeys((*own, *SWITCHES, *OPTIONS, *SHORT, *of_launcher))
    if (answer := foreign_flags.answer_of(script, name)) is not None:
        return f"{name}: {SCRIPT_VERBS[script]} has no such flag; {answer}"
    near = next(iter(get_close_matches(name, ours, n=1)), None) or f"--{nearest_field(script, field)}"
    hint = f" (did you mean '{near}'?)" if near in ours else f"; flags: {', '.join(ours)}"
    return f"{name}: {SCRIPT_VERBS[script]} has no such flag{hint}{owners_text(field, script)}"


def _full_key(key: str, schema: type) -> str:
    """Return the full name of a field: `datagen_config.seed` for `seed`, `events.x` for `task.events.x`.

    The prefix `generation_` may be omitted, as in `GenerationCfg`: `num_trials` for `generation_num_trials`.
    `env.x` (as in Isaac Lab's scripts) becomes `sim.env.x`. `task` becomes `task_name` if the schema has only that field.
    """
    names, head = _names(schema), key.split(".", 1)[0]
    if key == "task" and "task_name" in names:
        return "task_name"
    if "sim" in names and (head == "env" or key in _ISAACLAB_SELECTORS):
        return f"sim.{key}"
    settings = get_type_hints(get_type_hints(schema).get(_DATAGEN, object))
    name = key.removeprefix(f"{_DATAGEN}.")
    setting = SETTINGS.get(name, name)
    if (head == _DATAGEN or head not in names) and setting.split(".", 1)[0] in settings:
        return f"{_DATAGEN}.{setting}"
    rest = key.removeprefix("task.")
    if rest != key and rest.split(".", 1)[0] in _TASK_FIELDS:
        return rest
    return key
