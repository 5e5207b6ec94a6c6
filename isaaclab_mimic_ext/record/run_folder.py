"""The folder of a generation run: files under the names that MimicGen gives them."""

from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder


class RunFolder(OutputFolder):
    """Paths of a run's files."""

    content = "a run"
    resumes_from = "run.sqlite"

    demos = OutputFile("demo.hdf5")
    failed_demos = OutputFile("demo_failed.hdf5")
    stats = OutputFile("important_stats.json")
    log = OutputFile("log.txt")
    config = OutputFile("config.yaml")
    video = OutputFile("playback.mp4")
    failed_video = OutputFile("playback_failed.mp4")
    picture = OutputFile("scene.png")
    report = OutputFile("report.html")
    store = OutputFile("run.sqlite")
    lock = OutputFile("run.lock", is_kept=True)
