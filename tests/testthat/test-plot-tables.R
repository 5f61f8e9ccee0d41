# What is drawn equals the tables, and drawing warns of nothing.

names_of <- function(k) {
  names <- c(
    "golden retriever", "$price tag$", "African hunting dog, hyena dog, Cape hunting dog", "jay",
    "_magpie", "box <turtle>"
  )
  c(names, sprintf("class number %d", seq_len(k)))[seq_len(k)]
}

of_class <- function(table, class) {
  tibble::new_tibble(tibble::as_tibble(table), nrow = nrow(table), class = class)
}

# Draws to nowhere: what ggplot2 has to say, it says here.
drawn <- function(plot) {
  withr::local_pdf(NULL)
  expect_silent(print(plot))
  ggplot2::ggplot_build(plot)
}

layer_of <- function(built, geom) {
  found <- vapply(built$plot$layers, function(layer) inherits(layer$geom, geom), NA)
  built$data[[which(found)[1L]]]
}

metrics_table <- function(k) {
  estimate <- c(0.9, 1.5, seq(0.7, 0.8, length.out = 2 * k))
  of_class(tibble::tibble(
    metric = c("accuracy", "log_loss", rep(c("sensitivity", "f1"), each = k)),
    class = c(NA, NA, names_of(k), names_of(k)),
    estimate = estimate, lower = estimate - 0.05, upper = c(NA, estimate[-1L] + 0.04)
  ), "diglot_metrics")
}

curves_table <- function(k) {
  steps <- seq(0, 1, 0.25)
  of_class(do.call(rbind, lapply(seq_len(k), function(i) {
    tibble::tibble(
      class = names_of(k)[i], threshold = c(Inf, rev(steps)[-1L]), sensitivity = sqrt(steps),
      specificity = 1 - steps^(1 + i)
    )
  })), "diglot_roc")
}

reliability_table <- function(k) {
  of_class(tibble::tibble(
    class = rep(c(NA, names_of(k)), each = 2L), bin = rep(c(3L, 9L), k + 1L),
    from = rep(c(0.2, 0.8), k + 1L), to = rep(c(0.3, 0.9), k + 1L),
    confidence = rep(c(0.26, 0.87), k + 1L), observed = rep(c(0.25, 0.8), k + 1L),
    lower = rep(c(0.1, 0.7), k + 1L), upper = rep(c(0.5, 0.9), k + 1L),
    n = rep(c(40L, 1600L), k + 1L)
  ), "diglot_reliability")
}

test_that("metrics are drawn with their intervals, by class and of the whole", {
  skip_if_not_installed("ggplot2")
  for (k in c(2L, 20L)) {
    table <- metrics_table(k)
    built <- drawn(ggplot2::autoplot(table))
    points <- layer_of(built, "GeomPoint")
    expect_equal(points$x[points$PANEL == 2L], table$estimate[table$metric == "f1"])
    # the first class on top
    expect_equal(as.numeric(points$y[points$PANEL == 2L]), rev(seq_len(k)))
    lines <- layer_of(built, "GeomLinerange")
    expect_equal(lines$xmin[lines$PANEL == 1L], table$lower[table$metric == "sensitivity"])
    expect_identical(nrow(built$layout$layout), 2L)
  }
  whole <- drawn(ggplot2::autoplot(table, by_class = FALSE))
  expect_identical(layer_of(whole, "GeomPoint")$x, c(0.9, 1.5))
  expect_identical(layer_of(whole, "GeomText")$label, c("0.900", "1.50 (1.45 to 1.54)"))
  expect_error(
    ggplot2::autoplot(table[!is.na(table$class), ], by_class = FALSE), "of the whole",
    class = "diglot_error_input"
  )
  expect_error(ggplot2::autoplot(table[0L, ]), "no rows", class = "diglot_error_input")
  expect_error(ggplot2::autoplot(table["class"]), "metric", class = "diglot_error_input")
})

test_that("curves are told apart by colours and lines, or by panels", {
  skip_if_not_installed("ggplot2")
  for (k in c(1L, 8L)) {
    built <- drawn(ggplot2::autoplot(curves_table(k)))
    paths <- layer_of(built, "GeomPath")
    expect_identical(unique(paths$colour), diglot:::class_colours[seq_len(k)])
    expect_equal(paths$x[paths$group == k], seq(0, 1, 0.25)^(1 + k))
    expect_equal(paths$y[paths$group == k], sqrt(seq(0, 1, 0.25)))
  }
  expect_identical(nrow(drawn(ggplot2::autoplot(curves_table(20L)))$layout$layout), 20L)
  many <- drawn(ggplot2::autoplot(curves_table(40L)))
  expect_identical(nrow(many$layout$layout), 1L)
  expect_identical(many$plot$labels$subtitle, "40 classes")
})

test_that("reliability shows points, intervals and how many images there are", {
  skip_if_not_installed("ggplot2")
  table <- reliability_table(20L)
  built <- drawn(ggplot2::autoplot(table))
  points <- layer_of(built, "GeomPoint")
  expect_equal(points$x, c(0.26, 0.87))
  expect_equal(points$y, c(0.25, 0.8))
  expect_equal(layer_of(built, "GeomLinerange")$ymax, c(0.5, 0.9))
  bars <- layer_of(built, "GeomRect")
  expect_equal((bars$ymax - bars$ymin) / 0.25 * 1600, c(40, 1600))
  # the counts' axis says counts
  axis <- built$layout$panel_params[[2L]]$y$get_labels()
  expect_identical(axis[!is.na(axis)][1:2], c("0", "1,000"))
  by_class <- drawn(ggplot2::autoplot(table, by_class = TRUE))
  expect_identical(nrow(by_class$layout$layout), 20L)
  expect_error(
    ggplot2::autoplot(table[1:2, ], by_class = TRUE), "by class",
    class = "diglot_error_input"
  )
})

