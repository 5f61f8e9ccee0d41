library(testthat)
library(diglot)

test_check("diglot")
