//! This file is empty: the examples are the files beside it.
