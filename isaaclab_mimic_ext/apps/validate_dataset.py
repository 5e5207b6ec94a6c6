"""`scripts/validate_dataset.py`: whether a dataset can be trusted."""

from isaaclab_mimic_ext.commands.progress import ProgressBar
from isaaclab_mimic_ext.config import ValidateDatasetCfg
from isaaclab_mimic_ext.datasets.findings import ValidationReport
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import InvalidDataset


def main(cfg: ValidateDatasetCfg) -> ValidationReport:
    """Check a dataset as configured and print the report.

    Raises:
        InvalidDataset: it has faults.
        SourceDataError: it cannot be read.
    """
    with ProgressBar("checking", cfg.progress, log_period=None) as bar:
        report = validate_dataset(cfg.input_file, cfg.num_replays, cfg.seed, bar.update, cfg.time_limit)
    print(report.as_json() if cfg.json else report.as_text())
    if not report.is_valid(cfg.strict):
        raise InvalidDataset(
            f"{cfg.input_file}: {report.num_errors} errors, {report.num_warnings} warnings; the report says what can be done"
        )
    return report
