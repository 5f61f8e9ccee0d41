test_that("the history is told by measure and set", {
  curves <- diglot:::history_curves(fake_fit()$history)
  expect_identical(levels(curves$measure), c("loss", "accuracy"))
  expect_identical(nrow(curves), 12L)
  expect_equal(
    curves$value[curves$measure == "loss" & curves$images == "validation"], 1.1 / 1:3
  )
})

test_that("breaks are whole epochs", {
  expect_identical(diglot:::whole_breaks(c(1, 2)), c(1, 2))
  expect_true(all(diglot:::whole_breaks(c(1, 50)) >= 1))
})

test_that("plot draws with R's own graphics and gives the fit back", {
  withr::local_pdf(NULL)
  fit <- fake_fit()
  expect_identical(diglot:::plot_base(fit), NULL)
  expect_identical(plot(fit), fit)
  expect_error(plot(fake_fit(epochs = 0L)), "history", class = "diglot_error_input")
})

test_that("autoplot is a ggplot of both sets", {
  skip_if_not_installed("ggplot2")
  plot <- ggplot2::autoplot(fake_fit())
  expect_s3_class(plot, "ggplot")
  drawn <- ggplot2::ggplot_build(plot)$data[[1L]]
  expect_setequal(unique(drawn$colour), c("#0072B2", "#D55E00"))
  only <- ggplot2::ggplot_build(ggplot2::autoplot(fake_fit(val = FALSE)))$data[[1L]]
  expect_identical(unique(only$colour), "#0072B2")
})
