"""`mimic report` and `mimic sweep-report`: pages of runs, table and plot of a sweep."""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from isaaclab_mimic_ext.commands.results import print_result
from isaaclab_mimic_ext.config import ReportCfg, SweepReportCfg
from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.writing import write_json
from isaaclab_mimic_ext.learn.sweep import Outcome, outcomes, read_jobs, sweep_table, sweep_title, swept_parameters
from isaaclab_mimic_ext.report.curves import plot_sweep
from isaaclab_mimic_ext.report.report import RunReport, report_run
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_FILE_WIDTH = 140


def main(cfg: ReportCfg) -> RunReport:
    """Write the page of a run, finished or in progress.

    Raises:
        SourceDataError: the folder does not contain a run, or its store cannot be read.
        OutputError: the page cannot be written.
    """
    report = report_run(
        cfg.input_dir,
        cfg.output_file,
        pictures=cfg.pictures,
        num_failures=cfg.num_failures,
        clips=cfg.clips,
        overwrite=cfg.overwrite,
    )
    line = f"Saved the report to {report.path}: {counted(report.num_trials, 'trial')}, {report.num_failed} failed"
    lines = [line, *([f"No pictures of failed trials: {report.no_pictures}"] if report.no_pictures else [])]
    print_result(cfg.json, {"input_dir": cfg.input_dir}, report, lines)
    return report


def sweep(cfg: SweepReportCfg) -> list[Outcome]:
    """Report on a sweep as configured: print a table, and write `sweep.json` and `sweep.png` to its folder.

    Raises:
        SourceDataError: the folder does not contain a sweep, or its jobs differ only in seeds.
        OutputError: a report already exists, or cannot be written.
    """
    folder = Path(cfg.input_dir)
    report, picture = folder / "sweep.json", folder / "sweep.png"
    jobs = read_jobs(folder)
    if report.exists() and not cfg.overwrite:
        raise OutputError(f"input_dir: {report} already exists; use overwrite=true to replace it")
    parameters = swept_parameters(jobs)
    if not parameters:
        rule = "must contain jobs that differ in a parameter other than the seed"
        raise SourceDataError(f"input_dir: {folder}: {rule} (got {counted(len(jobs), 'job')} with equal parameters)")
    results = outcomes(jobs, parameters)
    content = {"parameters": [asdict(parameter) for parameter in parameters], "outcomes": [asdict(o) for o in results]}
    write_json(report, content, kind=OutputError)
    if cfg.json:
        print(json.dumps(content, indent=2))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
        console.print(sweep_table(results, parameters, str(folder)))
    plot_sweep(results, parameters, picture, sweep_title(jobs, parameters))
    log.info("Saved the plot to %s", picture)
    return results
