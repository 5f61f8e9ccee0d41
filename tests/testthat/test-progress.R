row <- list(
  epoch = 2, loss = 0.123456, accuracy = 0.98, learning_rate = 0.1, seconds = 1.23,
  images_per_second = 100
)

test_that("progress knows where it is", {
  expect_identical(diglot:::progress_style("auto"), "none") # under testthat
  expect_identical(diglot:::progress_style(FALSE), "none")
  expect_true(diglot:::progress_style(TRUE) %in% c("lines", "bar"))
  withr::local_options(knitr.in.progress = TRUE)
  expect_identical(diglot:::progress_style("auto"), "lines")
  expect_identical(diglot:::progress_style(TRUE), "lines")
  expect_identical(diglot:::progress_style(FALSE), "none")
  expect_false(diglot:::progress_function(FALSE))
})

test_that("an epoch is a line", {
  expect_identical(diglot:::epoch_line(row), "epoch 2  loss 0.1235  accuracy 0.9800  (1.2 s)")
  small <- replace(row, "loss", 1e-6)
  expect_match(diglot:::epoch_line(small), "loss 1.0e-06")
  draw <- diglot:::draw_lines()
  expect_message(draw(list(event = "row", row = row)), "^epoch 2  loss 0.1235")
  expect_silent(draw(list(event = "start", title = "Training", total = 10L)))
})

test_that("the bar goes through a whole fit, and its end twice", {
  withr::local_options(cli.dynamic = TRUE, cli.ansi = FALSE, cli.progress_show_after = 0)
  draw <- diglot:::draw_bar()
  events <- list(
    list(event = "start", title = "Training", total = 4L, unit = "batch"),
    list(event = "step", done = 2L, total = 4L, text = "loss 0.5"),
    list(event = "row", row = row),
    list(event = "finish"),
    list(event = "finish"),
    list(event = "start", title = "Scoring", total = NULL, unit = "image"),
    list(event = "step", done = 5L, total = NULL, text = ""),
    list(event = "finish")
  )
  output <- capture.output(for (event in events) draw(event), type = "message")
  expect_match(paste(output, collapse = "\n"), "epoch 2 +loss 0.1235")
})

test_that("callbacks see a row and can stop", {
  seen <- NULL
  both <- diglot:::callback_function(list(function(row) seen <<- row, ~ .x$loss > 0.2))
  expect_identical(both(row), "stop")
  expect_s3_class(seen, "tbl_df")
  expect_identical(seen$loss, 0.123456)
  expect_identical(diglot:::callback_function(function(row) NULL)(row), "go on")
  expect_null(diglot:::callback_function(NULL))
  expect_error(diglot:::callback_function("no such function!"), class = "diglot_error_input")
})

test_that("an error in a callback is kept for the surface", {
  failing <- diglot:::callback_function(function(row) stop("mine"))
  expect_identical(failing(row), "failed")
  error <- tryCatch(diglot:::raise_error(list(kinds = "callback"), NULL), error = identity)
  expect_s3_class(error, "diglot_error_callback")
  expect_identical(conditionMessage(error$parent), "mine")
})

test_that("verbose is checked", {
  expect_error(diglot:::check_verbose("loud"), class = "diglot_error_input")
})
