"""Run trials: generation loop, lanes, ledger, recorder, writer, store, recording of source demos, result of a run."""
