"""`mimic show`: pages of demos."""

import json
from dataclasses import asdict
from pathlib import Path

from isaaclab_mimic_ext.config import ShowDemoCfg
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.selection import LeftOut
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.report.demo_page import ShownDemo, page_path, show_demo
from isaaclab_mimic_ext.texts import counted


def main(cfg: ShowDemoCfg) -> list[ShownDemo]:
    """Write the page of one demo, or one page for each of several demos.

    Raises:
        ConfigError: the file does not contain a demo, or fields contradict each other; no page is written.
        SourceDataError: the file is missing, or all demos are damaged.
        OutputError: a page exists or cannot be written.
    """
    if cfg.demos is None:
        shown = [_write_page(cfg, cfg.demo)]
    else:
        left_out = LeftOut(cfg.input_file)
        shown = [page for _, page in left_out.usable(_demos_to_show(cfg), lambda name: _write_page(cfg, name))]
    if cfg.json:
        pages = [{"input_file": cfg.input_file, **asdict(page)} for page in shown]
        print(json.dumps(pages[0] if cfg.demos is None else pages, indent=2, default=str))
    return shown


def _write_page(cfg: ShowDemoCfg, name: str | None) -> ShownDemo:
    shown = show_demo(cfg.input_file, name, cfg.output_file, pictures=cfg.pictures, overwrite=cfg.overwrite)
    if not cfg.json:
        lines = [*shown.missing, f"Saved the page of {shown.demo} ({counted(shown.num_steps, 'step')}) to {shown.path}"]
        print("\n".join(lines))
    return shown


def _demos_to_show(cfg: ShowDemoCfg) -> list[str]:
    """Names of the demos of `demos`. All pages are checked before the first one is written.

    Raises:
        ConfigError: a name is not in the file, `demo` is set too, or `output_file` is set for several demos.
        OutputError: a page exists.
    """
    if cfg.demo is not None:
        raise ConfigError(f"demos: must not be set together with demo (got demo={cfg.demo}); use only one of them")
    names = read_facts(cfg.input_file, cfg.demos).demo_names
    if cfg.output_file is not None and len(names) > 1:
        raise ConfigError(
            f"output_file: is for one demo (got {len(names)}); the default is one page per demo next to the file"
        )
    for name in names:
        check_output(Path(cfg.output_file or page_path(cfg.input_file, name)), cfg.overwrite)
    return names
