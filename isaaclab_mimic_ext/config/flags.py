"""Flags of all commands, in addition to those for their fields."""

SWITCHES = {
    "--help": "Show this help",
    "--version": "Show the version of isaaclab_mimic_ext",
    "--debug": "Show the traceback of an error",
    "--multirun": "Run once for each combination of values: seed=1,2,3",
    "--resolve": "With --cfg: show computed values",
    "--run": "Run once (default)",
}
OPTIONS = {
    "--config-dir": "Folder with your own tasks; files that were made with them record the folder",
    "--cfg": "job: show the configuration as YAML instead of running; hydra: that of Hydra; all: both",
    "--package": "With --cfg: show only this group",
    "--info": "Show details about the configuration: all, config, defaults, defaults-tree, plugins, searchpath",
    "--config-name": "Use a different file in place of the command's own",
    "--config-path": "Use a different folder of configuration files",
    "--experimental-rerun": "Run the job of a config.pickle again",
}
"""Flag with a value -> description."""
SHORT = {
    "-h": "--help",
    "-m": "--multirun",
    "-r": "--run",
    "-i": "--info",
    "-c": "--cfg",
    "-p": "--package",
    "-cp": "--config-path",
    "-cn": "--config-name",
    "-cd": "--config-dir",
}
"""Short flag -> flag."""


def flag_lines() -> list[str]:
    """Return one line of help per flag."""
    short = {flag: name for name, flag in SHORT.items()}
    names = {flag: f"{flag}, {short[flag]}" if flag in short else flag for flag in (*SWITCHES, *OPTIONS)}
    names |= {flag: f"{names[flag]} <value>" for flag in OPTIONS}
    return [f"  {names[flag]:<32}  {text}" for flag, text in {**SWITCHES, **OPTIONS}.items()]
