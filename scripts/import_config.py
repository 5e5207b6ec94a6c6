"""Import the JSON configuration of a task of MimicGen as a task file.

    python scripts/import_config.py input_file=core_configs/square.json base_task=robosuite_square \\
        output_file=my_tasks/task/square.yaml

`--help` shows all fields; docs/from_mimicgen.md describes the conversion. The same as `mimic import-config`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("import_config")
