test_that("tidy is the history, glance one row", {
  fit <- fake_fit()
  expect_identical(tidy(fit), fit$history)
  row <- glance(fit)
  expect_identical(nrow(row), 1L)
  expect_identical(row$epochs, 3L)
  expect_equal(row$val_loss, 1.1 / 3)
  expect_identical(row$seconds, 6)
  expect_identical(row$fingerprint, fingerprint(fit))
  expect_error(tidy(fit, 1), class = "rlang_error")
})

test_that("a fit without a whole epoch can be looked at", {
  fit <- fake_fit()
  fit$history <- tibble::tibble()
  expect_identical(glance(fit)$epochs, 0L)
  expect_identical(glance(fit)$seconds, 0)
  expect_output(print(fit), "0 epochs in 0.0 s")
})

test_that("a real fit tells the same", {
  fit <- small_fit()
  expect_equal(tidy(fit)$epoch, 1:3)
  expect_true(all(c("loss", "accuracy", "val_loss", "seconds") %in% names(tidy(fit))))
  row <- glance(fit)
  expect_identical(row$images, 40L)
  expect_identical(row$classes, 2L)
  expect_match(row$fingerprint, "^[0-9a-f]{64}$")
})

test_that("augment puts predictions beside the data", {
  fit <- small_fit()
  frame <- planted_tibble(5L)
  both <- augment(fit, frame)
  expect_s3_class(both, "tbl_df")
  expect_identical(both$label, frame$label)
  expect_identical(both$.pred_class, predict(fit, frame)$.pred_class)
  expect_identical(nrow(augment(fit, frame$image)), 5L)
})

test_that("a fit prints its model, result and time", {
  lines <- capture.output(print(fake_fit()))
  expect_match(lines, "lenet for images of 28 x 28 x 1, 431,080 parameters", all = FALSE)
  expect_match(lines, "two, ten", all = FALSE)
  expect_match(lines, "3 epochs in 6.0 s", all = FALSE)
  expect_match(lines, "val_loss 0.3667", all = FALSE)
  expect_match(
    capture.output(print(fake_fit(letters, ordered = TRUE))), "a < b < .* \\(26\\)",
    all = FALSE
  )
  expect_identical(diglot:::format_seconds(75), "1 min 15 s")
  expect_identical(diglot:::format_seconds(7500), "2 h 5 min")
})

test_that("a summary shows the layers", {
  fit <- small_fit()
  lines <- capture.output(print(summary(fit)))
  expect_match(lines, "FullyConnected|dense", all = FALSE)
  expect_match(lines, "epochs = 3", all = FALSE)
})

test_that("fingerprints are of fits", {
  expect_error(fingerprint(1), class = "diglot_error_input")
})
