"""Texts are written as UTF-8 and printed in any locale; files of the user that are not UTF-8 are named in one line."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isaaclab_mimic_ext.commands.pipeline_steps import task_of
from isaaclab_mimic_ext.commands.resumed import words_of_resumed
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.dataset_file import fixed
from isaaclab_mimic_ext.files.folder import log_file
from isaaclab_mimic_ext.files.writing import write_text

LATIN = os.fsdecode(b"caf\xe9")
"""Name of a file that is not UTF-8."""
UNDECODED = "caf\udcc3\udca9"
"""Name 'café' in a locale without UTF-8."""


def test_texts_with_any_name_of_a_file_are_written_as_utf8(tmp_path: Path) -> None:
    for text, content in (("café", "café"), (UNDECODED, "café"), (LATIN, "caf\\udce9")):
        write_text(tmp_path / "config.yaml", text)
        assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == content
        assert fixed(text).decode() == content


def test_log_of_a_run_accepts_any_name_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the log of the run: parallel test processes cannot send such a name in the log that pytest captures.
    with monkeypatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        write_to_log(tmp_path / "log.txt", LATIN)
    assert "Saved caf\\udce9" in (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "--- Logging error" not in capsys.readouterr().err


def write_to_log(path: Path, name: str) -> None:
    with log_file(path):
        logging.getLogger("isaaclab_mimic_ext").warning("Saved %s", name)


@pytest.mark.parametrize("name", ["café", "caf\udce9"])
def test_command_prints_any_name_in_a_locale_without_utf8(name: str) -> None:
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    program = (
        "from isaaclab_mimic_ext.commands.program import accept_any_text; accept_any_text(); "
        f"print({name!a}); print('\\u2014')"
    )
    printed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout
    assert printed.splitlines()[1] == "—".encode()


def task_file(folder: Path, content: bytes) -> Path:
    path = folder / "task" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return folder


def test_task_file_that_is_not_utf8_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = task_file(tmp_path, b"# @package _global_\n# caf\xe9\ndefaults: [desktop_organizer]\n")
    message = r"mine\.yaml:2: must be UTF-8 .*; save the file as UTF-8"
    with pytest.raises(ConfigError, match=message):
        load_config("generate", ["task=mine", "output_dir=x"], config_dirs=[folder])
    monkeypatch.setattr("isaaclab_mimic_ext.commands.pipeline_steps.task_dirs", lambda: [folder, folder])
    with pytest.raises(ConfigError, match=message):
        task_of("mine")


def test_damaged_configuration_of_a_run_is_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"x: caf\xe9\n\t")
    assert words_of_resumed(["resume=true", f"output_dir={tmp_path}"], GenerateCfg) == []
