"""The folder of an evaluation."""

from pathlib import Path

from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder


class EvaluationFolder(OutputFolder):
    """Paths of an evaluation's files."""

    content = "an evaluation"

    report = OutputFile("evaluation.json")
    config = OutputFile("config.yaml")
    plot = OutputFile("success_over_epochs.png")
    videos = OutputFile("videos")

    def video(self, checkpoint: str, success: bool) -> Path:
        """Path of the video of a checkpoint's successes or failures."""
        kind = "successes" if success else "failures"
        return self.videos / f"{checkpoint.replace('/', '_')}_{kind}.mp4"
