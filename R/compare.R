# Two models on the same images.

#' Compare two classifiers on the same images
#'
#' Says how much better one classifier is than another, with an interval and a p-value for each
#' metric. Both judge the same images, so what makes these hard or easy for both drops out.
#'
#' @section Methods:
#' - Accuracy: McNemar's exact test, with Tango's score interval.
#' - Log loss, Brier score, rank error: the normal interval and test of the mean of paired
#'   differences.
#' - Areas under ROC curves: DeLong's test, as `roc.test()` of the package pROC; with groups
#'   Obuchowski's extension of it.
#' - All else, and with groups all but areas: the paired bootstrap. Each sample holds the same
#'   images (or groups) for both models. The interval is that of the differences' percentiles; the
#'   p-value belongs to the widest such interval that just leaves out 0.
#'
#' The p-values are not adjusted for looking at several metrics: choose before you look, or see
#' [stats::p.adjust()].
#'
#' @inheritParams evaluate.image_classifier
#' @param a,b Fits, see [image_classifier()], with the same levels in any order; one may be the
#'   baseline [hog_classifier()].
#' @param newdata Images that neither fit was trained on, as for
#'   [predict()][predict.image_classifier]; for fits by formula a data frame with the labels, too.
#' @param truth The labels, where `newdata` does not hold them.
#' @param metrics Which metrics, of those that [evaluate()][evaluate.image_classifier] gives of the
#'   whole; by default accuracy, balanced accuracy, macro F1, kappa, log loss, Brier score, area
#'   under the ROC curve and expected calibration error. In a list also functions of your own, by
#'   name: called with the labels, a factor, and the probabilities, a matrix with a column a level,
#'   they give one number.
#' @param resamples Of the bootstrap; 0 leaves `NA` what needs it.
#' @return A tibble of class `diglot_comparison` with one row a metric: `metric`, `a` and `b` (the
#'   estimates), `difference` (a - b), the interval from `lower` to `upper` of that, `p_value`
#'   (two-sided), `method` and `n` (images). [autoplot()][autoplot_tables] draws it.
#' @references
#' Q. McNemar: Note on the sampling error of the difference between correlated proportions or
#' percentages, Psychometrika 1947. T. Tango: Equivalence test and confidence interval for the
#' difference in proportions for the paired-sample design, Statistics in Medicine 1998.
#' E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson: Comparing the areas under two or more
#' correlated receiver operating characteristic curves, Biometrics 1988. A. C. Davison,
#' D. V. Hinkley: Bootstrap Methods and their Application, 1997.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' network <- image_classifier(label ~ image, digits[1:500, ], epochs = 5, seed = 1)
#' baseline <- hog_classifier(label ~ image, data = digits[1:500, ])
#' compare_models(network, baseline, digits[501:900, ])
#'
#' # how often a model says that it is sure, as a metric
#' sure <- function(truth, prob) mean(apply(prob, 1, max) > 0.9)
#' compare_models(network, baseline, digits[501:900, ], metrics = list("accuracy", sure = sure))
compare_models <- function(a, b, newdata, truth = NULL, groups = NULL, metrics = NULL,
                           level = 0.95, resamples = 1000, seed = 0) {
  env <- rlang::current_env()
  check_fit(a, env, what = "a")
  check_fit(b, env, what = "b")
  check_metrics(metrics, env)
  if (!setequal(a$levels, b$levels)) {
    abort_diglot(
      sprintf(
        "The fits must tell the same levels apart: `a` knows %s, `b` %s.",
        quoted(a$levels, 10L), quoted(b$levels, 10L)
      ),
      call = env
    )
  }
  test <- test_payload(a, newdata, truth, env)
  others <- test_payload(b, newdata, truth, env)$images
  groups <- group_codes(rlang::enquo(groups), newdata, known_count(test$codes), env)
  options <- judging_options(groups, level, resamples, seed, env)
  options <- c(options, metric_options(metrics, a$levels))
  table <- call_bridge(
    "compare_models", live_model(a, env), live_model(b, env), test$images, test$codes,
    if (!identical(others, test$images)) others, options,
    call = env
  )
  classed(table_from(table), "diglot_comparison")
}

check_metrics <- function(metrics, call) {
  metrics <- as.list(metrics)
  own <- vapply(metrics, is.function, NA)
  named <- vapply(metrics, function(one) is.character(one) && length(one) == 1L && !is.na(one), NA)
  if (!all(own | named)) {
    abort_diglot(
      "`metrics` must be names, such as \"accuracy\", or a list of names and functions.",
      call = call
    )
  }
  if (!all(nzchar(rlang::names2(metrics)[own]))) {
    abort_diglot("Functions in `metrics` need names: list(mine = function(truth, prob) ...).",
      call = call
    )
  }
}

# Names of metrics, and functions as Python calls them; nothing for the usual metrics.
metric_options <- function(metrics, levels) {
  if (is.null(metrics)) {
    return(NULL)
  }
  own <- vapply(metrics, is.function, NA)
  list(
    metrics = as.list(unname(metrics[!own])),
    functions = lapply(metrics[own], metric_function, levels = levels)
  )
}

# An error in a user's function travels to the surface as it is, see callback_function().
metric_function <- function(metric, levels) {
  function(event) {
    tryCatch(
      {
        truth <- factor(levels[as.vector(event$codes) + 1L], levels)
        prob <- event$prob
        dimnames(prob) <- list(NULL, levels)
        value <- metric(truth, prob)
        if (!is.numeric(value) || length(value) != 1L) {
          stop("A metric must give one number, not ", describe_class(value), ".")
        }
        as.double(value)
      },
      error = function(error) {
        the$callback_error <- error
        "failed"
      },
      interrupt = function(interrupt) "interrupted"
    )
  }
}
