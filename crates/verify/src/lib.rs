//! Runs models in tract, compares their outputs, and says what it cannot judge.
