# Two fits, the second of which has seen less; and images that neither can tell for sure.
weaker_fit <- function() {
  skip_if_no_diglot()
  if (is.null(shared$weaker)) {
    shared$weaker <- image_classifier(
      label ~ image, planted_tibble(8L),
      network = "mlp", epochs = 1, batch_size = 8, seed = 2
    )
  }
  shared$weaker
}

# Pictures on their way from one class to the other, so that probabilities differ.
between <- function(n = 90L) {
  data <- planted_tibble(n)
  two <- data$image[[1L]]
  ten <- data$image[[2L]]
  withr::local_seed(7)
  share <- ifelse(data$label == "two", 0.55, 0.45) + stats::rnorm(n, sd = 0.12)
  share <- pmin(pmax(share, 0), 1)
  data$image <- lapply(share, function(s) {
    noise <- stats::runif(length(two), 0, 30)
    matrix(as.integer(s * two + (1 - s) * ten + noise) %% 256L, nrow(two))
  })
  data$patient <- rep(seq_len(n / 3L), each = 3L)
  data
}

test_that("accuracy is compared by McNemar's exact test", {
  data <- between()
  fits <- list(small_fit(), weaker_fit())
  right <- lapply(fits, function(fit) predict(fit, data)$.pred_class == data$label)
  table <- compare_models(fits[[1L]], fits[[2L]], data, metrics = "accuracy")
  expect_s3_class(table, c("diglot_comparison", "tbl_df"))
  expect_named(
    table, c("metric", "a", "b", "difference", "lower", "upper", "p_value", "method", "n")
  )
  only <- c(sum(right[[1L]] & !right[[2L]]), sum(right[[2L]] & !right[[1L]]))
  expect_gt(sum(only), 0)
  expect_equal(table$p_value, stats::binom.test(only)$p.value, tolerance = 1e-8)
  expect_equal(table$difference, mean(right[[1L]]) - mean(right[[2L]]))
  expect_lt(table$lower, table$difference)
})

test_that("areas under ROC curves are compared as pROC does", {
  skip_if_not_installed("pROC")
  data <- between()
  fits <- list(small_fit(), weaker_fit())
  curves <- lapply(fits, function(fit) {
    pROC::roc(
      data$label, predict(fit, data, type = "prob")$.pred_ten,
      levels = levels(data$label), direction = "<", quiet = TRUE
    )
  })
  expected <- pROC::roc.test(curves[[1L]], curves[[2L]], paired = TRUE, method = "delong")
  table <- compare_models(fits[[1L]], fits[[2L]], data, metrics = "roc_auc")
  expect_equal(table$p_value, unname(expected$p.value), tolerance = 1e-8)
  expect_equal(c(table$a, table$b), unname(expected$estimate), tolerance = 1e-8)
  error <- abs(table$difference) / abs(unname(expected$statistic))
  expect_equal(table$upper - table$lower, 2 * stats::qnorm(0.975) * error, tolerance = 1e-8)
  expect_equal(table$method, "DeLong, paired")
})

test_that("log loss is compared by the mean of paired differences", {
  data <- between()
  own <- cbind(seq_len(nrow(data)), as.integer(data$label))
  losses <- lapply(list(small_fit(), weaker_fit()), function(fit) {
    -log(as.matrix(predict(fit, data, type = "prob"))[own])
  })
  gap <- losses[[1L]] - losses[[2L]]
  table <- compare_models(small_fit(), weaker_fit(), data, metrics = "log_loss", level = 0.9)
  error <- stats::sd(gap) / sqrt(length(gap))
  expect_equal(table$difference, mean(gap), tolerance = 1e-8)
  expect_equal(table$lower, mean(gap) - stats::qnorm(0.95) * error, tolerance = 1e-8)
  expect_equal(table$p_value, 2 * stats::pnorm(-abs(mean(gap) / error)), tolerance = 1e-8)
})

test_that("groups are drawn whole, however they are named", {
  data <- between()
  by_name <- compare_models(small_fit(), weaker_fit(), data, groups = patient, resamples = 50)
  expect_match(by_name$method, "cluster|Obuchowski")
  expect_equal(
    compare_models(small_fit(), weaker_fit(), data, groups = ~patient, resamples = 50), by_name
  )
  expect_equal(
    compare_models(
      small_fit(), weaker_fit(), data$image,
      truth = data$label,
      groups = paste("patient", data$patient), resamples = 50
    ),
    by_name
  )
  expect_false(identical(
    compare_models(small_fit(), weaker_fit(), data, groups = patient, resamples = 50, seed = 1),
    by_name
  ))
})

