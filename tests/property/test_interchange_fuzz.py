"""Import, export and preparation convert a damaged file or refuse it with a clear error, and leave no partial file."""

import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.convert.mimicgen import ImportOptions, import_mimicgen
from isaaclab_mimic_ext.datasets.convert.prepare import PrepareOptions, prepare_dataset
from isaaclab_mimic_ext.datasets.convert.robomimic import export_robomimic
from isaaclab_mimic_ext.errors import UsageError
from tests.interchange_files import make_image_dataset, make_mimicgen_file
from tests.tiers import first_in_check

NUM_VARIANTS = 60
_PREPARE = PrepareOptions(add_rtgs=True, sparse_reward=True, img_key="agentview_image", crop_dim=8)
JOBS: dict[str, tuple[Callable[[Path], Path], Callable[[Path, Path], object]]] = {
    "import": (make_mimicgen_file, lambda path, output: import_mimicgen(path, output, ImportOptions())),
    "export": (make_image_dataset, lambda path, output: export_robomimic(path, output, next_obs=True)),
    "prepare": (make_image_dataset, lambda path, output: prepare_dataset(path, output, _PREPARE)),
}


def flip_bits(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 30))):
        # Most data other than pixels are at the beginning.
        content[rng.randrange(rng.choice((len(content), 50_000)))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def replace_item(path: Path, rng: random.Random) -> None:
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = rng.choice(names)
        values = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros(3)
        del file[name]
        damaged = (
            None,
            "text",
            np.float32(3),
            h5py.Empty("f"),
            values[:-1],
            values[..., None],
            np.full(values.shape, np.nan),
        )
        chosen = rng.choice(damaged)
        if chosen is not None:
            file[name] = chosen


def damage_attribute(path: Path, rng: random.Random) -> None:
    with h5py.File(path, "r+") as file:
        place = rng.choice((file, file["data"], file["data/demo_0"]))
        name = rng.choice(("format_version", "env_args", "success", "num_samples"))
        env_args = '{"type": [1], "env_kwargs": 3, "sim_args": 4, "eef_names": 7}'
        place.attrs[name] = rng.choice(("text", "[1]", env_args, 7, np.array([1, 2]), np.nan))


@pytest.mark.slow
@pytest.mark.parametrize("job", first_in_check(JOBS))
@pytest.mark.parametrize("damage", [flip_bits, truncate, replace_item, damage_attribute])
def test_damaged_file_is_refused_or_converted(tmp_path, job, damage):
    make, run = JOBS[job]
    good, path, output = make(tmp_path / "good.hdf5").read_bytes(), tmp_path / "in.hdf5", tmp_path / "out.hdf5"
    rng = random.Random(f"{job} {damage.__name__}")
    for _ in range(NUM_VARIANTS // 4):
        path.write_bytes(good)
        damage(path, rng)
        output.unlink(missing_ok=True)
        try:
            run(path, output)
        except UsageError as error:
            assert len(str(error)) > len(str(path))
            assert not output.exists()
        else:
            assert h5py.is_hdf5(output)
        assert not output.with_name("out.hdf5.part").exists()
