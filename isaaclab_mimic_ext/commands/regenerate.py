"""`mimic regenerate`: generate a dataset again from what it records, and compare the digests of its demos."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from isaaclab_mimic_ext.command_lines import command_line, same_command_line
from isaaclab_mimic_ext.commands.results import print_result
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import RegenerateCfg
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.envs.isaaclab.launch import launch
from isaaclab_mimic_ext.errors import InvalidDataset
from isaaclab_mimic_ext.run.generate import log_report_command, progress_bar
from isaaclab_mimic_ext.run.regenerate import Recipe, Regenerated, compare, generate_again, read_recipe
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.texts import counted, listed

log = logging.getLogger(__name__)


def main(cfg: RegenerateCfg) -> Regenerated:
    """Generate a dataset again as configured, and report what differs.

    Raises:
        UsageError: the dataset does not record its generation, or its source demos, task or engine are missing.
        InvalidDataset: demos differ, although the engine promises the same digests.
        Interrupted: a signal ended the run.
        MimicError: the run failed.
    """
    recipe = _with_options(read_recipe(cfg.input_file, cfg.source_file, cfg.demos), cfg)
    _announce(recipe)
    stop = StopRequest()
    result = generate_again(recipe, lambda: stop.during(progress_bar(cfg.progress, lambda progress: stop.requested)))
    if result.is_interrupted:
        again = same_command_line("regenerate", output_dir=Path(cfg.output_dir), overwrite=None, resume=True)
        stop.raise_interrupted(f"nothing was compared; continue with: {again}")
    found = compare(recipe, result)
    print_result(cfg.json, {"input_file": cfg.input_file}, found, [*_lines(cfg.input_file, found)])
    if found.first_difference is not None:
        shown = command_line("show", input_file=Path(cfg.input_file), demo=found.first_difference)
        log.info("To see %s as it was generated first: %s", found.first_difference, shown)
        log_report_command(RunFolder(Path(found.dataset).parent))
    if not found.is_same and (found.is_promised or found.edited):
        raise InvalidDataset(f"{cfg.input_file}: {_same(found)}")
    return found


def _with_options(recipe: Recipe, cfg: RegenerateCfg) -> Recipe:
    run = replace(
        recipe.cfg, output_dir=cfg.output_dir, num_envs=cfg.num_envs or recipe.cfg.num_envs, headless=cfg.headless,
        overwrite=cfg.overwrite, resume=cfg.resume,
    )  # fmt: skip
    run = replace(run, device=resolve_device(run.device, run.sim.engine)[0])
    if run.sim.engine == "isaaclab":
        run = replace(run, sim=launch(run.sim, run.device, run.headless, run.enable_cameras))
    return replace(recipe, cfg=run)


def _announce(recipe: Recipe) -> None:
    run = recipe.cfg
    log.info(
        "Regenerating %s from %s: task '%s', engine %s, device %s, seed %d", counted(len(recipe.digests), "demo"),
        run.input_file, run.task.preset or run.task.name, run.sim.engine, run.device, run.datagen_config.seed,
    )  # fmt: skip
    for change in recipe.changes:
        log.warning("%s: %s", recipe.path, change)


def _lines(path: str, found: Regenerated) -> Iterator[str]:
    if found.is_same:
        digests = "with the same digest" if found.num_demos == 1 else "all with the same digests"
        yield f"Regenerated {path} in {found.dataset}: {counted(found.num_demos, 'demo')}, {digests}"
        if found.num_additional:
            yield f"  {_additional(found)}, removed from {path} after its generation"
        return
    first = "" if found.first_difference is None else f"; the first that differs is {found.first_difference}"
    yield f"Regenerated {path} in {found.dataset}: {_same(found)}{first}"
    if found.edited:
        yield f"  changed after the generation (the data do not match the digest): {listed(list(found.edited))}"
    yield from (f"  {change}" for change in found.changes)
    if not found.changes and not found.edited:
        yield "  nothing that the dataset records has changed; another CPU may round differently"
    if not found.is_promised:
        yield "  the same digests are not promised on this engine and device"


def _same(found: Regenerated) -> str:
    same = f"{found.num_same} of {counted(found.num_demos, 'demo has', 'demos have')} the same digest"
    return f"{same}; {_additional(found)}" if found.num_additional else same


def _additional(found: Regenerated) -> str:
    return f"the new run has {counted(found.num_additional, 'additional demo')}"
