"""Output of a generation run: what its files contain, and the writer that fills them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.run.block import first_trial
from isaaclab_mimic_ext.run.episodes import EpisodeFormat, Output
from isaaclab_mimic_ext.run.session import RunSession
from isaaclab_mimic_ext.run.shard_writers import ShardWriters, open_writer
from isaaclab_mimic_ext.run.writer import EpisodeWriter


@dataclass(frozen=True)
class RunContents:
    """What the files of a run contain, in addition to its episodes. All processes that run its trials agree on it.

    Attributes:
        reasons: names of the reasons of failure, by code.
        episodes: layout of the episodes.
        attributes: attributes of the datasets.
        facts: facts about the run, for the store.
    """

    reasons: tuple[str, ...]
    episodes: EpisodeFormat
    attributes: Mapping[str, Any]
    facts: Mapping[str, Any]


def open_run_writer(cfg: GenerateCfg, contents: RunContents, session: RunSession) -> EpisodeWriter | ShardWriters:
    """Start the writer of a run.

    Raises:
        OutputError: a dataset cannot be created.
    """
    folder = session.folder
    output = Output(
        path=folder.demos,
        failed_path=folder.failed_demos if cfg.datagen_config.generation_keep_failed else None,
        attributes=contents.attributes,
        overwrite=True,  # The session has checked that existing files belong to this run.
        store_path=folder.store,
        lock=session.lock,
        elapsed=session.elapsed,
        names_interrupted=False,
        first_trial=first_trial(cfg),
        facts=contents.facts,
        **asdict(cfg.recorder),
    )
    return open_writer(output, contents.episodes)
