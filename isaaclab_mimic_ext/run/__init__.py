"""Running trials: the generation loop, lanes, ledger, recorder, writer, store, recording and the result of a run."""
