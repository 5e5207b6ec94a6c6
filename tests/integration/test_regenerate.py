"""A dataset is generated again from what it records; what has changed since is named."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.commands.main import VERBS
from isaaclab_mimic_ext.config import RegenerateCfg
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.hdf5 import text_of
from isaaclab_mimic_ext.run import regenerate
from isaaclab_mimic_ext.run.session import RunFolder
from tests.runs import run

WORDS = ("datagen_config.generation_num_trials=6", "num_envs=5", "subtask_configs.franka.1.action_noise=1.2")


@pytest.fixture(scope="module")
def sources(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(kinematic_source, tmp_path_factory.mktemp("sources") / "annotated.hdf5"))


@pytest.fixture(scope="module")
def generated(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    run(sources, folder, *WORDS)
    return folder.demos


@pytest.fixture
def dataset(generated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(generated, tmp_path / "published.hdf5"))


def change(path: Path, edit: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def changed_json(name: str, **values: str) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        attributes = file["data"].attrs
        attributes[name] = json.dumps({**json.loads(attributes[name]), **values})

    return edit


def test_dataset_is_generated_again_with_any_number_of_envs(dataset: Path, tmp_path: Path) -> None:
    found: mimic.Regenerated = mimic.regenerate(dataset, tmp_path / "again", num_envs=3)
    assert (found.num_demos, found.num_same, found.is_same, found.is_promised) == (6, 6, True, True)
    assert found.changes == () and found.first_difference is None
    with h5py.File(dataset) as file:
        assert file["data"].attrs["num_attempts"] > 6  # The run had failures, too.


def test_changed_demo_is_named_and_an_accepted_change_is_compared_as_it_was_generated(dataset: Path, tmp_path: Path) -> None:
    change(dataset, lambda file: file["data/demo_2"].attrs.modify("digest", np.bytes_("0" * 64)))
    found = mimic.regenerate(dataset, tmp_path / "again")
    assert (found.num_same, found.first_difference, found.is_same) == (5, "demo_2", False)
    validate_dataset(dataset, time_limit=None, renew_digests=True)
    assert regenerate.read_recipe(dataset).digests[trial_of(dataset, "demo_2")] == "0" * 64


def trial_of(path: Path, name: str) -> int:
    with h5py.File(path) as file:
        return int(file[f"data/{name}"].attrs["trial"])


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (changed_json("provenance", **{"code of the task": "x"}), "the code of the task has changed"),
        (changed_json("provenance", **{"source demos": "x"}), "the source demos have changed"),
        (changed_json("versions", torch="2.1"), "torch was 2.1, now"),
        (changed_json("versions", mylib="1"), "mylib was 1, now not installed"),
        (lambda file: file["data"].attrs.pop("provenance"), "the dataset records no digests of them"),
        (lambda file: file["data"].attrs.update({"prepared": "{}"}), "was changed by `mimic prepare`"),
    ],
)
def test_changes_since_the_generation_are_named(dataset: Path, edit: Callable[[h5py.File], object], text: str) -> None:
    assert regenerate.read_recipe(dataset).changes == ()
    change(dataset, edit)
    assert len(changes := regenerate.read_recipe(dataset).changes) == 1 and text in changes[0]


def test_dataset_of_a_device_that_this_machine_does_not_have_is_refused(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    change(dataset, on_device("cuda:0"))
    with pytest.raises(SourceDataError, match=r"published.hdf5: was generated on device cuda:0, .* on a machine with this"):
        regenerate.read_recipe(dataset)


def on_device(device: str) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        attributes = file["data"].attrs
        text = text_of(attributes["config"])
        attributes["config"] = re.sub(r"^device: .*$", f"device: {device}", text, flags=re.MULTILINE)

    return edit


def test_moved_source_demos_are_given_and_a_split_of_them_is_no_change(dataset: Path, sources: Path, tmp_path: Path) -> None:
    change(dataset, lambda file: file["data"].attrs.update({"source_file": "/gone/annotated.hdf5"}))
    with pytest.raises(mimic.SourceDataError, match=r"was generated from /gone/annotated.hdf5, .* source_file=<file>"):
        regenerate.read_recipe(dataset)
    moved = Path(shutil.copy(sources, tmp_path / "moved.hdf5"))
    mimic.split(moved, 0.5)
    assert regenerate.read_recipe(dataset, moved).changes == ()
    change(moved, lambda file: file["data/demo_0/actions"].write_direct(np.zeros_like(file["data/demo_0/actions"])))
    assert regenerate.read_recipe(dataset, moved).changes == ("the source demos have changed",)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda file: file["data"].attrs.pop("config"), "does not record how it was generated"),
        (lambda file: file["data"].attrs.update({"merged_from": "[]"}), "was written by `mimic merge`"),
        (
            lambda file: file["data"].attrs.update({"config": "later_field: 3\nsubtask_configs: {}"}),
            "not one of this version",
        ),
        (lambda file: file["data"].attrs.update({"config": "5"}), "not one of this version"),
        (lambda file: file["data"].attrs.update({"num_attempts": "x"}), "'num_attempts' must be a whole number >= 0"),
        (lambda file: file["data/demo_1"].attrs.pop("trial"), "demo_1: attribute 'trial' not found"),
        (lambda file: file["data/demo_1"].attrs.update({"trial": "x"}), "'trial' must be a whole number >= 0 .got 'x'"),
        (lambda file: file["data/demo_1"].attrs.update({"trial": [1, 2]}), "'trial' must be a whole number"),
        (lambda file: file.copy("data/demo_1", "data/demo_9"), r"demo_9: attribute 'trial' is \d, like that of demo_1"),
    ],
)
def test_file_that_no_generation_wrote_is_refused(dataset: Path, edit: Callable[[h5py.File], object], message: str) -> None:
    change(dataset, edit)
    with pytest.raises(mimic.SourceDataError, match=message):
        regenerate.read_recipe(dataset)


def test_command_reports_a_difference_and_whether_the_digest_is_promised(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    cfg = RegenerateCfg(input_file=str(dataset), output_dir=str(tmp_path / "again"), progress=False)
    VERBS["regenerate"].run(cfg)
    assert "6 demos, all with the same digests" in capsys.readouterr().out
    change(dataset, lambda file: file["data/demo_0"].attrs.update({"original_digest": np.bytes_("0" * 64)}))
    cfg.overwrite = True
    with pytest.raises(mimic.InvalidDataset, match="5 of 6 demos have the same digest"), caplog.at_level("INFO"):
        VERBS["regenerate"].run(cfg)
    assert f"To see demo_0 as it was generated first: mimic show input_file={dataset} demo=demo_0" in caplog.text
    assert "train" not in caplog.text
    assert "the first that differs is demo_0" in (shown := capsys.readouterr().out)
    assert "another CPU may round differently" in shown
    change(dataset, lambda file: file["data"].attrs.update({"same_digest_with": "the same command, without resume"}))
    VERBS["regenerate"].run(cfg)
    assert "the same digests are not promised on this engine" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["", "..", "link"])
def test_dataset_to_compare_with_is_not_replaced(generated: Path, tmp_path: Path, folder: str) -> None:
    if folder == "link":
        (tmp_path / "link").mkdir()
        (tmp_path / "link/demo.hdf5").symlink_to(generated)
    content = generated.read_bytes()
    output_dir = tmp_path / "link" if folder == "link" else generated.parent / folder
    cfg = RegenerateCfg(input_file=str(generated), output_dir=str(output_dir), progress=False)
    for option in ("resume", "overwrite"):
        with pytest.raises(mimic.OutputError, match="contains the dataset to compare with"):
            VERBS["regenerate"].run(replace(cfg, **{option: True}))
        with pytest.raises(mimic.OutputError, match="contains the dataset to compare with"):
            mimic.regenerate(generated, output_dir, **{option: True})
    assert generated.read_bytes() == content


def test_edited_demo_is_reported_and_differs(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(dataset, lambda file: file["data/demo_2/actions"].write_direct(np.zeros_like(file["data/demo_2/actions"])))
    cfg = RegenerateCfg(input_file=str(dataset), output_dir=str(tmp_path / "again"), progress=False)
    with pytest.raises(mimic.InvalidDataset, match="5 of 6 demos have the same digest"):
        VERBS["regenerate"].run(cfg)
    shown = capsys.readouterr().out
    assert "changed after the generation (the data do not match the digest): demo_2" in shown
    assert "may round differently" not in shown


def test_demos_that_were_removed_are_counted_and_the_others_are_compared(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(dataset, lambda file: [file["data"].pop(name) for name in ("demo_1", "demo_3")])
    cfg = RegenerateCfg(input_file=str(dataset), output_dir=str(tmp_path / "again"), progress=False)
    VERBS["regenerate"].run(cfg)
    shown = capsys.readouterr().out
    assert "4 demos, all with the same digests" in shown and "the new run has 2 additional demos, removed from" in shown
    change(dataset, lambda file: [file["data"].pop(name) for name in ("demo_2", "demo_4", "demo_5")])
    change(dataset, lambda file: file["data/demo_0"].attrs.update({"original_digest": np.bytes_("0" * 64)}))
    with pytest.raises(mimic.InvalidDataset, match="0 of 1 demo has the same digest; the new run has 5 additional demos"):
        VERBS["regenerate"].run(replace(cfg, overwrite=True))


def test_chosen_demos_are_compared_with_a_run_that_ends_with_the_last_of_them(dataset: Path, tmp_path: Path) -> None:
    change(dataset, lambda file: file["data/demo_5"].attrs.update({"original_digest": np.bytes_("0" * 64)}))
    found = mimic.regenerate(dataset, tmp_path / "again", demos=["demo_0", "demo_2"])
    assert (found.num_demos, found.num_same, found.num_additional, found.is_same) == (2, 2, 0, True)
    with h5py.File(found.dataset) as file:
        assert sorted(file["data"]) == ["demo_0", "demo_1", "demo_2"]
    found = mimic.regenerate(dataset, tmp_path / "again", demos=["demo_0", "demo_5"], overwrite=True)
    assert (found.num_same, found.first_difference, found.is_same) == (1, "demo_5", False)
    with pytest.raises(mimic.ConfigError, match="demos: 'demo_9' is neither a demo nor a mask"):
        mimic.regenerate(dataset, tmp_path / "again", demos=["demo_9"])


def test_demo_that_was_not_removed_is_a_difference(dataset: Path, tmp_path: Path) -> None:
    change(dataset, lambda file: file["data"].pop("demo_1"))
    change(dataset, lambda file: file["data"].attrs.update({"num_successes": 5}))
    assert not mimic.regenerate(dataset, tmp_path / "again").is_same
