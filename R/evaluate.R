# Assessment: every metric with its interval, and the report.

#' Assess a classifier on labelled images
#'
#' Computes accuracy and its relatives on images that were not in the training, each with an
#' interval.
#'
#' @param x A fit, see [image_classifier()].
#' @param newdata Images, as for [predict()][predict.image_classifier]; for a fit by formula a data
#'   frame with its labels, too.
#' @param truth The labels, where `newdata` does not hold them. All must be levels of the fit.
#' @param ... Not used.
#' @return A tibble with one row a metric, or a metric and a class: `metric`, `class`, `estimate`,
#'   the interval from `lower` to `upper`, the `method` that computed the interval, and `n`, the
#'   number of images behind it.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' evaluate(fit, digits[501:700, ])
evaluate.image_classifier <- function(x, newdata, truth = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  test <- test_payload(x, newdata, truth, env)
  table_from(call_bridge("evaluate", live_model(x, env), test$images, test$codes, call = env))
}

test_payload <- function(object, newdata, truth, call) {
  if (missing(newdata)) {
    abort_diglot("`newdata` is missing: a fit does not keep its training images.", call = call)
  }
  images <- newdata_images(object, newdata, "newdata", call)
  labels <- newdata_labels(object, newdata, truth, "newdata", call)
  codes <- code_labels(labels, object$levels, "truth", call)
  check_lengths(image_count(images), length(codes), call)
  if (length(codes) == 0L) {
    abort_diglot("`newdata` has no rows: there is nothing to assess.", call = call)
  }
  list(images = image_payload(images, "newdata", call), codes = codes)
}

#' Write a report on a classifier
#'
#' Writes one HTML file that needs no other: training curves, metrics with their intervals, the
#' confusion matrix, and the images that the classifier got wrong.
#'
#' @inheritParams evaluate.image_classifier
#' @param fit A fit, see [image_classifier()].
#' @param path The file to write.
#' @return `path`, invisibly.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' file <- tempfile(fileext = ".html")
#' report(fit, digits[501:700, ], file)
report <- function(fit, newdata, path = "report.html", truth = NULL) {
  env <- rlang::current_env()
  check_fit(fit, env)
  test <- test_payload(fit, newdata, truth, env)
  target <- enc2utf8(path.expand(path))
  call_bridge("report", live_model(fit, env), test$images, test$codes, target, call = env)
  invisible(path)
}

check_fit <- function(fit, call) {
  if (!inherits(fit, "image_classifier")) {
    abort_diglot(
      sprintf(
        "`fit` must be a fit of image_classifier() or load_model(), not %s.", describe_class(fit)
      ),
      call = call
    )
  }
}
