"""`scripts/inspect_dataset.py`: what is in a dataset."""

from isaaclab_mimic_ext.config import InspectDatasetCfg
from isaaclab_mimic_ext.datasets.inspect import DatasetSummary, inspect_dataset, summary_as_json, summary_as_text


def main(cfg: InspectDatasetCfg) -> DatasetSummary:
    """Print a dataset's summary, as text or JSON.

    Raises:
        SourceDataError: the file is missing, damaged, or has no demos.
    """
    summary = inspect_dataset(cfg.input_file, cfg.digest)
    print(summary_as_json(summary) if cfg.json else summary_as_text(summary))
    return summary
