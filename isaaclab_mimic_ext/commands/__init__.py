"""The commands: from the command line to a typed configuration, a call of the library, and an exit code."""
