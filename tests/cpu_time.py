"""Pytest plugin: CPU time of each test. `make durations` lists the expensive ones that are not marked `slow`.

    python -m pytest -p tests.cpu_time

The time covers the process of the test and its child processes. It hardly depends on the load of the machine.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

LIMIT_S = 10.0
"""CPU time above which a test should be marked `slow` [s]."""
_START, _SETUP = pytest.StashKey[float](), pytest.StashKey[float]()
_PROPERTY = "cpu_time"


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its child processes, finished or not [s]."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + sum(map(_cpu_seconds_of, _children(os.getpid())))


def _cpu_seconds_of(pid: int) -> float:
    """CPU time of a running process and of its child processes [s]. Only Linux has the files that contain it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # It has ended.
        return 0.0
    # User and system time of the process, and of its children that ended.
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(_cpu_seconds_of, _children(pid)))


def _children(pid: int) -> list[int]:
    try:
        tasks = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [int(child) for children in tasks for child in children.split()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note the time at which a test begins."""
    item.stash[_START] = cpu_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Measure the fixtures of a test, including shared ones that it is the first to use."""
    try:
        return (yield)
    finally:
        item.stash[_SETUP] = cpu_seconds() - item.stash[_START]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Attach the times to the last report, which also reaches the controller of pytest-xdist."""
    report = yield
    if call.when == "teardown":
        total = cpu_seconds() - item.stash[_START]
        is_slow = item.get_closest_marker("slow") is not None
        report.user_properties.append((_PROPERTY, (total, item.stash[_SETUP], is_slow)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List tests above the limit that are not marked `slow`, the most expensive first, and the total."""
    reports = [report for group in terminalreporter.stats.values() for report in group if hasattr(report, "user_properties")]
    found = [(dict(report.user_properties), report.nodeid) for report in reports]
    times = [(*properties[_PROPERTY], nodeid) for properties, nodeid in found if _PROPERTY in properties]
    terminalreporter.section(f"tests above {LIMIT_S:g} CPU seconds that are not marked slow")
    for total, setup, is_slow, nodeid in sorted(times, reverse=True):
        if total > LIMIT_S and not is_slow:
            terminalreporter.write_line(f"{total:7.1f} s (fixtures {setup:.1f} s)  {nodeid}")
    marked = sum(total for total, _, is_slow, _ in times if is_slow)
    terminalreporter.write_line(
        f"{sum(total for total, *_ in times):7.1f} s in {len(times)} tests, {marked:.1f} s of it marked slow"
    )