test_that("both sides are what each fit is by itself, in any order of the levels", {
  data <- between()
  turned <- planted_tibble()
  turned$label <- factor(turned$label, rev(levels(turned$label)))
  other <- image_classifier(label ~ image, turned, network = "mlp", epochs = 1, seed = 3)
  table <- compare_models(small_fit(), other, data, resamples = 20)
  for (side in c("a", "b")) {
    alone <- evaluate(if (side == "a") small_fit() else other, data, resamples = 0)
    alone <- alone[is.na(alone$class), ]
    expect_equal(
      table[[side]], alone$estimate[match(table$metric, alone$metric)],
      tolerance = 1e-8
    )
  }
})

test_that("a fit and itself do not differ", {
  table <- compare_models(small_fit(), small_fit(), between(), resamples = 20)
  expect_true(all(table$difference == 0))
  expect_true(all(table$p_value == 1))
})

test_that("metrics may be functions of one's own", {
  data <- between(60L)
  seen <- new.env()
  sure <- function(truth, prob) {
    seen$truth <- truth
    seen$columns <- colnames(prob)
    mean(prob[, "two"] > 0.6)
  }
  table <- compare_models(
    small_fit(), weaker_fit(), data,
    metrics = list("accuracy", sure = sure), resamples = 30
  )
  expect_equal(table$metric, c("accuracy", "sure"))
  for (side in c("a", "b")) {
    fit <- if (side == "a") small_fit() else weaker_fit()
    expect_equal(table[[side]][2L], mean(predict(fit, data, type = "prob")$.pred_two > 0.6))
  }
  expect_equal(levels(seen$truth), c("two", "ten"))
  expect_equal(seen$columns, c("two", "ten"))
  expect_false(anyNA(table$lower))
  for (bad in list(function(truth, prob) stop("x!"), function(truth, prob) "a")) {
    expect_error(
      compare_models(small_fit(), weaker_fit(), data, metrics = list(mine = bad)),
      class = "diglot_error_callback"
    )
  }
  expect_error(
    compare_models(small_fit(), weaker_fit(), data, metrics = list(sure)), "need names",
    class = "diglot_error_input"
  )
})

test_that("what cannot be compared is refused", {
  fit <- fake_fit()
  frame <- planted_tibble(4L)
  expect_error(compare_models(1, fit, frame), "`a` must be a fit", class = "diglot_error_input")
  expect_error(compare_models(fit, 1, frame), "`b` must be a fit", class = "diglot_error_input")
  expect_error(compare_models(fit, fit), "newdata", class = "diglot_error_input")
  expect_error(
    compare_models(fit, fake_fit(c("two", "six")), frame), "same levels",
    class = "diglot_error_input"
  )
  expect_error(
    compare_models(fit, fit, frame, metrics = 1), "metrics",
    class = "diglot_error_input"
  )
  expect_error(
    compare_models(small_fit(), small_fit(), frame, metrics = "acuracy"), "acuracy",
    class = "diglot_error_input"
  )
})

test_that("defaults are Python's", {
  skip_if_no_diglot()
  said <- python_says(c(
    "import diglot, inspect",
    "for f in (diglot.compare_models, diglot.ImageClassifier.evaluate, diglot.reliability):",
    "    print(*(f'{n}={p.default}' for n, p in inspect.signature(f).parameters.items()",
    "          if n in ('level', 'resamples', 'seed', 'bins')))"
  ))
  functions <- list(compare_models, evaluate.image_classifier, reliability)
  for (i in seq_along(functions)) {
    known <- formals(functions[[i]])
    for (pair in strsplit(strsplit(said[i], " ")[[1L]], "=")) {
      expect_equal(format(known[[pair[1L]]]), pair[2L], info = paste(i, pair[1L]))
    }
  }
})

test_that("levels are the same by their text, whatever they were", {
  skip_if_no_diglot()
  data <- planted_tibble()
  numbers <- data
  numbers$label <- as.integer(data$label) - 1L
  data$label <- factor(numbers$label, levels = 1:0)
  a <- image_classifier(label ~ image, numbers, network = "mlp", epochs = 1, seed = 1)
  b <- image_classifier(label ~ image, data, network = "mlp", epochs = 2, seed = 2)
  table <- compare_models(a, b, numbers, resamples = 0)
  accuracy <- table[table$metric == "accuracy", ]
  expect_equal(accuracy$a, mean(predict(a, numbers)$.pred_class == numbers$label))
  expect_equal(accuracy$b, mean(predict(b, numbers)$.pred_class == numbers$label))
})
