"""`python -m isaaclab_mimic_ext <verb> ...`: the command `mimic`."""

from isaaclab_mimic_ext.commands.main import main

if __name__ == "__main__":
    main()
