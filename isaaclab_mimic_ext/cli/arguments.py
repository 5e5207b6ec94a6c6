"""Command-line spellings: Isaac Lab's flags and names, and short ones, translated into Hydra overrides."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import chain

from isaaclab_mimic_ext.config import DataGenConfig, MimicEnvCfg
from isaaclab_mimic_ext.config.task import GYM_ID
from isaaclab_mimic_ext.envs.isaaclab.flags import USUAL_FLAGS, launcher_flags
from isaaclab_mimic_ext.envs.isaaclab.installation import OTHER_ENGINE
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices

_SWITCHES = {
    "--headless": "headless",
    "--enable_cameras": "enable_cameras",
    "--overwrite": "overwrite",
    "--resume": "resume",
    "--auto": "auto",
    "--annotate_subtask_start_signals": "annotate_subtask_start_signals",
    "--use_skillgen": "use_skillgen",
    "--add_rtgs": "add_rtgs",
    "--low_dim_keys": "low_dim_keys",
    "--sparse_reward": "sparse_reward",
    "--compress": "compress",
    "--next_obs": "next_obs",
    "--json": "json",
    "--digest": "digest",
    "--strict": "strict",
    "--by_source_demo": "by_source_demo",
}
"""Flags without a value -> the field that becomes true."""
_OPTIONS = {
    "--task": "task",
    "--device": "device",
    "--num_envs": "num_envs",
    "--seed": "seed",
    "--input_file": "input_file",
    "--output_file": "output_file",
    "--output_dir": "output_dir",
    "--dataset_file": "output_file",
    "--generation_num_trials": "generation_num_trials",
    "--num_demos": "num_demos",
    "--teleop_device": "teleop_device",
    "--img_key": "img_key",
    "--crop_dim": "crop_dim",
    "--format": "format",
    "--num_replays": "num_replays",
    "--video_file": "video_file",
    "--algo": "algo",
    "--dataset": "dataset",
    "--epochs": "epochs",
    "--checkpoint": "checkpoint",
    "--policy": "policy",
    "--num_episodes": "num_episodes",
    "--num_rollouts": "num_episodes",
    "--horizon": "horizon",
}
"""Flags with a value -> the field; as Isaac Lab's scripts spell them."""
_MAPPINGS = ("rename.objects", "rename.signals", "all_subtasks.", "agent.", "sim.env.")
"""Fields whose keys are the user's; Hydra takes a new key only with a prefix."""
_HYDRA_SWITCHES = ("--help", "--hydra-help", "--version", "--resolve", "--run", "--multirun", "--info")
_INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_HYDRA_OPTIONS = ("--cfg", "--package", "--config-path", "--config-name", "--config-dir", "--experimental-rerun")
_HYDRA_SHORT_OPTIONS = ("-c", "-p", "-cp", "-cn", "-cd")
_OVERRIDE = re.compile(r"(?P<prefix>\+\+|\+|~)?(?P<key>[^=\s]+)=(?P<value>.*)", re.DOTALL)
_ALIASES = {field.name: f"datagen_config.{field.name}" for field in fields(DataGenConfig) if field.name != "name"}


def translate(argv: list[str], schema: type) -> list[str]:
    """Hydra's arguments for a command line in which Isaac Lab's flags, `--task <gym id>`, `seed=3` for
    `datagen_config.seed=3` and `task.events.x=...` for `events.x=...` are understood too.

    Flags of Isaac Lab's launcher that are no fields of ours go to `sim.launcher_args`.

    Raises:
        ConfigError: a flag is unknown or lacks its value, or two spellings of one field disagree.
        SimulatorUnavailable: a flag is for Isaac Lab's launcher, which is not installed.
    """
    field_names = {field.name for field in fields(schema)}
    given: dict[str, str] = {}
    result = []
    for word in _with_registered_task(_overrides_for_flags(argv, field_names), field_names):
        match = _OVERRIDE.fullmatch(word)
        if word.startswith("-") or match is None:
            result.append(word)
            continue
        prefix, key, value = match["prefix"] or "", _full_key(match["key"], field_names), match["value"]
        if given.setdefault(key, value) != value:
            raise ConfigError(f"{key}: given twice, as {given[key]} and as {value}; give one of them")
        is_mapping = key.startswith(_MAPPINGS)
        result.append(f"{prefix or '++' * is_mapping}{key}={value}")
    return result


