"""Finds the packages: `tasks/` and `conf/` stand at the top of the checkout and install below `isaaclab_mimic_ext`."""

from setuptools import find_packages, setup


def below(folder: str, package: str) -> list[str]:
    """The package that `folder` installs as, and its subpackages."""
    return [package, *(f"{package}.{name}" for name in find_packages(folder))]


setup(
    packages=[
        *below("isaaclab_mimic_ext", "isaaclab_mimic_ext"),
        *below("tasks", "isaaclab_mimic_ext.tasks"),
        *below("conf", "isaaclab_mimic_ext.conf"),
    ]
)
