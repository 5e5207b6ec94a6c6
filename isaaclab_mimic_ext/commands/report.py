"""`mimic report` and `mimic sweep-report`: the page of a run, and the table and plot of a sweep."""

import logging
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from isaaclab_mimic_ext.config import ReportCfg, SweepReportCfg
from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.writing import write_json
from isaaclab_mimic_ext.learn.sweep import Outcome, outcomes, read_jobs, sweep_table, swept_parameters
from isaaclab_mimic_ext.report.curves import plot_sweep
from isaaclab_mimic_ext.report.report import RunReport, report_run

log = logging.getLogger(__name__)

_FILE_WIDTH = 140


def main(cfg: ReportCfg) -> RunReport:
    """Write the page of a run, finished or in progress.

    Raises:
        SourceDataError: the folder holds no run, or its store cannot be read.
        OutputError: the page cannot be written.
    """
    report = report_run(
        cfg.output_dir, cfg.report_file, pictures=cfg.pictures, num_failures=cfg.num_failures, clips=cfg.clips
    )
    print(f"{report.num_trials} trials, {report.num_failed} failed: {report.path}")
    return report


def sweep(cfg: SweepReportCfg) -> list[Outcome]:
    """Report on a sweep as configured.

    Raises:
        SourceDataError: there is no sweep, or its jobs do not differ.
        OutputError: a report is there already, or cannot be written.
    """
    folder = Path(cfg.sweep_dir)
    report, picture = folder / "sweep.json", folder / "sweep.png"
    jobs = read_jobs(folder)
    if report.exists() and not cfg.overwrite:
        raise OutputError(f"sweep_dir: {report} exists; replace it with overwrite=true")
    parameters = swept_parameters(jobs)
    if not parameters:
        raise SourceDataError(f"sweep_dir: {folder}: its {len(jobs)} job(s) differ in nothing but seeds; nothing was swept")
    results = outcomes(jobs, parameters)
    content = {"parameters": [asdict(parameter) for parameter in parameters], "outcomes": [asdict(o) for o in results]}
    write_json(report, content, kind=OutputError)
    console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
    console.print(sweep_table(results, parameters, str(folder)))
    plot_sweep(results, parameters, picture, folder.name)
    log.info("Drew %s", picture)
    return results