def _with_registered_task(words: Iterable[str], field_names: set[str]) -> Iterator[str]:
    """The same words, a gym id for a task replaced by what means a task of Isaac Lab's registry."""
    for word in words:
        key, _, value = word.partition("=")
        if key == "task" and "sim" in field_names and GYM_ID.fullmatch(value):
            yield from ("task=isaaclab", f"task.id={value}")
        else:
            yield word


def _overrides_for_flags(argv: list[str], field_names: set[str]) -> Iterator[str]:
    """The words of the command line, each flag that is not Hydra's replaced by an override; Hydra's come first.

    Its parser takes overrides in one place only, and so no flags among them.
    """
    words = iter(argv)
    overrides: list[str] = []
    launcher_args: list[str] = []
    known = [name for name, key in (_SWITCHES | _OPTIONS).items() if _takes(key, field_names)]
    while (word := next(words, None)) is not None:
        name, has_value, value = word.partition("=")
        if word == "--info":
            topic = next(words, None)
            yield f"--info={topic if topic in _INFO_TOPICS else 'all'}"
            words = words if topic is None or topic in _INFO_TOPICS else chain([topic], words)
        elif name in _HYDRA_OPTIONS or name in _HYDRA_SHORT_OPTIONS:
            yield word
            if not has_value and (following := next(words, None)) is not None:
                yield following
        elif name in _HYDRA_SWITCHES or re.match("-[^-]", word):
            yield word
        elif not word.startswith("-"):
            overrides.append(word)
        elif name not in known:
            takes_value = _launcher_takes_value(name, field_names, known)
            launcher_args.append(f"{name}={_value_of(name, has_value, value, words)}" if takes_value else word)
        elif name in _SWITCHES:
            overrides.append(f"{_SWITCHES[name]}={value if has_value else 'true'}")
        else:
            overrides.append(f"{_OPTIONS[name]}={quoted(_value_of(name, has_value, value, words))}")
    yield from overrides
    if launcher_args:
        yield f"sim.launcher_args=[{','.join(map(_in_quotes, launcher_args))}]"


def _value_of(name: str, has_value: str, value: str, words: Iterator[str]) -> str:
    """What stands behind the '=' of a flag, or in the next word."""
    text = value if has_value else next(words, None)
    if text is None:
        raise ConfigError(f"{name}: needs a value, e.g. {name} <value>")
    return text


def _launcher_takes_value(name: str, field_names: set[str], known: list[str]) -> bool:
    """Whether a flag that is not ours takes a value, by Isaac Lab's launcher."""
    ours = (*known, *_HYDRA_SWITCHES, *_HYDRA_OPTIONS)
    if "sim" not in field_names:
        raise ConfigError(f"{name}: unknown flag; {choices(name, ours)}")
    try:
        flags = launcher_flags()
    except SimulatorUnavailable as error:
        if name not in USUAL_FLAGS:
            raise ConfigError(f"{name}: unknown flag; {choices(name, ours)}") from None
        reason = str(error).removeprefix("sim.engine: ").replace(OTHER_ENGINE, "leave the flag out")
        raise SimulatorUnavailable(f"{name}: a flag of Isaac Lab's launcher, which cannot be asked: {reason}") from None
    if name not in flags:
        raise ConfigError(f"{name}: unknown flag; {choices(name, dict.fromkeys((*ours, *flags)))}")
    return flags[name]


def _takes(key: str, field_names: set[str]) -> bool:
    return key in field_names or _full_key(key, field_names) != key


def _full_key(key: str, field_names: set[str]) -> str:
    """The field that a short spelling means: `seed` is `datagen_config.seed`, `task.events.x` is `events.x`.

    `env.x`, as Isaac Lab's own scripts have it, is `sim.env.x`. `task` is `task_name` where a script knows but its name.
    """
    head = key.split(".", 1)[0]
    if key == "task" and "task_name" in field_names:
        return "task_name"
    if head == "env" and "sim" in field_names:
        return f"sim.{key}"
    if "datagen_config" in field_names and head not in field_names and head in _ALIASES:
        return _ALIASES[head] + key[len(head) :]
    rest = key.removeprefix("task.")
    if rest != key and rest.split(".", 1)[0] in {field.name for field in fields(MimicEnvCfg)}:
        return rest
    return key


def quoted(text: str) -> str:
    """A value as Hydra's grammar takes it literally: a shell word may hold blanks, '=' and brackets."""
    return text if re.fullmatch(r"[\w./:-]+", text) else _in_quotes(text)


def _in_quotes(text: str) -> str:
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return f"'{escaped}'"
