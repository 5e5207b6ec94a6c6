"""The page of one demo: generated demos, source demos, recordings, and files of other programs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import ShowDemoCfg
from isaaclab_mimic_ext.envs.captions import demo_caption
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.report.demo_content import read_content
from tests.forked_scripts import ROOT, run_mimic
from tests.jobs import command

SOURCES = ROOT / "tasks/two_arm_lift_tray/data/source_demos.hdf5"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """One source demo, without annotation and facts, as if another program had written the file."""
    path = tmp_path / "other.hdf5"
    with h5py.File(SOURCES) as source, h5py.File(path, "w") as file:
        file.attrs.update(source.attrs)
        source.copy("data/demo_0", file.create_group("data"), name="demo_0")
        del file["data/demo_0/obs/datagen_info"]
        for name in [*file["data/demo_0"].attrs]:
            del file["data/demo_0"].attrs[name]
    return path


def test_page_of_a_source_demo_shows_its_subtasks_signals_and_actions(tmp_path: Path) -> None:
    shown = mimic.show_demo(SOURCES, "demo_3", tmp_path / "page.html", pictures=False)
    page = shown.path.read_text()
    assert isinstance(shown, mimic.ShownDemo)
    assert "demo_3 of source_demos.hdf5" in page
    assert "lay the part on the tray" in page and "right_grasp" in page and "left: translation" in page
    assert shown.missing == ("No source demos are recorded: the demo was recorded by an operator, or imported.",)
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_subtasks_follow_each_other_and_end_after_the_rise_of_their_signal() -> None:
    content = read_content(SOURCES, "demo_0")
    for eef in ("left", "right"):
        spans = [span for span in content.spans if span.eef == eef]
        assert [span.start for span in spans] == [0, *(span.end for span in spans[:-1])]
        assert spans[-1].end == content.num_steps
        for span in spans[:-1]:
            values = content.signals[span.signal]
            assert values[span.end - 1] and not values[span.end - 2]


def test_page_of_a_generated_demo_names_the_source_demo_of_each_subtask(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(SOURCES) as source, h5py.File(path, "w") as file:
        source.copy("data", file)
        file["data"].attrs["source_demo_names"] = ["first", "second"]
        file["data/demo_0"].attrs["source_demos"] = [[0, 1, 0, 1, 0, -1], [1, 1, 1, 1, 1, 1]]
    content = read_content(path, "demo_0")
    assert [span.source for span in content.spans] == ["first", "second", "first", "second", "first", "", *["second"] * 6]


def test_page_of_a_foreign_file_states_what_is_missing(tmp_path: Path, copied: Path) -> None:
    shown = mimic.show_demo(copied)
    assert shown.path == tmp_path / "other_demo_0.html"
    text = " ".join(shown.missing)
    for part in ("does not name a task", "Term signals are not recorded", "Not recorded: trial, seed, success"):
        assert part in text
        assert part in shown.path.read_text()


def test_page_of_a_demo_with_wrong_attributes_states_them(copied: Path) -> None:
    with h5py.File(copied, "r+") as file:
        file["data"].attrs["config"] = "5"
        file["data/demo_0"].attrs.update({"trial": [1, 2], "success": [True, False], "source_demos": "x"})
        assert demo_caption(file, "demo_0").title == "demo_0"
    missing = read_content(copied, "demo_0").missing
    assert "The recorded configuration cannot be read; subtasks are those of the task." in missing


def test_signals_that_are_not_recorded_are_computed_from_the_states(copied: Path) -> None:
    with h5py.File(SOURCES) as source, h5py.File(copied, "r+") as file:
        file["data"].attrs["env_args"] = source["data"].attrs["env_args"]
        recorded = {name: each[()] for name, each in source["data/demo_0/obs/datagen_info/subtask_term_signals"].items()}
    content = read_content(copied, None)
    assert "computed from the recorded states" in " ".join(content.missing)
    for name, values in recorded.items():
        # Signals are annotated before a step, states are recorded after it.
        np.testing.assert_array_equal(content.signals[name][:-1], values[1:].astype(bool).reshape(-1))


def test_unknown_demo_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"demo: 'demo_99' is not in .*; choices: demo_0, demo_1, .*did you mean"):
        mimic.show_demo(SOURCES, "demo_99")


def test_existing_page_is_replaced_only_with_overwrite(tmp_path: Path, copied: Path) -> None:
    for page in (tmp_path / "page.html", tmp_path / "other_demo_0.html"):
        page.write_text("mine")
        with pytest.raises(OutputError, match="already exists"):
            mimic.show_demo(copied, output_file=page if page.stem == "page" else None, pictures=False)
        assert page.read_text() == "mine"
    assert mimic.show_demo(copied, pictures=False, overwrite=True).path.read_text() != "mine"


def flat_actions(demo: h5py.Group) -> None:
    actions = demo["actions"][:, 0]
    del demo["actions"]
    demo["actions"] = actions


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flat_actions, r"dataset 'actions' of floats, shape \(T, A\), not found"),
        (lambda demo: demo.pop("actions"), "dataset 'actions' not found or empty"),
        (lambda demo: demo.pop("rewards"), None),
    ],
)
def test_bad_demo_is_named_and_the_first_readable_one_is_shown_by_default(
    copied: Path, damage: Callable[[h5py.Group], object], reason: str | None
) -> None:
    with h5py.File(copied, "r+") as file:
        file.copy("data/demo_0", file["data"], name="demo_1")
        damage(file["data/demo_0"])
    assert mimic.show_demo(copied, pictures=False).demo == ("demo_0" if reason is None else "demo_1")
    if reason is not None:
        with pytest.raises(SourceDataError, match=rf"other.hdf5: demo_0: .*{reason}"):
            mimic.show_demo(copied, "demo_0", pictures=False)


@pytest.mark.parametrize("columns", [{"left": [99]}, {"left": 3}, {"left": "x"}, ["left"], {"left": [-1]}])
def test_wrong_gripper_columns_are_stated_on_the_page(copied: Path, columns: object) -> None:
    with h5py.File(copied, "r+") as file:
        file["data"].attrs["env_args"] = json.dumps({"gripper_columns": columns})
    shown = mimic.show_demo(copied, pictures=False)
    assert "gripper_columns: must map each end effector to a list of columns from 0 to 13 (got " in " ".join(shown.missing)


def test_noisy_actions_without_their_clean_values_are_drawn_alone(copied: Path) -> None:
    with h5py.File(copied, "r+") as file:
        demo = file["data/demo_0"]
        demo["actions_clean"] = demo["actions"][:, :3]
        demo["obs/datagen_info/subtask_term_signals/name"] = np.full(len(demo["actions"]), b"on")
    assert "actions over the steps" in mimic.show_demo(copied, pictures=False).path.read_text()


def test_command_writes_one_page_for_each_chosen_demo(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(copied, "r+") as file:
        for index in (1, 2, 3):
            file.copy("data/demo_0", file["data"], name=f"demo_{index}")
        del file["data/demo_3/actions"]
        file["mask/train"] = ["demo_0", "demo_2", "demo_3"]
    cfg = ShowDemoCfg(input_file=str(copied), demos=["train"], pictures=False, json=True)
    command("show", cfg)
    assert [Path(page["path"]).name for page in json.loads(capsys.readouterr().out)] == [
        "other_demo_0.html",
        "other_demo_2.html",
    ]
    (tmp_path / "other_demo_0.html").unlink()
    with pytest.raises(OutputError, match=r"other_demo_2\.html already exists"):
        command("show", cfg)
    assert not (tmp_path / "other_demo_0.html").exists()  # All pages are checked first.
    with pytest.raises(ConfigError, match="demos: must not be set together with demo"):
        command("show", replace(cfg, demo="demo_0"))
    with pytest.raises(ConfigError, match=r"output_file: is for one demo \(got 3\)"):
        command("show", replace(cfg, output_file="page.html"))


def test_command_prints_the_page_as_json(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run_mimic("show", str(SOURCES), "demo=demo_1", f"output_file={page}", "pictures=false", "json=true", cwd=tmp_path)
    assert json.loads(done.stdout)["demo"] == "demo_1"
    assert page.is_file()
