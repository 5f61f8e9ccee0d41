test_that("the ROC curve is pROC's", {
  skip_if_not_installed("pROC")
  fit <- small_fit()
  data <- noisy()
  score <- predict(fit, data, type = "prob")$.pred_ten
  curve <- roc_curve(fit, data)
  expect_s3_class(curve, c("diglot_roc", "tbl_df"))
  expect_named(curve, c("class", "threshold", "sensitivity", "specificity"))
  expect_equal(unique(curve$class), "ten")
  expect_equal(curve$threshold[1L], Inf)
  expected <- pROC::roc(
    data$label, score,
    levels = levels(data$label), direction = "<", quiet = TRUE
  )
  # Every corner of ours is a point of theirs.
  ours <- paste(round(curve$sensitivity, 8), round(curve$specificity, 8))
  theirs <- paste(round(expected$sensitivities, 8), round(expected$specificities, 8))
  expect_true(all(ours %in% theirs))
  width <- diff(1 - curve$specificity)
  height <- utils::head(curve$sensitivity, -1L) + diff(curve$sensitivity) / 2
  expect_equal(sum(width * height), as.numeric(expected$auc), tolerance = 1e-8)
  cut <- curve[3L, ]
  called <- score >= cut$threshold
  expect_equal(mean(called[data$label == "ten"]), cut$sensitivity)
})

test_that("reliability counts what is in each bin", {
  fit <- small_fit()
  data <- noisy()
  p <- as.matrix(predict(fit, data, type = "prob"))
  table <- reliability(fit, data, bins = 4, level = 0.9)
  expect_s3_class(table, c("diglot_reliability", "tbl_df"))
  expect_named(
    table,
    c("class", "bin", "from", "to", "confidence", "observed", "lower", "upper", "n")
  )
  expect_setequal(table$class, c(NA, "ten"))
  rows <- table[!is.na(table$class), ]
  bin <- cut(p[, 2L], seq(0, 1, 0.25), labels = FALSE, include.lowest = TRUE)
  expect_equal(rows$bin, sort(unique(bin)))
  expect_equal(rows$n, as.vector(table(bin)))
  expect_equal(rows$observed, as.vector(tapply(data$label == "ten", bin, mean)))
  expect_equal(rows$confidence, as.vector(tapply(p[, 2L], bin, mean)), tolerance = 1e-8)
  ends <- stats::prop.test(
    sum(data$label[bin == rows$bin[1L]] == "ten"), rows$n[1L],
    conf.level = 0.9, correct = FALSE
  )$conf.int
  expect_equal(c(rows$lower[1L], rows$upper[1L]), as.vector(ends), tolerance = 1e-8)
})

test_that("truth may be given beside the images", {
  fit <- small_fit()
  data <- noisy()
  expect_equal(roc_curve(fit, data$image, truth = data$label), roc_curve(fit, data))
  expect_equal(reliability(fit, data$image, truth = data$label), reliability(fit, data))
})

test_that("arguments are checked", {
  frame <- planted_tibble(4L)
  expect_error(roc_curve(1, frame), "`fit`", class = "diglot_error_input")
  expect_error(roc_curve(fake_fit()), "newdata", class = "diglot_error_input")
  expect_error(reliability(fake_fit(), frame, bins = "a"), "bins", class = "diglot_error_input")
  expect_error(reliability(fake_fit(), frame, level = 95), "level", class = "diglot_error_input")
  expect_error(reliability(small_fit(), frame, bins = 0), "bins", class = "diglot_error_input")
})
