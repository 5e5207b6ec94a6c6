"""The definition of a task: objects, signals, success, failure reasons."""
