"""Merging: demos are copied unchanged, files that differ are refused, and failures leave no file."""

import errno
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config import MergeDatasetsCfg
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.files import hdf5
from isaaclab_mimic_ext.files.hdf5 import datasets_below
from tests.builders import make_source_file
from tests.forked_scripts import run_mimic
from tests.jobs import command


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    return [make_source_file(tmp_path / f"{name}.hdf5", num_demos=3 + i, seed=i) for i, name in enumerate("abc")]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "merged.hdf5"


def demo_digest(demo: h5py.Group) -> str:
    """Digest of the datasets of a demo as they are stored: names, types, filters and values."""
    digest = hashlib.sha256()
    for path, dataset in datasets_below(demo):
        digest.update(f"{path} {dataset.dtype} {dataset.shape} {dataset.chunks} {dataset.compression}".encode())
        digest.update(repr(np.asarray(dataset[()]).tolist()).encode())
    return digest.hexdigest()


def edit(path: Path, change: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


@pytest.mark.slow
def test_demos_are_unchanged_and_in_the_order_of_the_files(inputs: list[Path], output: Path) -> None:
    merged = merge_datasets(inputs, output)
    number = 0
    with h5py.File(output) as file:
        for path in inputs:
            with h5py.File(path) as source:
                for name in sorted(source["data"]):
                    demo = file[f"data/demo_{number}"]
                    assert demo_digest(demo) == demo_digest(source["data"][name])
                    expected = dict(source["data"][name].attrs) | {
                        "merged_from": f"{path.parent.name}/{path.name}: {name}".encode()
                    }
                    assert dict(demo.attrs) == expected
                    number += 1
        assert number == merged.num_demos == len(file["data"]) == 12
        assert file["data"].attrs["total"] == merged.num_steps
        assert file.attrs["format_version"] == 1
    assert validate_dataset(output).is_valid(strict=True)


def test_demos_are_in_natural_order(tmp_path: Path, output: Path) -> None:
    paths = [make_source_file(tmp_path / f"{seed}.hdf5", num_demos=11, seed=seed) for seed in range(2)]
    merge_datasets(paths, output)
    with h5py.File(output) as file:
        assert [file[f"data/demo_{n}"].attrs["seed"] for n in range(22)] == [*range(11), *range(11)]


def test_compressed_chunks_are_copied_unchanged(inputs: list[Path], output: Path) -> None:
    values = np.arange(3000, dtype=np.float32).reshape(60, 50)
    for path in inputs:

        def compress(file: h5py.File) -> None:
            for demo in file["data"].values():
                demo.create_dataset("obs/image", data=values, chunks=(7, 50), compression="gzip", shuffle=True)

        edit(path, compress)
    merge_datasets(inputs, output)
    with h5py.File(inputs[1]) as source, h5py.File(output) as file:
        old, new = source["data/demo_0/obs/image"], file["data/demo_3/obs/image"]
        assert (new.chunks, new.compression, new.shuffle) == ((7, 50), "gzip", True)
        assert new.id.read_direct_chunk((7, 0)) == old.id.read_direct_chunk((7, 0))


def add_hard_link(demo: h5py.Group) -> None:
    demo["extra"] = demo["actions"]


EXTRAS: list[Callable[[h5py.Group], object]] = [
    add_hard_link,
    lambda demo: demo.attrs.create("extra", "of variable length"),
    lambda demo: demo.create_dataset("extra", data=["of", "variable", "length"]),
    lambda demo: demo.create_dataset("extra", data=h5py.Empty("f4")),
    lambda demo: demo.create_dataset("extra", data=np.zeros(3, "i4,f4")),
    lambda demo: demo.create_dataset("extra", data=np.arange(3, dtype=">i2")),
    lambda demo: demo.__setitem__("extra", h5py.SoftLink(f"{demo.name}/actions")),
    lambda demo: demo.create_group("extra", track_order=True).create_dataset("below", data=[True, False]),
]


@pytest.mark.parametrize("add", EXTRAS)
def test_demos_with_any_kind_of_content_are_merged(
    inputs: list[Path], output: Path, add: Callable[[h5py.Group], object]
) -> None:
    edit(inputs[0], lambda file: add(file["data/demo_1"]))
    merge_datasets(inputs, output)
    with h5py.File(inputs[0]) as source, h5py.File(output) as file:
        old, new = source["data/demo_1"], file["data/demo_1"]
        assert {*new} == {*old}
        assert {*new.attrs} == {*old.attrs, "merged_from"}
        assert demo_digest(new) == demo_digest(old)


@pytest.mark.parametrize("options", [{"libver": "latest"}, {"userblock_size": 512}])
def test_files_of_other_hdf5_versions_are_merged(
    inputs: list[Path], output: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    other = tmp_path / "other.hdf5"
    with h5py.File(inputs[0]) as source, h5py.File(other, "w", **options) as file:
        file.attrs.update(source.attrs)
        source.copy("data", file)
    merge_datasets([other, inputs[1]], output)
    with h5py.File(inputs[0]) as source, h5py.File(output) as file:
        for name in source["data"]:
            assert demo_digest(file["data"][name]) == demo_digest(source["data"][name])


def test_reopening_files_after_a_few_demos_gives_the_same_result(
    inputs: list[Path], output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_datasets(inputs, output)
    for module in (hdf5, "isaaclab_mimic_ext.datasets.merge"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.DEMOS_PER_OPENING", 2)
    merge_datasets(inputs, tmp_path / "again.hdf5")
    with h5py.File(output) as file, h5py.File(tmp_path / "again.hdf5") as again:
        assert [demo_digest(demo) for demo in file["data"].values()] == [demo_digest(d) for d in again["data"].values()]


def test_masks_of_all_inputs_are_joined_with_new_names(inputs: list[Path], output: Path) -> None:
    splits = [split_dataset(path, 0.5, seed=1) for path in inputs]
    edit(inputs[0], lambda file: file.create_dataset("mask/best", data=np.array(["demo_1"], dtype="S")))
    merged = merge_datasets(inputs, output)
    firsts = (0, 3, 7)
    expected = [f"demo_{first + int(name[5:])}" for first, s in zip(firsts, splits, strict=True) for name in s.train]
    with h5py.File(output) as file:
        assert file["mask/train"][()].astype(str).tolist() == expected
        assert {*file["mask"]} == {"train", "valid"}
    assert merged.masks == {"train": len(expected), "valid": 12 - len(expected)}
    assert merged.dropped_masks == ("best",)


def test_source_demos_of_other_types_are_replaced_by_none(inputs: list[Path], output: Path) -> None:
    edit(inputs[0], lambda file: file["data"].attrs.update({"source_demo_names": ["x"], "source_file": "a.hdf5"}))
    edit(inputs[1], lambda file: file["data"].attrs.update({"source_demo_names": 5}))
    edit(inputs[1], lambda file: file["data/demo_0"].attrs.update({"source_demos": "x"}))
    merge_datasets(inputs[:2], output)
    assert inspect_dataset(output).source_demos == {"x": 0, "5": 0}


@pytest.mark.parametrize("wrong", ["x", np.nan, [1, 2]])
def test_count_that_is_no_number_is_left_out(inputs: list[Path], output: Path, wrong: object) -> None:
    edit(inputs[0], lambda file: file["data"].attrs.update({"num_attempts": wrong}))
    edit(inputs[1], lambda file: file["data"].attrs.update({"num_attempts": 5}))
    merge_datasets(inputs[:2], output)
    with h5py.File(output) as file:
        assert "num_attempts" not in file["data"].attrs


def test_attributes_of_the_inputs_are_kept(inputs: list[Path], output: Path) -> None:
    for index, path in enumerate(inputs):
        edit(path, lambda file, index=index: file["data"].attrs.update({"num_attempts": 5, "config": "x", "seed": index}))
    merge_datasets(inputs, output)
    with h5py.File(output) as file:
        attributes = dict(file["data"].attrs)
    assert attributes["num_attempts"] == 15
    assert attributes["config"] == "x"
    assert "seed" not in attributes
    provenance = json.loads(attributes["merged_from"])
    assert [(each["file"].split("/")[1], each["num_demos"], each["seed"]) for each in provenance] == [
        ("a.hdf5", 3, 0), ("b.hdf5", 4, 1), ("c.hdf5", 5, 2),
    ]  # fmt: skip


def test_provenance_survives_a_second_merge(inputs: list[Path], output: Path, tmp_path: Path) -> None:
    merge_datasets(inputs[:2], output)
    merge_datasets([inputs[2], output], tmp_path / "twice.hdf5")
    with h5py.File(tmp_path / "twice.hdf5") as file:
        assert (
            file["data/demo_8"].attrs["merged_from"]
            == f"{tmp_path.name}/merged.hdf5: demo_3 < {tmp_path.name}/b.hdf5: demo_0".encode()
        )


@pytest.mark.parametrize("same_file", [True, False])
def test_indices_of_source_demos_still_refer_to_the_same_demos(inputs: list[Path], output: Path, same_file: bool) -> None:
    for index, path in enumerate(inputs):

        def describe(file: h5py.File, index: int = index) -> None:
            attributes = {"source_file": "/in/s.hdf5" if same_file else f"/in/{index}.hdf5", "source_demo_names": ["x", "y"]}
            file["data"].attrs.update(attributes)
            file["data/demo_0"].attrs["source_demos"] = np.array([[0, 1, -1]])

        edit(path, describe)
    merge_datasets(inputs, output)
    with h5py.File(output) as file:
        known = file["data"].attrs["source_demo_names"].tolist()
        *indices, none = file["data/demo_7"].attrs["source_demos"].ravel()
        used = [known[index] for index in indices]
    assert none == -1
    assert used == (["x", "y"] if same_file else ["in/2.hdf5:x", "in/2.hdf5:y"])
    assert len(known) == (2 if same_file else 6)


def in_env_args(old: str, new: str) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        file["data"].attrs["env_args"] = file["data"].attrs["env_args"].replace(old, new)

    return change


# fmt: off
DIFFERENCES: list[tuple[str, Callable[[h5py.File], object]]] = [
    ("format_version is 0, but 1 in .*a.hdf5", lambda file: file.attrs.pop("format_version")),
    ("format_version is 7", lambda file: file.attrs.modify("format_version", 7)),
    ("dataset 'obs/eef_pos' is missing", lambda file: file.pop("data/demo_0/obs/eef_pos")),
    ("dataset 'obs/extra' is float32 \\(2,\\), but missing in .*a.hdf5",
     lambda file: file.create_dataset("data/demo_0/obs/extra", data=np.zeros((60, 2), "f4"))),
    ("env_args: env_name is kitchen, but desktop_organizer in .*a.hdf5", in_env_args("desktop_organizer", "kitchen")),
    ("env_args: action is .*'pos_scale': 0.1", in_env_args('"pos_scale": 0.05', '"pos_scale": 0.1')),
    ("env_args: object_names", in_env_args("ketchup", "mustard")),
]
# fmt: on


@pytest.mark.parametrize(("message", "change"), DIFFERENCES)
def test_files_that_differ_are_refused_and_the_difference_is_named(
    inputs: list[Path], output: Path, message: str, change: Callable[[h5py.File], object]
) -> None:
    edit(inputs[1], change)
    with pytest.raises(SourceDataError, match=rf"b\.hdf5.*{message}"):
        merge_datasets(inputs, output)
    assert not list(output.parent.glob("merged*"))


def with_camera(fovy: float) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        env_args = json.loads(file["data"].attrs["env_args"])
        cameras = {"names": ["agentview"], "calibration": {"agentview": {"K": [[fovy]]}}}
        file["data"].attrs["env_args"] = json.dumps({**env_args, "cameras": cameras})

    return change


def test_files_whose_cameras_differ_are_refused(inputs: list[Path], output: Path) -> None:
    edit(inputs[0], with_camera(48.0))
    edit(inputs[1], with_camera(40.0))
    with pytest.raises(SourceDataError, match=r"b\.hdf5: camera 'agentview' differs in pose, field of view"):
        merge_datasets(inputs, output)
    edit(inputs[1], with_camera(48.0))
    merge_datasets(inputs, output)
    with h5py.File(output) as file:
        assert json.loads(file["data"].attrs["env_args"])["cameras"]["calibration"] == {"agentview": {"K": [[48.0]]}}


def merged_env_name(inputs: list[Path], output: Path, **options: str) -> str:
    merge_datasets(inputs, output, **options)
    with h5py.File(output) as file:
        return json.loads(file["data"].attrs["env_args"])["env_name"]


@pytest.mark.parametrize("empty", [0, 1])
def test_file_without_a_name_of_its_environment_gets_that_of_the_others(
    inputs: list[Path], output: Path, empty: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    edit(inputs[empty], in_env_args("desktop_organizer", ""))
    assert merged_env_name(inputs, output) == "desktop_organizer"
    assert f"{inputs[empty]} has no env_name; merged as 'desktop_organizer'" in caplog.text


def test_different_names_of_one_environment_are_merged_under_a_given_name(
    inputs: list[Path], output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit(inputs[1], in_env_args("desktop_organizer", "kitchen"))
    with pytest.raises(SourceDataError, match="or give the name of both with env_name=<name>"):
        merge_datasets(inputs, output)
    assert merged_env_name(inputs, output, env_name="office") == "office"
    assert "env_name: 'office' is neither a task nor a gym id, so other commands cannot load its environment" in caplog.text
    caplog.clear()
    merge_datasets(inputs, output, overwrite=True, env_name="desktop_organizer")
    assert not caplog.text


def test_copies_of_a_demo_are_refused_unless_they_are_allowed(inputs: list[Path], output: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.hdf5"
    with h5py.File(inputs[0], "r+") as source, h5py.File(copy, "w") as file:
        for name, demo in source["data"].items():
            demo.attrs["digest"] = np.bytes_(hashlib.sha256(name.encode()).hexdigest())
        file.attrs.update(source.attrs)
        source.copy("data", file)
        file["data"].move("demo_1", "demo_8")
    with pytest.raises(SourceDataError, match=r"demo_0: is a copy of .*: demo_0 \(3 copies in all\).*allow_copies=true"):
        merge_datasets([inputs[0], copy], output)
    assert merge_datasets([inputs[0], copy], output, allow_copies=True).num_demos == 6


def test_single_and_repeated_inputs_are_refused(inputs: list[Path], output: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two or more"):
        merge_datasets(inputs[:1], output)
    (tmp_path / "link.hdf5").symlink_to(inputs[0])
    with pytest.raises(ConfigError, match=r"link\.hdf5 is listed twice"):
        merge_datasets([*inputs, tmp_path / "link.hdf5"], output)


def test_inputs_and_existing_outputs_are_not_overwritten(inputs: list[Path], output: Path) -> None:
    with pytest.raises(OutputError, match="is one of the inputs"):
        merge_datasets(inputs, inputs[2], overwrite=True)
    merge_datasets(inputs, output)
    before = output.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        merge_datasets(inputs[:2], output)
    assert output.read_bytes() == before
    assert merge_datasets(inputs[:2], output, overwrite=True).num_demos == 7


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_failed_merge_leaves_no_file(inputs: list[Path], output: Path, error: BaseException) -> None:
    def fail(done: int, total: int) -> None:
        if done == 5:
            raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        merge_datasets(inputs, output, on_progress=fail)
    assert not list(output.parent.glob("merged*"))


@pytest.mark.parametrize("name", ["demo_0", "demo_1", "demo_3"])
def test_demo_that_cannot_be_described_costs_only_itself(inputs: list[Path], output: Path, name: str) -> None:
    edit(inputs[1], lambda file: file[f"data/{name}"].attrs.update({"num_samples": "many"}))
    assert merge_datasets(inputs[:2], output).num_demos == 6
    with h5py.File(output) as file:
        origins = [file[f"data/demo_{index}"].attrs["merged_from"].decode().split(": ")[1] for index in range(6)]
        assert len(file["data"]) == 6
    others = [f"demo_{index}" for index in range(4) if f"demo_{index}" != name]
    assert origins == ["demo_0", "demo_1", "demo_2", *others]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (RuntimeError("Unable to copy object (file write failed)"), OutputError),
        (MemoryError(), MemoryError),
    ],
)
def test_demo_that_cannot_be_written_is_not_left_out(
    inputs: list[Path], output: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    copy = h5py.h5o.copy

    def fail_once(source: Any, name: bytes, target: Any, new_name: bytes) -> None:
        if new_name == b"demo_4":
            raise error
        copy(source, name, target, new_name)

    monkeypatch.setattr(h5py.h5o, "copy", fail_once)
    with pytest.raises(kind):
        merge_datasets(inputs, output)
    assert not list(output.parent.glob("merged*"))


def test_command_names_demos_that_are_left_out(inputs: list[Path], output: Path) -> None:
    edit(inputs[0], lambda file: file["data"].create_group("demo_9"))
    words = [f"input_file=[{inputs[0]},{inputs[1]}]", f"output_file={output}"]
    result = run_mimic("merge", *words, cwd=output.parent)
    assert "demo_9 is left out: has no steps" in result.stderr


def test_damaged_input_is_refused_and_leaves_no_file(inputs: list[Path], output: Path) -> None:
    content = inputs[1].read_bytes()
    inputs[1].write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceDataError, match=r"b\.hdf5"):
        merge_datasets(inputs, output)
    assert not list(output.parent.glob("merged*"))


def test_progress_counts_all_demos(inputs: list[Path], output: Path) -> None:
    calls: list[tuple[int, int]] = []
    merge_datasets(inputs, output, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(number + 1, 12) for number in range(12)]


def test_command_reports_its_result(inputs: list[Path], output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in inputs:
        split_dataset(path, 0.5, seed=1)
    command("merge", MergeDatasetsCfg(input_file=[str(path) for path in inputs], output_file=str(output)))
    out = capsys.readouterr().out
    assert "Merged 3 files: 12 demos" in out
    assert "mask/train: 6 demos" in out
