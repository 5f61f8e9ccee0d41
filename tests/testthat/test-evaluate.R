test_that("metrics come with intervals, and accuracy is the share that is right", {
  fit <- small_fit()
  frame <- planted_tibble()
  metrics <- evaluate(fit, frame)
  expect_s3_class(metrics, "tbl_df")
  expect_named(
    metrics, c("metric", "class", "estimate", "lower", "upper", "method", "n"),
    ignore.order = TRUE
  )
  accuracy <- metrics[metrics$metric == "accuracy", ]
  expect_equal(accuracy$estimate, mean(predict(fit, frame)$.pred_class == frame$label))
  expect_lte(accuracy$lower, accuracy$estimate)
  expect_gte(accuracy$upper, accuracy$estimate)
  expect_equal(evaluate(fit, frame$image, truth = frame$label), metrics)
})

test_that("truth is checked", {
  fit <- fake_fit()
  frame <- planted_tibble(4L)
  expect_error(evaluate(fit), "newdata", class = "diglot_error_input")
  expect_error(evaluate(fit, frame["image"]), "\"label\"", class = "diglot_error_input")
  expect_error(evaluate(fit, frame$image), "labels", class = "diglot_error_input")
  expect_error(evaluate(fit, frame, truth = "two"), "4 images", class = "diglot_error_input")
  expect_error(
    evaluate(fit, transform(frame, label = "six")), "six",
    class = "diglot_error_input"
  )
  expect_error(evaluate(fit, frame[0L, ]), "no rows", class = "diglot_error_input")
})

test_that("a report is a file", {
  fit <- small_fit()
  file <- withr::local_tempfile(fileext = ".html")
  expect_identical(report(fit, planted_tibble(), file), file)
  expect_match(paste(readLines(file, warn = FALSE), collapse = "\n"), "</html>", fixed = TRUE)
  expect_error(report(1, planted_tibble()), "fit", class = "diglot_error_input")
})
