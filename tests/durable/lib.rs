//! Nothing. `trybuild` passes the features of a package on to its cases only if the package has a library.
