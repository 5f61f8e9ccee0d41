test_that("errors carry their kinds as classes", {
  error <- tryCatch(
    diglot:::raise_error(list(kinds = list("image", "input"), message = "bad {x}"), NULL),
    error = identity
  )
  expect_s3_class(error, "diglot_error_image")
  expect_s3_class(error, "diglot_error_input")
  expect_s3_class(error, "diglot_error")
  expect_identical(error$message, "bad {x}")
})

test_that("warnings carry their kinds as classes", {
  caught <- NULL
  withCallingHandlers(
    diglot:::raise_warnings(
      list(list(kind = "interrupted", message = "a"), list(kind = NULL, message = "b")), NULL
    ),
    warning = function(w) {
      caught <<- c(caught, list(class(w)))
      rlang::cnd_muffle(w)
    }
  )
  expect_true(all(c("diglot_warning_interrupted", "diglot_warning") %in% caught[[1L]]))
  expect_true("diglot_warning" %in% caught[[2L]])
})

test_that("a diverged fit comes along with its error", {
  error <- tryCatch(
    diglot:::raise_error(list(kinds = list("diverged"), message = "inf"), NULL, fit = "fit"),
    error = identity
  )
  expect_s3_class(error, "diglot_error_diverged")
  expect_identical(error$fit, "fit")
})

test_that("near matches are near", {
  expect_identical(diglot:::near_matches("epoch", c("epochs", "size", "seed")), "epochs")
  expect_identical(diglot:::did_you_mean("zzzzzzz", c("epochs", "size")), "")
})

test_that("rows are named, a few of them", {
  expect_identical(diglot:::named_rows(3L), "row 3")
  expect_identical(diglot:::named_rows(c(3L, 7L)), "rows 3 and 7")
  expect_identical(diglot:::named_rows(1:7), "rows 1, 2, 3, 4, 5 and 2 more")
})

test_that("an interrupt in Python is one in R", {
  answer <- tryCatch(
    diglot:::raise_error(list(kinds = "interrupted", message = "Interrupted."), NULL),
    interrupt = function(condition) "interrupted",
    error = function(error) "error"
  )
  expect_identical(answer, "interrupted")
})
