# Lints the R package and its scripts; fails if anything is found.
library(testthat) # as the tests find it, and diglot, attached
library(diglot)
for (file in list.files("tests/testthat", "^helper", full.names = TRUE)) source(file)
found <- c(lintr::lint_package(), lintr::lint_dir("tools"))
for (lint in found) {
  cat(sprintf("%s:%d:%d: %s\n", lint$filename, lint$line_number, lint$column_number, lint$message))
}
cat(length(found), "lints\n")
quit(status = as.integer(length(found) > 0))
