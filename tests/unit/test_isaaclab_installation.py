"""Releases of Isaac Lab, the simulators that an installation has, and the physics that `sim.physics` selects there."""

from pathlib import Path

import pytest

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.isaaclab import installation as module
from isaaclab_mimic_ext.envs.isaaclab import launch as launch_module
from isaaclab_mimic_ext.envs.isaaclab.installation import Installation, find_installation
from isaaclab_mimic_ext.envs.isaaclab.physics import check_system_libraries, needs_kit, resolve_physics
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

RELEASE_2 = Installation(is_3=False, has_sim=True)
KIT = Installation(is_3=True, has_sim=True, has_newton=True, has_ovphysx=True)
PIP = Installation(is_3=True, has_sim=False, has_newton=True, has_ovphysx=True)


def sim(physics: str = "default", **values: object) -> SimCfg:
    return SimCfg(engine="isaaclab", physics=physics, **values)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Function that makes an Isaac Lab with a version and the named packages the one that is found."""

    def install(version: str, *packages: str, file: str = "") -> None:
        root = tmp_path / "source" / "isaaclab" / "isaaclab"
        root.mkdir(parents=True)
        if file:
            path = root.parent / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'[{"package" if "extension" in file else "project"}]\nversion = "{version}"\n')
        found = {"isaaclab": root, **dict.fromkeys(packages, root)}
        monkeypatch.setattr(module, "_package", found.get)
        monkeypatch.setattr(module, "version", lambda name: version)

    return install


NEWTON, OVPHYSX = ("isaaclab_newton", "newton"), ("isaaclab_ov", "ovphysx", "ovstage")


@pytest.mark.parametrize(
    ("version", "packages", "file", "expected"),
    [
        ("3.0.0", (*NEWTON, *OVPHYSX), "", PIP),
        ("3.1.0rc1", NEWTON, "", Installation(True, False, True, False)),
        ("28.0.0", ("isaacsim", *NEWTON, *OVPHYSX), "pyproject.toml", KIT),
        ("0.54.2", ("isaacsim",), "config/extension.toml", RELEASE_2),
        ("0.54.2", ("isaacsim", *NEWTON), "config/extension.toml", RELEASE_2),
    ],
    ids=["wheel 3.0", "wheel 3.1", "sources 3.0", "2.3", "2.3 with an unrelated Newton"],
)
def test_release_and_simulators_are_found_without_an_import(install, version, packages, file, expected) -> None:
    install(version, *packages, file=file)
    assert find_installation() == expected


@pytest.mark.parametrize(
    ("version", "file", "found"),
    [
        ("2.2.1", "", "2.2.1"),
        ("0.45.9", "config/extension.toml", "extension 0.45.9"),
        ("6.1.16", "config/extension.toml", "extension 6.1.16"),
        ("of today", "", "of today"),
    ],
    ids=["2.2", "sources 2.2", "sources before 3.0", "no number"],
)
def test_unsupported_release_is_refused_with_the_supported_ones(install, version, file, found) -> None:
    install(version, "isaacsim", *NEWTON, file=file)
    with pytest.raises(SimulatorUnavailable, match=rf"\(found {found}\); supported: 2\.3 and 3\.x; install one of them"):
        find_installation()


def test_isaaclab_without_a_simulator_names_those_that_it_can_use(install) -> None:
    install("3.0.0")
    with pytest.raises(SimulatorUnavailable, match="without a simulator: requires Isaac Sim, OvPhysX or Newton; install"):
        find_installation()


@pytest.mark.parametrize(
    ("installation", "physics", "expected"),
    [
        (PIP, "default", "ovphysx"),
        (PIP, "physx", "ovphysx"),
        (PIP, "newton", "newton"),
        (PIP, "newton_mjwarp", "newton"),
        (PIP, "newton_kamino", "newton_kamino"),
        (KIT, "default", "default"),
        (KIT, "physx", "isaacsim_physx"),
        (KIT, "ovphysx", "ovphysx"),
        (KIT, "newton", "newton"),
        (RELEASE_2, "default", "default"),
        (RELEASE_2, "physx", "default"),
    ],
)
def test_physics_is_ovphysx_unless_isaac_sim_is_installed_or_newton_is_set(installation, physics, expected) -> None:
    resolved = resolve_physics(installation, sim(physics))
    assert resolved == expected
    assert needs_kit(installation, resolved) == (expected in ("default", "isaacsim_physx"))


@pytest.mark.parametrize(
    ("installation", "physics", "message"),
    [
        (
            Installation(True, False, has_newton=True),
            "default",
            r"^sim.physics: 'ovphysx' is not installed; install with `pip install \"isaaclab\[ovphysx\]==3.0.0\"`, or use "
            r"sim.physics=newton$",
        ),
        (
            Installation(True, False, has_ovphysx=True),
            "newton",
            r"^sim.physics: 'newton' requires Newton, which is not installed; install with `pip install isaaclab==3.0.0`$",
        ),
        (
            PIP,
            "isaacsim_physx",
            r"^sim.physics: 'isaacsim_physx' requires Isaac Sim, which is not installed; use sim.physics=ovphysx$",
        ),
    ],
)
def test_physics_that_is_not_installed_is_refused_with_the_remedy(installation, physics, message) -> None:
    with pytest.raises(SimulatorUnavailable, match=message):
        resolve_physics(installation, sim(physics))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"physics": "newton"}, r"sim.physics: 'newton' requires Isaac Lab 3 \(got 2.3\); use sim.physics=default"),
        ({"renderer": "ovrtx"}, r"sim.renderer: requires Isaac Lab 3 \(got 2.3\); remove it"),
        ({"presets": ["rgb"]}, r"sim.presets: requires Isaac Lab 3 \(got 2.3\); remove it"),
    ],
)
def test_presets_are_refused_on_isaaclab_2_3(values, message) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_physics(RELEASE_2, sim(**values))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rerun", r'--viz=rerun requires rerun, .*; install with `pip install "isaaclab\[rerun\]==3.0.0"`$'),
        ("kit", "--viz=kit requires Isaac Sim, which is not installed; choices: newton_gl, none, rerun, viser$"),
    ],
)
def test_visualizer_that_is_not_installed_is_refused_with_the_remedy(name, message, monkeypatch) -> None:
    monkeypatch.setattr(launch_module, "is_installed", lambda *packages: False)
    with pytest.raises(SimulatorUnavailable, match=message):
        launch_module.check_visualizers([name])


def test_missing_system_library_is_named_with_its_package() -> None:
    with pytest.raises(SimulatorUnavailable, match=r"library libGone\.so\.7, which .*; .* `apt-get install libgone7`$"):
        check_system_libraries({"libc.so.6": "libc6", "libGone.so.7": "libgone7"})
