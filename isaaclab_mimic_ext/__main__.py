"""`python -m isaaclab_mimic_ext <verb> ...`: the command `mimic`."""

if __name__ == "__main__":
    # Processes that multiprocessing spawns import this module again, and do not need the command line.
    from isaaclab_mimic_ext.commands.main import main

    main()