test_that("learning curves, folds, comparisons and coverage are those of the tables", {
  skip_if_not_installed("ggplot2")
  curve <- of_class(tibble::tibble(
    n_train = rep(c(50L, 100L, 1600L), 4L), metric = rep(c("accuracy", "f1"), each = 6L),
    training = rep(rep(c(FALSE, TRUE), each = 3L), 2L), estimate = seq(0.5, 0.61, 0.01),
    lower = 0.4, upper = c(NA, rep(0.9, 11L)), n = 5L
  ), "diglot_learning_curve")
  built <- drawn(ggplot2::autoplot(curve))
  points <- layer_of(built, "GeomPoint")
  test <- points[points$PANEL == 2L & points$colour == "#D55E00", ]
  expect_equal(test$y, c(0.56, 0.57, 0.58))
  expect_equal(10^test$x, c(50, 100, 1600))

  folds <- tibble::tibble(repeat_ = 1L, fold = 1:3, accuracy = c(0.7, 0.9, 0.8), f1 = c(NA, 1, 0))
  means <- tibble::tibble(
    metric = c("accuracy", "f1"), estimate = c(0.8, 0.5), lower = c(0.6, NA), upper = c(1, NA)
  )
  built <- drawn(diglot:::resamples_plot(folds, means, NULL))
  points <- layer_of(built, "GeomPoint")
  expect_equal(points$y[points$PANEL == 1L], c(0.7, 0.9, 0.8))
  expect_identical(nrow(layer_of(built, "GeomRect")), 1L)

  compared <- of_class(tibble::tibble(
    metric = c("accuracy", "log_loss"), a = 1, b = 1, difference = c(0.05, -0.1),
    lower = c(0.01, -0.2), upper = c(0.09, 0), p_value = c(0.00001, NA), n = 100L
  ), "diglot_comparison")
  built <- drawn(ggplot2::autoplot(compared))
  expect_equal(layer_of(built, "GeomPoint")$x, c(0.05, -0.1))
  expect_identical(layer_of(built, "GeomText")$label[1L], "p < 0.001")

  coverage <- of_class(tibble::tibble(
    coverage = 0.9, class = c(NA, names_of(20L)), estimate = 0.91, lower = 0.8, upper = 0.95
  ), "diglot_coverage")
  built <- drawn(ggplot2::autoplot(coverage))
  expect_identical(nrow(layer_of(built, "GeomPoint")), 21L)
  expect_identical(layer_of(built, "GeomVline")$xintercept, 0.9)
  several <- coverage[1:3, ]
  several$coverage <- c(0.5, 0.7, 0.9)
  several$class <- NA_character_
  built <- drawn(ggplot2::autoplot(several))
  expect_equal(layer_of(built, "GeomPoint")$x, c(0.5, 0.7, 0.9))
})

test_that("coefficients have a panel a class", {
  skip_if_not_installed("ggplot2")
  table <- tibble::tibble(
    term = rep(c("age", "sexmale"), 19L), class = rep(names_of(19L), each = 2L),
    estimate = seq_len(38L) / 10, conf.low = 0, conf.high = 4
  )
  coefficients <- function(table) ggplot2::autoplot(of_class(table, "diglot_coefficients"))
  built <- drawn(coefficients(table))
  expect_identical(nrow(built$layout$layout), 19L)
  expect_equal(layer_of(built, "GeomPoint")$x, table$estimate)
  expect_equal(unique(layer_of(built, "GeomLinerange")$xmax), 4)
  table$class <- NA
  expect_identical(nrow(drawn(coefficients(table[1:2, ]))$layout$layout), 1L)
  drawn(coefficients(table[1:2, c("term", "class", "estimate")]))
})

test_that("plot() draws a table and gives it back", {
  skip_if_not_installed("ggplot2")
  withr::local_pdf(NULL)
  table <- metrics_table(2L)
  given_back <- withVisible(plot(table, by_class = FALSE))
  expect_identical(given_back, list(value = table, visible = FALSE))
})

test_that("names are shortened and spelt as in Python", {
  skip_if_no_diglot()
  names <- c("f1", "macro_f1", "roc_auc", "expected_calibration_error", "grad_cam", "log_loss", "x")
  long <- c("an exceptionally long name of a class", "two\nlines", "short")
  there <- python_says(c(
    "from diglot.plots.canvas import shorten, words, COLOURS",
    sprintf("for name in '%s'.split(): print(words(name))", paste(names, collapse = " ")),
    "print(shorten('an exceptionally long name of a class'))",
    "print(shorten('two' + chr(10) + 'lines')); print(shorten('short')); print(*COLOURS)"
  ))
  colours <- paste(diglot:::class_colours, collapse = " ")
  expect_identical(
    c(diglot:::in_words(names), diglot:::shorten(long), colours), there
  )
})
