//! What every machine promises: one suite, run against each of them.
