# Curves of what a classifier's probabilities are worth.

#' ROC curves of a classifier
#'
#' Sensitivity and specificity at every threshold of the probability. With two levels there is one
#' curve, and the second level is the positive one, as in `glm()`; with more there is one for each
#' level against the rest.
#'
#' @inheritParams evaluate.image_classifier
#' @param fit A fit, see [image_classifier()].
#' @return A tibble of class `diglot_roc`: `class`, `threshold` (images at least as probable count
#'   as positive; from `Inf` down), `sensitivity` and `specificity`. Points between which a curve is
#'   straight are left out, and so is a level without images.
#'   [autoplot()][autoplot_tables] draws it.
#' @references T. Fawcett: An introduction to ROC analysis, Pattern Recognition Letters 2006.
#' @seealso [evaluate()][evaluate.image_classifier] for the area under the curve with its interval.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' roc_curve(fit, digits[501:700, ])
roc_curve <- function(fit, newdata, truth = NULL) {
  env <- rlang::current_env()
  check_fit(fit, env)
  test <- test_payload(fit, newdata, truth, env)
  curve <- call_bridge("roc_curve", live_model(fit, env), test$images, test$codes, call = env)
  classed(table_from(curve), "diglot_roc")
}

#' Whether a classifier's probabilities come true
#'
#' Of the images that a calibrated classifier gives a probability of 80 %, 80 % are what it says.
#' `reliability()` puts images into bins by their probability and counts.
#'
#' @inheritParams roc_curve
#' @param bins How many bins of equal width the probabilities from 0 to 1 are put into.
#' @param level Of the intervals.
#' @return A tibble of class `diglot_reliability` with one row for each bin that is not empty:
#'   `class` (`NA` for the most probable level, whichever it is), `bin` (from 1), `from` and `to`
#'   (its ends, of which the upper belongs to it), `confidence` (mean probability), `observed` (how
#'   often it came true), Wilson's interval of that from `lower` to `upper`, and `n` (images). With
#'   two levels only the second has rows of its own: those of the first would mirror them.
#'   [autoplot()][autoplot_tables] draws it.
#' @references
#' J. Broecker, L. A. Smith: Increasing the reliability of reliability diagrams, Weather and
#' Forecasting 2007. C. Guo and others: On calibration of modern neural networks, ICML 2017.
#' @seealso [calibrate()] to mend them.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' reliability(fit, digits[501:700, ], bins = 5)
reliability <- function(fit, newdata, truth = NULL, bins = 10, level = 0.95) {
  env <- rlang::current_env()
  check_fit(fit, env)
  check_number(bins, "bins", env)
  check_share(level, "level", env)
  test <- test_payload(fit, newdata, truth, env)
  table <- call_bridge(
    "reliability", live_model(fit, env), test$images, test$codes, bins, level,
    call = env
  )
  classed(table_from(table), "diglot_reliability")
}
