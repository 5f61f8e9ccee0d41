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

# A fit of ten classes that is right in most cases, and images to judge it by.
digits_judged <- function() {
  skip_if_no_diglot()
  if (is.null(shared$judged)) {
    digits <- example_images("digits")
    fit <- image_classifier(label ~ image, digits[1:300, ], network = "mlp", epochs = 3, seed = 1)
    test <- digits[301:500, ]
    shared$judged <- list(
      fit = fit, test = test, metrics = evaluate(fit, test),
      predicted = predict(fit, test)$.pred_class,
      prob = as.matrix(predict(fit, test, type = "prob"))
    )
  }
  shared$judged
}

estimates <- function(metrics, metric) {
  rows <- metrics[metrics$metric == metric & !is.na(metrics$class), ]
  stats::setNames(rows$estimate, rows$class)
}
estimate <- function(metrics, metric) {
  metrics$estimate[metrics$metric == metric & is.na(metrics$class)]
}

test_that("metrics agree with caret's", {
  withr::local_envvar(TZ = "UTC") # loading caret asks the system for its zone, which may complain
  skip_if_not_installed("caret")
  judged <- digits_judged()
  expected <- caret::confusionMatrix(judged$predicted, judged$test$label)
  expect_equal(
    estimate(judged$metrics, "accuracy"), expected$overall[["Accuracy"]],
    tolerance = 1e-8
  )
  expect_equal(estimate(judged$metrics, "kappa"), expected$overall[["Kappa"]], tolerance = 1e-8)
  theirs <- expected$byClass
  rownames(theirs) <- sub("Class: ", "", rownames(theirs))
  for (name in c("Sensitivity", "Specificity", "Precision", "F1")) {
    ours <- estimates(judged$metrics, tolower(name))
    expect_equal(unname(ours), unname(theirs[names(ours), name]), tolerance = 1e-8)
  }
  expect_equal(
    estimate(judged$metrics, "macro_specificity"), mean(theirs[, "Specificity"]),
    tolerance = 1e-8
  )
  expect_equal(
    estimate(judged$metrics, "balanced_accuracy"), mean(theirs[, "Sensitivity"]),
    tolerance = 1e-8
  )
})

test_that("areas under ROC curves and their intervals agree with pROC's", {
  skip_if_not_installed("pROC")
  judged <- digits_judged()
  rows <- judged$metrics[judged$metrics$metric == "roc_auc" & !is.na(judged$metrics$class), ]
  expect_equal(rows$class, levels(judged$test$label))
  compared <- 0L
  for (i in seq_len(nrow(rows))) {
    curve <- pROC::roc(
      judged$test$label == rows$class[i], judged$prob[, i],
      levels = c(FALSE, TRUE), direction = "<", quiet = TRUE
    )
    expect_equal(rows$estimate[i], as.numeric(pROC::auc(curve)), tolerance = 1e-8)
    if (rows$estimate[i] < 1) { # pROC gives an interval of one point else, and warns of it
      ends <- as.numeric(pROC::ci.auc(curve))[c(1L, 3L)]
      expect_equal(c(rows$lower[i], rows$upper[i]), ends, tolerance = 1e-8)
      compared <- compared + 1L
    }
  }
  expect_gt(compared, 5L)
  expect_equal(estimate(judged$metrics, "roc_auc"), mean(rows$estimate), tolerance = 1e-8)
})

test_that("Wilson's interval is that of prop.test()", {
  judged <- digits_judged()
  accuracy <- judged$metrics[judged$metrics$metric == "accuracy", ]
  right <- sum(judged$predicted == judged$test$label)
  expected <- stats::prop.test(right, 200, correct = FALSE)$conf.int
  expect_equal(c(accuracy$lower, accuracy$upper), as.vector(expected), tolerance = 1e-8)
})

test_that("the interval of the log loss is that of a mean", {
  judged <- digits_judged()
  loss <- -log(judged$prob[cbind(1:200, as.integer(judged$test$label))])
  row <- judged$metrics[judged$metrics$metric == "log_loss", ]
  expect_equal(row$estimate, mean(loss), tolerance = 1e-6)
  half <- stats::qnorm(0.975) * stats::sd(loss) / sqrt(200)
  expect_equal(row$upper - row$estimate, half, tolerance = 1e-6)
})

test_that("groups widen intervals, however they are named", {
  judged <- digits_judged()
  test <- judged$test
  # Images that are right together: the extreme of dependence.
  test$patient <- ifelse(judged$predicted == test$label, 1:200 %% 4L, 4L + 1:200 %% 4L)
  grouped <- evaluate(judged$fit, test, groups = patient)
  width <- function(metrics) {
    row <- metrics[metrics$metric == "accuracy", ]
    row$upper - row$lower
  }
  expect_gt(width(grouped), 2 * width(judged$metrics))
  expect_match(grouped$method[grouped$metric == "accuracy"], "cluster")
  expect_equal(grouped$estimate, judged$metrics$estimate)
  expect_equal(evaluate(judged$fit, test, groups = ~patient), grouped)
  expect_equal(evaluate(judged$fit, test, groups = "patient"), grouped)
  expect_equal(evaluate(judged$fit, test, groups = test$patient), grouped)
  expect_equal(evaluate(judged$fit, test, groups = factor(test$patient)), grouped)
})

test_that("the bootstrap repeats, and can be left out", {
  fit <- small_fit()
  data <- noisy()
  expect_identical(evaluate(fit, data), evaluate(fit, data))
  expect_false(identical(evaluate(fit, data), evaluate(fit, data, seed = 5)))
  set.seed(3)
  drawn <- evaluate(fit, data, seed = NULL)
  set.seed(3)
  expect_identical(evaluate(fit, data, seed = NULL), drawn)
  none <- evaluate(fit, data, resamples = 0)
  expect_true(is.na(none$lower[none$metric == "macro_f1"]))
  wide <- evaluate(fit, data, level = 0.99)
  expect_true(all(wide$upper - wide$lower >= evaluate(fit, data)$upper - evaluate(fit, data)$lower))
})

test_that("groups and options are checked", {
  fit <- fake_fit()
  frame <- planted_tibble(4L)
  input_error <- function(...) expect_error(..., class = "diglot_error_input")
  input_error(evaluate(fit, frame, groups = nobody), "`groups = nobody`")
  input_error(evaluate(fit, frame, groups = "patient"), "no column \"patient\"")
  input_error(evaluate(fit, frame, groups = ~patient), "no column \"patient\"")
  input_error(evaluate(fit, frame, groups = c(1, 2)), "4 images but 2 groups")
  input_error(evaluate(fit, frame, groups = c(1, 2, NA, 2)), "row 3")
  input_error(evaluate(fit, frame, level = 95), "level")
  input_error(evaluate(fit, frame, resamples = "many"), "resamples")
})
