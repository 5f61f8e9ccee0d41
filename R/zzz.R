# No Python is started here, and neither reticulate, cli nor rlang is loaded: each comes with the
# first function that needs it, so that library(diglot) takes no time.
.onLoad <- function(libname, pkgname) {
  # a fresh start, also after the package was unloaded and loaded again in one session
  the$bridge <- NULL
}
